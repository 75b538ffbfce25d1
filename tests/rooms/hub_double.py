"""A hub on the loopback that behaves as told: it serves files with ranges and tags, and misbehaves in named ways."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]


@dataclass
class HubDouble:
    """``files`` by path in the model. ``cut`` hangs up after so many bytes of a file, so many times; a file in ``held``
    is answered only when its event is set."""

    files: dict[str, bytes] = field(default_factory=dict)
    status: int = 200
    cut: dict[str, tuple[int, int]] = field(default_factory=dict)
    away: str = ""  # large files are redirected there
    silent: bool = False
    tags: bool = True
    wrong_tags: bool = False
    endless: bool = False
    asked: list[Asked] = field(default_factory=list)
    url: str = ""
    held: dict[str, threading.Event] = field(default_factory=dict)
    released: threading.Event = field(default_factory=threading.Event)

    def gets(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.method == "GET" and asked.path.endswith(path)]


@contextmanager
def serving(hub: HubDouble) -> Iterator[HubDouble]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one answer, one packet; two would wait for each other

        def log_message(self, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            hub.asked.append(Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
            if hub.silent:
                hub.released.wait(120)
                self.close_connection = True
                return
            path = re.sub(r"^/([^/]+/[^/]+/resolve/[^/]+/|blob/)", "", self.path.partition("?")[0])
            if hub.status != 200 or path not in hub.files:
                self.reply(hub.status if hub.status != 200 else 404, {}, b"no", body)
                return
            content = hub.files[path]
            if body and path in hub.held:
                hub.held[path].wait(120)
            large = path.endswith(".safetensors")
            tag = hashlib.sha256(content).hexdigest()
            if not large:
                tag = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            if hub.wrong_tags:
                tag = "0" * len(tag)
            headers = {"ETag": f'"{tag}"'} if hub.tags else {}
            if hub.away and large and not self.path.startswith("/blob/"):
                told = {"X-Linked-ETag": f'"{tag}"', "X-Linked-Size": str(len(content)), "ETag": '"pointer"'}
                self.reply(302, {**told, "Location": f"{hub.away}/blob/{path}?Signature=secret"}, b"", body)
                return
            self.send_content(path, content, headers, body)

        def send_content(self, path: str, content: bytes, headers: dict[str, str], body: bool) -> None:
            start, status = 0, 200
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            if wanted and self.headers.get("If-Range") == headers.get("ETag"):
                start, status = int(wanted[1]), 206
                headers = {**headers, "Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
            rest = content[start:]
            at, times = hub.cut.get(path, (0, 0))
            if body and times:
                hub.cut[path] = (at, times - 1)
                self.send_response(status)
                for key, value in {**headers, "Content-Length": str(len(rest))}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(rest[:at])
                self.close_connection = True
                return
            if body and hub.endless:
                rest += bytes(1 << 20)
            self.reply(status, headers, rest, body)

        def reply(self, status: int, headers: dict[str, str], content: bytes, body: bool) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: object) -> None:
            pass  # a client that hangs up is part of the tests

    server = Quiet(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        hub.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
