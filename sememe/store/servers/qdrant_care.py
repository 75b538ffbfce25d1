"""Verify and repair of a store in Qdrant: every item against its checksum, what filters see against the meta."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field

from sememe.store.contract import Health
from sememe.store.filter_tree import kind_of
from sememe.store.servers import qdrant_points as points
from sememe.store.servers.packed import Json, members_of, record_in, rough_fields, whole
from sememe.store.servers.qdrant_session import Change, Head, Session, visible


@dataclass(slots=True)
class _Found:
    """What a walk over all items brings to light; ``damaged`` and ``stale`` hold points, ``twice`` ids."""

    items: int = 0
    damaged: list[Json] = field(default_factory=list)
    stale: list[Json] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    fields: set[tuple[str, str]] = field(default_factory=set)
    rough: set[str] = field(default_factory=set)

    @property
    def affected(self) -> tuple[str, ...]:
        return tuple(sorted({*(_id(one) for one in (*self.damaged, *self.stale)), *self.twice}))


def _id(point: Json) -> str:
    return str(point["payload"].get("id", f"point {point['id']}"))


def _walk(session: Session, change: int, dim: int) -> _Found:
    found = _Found()
    seen: set[str] = set()
    for page in session.pages(visible(change, "item"), vector=True):
        for point in page:
            found.items += 1
            if not whole(point["payload"], point["vector"].get(points.VECTOR), dim):
                found.damaged.append(point)
                continue
            id = _id(point)
            if id in seen:
                found.twice.append(id)
            seen.add(id)
            record = record_in(point["payload"])
            facts = points.facts_of(record.meta)
            if any(json.dumps(point["payload"].get(key)) != json.dumps(value) for key, value in facts.items()):
                found.stale.append(point)
            found.rough |= rough_fields([record])
            for key, value in record.meta.items():
                found.fields |= {(key, kind_of(one)) for one in members_of(value)} or {(key, "null")}
    return found


def verify(session: Session, head: Head, dim: int) -> Health:
    """Compare everything with everything; changes nothing."""
    found = _walk(session, head.change, dim)
    problems = []
    if found.damaged:
        problems.append(f"items: {len(found.damaged)} of {found.items} are not what was written")
    if found.twice:
        problems.append(f"items: {len(found.twice)} of {found.items} are there twice")
    if found.stale:
        problems.append(f"filters: {len(found.stale)} of {found.items} items are not found by what they hold")
    if lost := sorted({name for name, _ in found.fields - head.fields} | (found.rough - head.rough)):
        problems.append(f"filters: the fields {', '.join(lost)} are not known")
    return Health({"items": found.items, "vectors": found.items}, tuple(problems), found.affected)


def repair(change: Change, dim: int) -> Health:
    """Make anew what filters see; set damaged items aside, and forget their sources.

    What is set aside stays in the collection as points with ``what = "quarantine"``, which nothing else looks at.
    """
    found = _walk(change.session, change.head.change, dim)
    notes, operations = [], []
    aside = []
    for point in found.damaged:
        kept = {**point["payload"], "what": "quarantine", "born": change.number}
        aside.append({"id": str(uuid.uuid4()), "vector": {}, "payload": kept})
        operations.append({"set_payload": {"payload": {"died": change.number}, "points": [point["id"]]}})
    change.add(aside)
    if found.damaged:
        forgotten = sorted({str(one["payload"]["source"]) for one in found.damaged if "source" in one["payload"]})
        change.end("source", "source", forgotten)
        notes.append(f"items: {len(found.damaged)} were lost; they are set aside, their sources forgotten")
    for point in found.stale:
        facts = points.facts_of(record_in(point["payload"]).meta)
        operations.append({"set_payload": {"payload": facts, "points": [point["id"]]}})
    if found.stale:
        notes.append(f"filters: what they see of {len(found.stale)} items was made anew")
    for start in range(0, len(operations), 50):
        change.session.change(*operations[start : start + 50])
    change.know(found.fields, found.rough)
    live = found.items - len(found.damaged)
    return Health({"items": live, "vectors": live}, tuple(notes), found.affected)
