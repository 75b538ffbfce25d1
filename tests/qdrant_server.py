"""A Qdrant server for the tests of one session, on a loopback port: Qdrant's own engine (`qdrant-edge-py`) behind as
much of Qdrant's REST interface as the store uses.

Every body is read by the request model of Qdrant's own client, which forbids what the server would not know, and every
answer is written by its response model. So what passes here has the shape that a real server takes.
"""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.postgres_server import NoServer

#: the one that the parent process has started; qdrant://… without a collection
VARIABLE = "TEST_QDRANT_URL"


class Refused(Exception):
    """An answer that is an error: status and message."""


@cache
def server_url() -> str:
    """The address of the server of this session, without the collection.

    Raises:
        NoServer: there is none, and none can be started.
    """
    if url := os.environ.get(VARIABLE):
        return url
    return QdrantServer(indexes=False).url


class QdrantServer:
    """Started at once; ended with the process, or by `close`.

    ``key`` must come with every request, if it is set. ``before`` is asked before each request and may answer in the
    server's place: it gets method, path and body, and returns a status with headers and body, ``"cut"`` to break the
    connection off, ``"lost"`` to do it and break off the answer, or None.
    """

    def __init__(self, *, key: str = "", indexes: bool = True) -> None:
        for module in ("qdrant_edge", "qdrant_client"):
            if importlib.util.find_spec(module) is None:
                raise NoServer(f"{module} is not installed; it comes with the extra dev")
        self.key, self.indexes = key, indexes
        self.before: Callable[[str, str, bytes], Any] = lambda method, path, body: None
        self.folder = Path(tempfile.mkdtemp(prefix="sememe-qdrant-"))
        self.shards: dict[str, Shard] = {}
        self.turn = threading.RLock()
        self.requests: list[tuple[str, str, bytes]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._owner = os.getpid()
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        atexit.register(self.close)

    @property
    def url(self) -> str:
        return f"qdrant://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        if os.getpid() == self._owner:
            self._server.shutdown()
            self._server.server_close()
            self.shards.clear()
            shutil.rmtree(self.folder, ignore_errors=True)

    def answer(self, method: str, path: str, body: bytes) -> Any:
        """The value of ``result``, a model of the client or plain."""
        from qdrant_client.http import models as m

        place = urlsplit(path)
        if place.query and set(parse_qs(place.query, strict_parsing=True)) - {"wait", "ordering"}:
            raise Refused(400, f"unknown parameter in {place.query}")
        parts = [unquote(part) for part in place.path.split("/")[1:]]
        match [method, *parts]:
            case ["GET", "collections"]:
                return m.CollectionsResponse(collections=[m.CollectionDescription(name=one) for one in self.shards])
            case ["GET", "collections", name, "exists"]:
                return m.CollectionExistence(exists=name in self.shards)
            case ["PUT", "collections", name]:
                if name in self.shards:
                    raise Refused(409, f"Wrong input: Collection `{name}` already exists!")
                self.shards[name] = Shard(
                    self.folder / f"c{len(list(self.folder.iterdir()))}",
                    _read(m.CreateCollection, body),
                    indexes=self.indexes,
                )
                return True
            case ["DELETE", "collections", name]:
                return self.shards.pop(name, None) is not None
        name = parts[1] if len(parts) > 2 and parts[0] == "collections" else ""
        if name not in self.shards:
            raise Refused(404, f"Not found: Collection `{name}` doesn't exist!")
        shard = self.shards[name]
        match [method, *parts[2:]]:
            case ["PUT", "index"]:
                return shard.index(_read(m.CreateFieldIndex, body))
            case ["PUT", "points"]:
                return shard.upsert(_read(m.PointsList, body))
            case ["POST", "points"]:
                return shard.points(_read(m.PointRequest, body))
            case ["POST", "points", "scroll"]:
                return shard.scroll(_read(m.ScrollRequest, body))
            case ["POST", "points", "count"]:
                return shard.count(_read(m.CountRequest, body))
            case ["POST", "points", "query", "batch"]:
                return [shard.query(one) for one in _read(m.QueryRequestBatch, body).searches]
            case ["POST", "points", "batch"]:
                return [shard.operation(one) for one in _read(m.UpdateOperations, body).operations]
        raise Refused(404, "")


def _read(model: Any, body: bytes) -> Any:
    """A body as Qdrant's client would write it.

    Raises:
        Refused: it has another shape.
    """
    from pydantic import ValidationError

    if len(body) > 32 << 20:  # Qdrant's own limit
        raise Refused(413, "Payload too large")
    try:
        return model.model_validate_json(body, strict=False)
    except ValidationError as error:
        raise Refused(400, f"Format error in JSON body: {error}") from None


class Shard:
    """A collection of one shard, in Qdrant's engine."""

    def __init__(self, folder: Path, wanted: Any, *, indexes: bool) -> None:
        import qdrant_edge as q

        self.indexes = indexes  # each takes a tenth of a second to make, and changes no answer

        self.q = q
        sizes = {
            name: q.EdgeVectorParams(size=one.size, distance=q.Distance.Dot) for name, one in wanted.vectors.items()
        }
        assert all(str(one.distance) == "Dot" for one in wanted.vectors.values())
        folder.mkdir()
        self.shard = q.EdgeShard.create(str(folder / "shard"), q.EdgeConfig(vectors=sizes))

    def index(self, wanted: Any) -> Any:
        if not self.indexes:
            return True
        kind = getattr(self.q.PayloadSchemaType, str(wanted.field_schema).capitalize())
        return self._update(self.q.UpdateOperation.create_field_index(wanted.field_name, kind))

    def upsert(self, wanted: Any) -> Any:
        points = [self.q.Point(one.id, dict(one.vector), one.payload or {}) for one in wanted.points]
        return self._update(self.q.UpdateOperation.upsert_points(points))

    def operation(self, wanted: Any) -> Any:
        from qdrant_client.http import models as m

        update = self.q.UpdateOperation
        if isinstance(wanted, m.SetPayloadOperation):
            one = wanted.set_payload
            if one.points is not None:
                return self._update(update.set_payload(list(one.points), one.payload))
            return self._update(update.set_payload_by_filter(self.filter(one.filter), one.payload))
        if isinstance(wanted, m.DeletePayloadOperation):
            one = wanted.delete_payload
            return self._update(update.delete_payload_by_filter(self.filter(one.filter), one.keys))
        if isinstance(wanted, m.DeleteOperation):
            return self._update(update.delete_points_by_filter(self.filter(wanted.delete.filter)))
        raise Refused(400, f"not known here: {type(wanted).__name__}")

    def _update(self, operation: Any) -> Any:
        from qdrant_client.http import models as m

        self.shard.update(operation)
        return m.UpdateResult(operation_id=0, status=m.UpdateStatus.COMPLETED)

    def points(self, wanted: Any) -> Any:
        found = self.shard.retrieve(list(wanted.ids), wanted.with_payload, wanted.with_vector or False)
        return [self._record(one) for one in found]

    def scroll(self, wanted: Any) -> Any:
        from qdrant_client.http import models as m

        found, after = self.shard.scroll(
            self.q.ScrollRequest(
                offset=wanted.offset, limit=wanted.limit, filter=self.filter(wanted.filter),
                with_payload=wanted.with_payload, with_vector=wanted.with_vector,
            )
        )  # fmt: skip
        return m.ScrollResult(
            points=[self._record(one) for one in found], next_page_offset=None if after is None else str(after)
        )

    def count(self, wanted: Any) -> Any:
        from qdrant_client.http import models as m

        return m.CountResult(count=self.shard.count(self.q.CountRequest(wanted.exact, self.filter(wanted.filter))))

    def query(self, wanted: Any) -> Any:
        from qdrant_client.http import models as m

        found = self.shard.query(
            self.q.QueryRequest(
                limit=wanted.limit, query=self.q.Query.Nearest(list(wanted.query), using=wanted.using),
                filter=self.filter(wanted.filter), with_payload=wanted.with_payload, with_vector=wanted.with_vector,
                params=self.q.SearchParams(exact=bool(wanted.params.exact)), score_threshold=wanted.score_threshold,
            )
        )  # fmt: skip
        return m.QueryResponse(
            points=[
                m.ScoredPoint(
                    id=str(one.id), version=one.version, score=one.score, payload=one.payload, vector=one.vector
                )
                for one in found
            ]
        )

    @staticmethod
    def _record(one: Any) -> Any:
        from qdrant_client.http import models as m

        return m.Record(id=str(one.id), payload=one.payload, vector=one.vector)

    def filter(self, wanted: Any) -> Any:
        return None if wanted is None else self._condition(wanted)

    def _condition(self, one: Any) -> Any:
        from qdrant_client.http import models as m

        q = self.q
        if isinstance(one, m.Filter):
            return q.Filter(
                must=self._conditions(one.must),
                should=self._conditions(one.should),
                must_not=self._conditions(one.must_not),
            )
        if isinstance(one, m.HasIdCondition):
            return q.HasIdCondition(set(one.has_id))
        if isinstance(one, m.IsEmptyCondition):
            return q.IsEmptyCondition(one.is_empty.key)
        if isinstance(one, m.FieldCondition):
            if isinstance(one.match, m.MatchAny):
                return q.FieldCondition(one.key, match=q.MatchAny(list(one.match.any)))
            if isinstance(one.match, m.MatchValue):
                return q.FieldCondition(one.key, match=q.MatchValue(one.match.value))
            if isinstance(one.range, m.Range):
                bounds = one.range.model_dump(exclude_none=True)
                return q.FieldCondition(one.key, range=q.RangeFloat(**bounds))
        raise Refused(400, f"not known here: {one!r}")

    def _conditions(self, wanted: Any) -> Any:
        if wanted is None:
            return None
        return [self._condition(one) for one in (wanted if isinstance(wanted, list) else [wanted])]


def _handler(server: QdrantServer) -> type[BaseHTTPRequestHandler]:
    def answered(handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if server.key and handler.headers.get("api-key") != server.key:
            return 401, {}, b"Must provide an API key or an Authorization bearer token"
        try:
            with server.turn:
                result = server.answer(handler.command, handler.path, body)
        except Refused as refused:
            status, said = refused.args
            return status, {}, json.dumps({"status": {"error": said}, "time": 0.0}).encode()
        return 200, {}, json.dumps({"result": _plain(result), "status": "ok", "time": 0.0}).encode()

    return answering(server, answered)


Answer = tuple[int, dict[str, str], bytes]


def answering(server: Any, answered: Callable[[BaseHTTPRequestHandler, bytes], Answer]) -> type[BaseHTTPRequestHandler]:
    """A handler that lets ``server.before`` answer first, or break off."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            server.requests.append((self.command, self.path, body))
            ours = server.before(self.command, self.path, body)
            if ours in ("cut", "lost"):
                if ours == "lost":
                    answered(self, body)
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            else:
                self._say(*(ours if ours is not None else answered(self, body)))

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 (the names are http.server's)

        def _say(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    return Handler


def _plain(result: Any) -> Any:
    if isinstance(result, list):
        return [_plain(one) for one in result]
    return result.model_dump(mode="json") if hasattr(result, "model_dump") else result
