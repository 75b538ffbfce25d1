"""Facets of a store in a folder: SQLite counts them."""

from __future__ import annotations

import sqlite3

from sememe.store.facets import Facet, plain
from sememe.store.filter_sql import Sql
from sememe.store.filter_tree import meta_key

# A list may say the same twice, and counts once; kinds in the order of `sememe.store.facets.ORDER`.
_KIND = "CASE one.type WHEN 'text' THEN 'text' WHEN 'true' THEN 'yes/no' WHEN 'false' THEN 'yes/no' ELSE 'number' END"
_META = f"""
SELECT number, {_KIND} AS kind, one.atom AS value FROM chosen, json_each(meta) AS one
    WHERE one.key = ? AND one.type NOT IN ('null', 'array')
UNION ALL SELECT DISTINCT number, {_KIND}, one.atom
    FROM chosen, json_each(meta) AS field, json_each(field.value) AS one
    WHERE field.key = ? AND field.type = 'array' AND one.type <> 'null'
"""
_COUNTED = """
WITH chosen AS (SELECT number, source, title, text, id, meta FROM records WHERE {condition}),
    held AS MATERIALIZED ({held}),
    counts AS (SELECT kind, value, count(*) AS items FROM held GROUP BY kind, value)
SELECT kind, value, items, (SELECT count(*) FROM counts), (SELECT count(DISTINCT number) FROM held)
FROM counts ORDER BY items DESC, kind, value LIMIT ?
"""


def counted(connection: sqlite3.Connection, field: str, where: Sql | None, limit: int | None) -> Facet:
    """The facet of a field that was looked up before, in the transaction of ``connection``."""
    condition, values = where or ("1", [])
    key = meta_key(field)
    held = _META if key is not None else f"SELECT number, 'text' AS kind, {field} AS value FROM chosen"
    asked = [*values, key, key] if key is not None else values
    # At least one row, for the totals stand beside it.
    most = -1 if limit is None else max(limit, 1)
    rows = connection.execute(_COUNTED.format(condition=condition, held=held), [*asked, most]).fetchall()
    (items,) = connection.execute(f"SELECT count(*) FROM records WHERE {condition}", values).fetchone()
    counts = tuple((value == 1 if kind == "yes/no" else plain(value), count) for kind, value, count, *_ in rows)
    different, holding = rows[0][3:] if rows else (0, 0)
    return Facet(field, counts[:limit], different, items, items - holding)
