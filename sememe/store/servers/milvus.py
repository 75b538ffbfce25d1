"""The store on a Milvus server: many machines may search it, and one at a time writes to it.

It searches dense and with filters. Milvus's own ranking of words depends on analyzers that differ between its versions,
and so it is not offered as ours.
"""

from __future__ import annotations

import difflib
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from sememe.errors import StoreError, UsageError
from sememe.shapes import Hits, Record, Vectors
from sememe.store import filters
from sememe.store.batch import checked
from sememe.store.contract import Health
from sememe.store.facets import Facet, asked, counted
from sememe.store.filter_fields import check_fields
from sememe.store.filter_tree import Expr, storable
from sememe.store.servers import milvus_care as care
from sememe.store.servers import milvus_log
from sememe.store.servers import milvus_rows as rows
from sememe.store.servers.address import read_address
from sememe.store.servers.milvus_change import changing, mark
from sememe.store.servers.milvus_filter import LARGE, compiled, digest, large_fields
from sememe.store.servers.milvus_log import Log, State
from sememe.store.servers.milvus_search import LISTED, Search
from sememe.store.servers.milvus_session import Row, Session
from sememe.store.servers.question import checked_queries

LAYOUT = 1
T = TypeVar("T")


def create_milvus(
    url: str,
    *,
    dim: int,
    manifest: Mapping[str, Any] | None = None,
    index: str = "exact",
    timeout: float = 10.0,
) -> MilvusStore:
    """Make an empty store in a database of Milvus, in two collections of its own.

    Args:
        url: ``milvus://USER:PASSWORD@HOST:PORT/DATABASE?collection=NAME``.
        dim: the width of its vectors, 2 to 32,768.
        manifest: what is to be remembered about it: JSON values.
        index: ``"exact"`` reads every vector; ``"hnsw"`` keeps an index that is faster on large stores and may miss
            some of the best.
        timeout: seconds to wait for the server, and for another writer.

    Raises:
        StoreError: there is one already, or the server cannot be reached.
    """
    rows.check_shape(dim, index)
    session = Session(read_address(url), timeout=timeout)
    store = uuid.uuid4().hex
    contents = {"created": datetime.now(UTC).isoformat(timespec="seconds"), **(manifest or {})}
    contents |= {"dim": dim, "store": store, "index": index}
    written = json.dumps(contents)
    try:
        there = session.collections()
        if session.log in there and Log(session).refreshed().store:
            raise StoreError(f"there is a collection of this name already: {session.address.shown}")
        for name in {session.items, session.log} & there:
            session.remove(name)  # of a making that was cut off
        session.make(session.items, rows.columns(dim), rows.indexes(index))
        session.make(session.log, milvus_log.COLUMNS, milvus_log.INDEXES)
        for place in range(0, len(written), milvus_log.PART):
            part = {"number": place, "change": 0, "kind": "manifest", "body": written[place : place + milvus_log.PART]}
            session.insert(session.log, [{**part, "vector": [0.0, 1.0]}])
        mark(session, "whole", 0, {"store": store, "items": 0, "floor": 0, "base": 0, "purged": 0, "layout": LAYOUT})
    finally:
        session.close()
    return open_milvus(url, timeout=timeout)


def open_milvus(url: str, *, timeout: float = 10.0) -> MilvusStore:
    """Open the store that an address names.

    Raises:
        StoreError: there is none, or the server cannot be reached.
        MissingExtraError: the driver is not installed.
    """
    return MilvusStore(Session(read_address(url), timeout=timeout))


class MilvusStore:
    """See `sememe.store.contract.Store`. Safe to share between threads and across a fork."""

    def __init__(self, session: Session) -> None:
        self._session, self._log = session, Log(session)
        try:
            self._manifest = self._read_manifest()
        except BaseException:
            session.close()
            raise

    def __repr__(self) -> str:
        return f"MilvusStore({self._session.address.shown})"

    def _read_manifest(self) -> Mapping[str, Any]:
        session, shown = self._session, self._session.address.shown
        there = session.collections()
        if not {session.items, session.log} <= there or not self._log.refreshed().store:
            here = sorted(
                name[7:-6].replace("D", "-") for name in there if name.startswith("sememe_") and name.endswith("_items")
            )
            near = difflib.get_close_matches(session.address.collection, here, n=1, cutoff=0.6)
            raise StoreError(
                f"there is no collection in {shown}",
                why=[("in this database", ", ".join(here[:20]) or "none")],
                do=[("did you mean", f"?collection={near[0]}")] if near else [],
            )
        for name in (session.items, session.log):
            session.load(name)
        parts = session.rows(session.log, 'kind == "manifest"', ["body"], width=1 << 16)
        manifest = json.loads("".join(one["body"] for part in parts for one in part))
        if manifest.get("layout", LAYOUT) > LAYOUT:
            raise StoreError(
                f"{shown} was made by a later sememe",
                why=[("its layout", f"{manifest['layout']}; this sememe knows {LAYOUT}")],
                do=[("upgrade", 'pip install -U "sememe[milvus]"')],
            )
        return dict(manifest)

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
        new = rows.rows_of(batch, records)
        stamps = [("source", *pair) for pair in (sources or {}).items()]
        milvus_log.bodies(stamps)  # what is too long is refused here, before anything is written
        fields = batch.fields | large_fields(records)
        with changing(self._session, self._log) as change:
            state = change.state
            gone = self._numbers(state, "key", [*batch.ids, *drop])
            change.items(new, width=rows.width(self.dim))
            change.note("dead", gone)
            change.note("facts", [*stamps, *(("field", *pair) for pair in sorted(fields - state.fields))])
            if new or gone or stamps:
                change.commit(items=state.items - len(gone) + len(new))
        care.purge_if_due(self._session, self._log)

    def delete(self, ids: Sequence[str], *, sources: Sequence[str] = ()) -> int:
        with changing(self._session, self._log) as change:
            state = change.state
            gone = sorted({*self._numbers(state, "key", ids), *self._numbers(state, "source", sources)})
            forgotten = [("source", name, None) for name in dict.fromkeys(sources) if name in state.sources]
            change.note("dead", gone)
            change.note("facts", forgotten)
            if gone or forgotten:
                change.commit(items=state.items - len(gone))
        care.purge_if_due(self._session, self._log)
        return len(gone)

    def _numbers(self, state: State, column: str, names: Iterable[str]) -> list[int]:
        return [one["number"] for one in self._found(state, column, names, [])]

    def _found(self, state: State, column: str, names: Iterable[str], columns: Sequence[str]) -> Iterator[Row]:
        """The rows that are looked up by one of these texts."""
        wanted = sorted({digest(name) for name in names if isinstance(name, str) and storable(name)})
        for start in range(0, len(wanted), LISTED):
            listed = ", ".join(f'"{one}"' for one in wanted[start : start + LISTED])
            condition = state.seen(f"{column} in [{listed}]")
            for part in rows.read(self._session, condition, columns, self.dim):
                yield from part

    def compact(self) -> None:
        care.purge(self._session, self._log)
        self._session.compact()

    # --- reading -----------------------------------------------------------------------------------------------------

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
        expr = filters.parse(where)
        return self._log.read(lambda state: self._search(state, expr).dense(queries, k))

    def _search(self, state: State, expr: Expr | None) -> Search:
        if expr is not None:
            check_fields(expr, [pair for pair in state.fields if pair[1] != LARGE])
        large = frozenset(name for name, kind in state.fields if kind == LARGE)
        index = str(self._manifest.get("index", "exact"))
        return Search(self._session, state, expr, compiled(expr, large), self.dim, index)

    def get(self, ids: Sequence[str]) -> list[Record | None]:
        def ask(state: State) -> list[Record | None]:
            found = {one["id"]: rows.record_from(one) for one in self._found(state, "key", ids, ["id", "record"])}
            return [found.get(id) for id in ids]

        return self._log.read(ask)

    def vectors(self, ids: Sequence[str]) -> Vectors:
        def ask(state: State) -> Vectors:
            found = {one["id"]: one for one in self._found(state, "key", ids, ["id", "vector"])}
            if unknown := [id for id in ids if id not in found]:
                shown = self._session.address.shown
                raise UsageError(f"{len(unknown)} ids are not in {shown}", why=[", ".join(unknown[:10])])
            return rows.vectors_from([found[id] for id in ids], self.dim)

        return self._log.read(ask)

    def count(self, where: str | Mapping[str, Any] | None = None) -> int:
        expr = filters.parse(where)
        return self._log.read(lambda state: self._search(state, expr).count())

    def facets(self, field: str, where: str | Mapping[str, Any] | None = None, *, limit: int | None = 20) -> Facet:
        exists, expr = asked(field, limit), filters.parse(where)

        def ask(state: State) -> Facet:
            check_fields(exists, [pair for pair in state.fields if pair[1] != LARGE])
            passing = self._search(state, expr).passing(["id", "record"])
            return counted(field, ((one["id"], rows.record_from(one)) for part in passing for one in part), limit=limit)

        return self._log.read(ask)

    def sources(self) -> Mapping[str, str]:
        return self._log.read(lambda state: dict(state.sources))

    def ids(self, source: str | None = None, *, items: Sequence[str] | None = None) -> list[str]:
        def ask(state: State) -> list[str]:
            chosen = [] if source is None else [f'source == "{digest(source)}"']
            if items is None:
                condition = state.seen(*chosen)
                found = rows.read(self._session, condition, ["id"], self.dim)
                return sorted(one["id"] for part in found for one in part)
            narrowed = self._found(state, "item", items, ["id", "source"])
            return sorted(one["id"] for one in narrowed if source is None or one["source"] == digest(source))

        return self._log.read(ask)

    def known(self, hashes: Sequence[str]) -> Mapping[str, str]:
        def ask(state: State) -> Mapping[str, str]:
            names = {digest(one): one for one in hashes}
            found: dict[str, str] = {}
            for one in self._found(state, "hash", hashes, ["id", "hash"]):
                name = names[one["hash"]]
                found[name] = min(one["id"], found.get(name, one["id"]))
            return found

        return self._log.read(ask)

    # --- care --------------------------------------------------------------------------------------------------------

    def verify(self) -> Health:
        return care.verify(self._session, self._log, self.dim)

    def repair(self) -> Health:
        return care.repair(self._session, self._log, self.dim)

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> MilvusStore:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
