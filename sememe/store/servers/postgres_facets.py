"""Facets of a PostgreSQL store: the server counts them."""

from __future__ import annotations

from typing import Any

from sememe.store.facets import Facet, plain
from sememe.store.filter_tree import meta_key
from sememe.store.servers.postgres_filter import Compiled

# A list may say the same twice, and counts once. Numbers come first, then texts, then false and true, as in
# `sememe.store.facets.ORDER`; jsonb compares numbers by their value.
_COUNTED = """
WITH chosen AS MATERIALIZED (SELECT id, {field} AS field FROM {schema}.items WHERE {condition}),
    held AS MATERIALIZED (
        SELECT DISTINCT id, value FROM chosen, LATERAL jsonb_array_elements(
            CASE jsonb_typeof(field) WHEN 'array' THEN field ELSE jsonb_build_array(field) END
        ) AS list (value) WHERE field IS NOT NULL AND jsonb_typeof(value) <> 'null'
    ),
    counts AS (SELECT value, count(*) AS items FROM held GROUP BY value)
SELECT (SELECT count(*) FROM chosen), (SELECT count(DISTINCT id) FROM held), (SELECT count(*) FROM counts),
    ARRAY(
        SELECT jsonb_build_array(value, items) FROM counts ORDER BY items DESC,
            CASE jsonb_typeof(value) WHEN 'number' THEN 0 WHEN 'string' THEN 1 ELSE 2 END,
            CASE jsonb_typeof(value) WHEN 'number' THEN value::numeric END,
            CASE jsonb_typeof(value) WHEN 'string' THEN value #>> '{{}}' END COLLATE "C",
            CASE jsonb_typeof(value) WHEN 'boolean' THEN value::boolean END
        LIMIT %(limit)s
    )
"""


def counted(cursor: Any, schema: str, field: str, where: Compiled, limit: int | None) -> Facet:
    """The facet of a field that was looked up before, in the transaction of ``cursor``."""
    key = meta_key(field)
    # A column's name is one of four that filters know; a meta field's name is a bound parameter.
    value = f"to_jsonb({field})" if key is None else "facts -> %(field)s::text"
    sql = _COUNTED.format(field=value, schema=schema, condition=where.sql)
    asked = {**where.values, "field": key, "limit": limit}
    items, holding, different, pairs = cursor.execute(sql, asked).fetchone()
    counts = tuple((plain(value), count) for value, count in pairs)
    return Facet(field, counts, different, items, items - holding)
