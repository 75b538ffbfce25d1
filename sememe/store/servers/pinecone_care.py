"""Verify and repair of a store in Pinecone: every item against its checksum, what filters see against the meta."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sememe.store.contract import Health
from sememe.store.filter_tree import kind_of
from sememe.store.servers import pinecone_rows as rows
from sememe.store.servers.packed import Json, members_of, record_in, whole
from sememe.store.servers.pinecone_head import Head, write_head
from sememe.store.servers.pinecone_session import Session

#: the keys of an item's metadata that are not for filters alone
_OWN = ("id", "source", "item", "hash", "title", "text", "row", "sum", "vector", "zero")


@dataclass(slots=True)
class _Found:
    """What a walk over all items brings to light; ``damaged`` and ``stale`` by key."""

    items: int = 0
    damaged: dict[str, Json] = field(default_factory=dict)
    stale: dict[str, Json] = field(default_factory=dict)
    fields: set[tuple[str, str]] = field(default_factory=set)
    unseen: set[str] = field(default_factory=set)

    @property
    def affected(self) -> tuple[str, ...]:
        both = [*self.damaged.items(), *self.stale.items()]
        return tuple(sorted(str(one["metadata"].get("id", key)) for key, one in both))


def _walk(session: Session, namespace: str, dim: int) -> _Found:
    found = _Found()
    for page in session.listed(namespace):
        for key, one in session.fetch(namespace, page).items():
            found.items += 1
            held = one["metadata"]
            if not whole(held, one["values"], dim) or rows.key_of(str(held["id"])) != key:
                found.damaged[key] = one
                continue
            record = record_in(held)
            facts = {name: value for name, value in held.items() if name not in _OWN}
            if facts != rows.facts_of(record.meta):
                found.stale[key] = one
            found.unseen |= rows.unseen_fields([record])
            for name, value in record.meta.items():
                found.fields |= {(name, kind_of(member)) for member in members_of(value)} or {(name, "null")}
    return found


def verify(session: Session, namespace: str, head: Head, dim: int) -> Health:
    """Compare everything with everything; changes nothing."""
    found = _walk(session, namespace, dim)
    problems = []
    if found.damaged:
        problems.append(f"items: {len(found.damaged)} of {found.items} are not what was written")
    if found.stale:
        problems.append(f"filters: {len(found.stale)} of {found.items} items are not found by what they hold")
    if lost := sorted({name for name, _ in found.fields - head.fields} | (found.unseen - head.unseen)):
        problems.append(f"filters: the fields {', '.join(lost)} are not known")
    return Health({"items": found.items, "vectors": found.items}, tuple(problems), found.affected)


def repair(session: Session, namespace: str, head: Head, dim: int) -> Health:
    """Make anew what filters see; set damaged items aside among the books, and forget their sources."""
    found, books = _walk(session, namespace, dim), f"{namespace}--books"
    notes = []
    if found.damaged:
        aside = [
            rows.row(rows.ASIDE + key[: rows.ID - 2], rows.first(dim), one["metadata"])
            for key, one in found.damaged.items()
        ]
        session.upsert(books, aside)
        sources = {str(one["metadata"].get("source", "")) for one in found.damaged.values()}
        session.delete(books, sorted(rows.key_of(name, rows.SOURCE) for name in sources))
        session.delete(namespace, sorted(found.damaged))
        notes.append(f"items: {len(found.damaged)} were lost; they are set aside, their sources forgotten")
    anew = []
    for key, one in found.stale.items():
        own = {name: value for name, value in one["metadata"].items() if name in _OWN}
        facts = rows.facts_of(record_in(one["metadata"]).meta)
        anew.append(rows.row(key, one["values"], {**own, **facts}))
    session.upsert(namespace, anew)
    if anew:
        notes.append(f"filters: what they see of {len(anew)} items was made anew")
    write_head(session, replace(head, fields=head.fields | found.fields, unseen=head.unseen | found.unseen))
    live = found.items - len(found.damaged)
    return Health({"items": live, "vectors": live}, tuple(notes), found.affected)
