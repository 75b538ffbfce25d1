"""The store in a namespace of a Pinecone index. It searches dense and with filters.

It promises less than others, and `capabilities` says so: there are no transactions. A call that fails may have done a
part of its work, in an order that keeps this recoverable (see `PineconeStore.put`), and one writer at a time is the
user's business. It is spoken to over its REST interface, without an SDK: see
``docs/decisions/2026-11-22-qdrant-pinecone.md``.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from sememe.errors import StoreError, UsageError
from sememe.shapes import Hits, Record, Vectors
from sememe.store import filters, scan
from sememe.store.batch import checked
from sememe.store.contract import Health
from sememe.store.facets import Facet, asked, counted
from sememe.store.filter_fields import check_fields
from sememe.store.servers import pinecone_rows as rows
from sememe.store.servers.packed import Json, record_in, vector_in
from sememe.store.servers.pinecone_filter import pinecone_filter
from sememe.store.servers.pinecone_head import Head, create_head, read_head, write_head
from sememe.store.servers.pinecone_search import Search
from sememe.store.servers.pinecone_session import MOST, VERSION, Session
from sememe.store.servers.qdrant_filter import Untranslatable
from sememe.store.servers.question import checked_queries, checked_sources, texts
from sememe.store.servers.rest import Rest
from sememe.store.servers.web_address import read_web_address


def create_pinecone(
    url: str, *, dim: int, manifest: Mapping[str, Any] | None = None, timeout: float = 10.0
) -> PineconeStore:
    """Make an empty store in a namespace of an index that is there already.

    Args:
        url: ``pinecone://INDEX-HOST?namespace=NAME``; the key is taken from ``PINECONE_API_KEY``.
        dim: the width of its vectors, which must be that of the index.
        manifest: what is to be remembered about it: JSON values.
        timeout: seconds to wait for an answer, and for what was written to be seen.

    Raises:
        UsageError: the index has another width, or compares vectors by their distance.
        StoreError: there is one already, or the index cannot be reached.
    """
    if not 1 <= dim <= rows.WIDEST:
        raise UsageError(f"Pinecone holds vectors of 1 to {rows.WIDEST} numbers, not of {dim}")
    session = _session(url, timeout)
    contents = {"created": datetime.now(UTC).isoformat(timespec="seconds"), **(manifest or {})}
    contents |= {"dim": dim, "store": uuid.uuid4().hex}
    try:
        create_head(session, dim, contents)
    finally:
        session.rest.close()
    return open_pinecone(url, timeout=timeout)


def open_pinecone(url: str, *, timeout: float = 10.0) -> PineconeStore:
    """Open the store that an address names.

    Raises:
        StoreError: there is none, or the index cannot be reached.
    """
    return PineconeStore(_session(url, timeout))


def _session(url: str, timeout: float) -> Session:
    address = read_web_address(url, parameter="namespace", port=0, variable="PINECONE_API_KEY")
    headers = {"X-Pinecone-API-Version": VERSION}
    rest = Rest(address, name="Pinecone", header="Api-Key", headers=headers, timeout=max(2.0, timeout))
    return Session(rest, timeout=timeout)


class PineconeStore:
    """See `sememe.store.contract.Store`, and the module for what it lacks. Safe to share between threads."""

    def __init__(self, session: Session) -> None:
        self._session, self._shown = session, session.rest.address.shown
        self._items = session.rest.address.name
        self._books = f"{self._items}--books"
        try:
            self._manifest = read_head(session).manifest
        except BaseException:
            session.rest.close()
            raise

    def __repr__(self) -> str:
        return f"PineconeStore({self._shown})"

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset({"dense", "where", "facets"})

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
        """Sources lose their stamps first and get them last. So one that a broken call left half done counts as unread,
        and doing the same again makes it whole."""
        batch = checked(ids, vectors, records, self.dim)
        stamps = checked_sources(sources or {})
        new = rows.item_rows(batch, records)
        marks = [
            rows.row(_mark(name), rows.first(self.dim), {"source": name, "hash": digest})
            for name, digest in stamps.items()
        ]
        head = self._head()
        known = replace(head, fields=head.fields | batch.fields, unseen=head.unseen | rows.unseen_fields(records))
        if known != head:
            write_head(self._session, known)
        self._session.delete(self._books, [_mark(name) for name in stamps])
        self._session.upsert(self._items, new)
        kept = set(batch.ids)
        self._session.delete(self._items, [rows.key_of(id) for id in texts(drop) if id not in kept])
        self._session.upsert(self._books, marks)

    def delete(self, ids: Sequence[str], *, sources: Sequence[str] = ()) -> int:
        left = texts(sources)
        self._head()
        self._session.delete(self._books, [_mark(name) for name in left])
        keys = set(self._session.fetch(self._items, [rows.key_of(id) for id in texts(ids)]))
        keys |= {key for key, _ in self._found("source", left)}
        self._session.delete(self._items, sorted(keys))
        return len(keys)

    def compact(self) -> None:
        """Pinecone does that by itself."""

    # --- reading -----------------------------------------------------------------------------------------------------

    def _head(self) -> Head:
        head = read_head(self._session)
        if head.manifest["store"] != self._manifest["store"]:
            raise StoreError(f"{self._shown} was made anew by another process", do=["open it again"])
        return head

    def _asked(self, where: str | Mapping[str, Any] | None) -> Search | None:
        """How to ask for what passes a filter; None if nothing can."""
        expr, head = filters.parse(where), self._head()
        one = Search(self._session, self._items, self.dim, None, expr, translated=True)
        if expr is None:
            return one
        check_fields(expr, head.fields)
        try:
            translated = pinecone_filter(expr, head.unseen)
        except Untranslatable:
            return replace(one, translated=False)
        if translated is False:
            return None
        return one if translated is True else replace(one, where=translated)

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
        search = self._asked(where)
        out = []
        for unit in scan.unit(queries):
            started = time.perf_counter()
            hits = search.dense(unit, k) if search is not None else Hits((), (), "cosine", (), ())
            out.append(replace(hits, seconds=time.perf_counter() - started))
        return out

    def get(self, ids: Sequence[str]) -> list[Record | None]:
        self._head()
        keys = {id: rows.key_of(id) for id in texts(ids)}
        found = self._session.fetch(self._items, list(keys.values()))
        return [record_in(found[keys[id]]["metadata"]) if keys.get(id) in found else None for id in ids]

    def vectors(self, ids: Sequence[str]) -> Vectors:
        keys = {id: rows.key_of(id) for id in texts(ids)}
        found = self._session.fetch(self._items, list(keys.values()))
        unknown = [id for id in ids if keys.get(id) not in found]
        if unknown:
            raise UsageError(f"{len(unknown)} ids are not in {self._shown}", why=[", ".join(unknown[:10])])
        here = [vector_in(found[keys[id]]["metadata"], found[keys[id]]["values"], self.dim) for id in ids]
        return np.stack(here) if here else np.empty((0, self.dim), np.float32)

    def count(self, where: str | Mapping[str, Any] | None = None) -> int:
        search = self._asked(where)
        return search.count() if search is not None else 0

    def facets(self, field: str, where: str | Mapping[str, Any] | None = None, *, limit: int | None = 20) -> Facet:
        check_fields(asked(field, limit), self._head().fields)
        search = self._asked(where)
        return counted(field, self._records(search) if search is not None else (), limit=limit)

    def _records(self, search: Search) -> Iterator[tuple[str, Record]]:
        for page in self._session.listed(self._items):
            yield from ((id, record) for id, record, _ in search.records(page))

    def sources(self) -> Mapping[str, str]:
        self._head()
        found: dict[str, str] = {}
        for page in self._session.listed(self._books, rows.SOURCE):
            for one in self._session.fetch(self._books, page).values():
                found[str(one["metadata"].get("source"))] = str(one["metadata"].get("hash"))
        return found

    def ids(self, source: str | None = None, *, items: Sequence[str] | None = None) -> list[str]:
        self._head()
        if source is None and items is None:
            return sorted(id for page in self._session.listed(self._items) for id in self._named(page))
        wanted = texts(items or [])
        found = self._found("source", texts([source])) if items is None else self._found("item", wanted)
        here = [one["metadata"] for _, one in found]
        return sorted(str(one["id"]) for one in here if source is None or one["source"] == source)

    def _named(self, keys: Sequence[str]) -> list[str]:
        """The ids of keys; of those that are digests they stand in the records."""
        named = [(key, rows.id_of(key)) for key in keys]
        digests = self._session.fetch(self._items, [key for key, id in named if id is None])
        return [id for _, id in named if id is not None] + [str(one["metadata"]["id"]) for one in digests.values()]

    def known(self, hashes: Sequence[str]) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for _, one in self._found("hash", texts(hashes)):
            digest, id = str(one["metadata"]["hash"]), str(one["metadata"]["id"])
            found[digest] = min(id, found.get(digest, id))
        return found

    def _found(self, field: str, values: Sequence[str]) -> Iterator[tuple[str, Json]]:
        """The items whose ``field`` is one of these values."""
        for start in range(0, len(values), 1000):
            wanted = set(values[start : start + 1000])
            where = {field: {"$in": sorted(wanted)}}
            near = self._session.nearest(self._items, rows.first(self.dim), MOST, where)
            # More than Pinecone answers: then all are read.
            pages = [[key for key, _ in near]] if len(near) < MOST else self._session.listed(self._items)
            for page in pages:
                for key, one in self._session.fetch(self._items, page).items():
                    if one["metadata"].get(field) in wanted:
                        yield key, one

    # --- care --------------------------------------------------------------------------------------------------------

    def verify(self) -> Health:
        from sememe.store.servers import pinecone_care

        return pinecone_care.verify(self._session, self._items, self._head(), self.dim)

    def repair(self) -> Health:
        from sememe.store.servers import pinecone_care

        return pinecone_care.repair(self._session, self._items, self._head(), self.dim)

    def close(self) -> None:
        self._session.rest.close()

    def __enter__(self) -> PineconeStore:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _mark(source: str) -> str:
    return rows.key_of(source, rows.SOURCE)
