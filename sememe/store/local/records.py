"""What the records of a store in a folder are asked for by name, in the transaction of a connection."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

import numpy as np

from sememe.errors import DamagedError, UsageError
from sememe.shapes import Record, Vectors
from sememe.store.batch import names
from sememe.store.filter_fields import check_fields
from sememe.store.filter_sql import Sql, compile_filter
from sememe.store.filter_tree import Expr
from sememe.store.local import seals
from sememe.store.local.soundness import Soundness
from sememe.store.local.view import View, state_of
from sememe.store.record_rows import COLUMNS, record_of


def get(connection: sqlite3.Connection, ids: Sequence[str], soundness: Soundness) -> list[Record | None]:
    """The records of ``ids`` in their order, None for an unknown one. Those that are whole are given out whatever else
    is damaged; that one is not there is only said where that is sure."""
    chosen = "(SELECT number FROM rows WHERE id IN (SELECT value FROM json_each(?)))"
    sql = f"SELECT number, id, {COLUMNS}, seal FROM records WHERE number IN {chosen}"
    rows = [seals.proved(row) for row in connection.execute(sql, [json.dumps(names(ids))])]
    found = {row[1]: record_of(row[2:]) for row in rows}
    if len(found) < len(ids):
        soundness.prove(connection)
    return [found.get(id) for id in ids]


def vectors(connection: sqlite3.Connection, view: View, ids: Sequence[str], name: str) -> Vectors:
    """float32 ``(n, dim)`` in the order of ``ids``.

    Raises:
        UsageError: an id is unknown to the store called ``name``.
        DamagedError: a vector is not what was written.
    """
    chosen = "(SELECT number FROM rows WHERE id IN (SELECT value FROM json_each(?)))"
    rows = connection.execute(
        f"SELECT id, slot, crc FROM rows WHERE number IN {chosen}", [json.dumps(names(ids))]
    ).fetchall()
    seals.prove_rows(view.vectors, [row[1:] for row in rows])
    slots = {row[0]: row[1] for row in rows}
    unknown = [id for id in ids if id not in slots]
    if unknown:
        raise UsageError(f"{len(unknown)} ids are not in {name}", why=[", ".join(unknown[:10])])
    places = np.array([slots[id] for id in ids], np.int64)
    return np.array(view.vectors[places], np.float32, order="C").reshape(-1, view.vectors.shape[1])


def compiled(connection: sqlite3.Connection, expr: Expr | None) -> Sql | None:
    """A filter as SQL; one that names a field that no record has is refused."""
    if expr is None:
        return None
    check_fields(expr, connection.execute("SELECT name, kind FROM fields"))
    return compile_filter(expr)


def count(connection: sqlite3.Connection, where: Sql | None) -> int:
    """How many there are, or satisfy a filter."""
    if where is None:
        return state_of(connection).live
    sql, values = where
    return int(connection.execute(f"SELECT count(*) FROM records WHERE {sql}", values).fetchone()[0])


def ids(connection: sqlite3.Connection, source: str | None, items: Sequence[str] | None) -> list[str]:
    """The ids of a source, of the chunks of some items, or all, ascending."""
    if source is None and items is None:
        return _all_ids(connection)
    conditions, values = [], []
    if source is not None:
        if not names([source], "sources"):
            return []
        conditions, values = ["source = ?"], [source]
    if items is not None:
        conditions.append("item IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(names(items, "items")))
    sql = f"SELECT id FROM records WHERE {' AND '.join(conditions)} ORDER BY id"
    return [id for (id,) in connection.execute(sql, values)]


def _all_ids(connection: sqlite3.Connection) -> list[str]:
    """Every id: from the index, where they are in order, and from the table. No damage changes both in the same way.

    Raises:
        DamagedError: they are not the same, or not as many as there should be.
    """
    out = [id for (id,) in connection.execute("SELECT id FROM rows ORDER BY id")]
    table = {id for (id,) in connection.execute("SELECT id FROM rows NOT INDEXED")}
    if len(out) != state_of(connection).live or table != set(out):
        raise DamagedError("the list of ids is not what was written", do=[seals.REMEDY])
    return out


def known(connection: sqlite3.Connection, hashes: Sequence[str]) -> dict[str, str]:
    """Of these content hashes the ones that are here, each with the id of an item that has it."""
    sql = "SELECT hash, min(id) FROM records WHERE hash IN (SELECT value FROM json_each(?)) GROUP BY hash"
    return dict(connection.execute(sql, [json.dumps(names(hashes, "hashes"))]))
