"""Verify and repair of a PostgreSQL store: every vector against its checksum, every filter's facts against the meta."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sememe.store.contract import Health
from sememe.store.filter_tree import kind_of
from sememe.store.servers.postgres_filter import facts_of
from sememe.store.servers.postgres_tables import checksums, odd_rows, vectors_of

#: rows that are looked at together
PART = 1000


@dataclass(slots=True)
class _Found:
    """What a walk over all items brings to light."""

    items: int = 0
    damaged: list[str] = field(default_factory=list)
    stale: dict[str, tuple[str, bool]] = field(default_factory=dict)
    fields: set[tuple[str, str]] = field(default_factory=set)


def _walk(cursor: Any, schema: str, dim: int) -> _Found:
    found = _Found()
    for part in _parts(cursor, schema):
        vectors = vectors_of([row[1] for row in part], dim)
        odds, crcs = odd_rows(vectors), checksums(vectors)
        found.items += len(part)
        for (id, _, crc, odd, meta, facts), right_odd, right_crc in zip(part, odds, crcs, strict=True):
            if crc != right_crc:
                found.damaged.append(id)
            elif json.loads(facts_of(meta)) != facts or odd != bool(right_odd):
                found.stale[id] = (facts_of(meta), bool(right_odd))
            for key, value in meta.items():
                members = value if isinstance(value, list) else [value]
                found.fields |= {(key, kind_of(one)) for one in members} or {(key, "null")}
    return found


def _parts(cursor: Any, schema: str) -> Iterator[list[Any]]:
    """All items by id, some at a time; the transaction is one, so that they are of one state."""
    last = ""
    sql = f"SELECT id, vector, crc, odd, meta, facts FROM {schema}.items WHERE id > %s::text ORDER BY id LIMIT {PART}"
    with cursor.connection.cursor(binary=True) as binary:
        while part := binary.execute(sql, [last]).fetchall():
            yield part
            last = part[-1][0]


def verify(cursor: Any, schema: str, dim: int) -> Health:
    """Compare everything with everything; changes nothing."""
    found = _walk(cursor, schema, dim)
    problems = []
    if found.damaged:
        problems.append(f"vectors: {len(found.damaged)} of {found.items} are not what was written")
    if found.stale:
        problems.append(f"filters: {len(found.stale)} of {found.items} items are not found by what they hold")
    known = set(cursor.execute(f"SELECT name, kind FROM {schema}.fields").fetchall())
    if lost := sorted({name for name, _ in found.fields - known}):
        problems.append(f"filters: the fields {', '.join(lost)} are not known")
    checked = {"items": found.items, "vectors": found.items}
    return Health(checked, tuple(problems), tuple(sorted([*found.damaged, *found.stale])))


def repair(cursor: Any, schema: str, dim: int) -> Health:
    """Make the filters' facts anew; set rows with damaged vectors aside, and forget their sources."""
    found = _walk(cursor, schema, dim)
    notes = []
    if found.damaged:
        chosen = "id = ANY (%s::text[])"
        columns = "id, source, title, meta, text"
        cursor.execute(
            f"INSERT INTO {schema}.quarantine SELECT {columns} FROM {schema}.items WHERE {chosen}", [found.damaged]
        )
        cursor.execute(
            f"DELETE FROM {schema}.sources WHERE source IN (SELECT source FROM {schema}.items WHERE {chosen})",
            [found.damaged],
        )
        cursor.execute(f"DELETE FROM {schema}.items WHERE {chosen}", [found.damaged])
        notes.append(f"vectors: {len(found.damaged)} were lost; their texts are set aside, their sources forgotten")
    for id, (facts, odd) in found.stale.items():
        cursor.execute(f"UPDATE {schema}.items SET facts = %s::jsonb, odd = %s WHERE id = %s", [facts, odd, id])
    if found.stale:
        notes.append(f"filters: the facts of {len(found.stale)} items were made anew")
    for name, kind in sorted(found.fields):
        cursor.execute(f"INSERT INTO {schema}.fields VALUES (%s, %s) ON CONFLICT DO NOTHING", [name, kind])
    live = found.items - len(found.damaged)
    return Health({"items": live, "vectors": live}, tuple(notes), tuple(sorted([*found.damaged, *found.stale])))
