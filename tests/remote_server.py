"""Stand-ins of the hosted services, on the loopback, written from the shapes that their documentation publishes.

Each checks what it is asked strictly (method, path, headers, every key of the body and its type) and answers with
vectors that depend on the text, the role and the width alone. A script of mishaps is played first, one for each
request; ``by_text`` has one for every request that holds the text. Nothing here waits for a clock: what hangs, hangs
until an event is set.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

KEY = "sk-" + "very-secret-" * 3
#: how wide vectors are when nothing is asked: of models that are documented, and of all others
WIDTHS = {"nomic-embed-text": 768, "titan": 1024, "cohere on bedrock": 1024}
WIDTH = 24


@dataclass
class Mishap:
    """What is answered instead. ``cut``: only so many bytes of what was announced, then the end of the connection;
    ``hang``: nothing until the event is set."""

    status: int = 200
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    hang: threading.Event | None = None
    change: Callable[[Any], Any] | None = None


@dataclass
class Asked:
    """One request as it came."""

    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass
class RemoteServer:
    """``key``: what is to be sent, "" for none. ``shuffled``: entries with an index come in another order."""

    key: str = KEY
    shuffled: bool = True
    script: deque[Mishap] = field(default_factory=deque)
    by_text: dict[str, Mishap] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    turn: threading.Lock = field(default_factory=threading.Lock)

    def texts(self) -> list[list[str]]:
        """The texts of each request that was answered."""
        return [texts_of(one) for one in self.asked]


class Refused(Exception):
    """The request is not as it is documented."""


def vector(text: str, role: str, dims: int) -> list[float]:
    """Numbers that belong to this text: of its words, most of all, and a little of all of it and of its role."""

    words = text.split() or [""]
    made = sum(_drawn(word, dims) for word in words) / len(words) + 0.3 * _drawn("whole " + text, dims)
    made = made + (0.5 * _drawn("role " + role, dims) if role else 0)
    return np.round(made, 5).tolist()


@functools.lru_cache(maxsize=4096)
def _drawn(what: str, dims: int) -> Any:
    bits = np.frombuffer(hashlib.shake_128(what.encode("utf-8", "replace")).digest(2 * dims), np.uint16)
    return bits / 2**15 - 1.0


def _b64(numbers: list[float]) -> str:
    return base64.b64encode(np.array(numbers, "<f4").tobytes()).decode()


def _shape(body: Any, needed: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> None:
    """Refuse a body with other keys, or with another value where one is given, or of another type."""
    if not isinstance(body, dict):
        raise Refused("the body is no object")
    wrong = set(body) - set(needed) - set(optional or {})
    missing = set(needed) - set(body)
    if wrong or missing:
        raise Refused(f"keys: {sorted(wrong)} are unknown, {sorted(missing)} are missing")
    for key, value in body.items():
        want = {**needed, **(optional or {})}[key]
        if isinstance(want, type):
            if type(value) is not want:
                raise Refused(f"{key} is a {type(value).__name__}")
        elif value != want and not (isinstance(want, tuple) and value in want):
            raise Refused(f"{key} is {value!r}, not {want!r}")


def _texts(value: Any, most: int) -> list[str]:
    if not isinstance(value, list) or not 1 <= len(value) <= most or not all(isinstance(t, str) and t for t in value):
        raise Refused(f"the texts are no list of 1 to {most} texts that are not empty")
    return value


def _openai(body: Any, model: bool) -> Any:
    needed = {"input": list, "encoding_format": ("base64", "float")} | ({"model": str} if model else {})
    _shape(body, needed, {"dimensions": int})
    dims = body.get("dimensions", WIDTH)
    wrap = _b64 if body["encoding_format"] == "base64" else list
    data = [
        {"object": "embedding", "index": at, "embedding": wrap(vector(text, "", dims))}
        for at, text in enumerate(_texts(body["input"], 2048))
    ]
    return {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1}}


def _cohere(body: Any, model: bool) -> Any:
    needed = {
        "texts": list,
        "input_type": ("search_query", "search_document"),
        "embedding_types": ["float"],
        "truncate": "NONE",
    } | ({"model": str} if model else {})
    _shape(body, needed, {"output_dimension": int})
    dims = body.get("output_dimension", WIDTH if model else WIDTHS["cohere on bedrock"])
    made = [vector(text, body["input_type"], dims) for text in _texts(body["texts"], 96)]
    return {"id": "1", "embeddings": {"float": made}, "texts": body["texts"], "response_type": "embeddings_by_type"}


def _voyage(body: Any) -> Any:
    needed = {
        "model": str,
        "input": list,
        "input_type": ("query", "document"),
        "truncation": False,
        "encoding_format": "base64",
    }
    _shape(body, needed, {"output_dimension": int})
    data = [
        {"object": "embedding", "embedding": _b64(vector(t, body["input_type"], body.get("output_dimension", WIDTH)))}
        | {"index": at}
        for at, t in enumerate(_texts(body["input"], 1000))
    ]
    return {"object": "list", "data": data, "model": body["model"], "usage": {"total_tokens": 3}}


def _jina(body: Any) -> Any:
    needed: dict[str, Any] = {"model": str, "input": list, "embedding_type": "base64", "truncate": False}
    if "-v2-" not in str(body.get("model")):
        needed["task"] = ("retrieval.query", "retrieval.passage")
    _shape(body, needed, {"dimensions": int})
    data = [
        {"object": "embedding", "index": at}
        | {"embedding": _b64(vector(t, body.get("task", ""), body.get("dimensions", WIDTH)))}
        for at, t in enumerate(_texts(body["input"], 2048))
    ]
    return {"model": body["model"], "object": "list", "usage": {"total_tokens": 1, "prompt_tokens": 1}, "data": data}


def _gemini(body: Any, model: str) -> Any:
    _shape(body, {"requests": list})
    made = []
    for one in body["requests"]:
        needed: dict[str, Any] = {"model": f"models/{model}", "content": dict}
        if model == "gemini-embedding-001":
            needed["taskType"] = ("RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT")
        _shape(one, needed, {"outputDimensionality": int})
        _shape(one["content"], {"parts": list})
        _shape(one["content"]["parts"][0], {"text": str})
        made.append((one["content"]["parts"][0]["text"], one.get("taskType", ""), one.get("outputDimensionality")))
    _texts([text for text, _, _ in made], 100)
    return {"embeddings": [{"values": vector(text, role, dims or WIDTH)} for text, role, dims in made]}


def _mistral(body: Any) -> Any:
    _shape(body, {"model": str, "input": list}, {"output_dimension": int})
    data = [
        {"object": "embedding", "embedding": vector(t, "", body.get("output_dimension", WIDTH)), "index": at}
        for at, t in enumerate(_texts(body["input"], 512))
    ]
    return {"id": "1", "object": "list", "data": data, "model": body["model"], "usage": {"prompt_tokens": 1}}


def _ollama(body: Any) -> Any:
    _shape(body, {"model": str, "input": list, "truncate": False}, {"dimensions": int})
    made = [vector(t, "", body.get("dimensions", WIDTHS.get(body["model"], WIDTH))) for t in _texts(body["input"], 512)]
    return {"model": body["model"], "embeddings": made, "total_duration": 1, "load_duration": 1}


def _tei(body: Any) -> Any:
    _shape(body, {"inputs": list, "normalize": True, "truncate": False}, {"dimensions": int})
    made = np.array([vector(t, "", body.get("dimensions", WIDTH)) for t in _texts(body["inputs"], 32)])
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).tolist()


def _titan(body: Any) -> Any:
    _shape(body, {"inputText": str, "normalize": True}, {"dimensions": (256, 512, 1024)})
    made = vector(_texts([body["inputText"]], 1)[0], "", body.get("dimensions", WIDTHS["titan"]))
    return {"embedding": made, "inputTextTokenCount": 3, "embeddingsByType": {"float": made}}


@dataclass(frozen=True)
class _Route:
    path: str
    answer: Callable[[Any, re.Match[str]], Any]
    header: str = "authorization"
    prefix: str = "Bearer "


ROUTES = (
    _Route(r"/openai/v1/embeddings", lambda body, path: _openai(body, True)),
    _Route(
        r"/azure/openai/deployments/[\w.-]+/embeddings\?api-version=2024-10-21",
        lambda body, path: _openai(body, False),
        "api-key",
        "",
    ),
    _Route(r"/cohere/v2/embed", lambda body, path: _cohere(body, True)),
    _Route(r"/voyage/v1/embeddings", lambda body, path: _voyage(body)),
    _Route(r"/jina/v1/embeddings", lambda body, path: _jina(body)),
    _Route(
        r"/gemini/v1beta/models/([\w.-]+):batchEmbedContents",
        lambda body, path: _gemini(body, path[1]),
        "x-goog-api-key",
        "",
    ),
    _Route(r"/mistral/v1/embeddings", lambda body, path: _mistral(body)),
    _Route(r"/ollama/api/embed", lambda body, path: _ollama(body)),
    _Route(r"/tei/embed", lambda body, path: _tei(body)),
    _Route(r"/bedrock/model/amazon\.titan-embed-text-v2%3A0/invoke", lambda body, path: _titan(body), "aws"),
    _Route(r"/bedrock/model/cohere\.embed-english-v3/invoke", lambda body, path: _cohere(body, False), "aws"),
)
#: what an address of each service begins with, and the variable that names it, and that of its key
PLACES = {
    "openai": ("/openai/v1", "OPENAI_BASE_URL", "OPENAI_API_KEY"),
    "azure": ("/azure", "AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY"),
    "cohere": ("/cohere", "COHERE_BASE_URL", "CO_API_KEY"),
    "voyage": ("/voyage/v1", "VOYAGE_BASE_URL", "VOYAGE_API_KEY"),
    "jina": ("/jina/v1", "JINA_BASE_URL", "JINA_API_KEY"),
    "gemini": ("/gemini/v1beta", "GEMINI_BASE_URL", "GEMINI_API_KEY"),
    "mistral": ("/mistral/v1", "MISTRAL_BASE_URL", "MISTRAL_API_KEY"),
    "ollama": ("/ollama", "OLLAMA_HOST", "OLLAMA_API_KEY"),
    "tei": ("/tei", "TEI_BASE_URL", "TEI_API_KEY"),
    "bedrock": ("/bedrock", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_SECRET_ACCESS_KEY"),
}


def environment(server: RemoteServer, provider: str) -> dict[str, str]:
    """The variables that lead a provider to this server, with its key."""
    start, address, key = PLACES[provider]
    return {address: server.url + start, key: server.key, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_REGION": "eu-west-1"}


def texts_of(asked: Asked) -> list[str]:
    """The texts of a request, of whatever shape."""
    body = asked.body
    if "requests" in body:
        return [one["content"]["parts"][0]["text"] for one in body["requests"]]
    found = body.get("input") or body.get("texts") or body.get("inputs") or [body["inputText"]]
    return list(found)


def _let_in(server: RemoteServer, route: _Route, headers: Mapping[str, str]) -> bool:
    if route.header == "aws":
        shape = (
            r"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/\d{8}/eu-west-1/bedrock/aws4_request, "
            r"SignedHeaders=content-type;host;x-amz-date, Signature=[0-9a-f]{64}"
        )
        return re.fullmatch(shape, headers.get("authorization", "")) is not None and server.key not in str(headers)
    if not server.key:
        return route.header not in headers
    return headers.get(route.header) == route.prefix + server.key


def _answer(server: RemoteServer, asked: Asked) -> tuple[int, Any]:
    for route in ROUTES:
        found = re.fullmatch(route.path, asked.path)
        if found is None:
            continue
        if not _let_in(server, route, asked.headers):
            return 401, {"error": {"message": f"wrong key: {asked.headers.get(route.header)}"}}
        if asked.headers.get("content-type") != "application/json":
            raise Refused(f"the content is {asked.headers.get('content-type')}")
        answer = route.answer(asked.body, found)
        if server.shuffled and isinstance(answer, dict) and "data" in answer:
            answer["data"] = answer["data"][1:] + answer["data"][:1]
        return 200, answer
    return 404, {"message": f"there is no {asked.path}"}


def _handler(server: RemoteServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 22  # an answer goes out at once; its parts would wait for each other

        def log_message(self, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            asked = Asked(self.path, {k.lower(): v for k, v in self.headers.items()}, json.loads(raw))
            with server.turn:
                server.asked.append(asked)
                mishap = server.script.popleft() if server.script else Mishap()
                for text in set(texts_of(asked)) & set(server.by_text):
                    mishap = server.by_text[text]
            if mishap.hang is not None:
                mishap.hang.wait(120)
                self.close_connection = True
                return
            try:
                status, answer = _answer(server, asked)
            except Refused as refusal:
                server.refused.append(str(refusal))
                status, answer = 400, {"error": {"message": str(refusal)}}
            if mishap.change is not None:
                answer = mishap.change(answer)
            body = json.dumps(answer).encode() if mishap.body is None else mishap.body
            self.reply(status if mishap.status == 200 else mishap.status, body, mishap)

        def reply(self, status: int, body: bytes, mishap: Mishap) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **mishap.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if mishap.cut is not None:
                self.close_connection = True
            self.wfile.write(body[: mishap.cut])

    return Handler


@contextmanager
def serving(server: RemoteServer | None = None) -> Iterator[RemoteServer]:
    """A server for as long as the block takes."""
    server = server or RemoteServer()
    web = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    web.daemon_threads = True
    server.url = f"http://127.0.0.1:{web.server_address[1]}"
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        web.shutdown()
        web.server_close()
        thread.join()
