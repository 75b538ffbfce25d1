"""Pinecone's data plane for the tests, on a loopback port, as its reference describes it: shapes, limits, refusals, and
if asked for, reads that see a write only later.

It is ours and no engine of Pinecone's, and so it is strict: a request that has anything the reference does not name, or
more than its limits allow, is refused.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
from collections.abc import Callable
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from tests.postgres_server import NoServer

__all__ = ["NoServer", "PineconeServer", "VARIABLE", "server_url"]

#: the one that the parent process has started; pinecone://… without a namespace
VARIABLE = "TEST_PINECONE_URL"
DIM = 4


class Refused(Exception):
    """An answer that is an error: status and message."""


@cache
def server_url() -> str:
    """The address of the index of this session, without the namespace."""
    return os.environ.get(VARIABLE) or PineconeServer(dim=DIM).url


class PineconeServer:
    """One index. Started at once; ended with the process, or by `close`.

    ``before`` may answer in the server's place, as in `tests.qdrant_server`. A read sees what was written ``lag`` reads
    of its namespace ago.
    """

    def __init__(self, *, dim: int, key: str = "", metric: str = "cosine") -> None:
        self.dim, self.key, self.metric, self.lag = dim, key, metric, 0
        self.before: Callable[[str, str, bytes], Any] = lambda method, path, body: None
        self.turn = threading.RLock()
        self.requests: list[tuple[str, str, bytes]] = []
        self.spaces: dict[str, Namespace] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._owner = os.getpid()
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        atexit.register(self.close)

    @property
    def url(self) -> str:
        return f"pinecone://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        if os.getpid() == self._owner:
            self._server.shutdown()
            self._server.server_close()

    def answer(self, method: str, path: str, body: bytes) -> tuple[Any, dict[str, str]]:
        place = urlsplit(path)
        if len(path) > 8192:
            raise Refused(414, "URI Too Long")
        if len(body) > 2 << 20:
            raise Refused(400, "Error, message length too large: the limit is 2097152 bytes")
        query = parse_qsl(place.query, keep_blank_values=True, strict_parsing=bool(place.query))
        match method, place.path:
            case "POST", "/vectors/upsert":
                return self._upsert(_read(body, {"vectors": list}, {"namespace": str}))
            case "POST", "/vectors/delete":
                return self._delete(_read(body, {"ids": list}, {"namespace": str}))
            case "POST", "/query":
                optional = {"namespace": str, "filter": dict, "includeValues": bool, "includeMetadata": bool}
                return self._query(_read(body, {"topK": int, "vector": list}, optional))
            case "POST", "/describe_index_stats":
                _read(body, {}, {})
                counts = {name: {"vectorCount": len(one.rows)} for name, one in self.spaces.items() if one.rows}
                total = sum(one["vectorCount"] for one in counts.values())
                said = {"namespaces": counts, "dimension": self.dim, "totalVectorCount": total, "metric": self.metric}
                return {**said, "indexFullness": 0, "vectorType": "dense"}, {}
            case "GET", "/vectors/fetch":
                return self._fetch(query)
            case "GET", "/vectors/list":
                return self._list(query)
        raise Refused(404, "Not Found")

    def _space(self, name: str) -> Namespace:
        return self.spaces.setdefault(name, Namespace())

    def _upsert(self, wanted: dict[str, Any]) -> tuple[Any, dict[str, str]]:
        rows = wanted["vectors"]
        if not 1 <= len(rows) <= 1000:
            raise Refused(400, f"{len(rows)} vectors: 1 to 1000 are allowed")
        checked = {row["id"]: self._row(row) for row in rows}
        if len(checked) < len(rows):
            raise Refused(400, "Cannot upsert multiple vectors with the same id in one batch")
        number = self._space(wanted.get("namespace", "")).write(checked)
        return {"upsertedCount": len(rows)}, {"x-pinecone-request-lsn": str(number)}

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        if set(row) != {"id", "values", "metadata"}:
            raise Refused(400, f"unknown or missing: {sorted(row)}")
        if not isinstance(row["id"], str) or not row["id"].isascii() or not 1 <= len(row["id"]) <= 512:
            raise Refused(400, f"Vector ID must be ASCII, but got {row['id']!r}")
        values = np.asarray(row["values"], np.float32)
        if values.shape != (self.dim,):
            raise Refused(400, f"Vector dimension {values.shape} does not match the dimension of the index {self.dim}")
        if not values.any():
            raise Refused(400, "Dense vectors must contain at least one non-zero value.")
        for name, value in row["metadata"].items():
            texts = isinstance(value, list) and all(isinstance(one, str) for one in value)
            if not (isinstance(value, (str, bool, int, float)) or texts) or name.startswith("$"):
                raise Refused(400, f"Metadata value must be a string, number, boolean or list of strings: {name}")
        if len(json.dumps(row["metadata"], ensure_ascii=False).encode()) > 40_960:
            raise Refused(400, "Metadata size is over the limit of 40960 bytes per vector")
        return {"values": values, "metadata": row["metadata"]}

    def _delete(self, wanted: dict[str, Any]) -> tuple[Any, dict[str, str]]:
        if not 1 <= len(wanted["ids"]) <= 1000:
            raise Refused(400, f"{len(wanted['ids'])} ids: 1 to 1000 are allowed")
        if wanted.get("namespace", "") not in self.spaces:
            raise Refused(404, "Namespace not found")
        number = self._space(wanted.get("namespace", "")).write(dict.fromkeys(wanted["ids"]))
        return {}, {"x-pinecone-request-lsn": str(number)}

    def _fetch(self, query: list[tuple[str, str]]) -> tuple[Any, dict[str, str]]:
        ids = [value for key, value in query if key == "ids"]
        (namespace,) = [value for key, value in query if key == "namespace"]
        if not 1 <= len(ids) <= 1000 or len(ids) + 1 != len(query):
            raise Refused(400, "ids: 1 to 1000 are allowed")
        rows, headers = self._space(namespace).read(self.lag)
        found = {id: {"id": id, **_said(rows[id])} for id in ids if id in rows}
        return {"vectors": found, "namespace": namespace, "usage": {"readUnits": 1}}, headers

    def _list(self, query: list[tuple[str, str]]) -> tuple[Any, dict[str, str]]:
        asked = dict(query)
        if len(asked) < len(query) or set(asked) - {"prefix", "limit", "paginationToken", "namespace"}:
            raise Refused(400, f"unknown or twice: {query}")
        limit = int(asked.get("limit", 100))
        if not 1 <= limit <= 100:
            raise Refused(400, "limit: 1 to 100")
        rows, headers = self._space(asked["namespace"]).read(self.lag)
        after = asked.get("paginationToken", "")
        keys = sorted(key for key in rows if key.startswith(asked.get("prefix", "")) and key > after)
        page = keys[:limit]
        more = {"pagination": {"next": page[-1]}} if len(keys) > limit else {}
        return {"vectors": [{"id": key} for key in page], "namespace": asked["namespace"], **more}, headers

    def _query(self, wanted: dict[str, Any]) -> tuple[Any, dict[str, str]]:
        heavy = wanted.get("includeValues") or wanted.get("includeMetadata")
        if not 1 <= wanted["topK"] <= (1000 if heavy else 10_000):
            raise Refused(400, "topK: 1 to 10000")
        query = np.asarray(wanted["vector"], np.float32)
        if query.shape != (self.dim,):
            raise Refused(400, "Vector dimension does not match the dimension of the index")
        rows, headers = self._space(wanted.get("namespace", "")).read(self.lag)
        scores = {
            key: float(np.float32(row["values"] @ query / np.linalg.norm(row["values"]) / np.linalg.norm(query)))
            for key, row in rows.items()
            if "filter" not in wanted or _passes(wanted["filter"], row["metadata"])
        }
        # Ties come as they come: reversed, so that nobody relies on the order of the ids.
        best = sorted(scores, key=lambda key: (scores[key], key), reverse=True)[: wanted["topK"]]
        said = {"matches": [{"id": key, "score": scores[key], "values": []} for key in best]}
        return {**said, "namespace": wanted.get("namespace", ""), "usage": {"readUnits": 5}}, headers


class Namespace:
    """Its rows, the number of its last write, and what readers that lag behind see."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.number = 0
        self._seen: tuple[int, dict[str, Any]] = (0, {})
        self._waited = 0

    def write(self, rows: dict[str, Any]) -> int:
        self.rows = {**self.rows, **rows}
        self.rows = {key: row for key, row in self.rows.items() if row is not None}
        self.number += 1
        return self.number

    def read(self, lag: int) -> tuple[dict[str, Any], dict[str, str]]:
        if self._seen[0] < self.number:
            self._waited += 1
            if self._waited > lag:
                self._seen, self._waited = (self.number, self.rows), 0
        number, rows = self._seen
        return rows, {"x-pinecone-max-indexed-lsn": str(number)}


def _said(row: dict[str, Any]) -> dict[str, Any]:
    # Pinecone's numbers are floats, integers among them.
    numbers = {key: float(one) for key, one in row["metadata"].items() if type(one) is int}
    return {"values": row["values"].tolist(), "metadata": {**row["metadata"], **numbers}}


def _passes(wanted: dict[str, Any], metadata: dict[str, Any]) -> bool:
    """A filter as the reference describes it, without what it leaves open."""
    if len(wanted) != 1:
        raise Refused(400, f"a filter of {len(wanted)} keys")
    ((key, value),) = wanted.items()
    if key in ("$and", "$or"):
        if not value or not isinstance(value, list):
            raise Refused(400, f"{key} needs a list")
        return (all if key == "$and" else any)(_passes(one, metadata) for one in value)
    ((op, operand),) = value.items()
    held = metadata.get(key)
    if op == "$in":
        if not operand or not all(type(one) is str for one in operand) or len(operand) > 10_000:
            raise Refused(400, "$in needs a list of texts")
        return bool(set(held if isinstance(held, list) else [held]) & set(operand))
    if op == "$eq":
        return isinstance(held, bool) == isinstance(operand, bool) and held == operand
    if op in ("$lt", "$lte", "$gt", "$gte") and type(operand) in (int, float):
        number = type(held) in (int, float)
        return number and {"$lt": held < operand, "$lte": held <= operand, "$gt": held > operand,
                           "$gte": held >= operand}[op]  # fmt: skip
    raise Refused(400, f"{op} is not a valid operator")


def _read(body: bytes, needed: dict[str, type], optional: dict[str, type]) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        raise Refused(400, "invalid JSON") from None
    for key, one in value.items():
        if not isinstance(one, {**needed, **optional}.get(key, ())):
            raise Refused(400, f'Invalid name or value: "{key}"')
    if missing := set(needed) - set(value):
        raise Refused(400, f"missing: {sorted(missing)}")
    return dict(value)


def _handler(server: PineconeServer) -> type[BaseHTTPRequestHandler]:
    from tests.qdrant_server import answering

    def answered(handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if handler.headers.get("x-pinecone-api-version") != "2025-04":
            return 400, {}, b'{"code": 3, "message": "the version of the API is missing"}'
        if server.key and handler.headers.get("api-key") != server.key:
            return 401, {}, b"Invalid API Key"
        try:
            with server.turn:
                result, headers = server.answer(handler.command, handler.path, body)
        except Refused as refused:
            status, said = refused.args
            return status, {}, json.dumps({"code": 3, "message": said, "details": []}).encode()
        return 200, headers, json.dumps(result).encode()

    return answering(server, answered)
