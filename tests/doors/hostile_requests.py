"""Requests that nobody means well with, drawn from a seed: the same ones in every run.

Half are bodies of known routes with a value gone wrong, the rest are broken JSON, broken UTF-8, broken HTTP, and
clients that leave. `fire` sends one and says what came back.
"""

from __future__ import annotations

import json
import random
import socket
from collections import Counter
from dataclasses import dataclass
from typing import Any

from sememe.server.table import TABLE

GOOD: dict[str, dict[str, Any]] = {
    "/v1/embeddings": {"input": ["the boat"], "model": "tiny"},
    "/embeddings": {"input": "the boat", "model": "tiny"},
    "/api/embed": {"input": ["the boat"], "model": "tiny"},
    "/api/embeddings": {"prompt": "the boat", "model": "tiny"},
    "/embed": {"inputs": "the boat", "truncate": True},
    "/v2/embed": {"texts": ["the boat"], "model": "tiny", "input_type": "search_query"},
    "/v1/rerank": {"query": "boat", "documents": ["cat", {"text": "dog"}]},
    "/rerank": {"query": "boat", "texts": ["cat"], "truncate": True},
    "/v2/rerank": {"query": "boat", "documents": ["cat"], "model": "judge"},
    "/embed_all": {"inputs": ["the boat"]},
    "/embed_sparse": {"inputs": ["the boat"]},
    "/similarity": {"inputs": {"source_sentence": "a", "sentences": ["b"]}, "parameters": {}},
    "/predict": {"inputs": ["a", "b"]},
    "/tokenize": {"inputs": "the boat"},
    "/decode": {"ids": [5, 6]},
    "/v1/collections/c1/items": {"items": [{"id": "a", "text": "the boat", "meta": {"n": 1}}]},
    "/v1/collections/c1/search": {"query": "boat", "k": 3, "mode": "dense", "filter": {"n": 1}, "facets": ["n"]},
}
GETS = [way.path.replace("{c}", "c1").replace("{id:path}", "a") for way in TABLE if way.method != "POST"]
METHODS = ("POST", "GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "FOO", "")


@dataclass(frozen=True)
class Hostile:
    """Bytes to send, and how: ``whole``, ``half closed`` (the client says that this is all), ``gone`` (it leaves)."""

    kind: str
    data: bytes
    how: str = "whole"


def value(draw: random.Random, depth: int = 0) -> Any:
    """Any JSON value, with a liking for what programs trip over."""
    kinds = ["text", "number", "odd", "flag", "null", *(["list", "object"] if depth < 4 else [])]
    match draw.choice(kinds):
        case "text":
            return draw.choice(["", " ", "a" * draw.randint(1, 3000), "\x00", "日本語" * 9, "\u202e\ufeff",
                                "the boat", "../../etc", "'; drop table records; --", "[MASK][CLS]"])  # fmt: skip
        case "number":
            return draw.choice([0, -1, 1, 2**31, 2**53 + 1, -(2**63), 2**63, 1e308, -1e-320, 0.1, 10**30])
        case "odd":
            return draw.choice(
                ["default", "query", "NONE", "float", "int8", "tiny", "judge", "dense", "words", "n = 1"]
            )
        case "flag":
            return draw.random() < 0.5
        case "null":
            return None
        case "list":
            size = draw.choice([0, 1, 2, 40, 3000] if depth == 0 else [0, 1, 3])
            one = value(draw, depth + 1)
            return [one] * size if size > 3 else [value(draw, depth + 1) for _ in range(size)]
        case _:
            return {str(value(draw, 4))[:30]: value(draw, depth + 1) for _ in range(draw.randint(0, 4))}


def request(path: str, body: bytes, method: str = "POST", extra: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
    return head.encode("latin-1", "replace") + extra + b"\r\n" + body


def wrong_field(draw: random.Random) -> Hostile:
    path = draw.choice(list(GOOD))
    body = json.loads(json.dumps(GOOD[path]))
    way = next(way for way in TABLE if way.path.replace("{c}", "c1") == path)
    for _ in range(draw.randint(1, 2)):
        name = draw.choice([*(way.body or {}), "unknown"])
        if draw.random() < 0.1:
            body.pop(name, None)
        elif isinstance(body.get(name), list) and draw.random() < 0.5:
            body[name].append(value(draw, 1))
        else:
            body[name] = value(draw)
    return Hostile("wrong field", request(path, json.dumps(body).encode()))


def broken_body(draw: random.Random) -> Hostile:
    path = draw.choice(list(GOOD))
    whole = json.dumps(GOOD[path]).encode()
    deep = draw.choice([100, 2000, 100_000])
    body = draw.choice([
        b"", b"null", b"[]", b'"x"', b"NaN", b"\xff\xfe" + whole, whole[: len(whole) // 2], whole + b"x",
        b"\xef\xbb\xbf" + whole, whole.replace(b"boat", b"\xc3\x28\xa0\xa1"), whole.replace(b"boat", b"\\ud800"),
        b"[" * deep, b'{"input":' + b"[" * deep + b"]" * deep + b"}", b'{"a":' * deep + b"1" + b"}" * deep,
        b'{"input": NaN, "model": "tiny"}', b'{"input": [Infinity], "model": "tiny"}', b'{"input": 1e999999}',
        b'{"model": "tiny", "input": [' + b"0," * 200_000 + b"0]}", b'{"input":' + b"9" * 5000 + b"}",
        b'{"model": "tiny", "model": "x", "input": "a"}', bytes(draw.randrange(256) for _ in range(200)),
        b'{"model": "tiny", "input": "' + b"the boat " * 40_000 + b'"}', b" " * 300_000,
    ])  # fmt: skip
    return Hostile("broken body", request(path, body))


def broken_http(draw: random.Random) -> Hostile:
    path = draw.choice([*GOOD, *GETS])
    data = draw.choice([
        b"\r\n\r\n", b"\x00" * 500, b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        request(path, b"{}", extra=b"X: " + b"a" * 100_000 + b"\r\n"), request(path, b"{}", extra=b"A: b\r\n" * 9000),
        request(path, b"{}", extra=b"Content-Length: 5\r\n"), request(path, b"{}", extra=b"No colon here\r\n"),
        request(path, b"{}", extra=b"Transfer-Encoding: chunked\r\n"), request(path, b"{}", extra=b"X: \xff\xfe\r\n"),
        request(path, b"{}", extra=b"Origin: http://evil.example\r\n"),
        request(path, b"{}", extra=b"Expect: 100-continue\r\n"),
        request(path, b"{}", extra=b"Authorization: Bearer \xff\r\n"),
        request(path, b"{}", extra=b"Upgrade: websocket\r\nConnection: upgrade\r\n"),
        request(path + "?" + "a=b&" * 2000, b"{}"), request(path + "/" + "x" * 20_000, b"{}"),
        request(path + "%00%ff%2e%2e/", b"{}"), request("http://evil.example" + path, b"{}"), request("//" + path, b""),
        request(path, b"", method=draw.choice(METHODS)), request("*", b"", method="OPTIONS"),
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".encode(),
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n".encode(),
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n".encode(),
        f"POST {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}".encode(),
        f"POST {path} HTTP/1.0\r\nContent-Length: 2\r\n\r\n{{}}".encode(),
    ])  # fmt: skip
    return Hostile("broken http", data, draw.choice(["whole", "half closed"]))


def leaving(draw: random.Random) -> Hostile:
    path = draw.choice(list(GOOD))
    data = request(path, json.dumps(GOOD[path]).encode())
    cut = draw.choice([len(data), len(data), draw.randint(1, len(data))])
    return Hostile("leaving", data[:cut], draw.choice(["half closed", "gone"]))


def from_a_get(draw: random.Random) -> Hostile:
    path = draw.choice(GETS)
    name = draw.choice(["a", "%2e%2e", "%00", "日", "%ff%fe", "a%2fb", "x" * 3000, "'", "{id}"])
    path = path.replace("c1", draw.choice(["c1", name])) if draw.random() < 0.5 else path + name
    return Hostile("get", request(path, b"", method=draw.choice(["GET", "GET", "DELETE", "HEAD"])))


KINDS = (wrong_field, wrong_field, wrong_field, wrong_field, broken_body, broken_http, leaving, from_a_get)


def hostile(count: int, seed: int) -> list[Hostile]:
    """``count`` requests of a seed."""
    draw = random.Random(seed)
    return [draw.choice(KINDS)(draw) for _ in range(count)]


def fire(port: int, one: Hostile, seconds: float = 30.0) -> int | str:
    """The status that came back; ``gone`` if the client left, ``closed`` if the server did without a word.

    Raises:
        TimeoutError: the server neither answered nor closed.
    """
    with socket.create_connection(("127.0.0.1", port), seconds) as connection:
        try:
            connection.sendall(one.data)
            if one.how == "gone":
                return "gone"
            if one.how == "half closed":
                connection.shutdown(socket.SHUT_WR)
            head = b""
            while len(head) < 12 and (part := connection.recv(65536)):
                head += part
            while connection.recv(1 << 20):
                pass
        except (ConnectionResetError, BrokenPipeError):
            pass
        except TimeoutError:
            raise TimeoutError(f"{one.kind}, {one.how}: {one.data[:300]!r}") from None
    if head.startswith(b"HTTP/1.1 100"):
        head = head[25:]
    return int(head[9:12]) if head[:5] == b"HTTP/" else "closed"


def storm(port: int, requests: list[Hostile]) -> tuple[Counter[int | str], list[str]]:
    """What came back how often, and which requests the server failed at."""
    counted: Counter[int | str] = Counter()
    failed = []
    for one in requests:
        status = fire(port, one)
        counted[status] += 1
        if isinstance(status, int) and status >= 500 and status != 503:
            failed.append(f"{status} {one.kind}: {one.data[:400]!r}")
    return counted, failed
