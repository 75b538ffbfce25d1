"""The store in a collection of a Qdrant server: many machines may search it, and one at a time writes to it.

It searches dense and with filters. It is spoken to over its REST interface, without Qdrant's own client: see
``docs/decisions/2026-11-22-qdrant-pinecone.md``.
"""

from __future__ import annotations

import difflib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from sememe.errors import StoreError, UsageError
from sememe.shapes import Hits, Record, Vectors
from sememe.store import filters
from sememe.store.batch import checked
from sememe.store.contract import Health
from sememe.store.facets import Facet, asked, counted
from sememe.store.filter_fields import check_fields
from sememe.store.filter_tree import Expr
from sememe.store.servers import qdrant_points as points
from sememe.store.servers.packed import Json, record_in, rough_fields
from sememe.store.servers.qdrant_filter import Untranslatable, condition
from sememe.store.servers.qdrant_search import Search
from sememe.store.servers.qdrant_session import LAYOUT, PAGE, VALUES, Head, Session, made, names, visible
from sememe.store.servers.question import checked_queries, checked_sources, texts
from sememe.store.servers.rest import Rest
from sememe.store.servers.web_address import read_web_address

#: Qdrant's own limit
WIDEST = 65_535
#: how often a reader that is overtaken by writers starts over
TRIES = 50

T = TypeVar("T")


def create_qdrant(
    url: str,
    *,
    dim: int,
    manifest: Mapping[str, Any] | None = None,
    index: str = "exact",
    timeout: float = 10.0,
) -> QdrantStore:
    """Make an empty store on a Qdrant server, in a collection of its own.

    Args:
        url: ``qdrant://HOST:6333?collection=NAME``; a key is taken from ``QDRANT_API_KEY``.
        dim: the width of its vectors, at most 65,535.
        manifest: what is to be remembered about it: JSON values.
        index: ``"exact"`` reads every vector; ``"hnsw"`` keeps a graph that is faster on large stores and may miss some
            of the best. Filtered searches are exact with either.
        timeout: seconds to wait for an answer of the server, and for another writer.

    Raises:
        StoreError: there is one already, or the server cannot be reached.
    """
    if index not in ("exact", "hnsw"):
        raise UsageError(f'index="{index}" is not known', do=["use one of: exact, hnsw"])
    if not 1 <= dim <= WIDEST:
        raise UsageError(f"Qdrant holds vectors of 1 to {WIDEST} numbers, not of {dim}")
    session = _session(url, timeout)
    contents = {"created": datetime.now(UTC).isoformat(timespec="seconds"), **(manifest or {})}
    contents |= {"dim": dim, "store": uuid.uuid4().hex, "index": index}
    try:
        made(session, dim, contents, index)
    finally:
        session.rest.close()
    return open_qdrant(url, timeout=timeout)


def open_qdrant(url: str, *, timeout: float = 10.0) -> QdrantStore:
    """Open the store that an address names.

    Raises:
        StoreError: there is none, or the server cannot be reached.
    """
    return QdrantStore(_session(url, timeout))


def _session(url: str, timeout: float) -> Session:
    address = read_web_address(url, parameter="collection", port=6333, variable="QDRANT_API_KEY")
    return Session(Rest(address, name="Qdrant", header="api-key", timeout=max(2.0, timeout)), timeout=timeout)


class QdrantStore:
    """See `sememe.store.contract.Store`. Safe to share between threads and across a fork."""

    def __init__(self, session: Session) -> None:
        self._session, self._shown = session, session.rest.address.shown
        try:
            head = session.head()
            if head is None:
                raise self._nothing_there()
            if head.layout > LAYOUT:
                raise StoreError(
                    f"{self._shown} was made by a later sememe",
                    why=[("its layout", f"{head.layout}; this sememe knows {LAYOUT}")],
                    do=[("upgrade", "pip install -U sememe")],
                )
        except BaseException:
            session.rest.close()
            raise
        self._manifest, self._store = head.manifest, head.store

    def __repr__(self) -> str:
        return f"QdrantStore({self._shown})"

    def _nothing_there(self) -> StoreError:
        here = names(self._session.rest)
        name = self._session.rest.address.name
        near = difflib.get_close_matches(name, [one for one in here if one != name], n=1, cutoff=0.6)
        return StoreError(
            f"there is no store of sememe at {self._shown}",
            why=[("collections there", ", ".join(here[:20]) or "none")],
            do=[("did you mean", f"?collection={near[0]}")] if near else ["make one: create_store(address, dim=…)"],
        )

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset({"dense", "where", "facets", "transactions", "long"})

    @property
    def dim(self) -> int:
        return int(self._manifest["dim"])

    @property
    def manifest(self) -> Mapping[str, Any]:
        return self._manifest

    # --- writing -----------------------------------------------------------------------------------------------------

    def put(
        self,
        ids: Sequence[str],
        vectors: Vectors,
        records: Sequence[Record],
        *,
        drop: Sequence[str] = (),
        sources: Mapping[str, str] | None = None,
    ) -> None:
        batch = checked(ids, vectors, records, self.dim)
        stamps = checked_sources(sources or {})
        with self._session.writing(self._store) as change:
            change.add(points.item_points(batch, records, change.number))
            change.end("item", "id", [*batch.ids, *texts(drop)])
            change.add(points.source_points(stamps, change.number))
            change.end("source", "source", list(stamps))
            change.know(batch.fields, rough_fields(records))

    def delete(self, ids: Sequence[str], *, sources: Sequence[str] = ()) -> int:
        gone, left = texts(ids), texts(sources)
        with self._session.writing(self._store) as change:
            change.end("item", "id", gone)
            change.end("item", "source", left)
            change.end("source", "source", left)
            return change.ended("item")

    def compact(self) -> None:
        # What the last change replaced leaves with the next one: this is the next one.
        with self._session.writing(self._store):
            pass

    # --- reading -----------------------------------------------------------------------------------------------------

    def _asked(self, ask: Callable[[Head], T]) -> T:
        """``ask`` of one state. A state stays whole until the change after the next begins; then it is asked again."""
        for _ in range(TRIES):
            head = self._head()
            answer = ask(head)
            if self._head().begun <= head.change + 1:
                return answer
        raise StoreError(f"{self._shown} changes faster than it can be read", do=["try again when fewer write to it"])

    def _head(self) -> Head:
        head = self._session.head()
        if head is None or head.store != self._store:
            raise StoreError(f"{self._shown} was made anew or removed by another process", do=["open it again"])
        return head

    def _compiled(self, head: Head, where: str | Mapping[str, Any] | None) -> tuple[Json | None, Expr | None]:
        """Qdrant's filter, None if nothing can pass it; and what is left for us to ask."""
        expr = filters.parse(where)
        if expr is None:
            return visible(head.change, "item"), None
        check_fields(expr, head.fields)
        try:
            translated = condition(expr, head.rough)
        except Untranslatable:
            return visible(head.change, "item"), expr
        if translated is False:
            return None, None
        return visible(head.change, "item", *([] if translated is True else [translated])), None

    def search(
        self,
        vectors: Vectors | None,
        k: int = 10,
        *,
        words: Sequence[str] | None = None,
        where: str | Mapping[str, Any] | None = None,
        mode: str = "dense",
    ) -> list[Hits]:
        queries = checked_queries(vectors, k, words, mode, dim=self.dim, capabilities=self.capabilities)
        exact = where is not None or self._manifest.get("index") != "hnsw"

        def ask(head: Head) -> list[Hits]:
            chosen, rest = self._compiled(head, where)
            if chosen is None:
                return [Hits((), (), "cosine", (), ()) for _ in queries]
            return Search(self._session, self.dim, chosen, rest, exact).dense(queries, k) if len(queries) else []

        return self._asked(ask)

    def get(self, ids: Sequence[str]) -> list[Record | None]:
        found = self._asked(lambda head: {point["payload"]["id"]: point for point in self._chosen(head, ids)})
        return [record_in(found[id]["payload"]) if id in found else None for id in ids]

    def vectors(self, ids: Sequence[str]) -> Vectors:
        found = self._asked(
            lambda head: {point["payload"]["id"]: point for point in self._chosen(head, ids, vector=True)}
        )
        unknown = [id for id in ids if id not in found]
        if unknown:
            raise UsageError(f"{len(unknown)} ids are not in {self._shown}", why=[", ".join(unknown[:10])])
        return points.vectors_of([found[id] for id in ids], self.dim)

    def _chosen(self, head: Head, ids: Sequence[str], *, vector: bool = False) -> Iterator[Json]:
        for part in _parts(texts(ids)):
            where = visible(head.change, "item", {"key": "id", "match": {"any": part}})
            payload: bool | list[str] = ["id", "vector"] if vector else True
            for page in self._session.pages(where, payload=payload, vector=vector):
                yield from page

    def count(self, where: str | Mapping[str, Any] | None = None) -> int:
        def ask(head: Head) -> int:
            chosen, rest = self._compiled(head, where)
            if chosen is None:
                return 0
            return self._session.count(chosen) if rest is None else sum(1 for _ in self._records(chosen, rest))

        return self._asked(ask)

    def facets(self, field: str, where: str | Mapping[str, Any] | None = None, *, limit: int | None = 20) -> Facet:
        exists = asked(field, limit)

        def ask(head: Head) -> Facet:
            check_fields(exists, head.fields)
            chosen, rest = self._compiled(head, where)
            return counted(field, self._records(chosen, rest) if chosen is not None else (), limit=limit)

        return self._asked(ask)

    def _records(self, where: Json, rest: Expr | None) -> Iterator[tuple[str, Record]]:
        for page in self._session.pages(where):
            for point in page:
                id, record = point["payload"]["id"], record_in(point["payload"])
                if filters.matches(rest, id, record):
                    yield id, record

    def sources(self) -> Mapping[str, str]:
        def ask(head: Head) -> dict[str, str]:
            found = self._payloads(visible(head.change, "source"), ["source", "hash"])
            return {one["source"]: one["hash"] for one in found}

        return self._asked(ask)

    def ids(self, source: str | None = None, *, items: Sequence[str] | None = None) -> list[str]:
        conditions = [] if source is None else [{"key": "source", "match": {"any": texts([source]) or [""]}}]

        def ask(head: Head) -> list[str]:
            found: set[str] = set()
            for part in [None] if items is None else _parts(texts(items)):
                one = [] if part is None else [{"key": "item", "match": {"any": part}}]
                chosen = visible(head.change, "item", *conditions, *one)
                found |= {payload["id"] for payload in self._payloads(chosen, ["id"])}
            return sorted(found)

        return self._asked(ask)

    def known(self, hashes: Sequence[str]) -> Mapping[str, str]:
        def ask(head: Head) -> dict[str, str]:
            found: dict[str, str] = {}
            for part in _parts(texts(hashes)):
                chosen = visible(head.change, "item", {"key": "hash", "match": {"any": part}})
                for one in self._payloads(chosen, ["id", "hash"]):
                    found[one["hash"]] = min(one["id"], found.get(one["hash"], one["id"]))
            return found

        return self._asked(ask)

    def _payloads(self, where: Json, keys: list[str]) -> Iterator[Json]:
        for page in self._session.pages(where, payload=keys, size=10 * PAGE):
            yield from (point["payload"] for point in page)

    # --- care --------------------------------------------------------------------------------------------------------

    def verify(self) -> Health:
        from sememe.store.servers import qdrant_care

        return self._asked(lambda head: qdrant_care.verify(self._session, head, self.dim))

    def repair(self) -> Health:
        from sememe.store.servers import qdrant_care

        with self._session.writing(self._store) as change:
            return qdrant_care.repair(change, self.dim)

    def close(self) -> None:
        self._session.rest.close()

    def __enter__(self) -> QdrantStore:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _parts(values: Sequence[str]) -> Iterator[list[str]]:
    """Few enough for one condition."""
    for start in range(0, len(values), VALUES):
        yield list(values[start : start + VALUES])
