"""A Pinecone index, spoken to over its data plane: what is asked, in how large parts, and how fresh an answer must be.

What was written is seen a little later. Pinecone numbers the writes of a namespace and says with an answer which of
them it has seen, so an answer that has not seen what this session wrote is asked for again, until the time is over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sememe.errors import StoreError
from sememe.store.servers.packed import Json
from sememe.store.servers.pinecone_rows import parts
from sememe.store.servers.rest import Rest

#: the version of the interface that this was written for
VERSION = "2025-04"
#: Pinecone's own limits: answers to a query, records and bytes of an upsert, ids of a deletion
MOST, UPSERT, UPSERT_BYTES, DELETE = 10_000, 1000, 1_900_000, 1000
#: ids of a fetch stand in the address, which servers cut at some 8 KB; a listing has pages of
FETCH, FETCH_LETTERS, LISTED = 100, 6000, 100


class Session:
    """Safe to share between threads."""

    def __init__(self, rest: Rest, *, timeout: float) -> None:
        self.rest, self.timeout = rest, timeout
        self._turn = threading.Lock()
        self._written: dict[str, int] = {}

    def dimension(self) -> tuple[int, str]:
        """The width of the index's vectors, and how it compares them (empty if it does not say)."""
        answer = self.rest.ask("POST", "/describe_index_stats", {})
        with self.rest.understood():
            return int(answer["dimension"]), str(answer.get("metric", ""))

    def count(self, namespace: str) -> int:
        """How many records a namespace has; of what was just written it may not know yet."""
        answer = self.rest.ask("POST", "/describe_index_stats", {})
        with self.rest.understood():
            return int(answer.get("namespaces", {}).get(namespace, {}).get("vectorCount", 0))

    def upsert(self, namespace: str, rows: Sequence[Json]) -> None:
        for part in parts(rows, most=UPSERT, size=UPSERT_BYTES):
            self._write("/vectors/upsert", namespace, {"vectors": part})

    def delete(self, namespace: str, keys: Sequence[str]) -> None:
        """Remove records; unknown ones are ignored."""
        for start in range(0, len(keys), DELETE):
            self._write("/vectors/delete", namespace, {"ids": list(keys[start : start + DELETE])})

    def _write(self, path: str, namespace: str, body: Json) -> None:
        def heard(headers: Mapping[str, str]) -> None:
            if (number := headers.get("x-pinecone-request-lsn", "")).isdecimal():
                with self._turn:
                    self._written[namespace] = max(int(number), self._written.get(namespace, 0))

        # A deletion from a namespace that is not there (yet) is done.
        absent = (404,) if path.endswith("delete") else ()
        self.rest.ask("POST", path, {**body, "namespace": namespace}, absent=absent, heard=heard)

    def fetch(self, namespace: str, keys: Sequence[str]) -> dict[str, Json]:
        """The records of those keys that are there, with ``values`` and ``metadata``."""
        found: dict[str, Json] = {}
        for part in _asked(keys):
            answer = self._read("GET", "/vectors/fetch", namespace, query={"ids": part, "namespace": namespace})
            with self.rest.understood():
                for key, one in answer.get("vectors", {}).items():
                    found[key] = {"values": list(one["values"]), "metadata": dict(one.get("metadata") or {})}
        return found

    def listed(self, namespace: str, prefix: str = "") -> Iterator[list[str]]:
        """All keys that begin so, some at a time."""
        query = {"namespace": namespace, "limit": str(LISTED)} | ({"prefix": prefix} if prefix else {})
        while True:
            answer = self._read("GET", "/vectors/list", namespace, query=query)
            with self.rest.understood():
                page = [str(one["id"]) for one in answer.get("vectors", [])]
                token = (answer.get("pagination") or {}).get("next")
            if page:
                yield page
            if not token:
                return
            query["paginationToken"] = str(token)

    def nearest(self, namespace: str, vector: Sequence[float], k: int, where: Json | None) -> list[tuple[str, float]]:
        """Keys with Pinecone's scores, best first."""
        body: Json = {"vector": list(vector), "topK": k, "includeValues": False, "includeMetadata": False}
        body |= {"namespace": namespace} | ({"filter": where} if where is not None else {})
        answer = self._read("POST", "/query", namespace, body)
        with self.rest.understood():
            return [(str(one["id"]), float(one.get("score", 0.0))) for one in answer.get("matches", [])]

    def _read(
        self,
        method: str,
        path: str,
        namespace: str,
        body: Any = None,
        *,
        query: Mapping[str, str | Sequence[str]] | None = None,
    ) -> Any:
        """An answer that has seen what this session wrote.

        Raises:
            StoreError: there was none within the time.
        """
        wanted = self._written.get(namespace, 0)
        end = time.monotonic() + self.timeout
        while True:
            seen: list[int] = []

            def heard(headers: Mapping[str, str], seen: list[int] = seen) -> None:
                if (number := headers.get("x-pinecone-max-indexed-lsn", "")).isdecimal():
                    seen.append(int(number))

            answer = self.rest.ask(method, path, body, query=query, absent=(404,), heard=heard)
            if not seen or seen[0] >= wanted:
                return answer or {}
            if time.monotonic() > end:
                raise StoreError(
                    f"{self.rest.address.shown} does not show yet what was written",
                    why=[("written", str(wanted)), ("seen", str(seen[0])), ("waited", f"{self.timeout:g} s")],
                    do=["ask again later, or wait longer (timeout=…)"],
                )
            self.rest.pause(0.2)


def _asked(keys: Sequence[str]) -> Iterator[list[str]]:
    """Few enough for one address."""
    part: list[str] = []
    letters = 0
    for key in keys:
        length = 3 * len(key) + 5
        if part and (len(part) >= FETCH or letters + length > FETCH_LETTERS):
            yield part
            part, letters = [], 0
        part.append(key)
        letters += length
    if part:
        yield part
