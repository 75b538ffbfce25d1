"""A server of tiny models on a loopback port, for tests: in a thread of the test's own process."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sememe import settings
from sememe.encoders.load import load_encoder
from sememe.encoders.reranker import load_reranker
from sememe.server.app import make_app
from sememe.server.gate import Rules
from sememe.server.listening import Listener
from sememe.server.serving import Desk, Limits, ServedEncoder, ServedReranker
from tests import tiny_bert
from tests.oracle import tiny_folders

#: a name of the catalogue, so that the widths which its vectors were trained to be cut to are known
CUTTABLE = "nomic-embed-text-v1.5"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    """A running server: ``desk`` is what it serves."""

    url: str
    desk: Desk

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def ask(self, path: str, body: Any = None, *, method: str | None = None, headers: Any = None) -> Answer:
        """One request; ``body`` is bytes, or a value that is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        kind = {"Content-Type": "application/json"} if data is not None else {}
        try:
            connection.request(method or ("GET" if data is None else "POST"), path, data, {**kind, **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()


def write_models(folder: Path) -> None:
    """``tiny`` and one that may be cut, as folders."""
    tiny_bert.write(folder / "tiny", prompts={"query": "the boat ", "document": ""})
    tiny_bert.write(folder / CUTTABLE, settings=tiny_bert.config(hidden_size=96), seed=1)
    tiny_folders.write_reranker(folder / "judge", "bert")


def open_encoder(folder: Path, name: str, home: Path) -> Any:
    return load_encoder(folder / name, precision="f32", threads=2, home=home, offline=True, dims=0)


@contextmanager
def serving(
    models: Path, home: Path, *, rules: Rules | None = None, limits: Limits | None = None, token_ids: str = "guard"
) -> Iterator[Served]:
    """The models of `write_models`, until the block ends."""
    limits = limits or Limits()
    names = ("tiny", CUTTABLE)
    desk = Desk(
        [ServedEncoder(open_encoder(models, name, home), token_ids=token_ids, limits=limits) for name in names],
        [
            ServedReranker(load_reranker(models / "judge", precision="f32", threads=2, home=home, offline=True))
        ],
        settings.load({"home": home, "offline": True}),
        limits,
    )  # fmt: skip
    listener = Listener(make_app(desk, rules), limits)
    thread = threading.Thread(target=listener.run)
    thread.start()
    try:
        yield Served(listener.url, desk)
    finally:
        listener.stop()
        thread.join()
        desk.close()
