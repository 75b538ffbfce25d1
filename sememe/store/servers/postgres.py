"""The store in a PostgreSQL database with pgvector: many machines may search it, and one at a time writes to it.

It searches dense and with filters. PostgreSQL's own ranking of words is not BM25, and so it is not offered as such.
"""

from __future__ import annotations

import difflib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sememe.errors import StoreError, UsageError
from sememe.shapes import Hits, Record, Vectors
from sememe.store import filters
from sememe.store.batch import checked
from sememe.store.contract import Health
from sememe.store.facets import Facet, asked
from sememe.store.filter_fields import check_fields
from sememe.store.servers import postgres_tables as tables
from sememe.store.servers.address import read_address
from sememe.store.servers.postgres_facets import counted
from sememe.store.servers.postgres_filter import Compiled
from sememe.store.servers.postgres_search import Search, count
from sememe.store.servers.postgres_session import Session
from sememe.store.servers.question import checked_queries


def create_postgres(
    url: str,
    *,
    dim: int,
    manifest: Mapping[str, Any] | None = None,
    index: str = "exact",
    timeout: float = 10.0,
) -> PostgresStore:
    """Make an empty store in a database, in a schema of its own.

    Args:
        url: ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE?collection=NAME``.
        dim: the width of its vectors, at most 16,000 (2,000 with ``index="hnsw"``).
        manifest: what is to be remembered about it: JSON values.
        index: ``"exact"`` reads every vector; ``"hnsw"`` keeps an index that is faster on large stores and may miss
            some of the best. Filtered searches are exact with either.
        timeout: seconds to wait for the server, and for another writer.

    Raises:
        StoreError: there is one already, or the database cannot be reached or has no pgvector.
    """
    tables.check_shape(dim, index)
    session = Session(read_address(url), timeout=timeout)
    contents = {"created": datetime.now(UTC).isoformat(timespec="seconds"), **(manifest or {})}
    contents |= {"dim": dim, "store": uuid.uuid4().hex, "index": index}
    try:
        with session.making() as cursor:
            tables.create_tables(cursor, session.schema, dim, contents, index)
    finally:
        session.close()
    return open_postgres(url, timeout=timeout)


def open_postgres(url: str, *, timeout: float = 10.0) -> PostgresStore:
    """Open the store that an address names.

    Raises:
        StoreError: there is none, or the database cannot be reached.
        MissingExtraError: the driver is not installed.
    """
    return PostgresStore(Session(read_address(url), timeout=timeout))


class PostgresStore:
    """See `sememe.store.contract.Store`. Safe to share between threads and across a fork."""

    def __init__(self, session: Session) -> None:
        self._session, self._schema = session, session.schema
        try:
            with session.reading() as cursor:
                self._manifest = self._read_manifest(cursor)
        except BaseException:
            session.close()
            raise

    def __repr__(self) -> str:
        return f"PostgresStore({self._session.address.shown})"

    def _read_manifest(self, cursor: Any) -> Mapping[str, Any]:
        sql = "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, 'sememe_')"
        here = sorted(name.removeprefix("sememe_") for (name,) in cursor.execute(sql))
        name = self._session.address.collection
        if name not in here:
            near = difflib.get_close_matches(name, here, n=1, cutoff=0.6)
            raise StoreError(
                f"there is no collection in {self._session.address.shown}",
                why=[("in this database", ", ".join(here[:20]) or "none")],
                do=[("did you mean", f"?collection={near[0]}")] if near else [],
            )
        (layout,) = cursor.execute(f"SELECT version FROM {self._schema}.layout").fetchone()
        if layout > tables.LAYOUT:
            raise StoreError(
                f"{self._session.address.shown} was made by a later sememe",
                why=[("its layout", f"{layout}; this sememe knows {tables.LAYOUT}")],
                do=[("upgrade", 'pip install -U "sememe[postgres]"')],
            )
        return dict(cursor.execute(f"SELECT key, value FROM {self._schema}.manifest").fetchall())

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
        with self._writing() as cursor:
            tables.put_rows(cursor, self._schema, batch, records, drop=drop, sources=sources or {})

    def delete(self, ids: Sequence[str], *, sources: Sequence[str] = ()) -> int:
        gone, left = tables.texts(ids), tables.texts(sources)
        with self._writing() as cursor:
            cursor.execute(
                f"DELETE FROM {self._schema}.items WHERE id = ANY (%s::text[]) OR source = ANY (%s::text[])",
                [gone, left],
            )
            removed = int(cursor.rowcount)
            cursor.execute(f"DELETE FROM {self._schema}.sources WHERE source = ANY (%s::text[])", [left])
        return removed

    def compact(self) -> None:
        with self._session.outside() as cursor:
            cursor.execute(f"VACUUM (FULL, ANALYZE) {self._schema}.items")

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
        with self._reading() as cursor:
            compiled = self._compiled(cursor, where)
            search = Search(cursor, self._schema, compiled, self.dim, str(self._manifest.get("index", "exact")))
            return [search.dense(query, k) for query in queries]

    def _compiled(self, cursor: Any, where: str | Mapping[str, Any] | None) -> Compiled:
        expr = filters.parse(where)
        if expr is not None:
            check_fields(expr, cursor.execute(f"SELECT name, kind FROM {self._schema}.fields"))
        return Compiled(expr)

    def get(self, ids: Sequence[str]) -> list[Record | None]:
        sql = f"SELECT id, {tables.COLUMNS} FROM {self._schema}.items WHERE id = ANY (%s::text[])"
        with self._reading() as cursor:
            found = {row[0]: tables.record_of(row[1:]) for row in cursor.execute(sql, [tables.texts(ids)])}
        return [found.get(id) for id in ids]

    def vectors(self, ids: Sequence[str]) -> Vectors:
        sql = f"SELECT id, vector FROM {self._schema}.items WHERE id = ANY (%s::text[])"
        with self._reading() as cursor:
            found = dict(cursor.execute(sql, [tables.texts(ids)]).fetchall())
        unknown = [id for id in ids if id not in found]
        if unknown:
            raise UsageError(
                f"{len(unknown)} ids are not in {self._session.address.shown}", why=[", ".join(unknown[:10])]
            )
        return tables.vectors_of([found[id] for id in ids], self.dim)

    def count(self, where: str | Mapping[str, Any] | None = None) -> int:
        with self._reading() as cursor:
            return count(cursor, self._schema, self._compiled(cursor, where))

    def facets(self, field: str, where: str | Mapping[str, Any] | None = None, *, limit: int | None = 20) -> Facet:
        exists = asked(field, limit)
        with self._reading() as cursor:
            check_fields(exists, cursor.execute(f"SELECT name, kind FROM {self._schema}.fields"))
            return counted(cursor, self._schema, field, self._compiled(cursor, where), limit)

    def sources(self) -> Mapping[str, str]:
        with self._reading() as cursor:
            return dict(cursor.execute(f"SELECT source, hash FROM {self._schema}.sources").fetchall())

    def ids(self, source: str | None = None, *, items: Sequence[str] | None = None) -> list[str]:
        conditions, values = ["true"], []
        if source is not None:
            conditions.append("source = ANY (%s::text[])")
            values.append(tables.texts([source]))
        if items is not None:
            conditions.append("item = ANY (%s::text[])")
            values.append(tables.texts(items))
        sql = f"SELECT id FROM {self._schema}.items WHERE {' AND '.join(conditions)} ORDER BY id"
        with self._reading() as cursor:
            return [id for (id,) in cursor.execute(sql, values)]

    def known(self, hashes: Sequence[str]) -> Mapping[str, str]:
        sql = f"SELECT hash, min(id) FROM {self._schema}.items WHERE hash = ANY (%s::text[]) GROUP BY hash"
        with self._reading() as cursor:
            return dict(cursor.execute(sql, [tables.texts(hashes)]).fetchall())

    # --- care --------------------------------------------------------------------------------------------------------

    def verify(self) -> Health:
        from sememe.store.servers import postgres_care

        with self._reading() as cursor:
            return postgres_care.verify(cursor, self._schema, self.dim)

    def repair(self) -> Health:
        from sememe.store.servers import postgres_care

        with self._writing() as cursor:
            return postgres_care.repair(cursor, self._schema, self.dim)

    def close(self) -> None:
        self._session.close()

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        with self._session.reading() as cursor:
            self._check_same(cursor)
            yield cursor

    @contextmanager
    def _writing(self) -> Iterator[Any]:
        with self._session.writing() as cursor:
            self._check_same(cursor)
            yield cursor

    def _check_same(self, cursor: Any) -> None:
        """Another collection of this name is no continuation of the one that was opened."""
        row = cursor.execute(f"SELECT value FROM {self._schema}.manifest WHERE key = 'store'").fetchone()
        if row is None or row[0] != self._manifest["store"]:
            raise StoreError(f"{self._session.address.shown} was made anew by another process", do=["open it again"])

    def __enter__(self) -> PostgresStore:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
