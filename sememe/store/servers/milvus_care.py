"""Verify, repair and purge of a store on Milvus: every item against its checksum, every filter's facts against the
record, and the dead rows removed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from sememe.store.batch import fields_of
from sememe.store.contract import Health
from sememe.store.servers import milvus_rows as rows
from sememe.store.servers.milvus_change import Change, changing, remove_given_up
from sememe.store.servers.milvus_filter import digest, large_fields
from sememe.store.servers.milvus_log import Log, State
from sememe.store.servers.milvus_search import LISTED
from sememe.store.servers.milvus_session import Row, Session

#: dead rows, and entries of the log, that are nothing to worry about
SLACK = 500
#: seconds after which nothing of a change that was given up can still be on its way to the server
LATE = 3600.0
#: the columns that repair makes anew
LOOKED_AT = ("key", "source", "item", "hash", "odd", "tokens", "bounds")


@dataclass(slots=True)
class _Found:
    """What a walk over all items brings to light."""

    items: int = 0
    damaged: list[Row] = field(default_factory=list)
    stale: list[Row] = field(default_factory=list)
    fields: set[tuple[str, str]] = field(default_factory=set)

    @property
    def affected(self) -> tuple[str, ...]:
        return tuple(sorted({one["id"] for one in (*self.damaged, *self.stale)}))


def _walk(session: Session, state: State, dim: int) -> _Found:
    found = _Found()
    names: set[str] = set()
    columns = [name for name in rows.columns(dim) if name not in ("number", "change")]
    for part in rows.read(session, state.seen(), columns, dim):
        vectors = rows.vectors_from(part, dim)
        odds = rows.odd_rows(vectors)
        for one, vector, odd in zip(part, vectors, odds, strict=True):
            found.items += 1
            if one["id"] in names or one["crc"] != rows.checksum(one["id"], one["record"], vector):
                found.damaged.append(one)
                continue
            names.add(one["id"])
            record = rows.record_from(one)
            found.fields |= fields_of(one["id"], record) | large_fields([record])
            right = rows.row(one["id"], record, vector, bool(odd))
            if any((list(one[name]) if name == "tokens" else one[name]) != right[name] for name in LOOKED_AT):
                found.stale.append({**right, "number": one["number"]})
    return found


def verify(session: Session, log: Log, dim: int) -> Health:
    """Compare everything with everything; changes nothing."""

    def looked(state: State) -> Health:
        found = _walk(session, state, dim)
        problems = []
        if found.damaged:
            problems.append(f"items: {len(found.damaged)} of {found.items} are not what was written")
        if found.stale:
            problems.append(f"filters: {len(found.stale)} of {found.items} items are not found by what they hold")
        if lost := sorted({name for name, _ in found.fields - state.fields}):
            problems.append(f"filters: the fields {', '.join(lost)} are not known")
        if found.items != state.items:
            problems.append(f"items: {found.items} are there, and {state.items} should be")
        return Health({"items": found.items, "vectors": found.items}, tuple(problems), found.affected)

    return log.read(looked)


def repair(session: Session, log: Log, dim: int) -> Health:
    """Make what filters look at anew; set damaged rows aside, and forget their sources."""
    with changing(session, log) as change:
        state = change.state
        found = _walk(session, state, dim)
        live = found.items - len(found.damaged)
        notes = []
        if found.damaged:
            lost = {one["source"] for one in found.damaged}
            sources = [name for name in state.sources if digest(name) in lost]
            change.note("aside", [one["number"] for one in found.damaged])
            change.note("facts", [("source", name, None) for name in sources])
            notes.append(f"items: {len(found.damaged)} were damaged; their rows are set aside, their sources forgotten")
        if found.stale:
            change.note("dead", [one.pop("number") for one in found.stale])
            change.items(found.stale, width=rows.width(dim))
            notes.append(f"filters: what {len(found.stale)} items are found by was made anew")
        if new := sorted(found.fields - state.fields):
            change.note("facts", [("field", *pair) for pair in new])
            notes.append("filters: the known fields were made anew")
        if live != state.items and not found.damaged:
            notes.append(f"items: {live} are there, and {state.items} should have been")
        if notes:
            change.commit(items=live)
    return Health({"items": live, "vectors": live}, tuple(notes), found.affected)


def purge(session: Session, log: Log) -> None:
    """Remove dead rows, and write the log anew without what is over."""
    with changing(session, log) as change:
        state = change.state
        _written_anew(change, state)
        change.commit(items=state.items, floor=change.number, base=change.number)
    # From here on nobody needs them: readers of earlier states find the floor above themselves, and ask again.
    gone = sorted(state.dead)
    with changing(session, log) as change:
        for start in range(0, len(gone), LISTED):
            _remove(session, gone[start : start + LISTED])
        _forget_given_up(session, change.state)
        session.delete(session.log, f'change < {change.state.base} and kind in ["whole", "facts", "dead", "aside"]')
        if not set(gone) - set(change.state.dead):
            change.commit(items=change.state.items, purged=change.state.base)


def _remove(session: Session, numbers: list[int]) -> None:
    """Rows, and before them what of their records stands in the log."""
    condition = f"number in {numbers}"
    for part in session.rows(session.items, f"parts > 0 and {condition}", ["rest", "parts"]):
        for one in part:
            session.delete(session.log, f"number >= {one['rest']} and number < {one['rest'] + one['parts']}")
    session.delete(session.items, condition)


def _written_anew(change: Change, state: State) -> None:
    change.note("facts", [("source", *pair) for pair in state.sources.items()])
    change.note("facts", [("field", *pair) for pair in sorted(state.fields)])
    change.note("dead", sorted(state.dead))
    change.note("aside", sorted(state.aside))


def _forget_given_up(session: Session, state: State) -> None:
    late = [number for number, when in state.given_up.items() if time.time() - when > LATE]
    for number in late:
        remove_given_up(session, number)
        session.delete(session.log, f"change == {number}")


def purge_if_due(session: Session, log: Log) -> None:
    """Purge once there is enough to remove, so that neither the rows nor the log grow without bound."""
    state = log.state
    if len(state.dead) > SLACK or state.since > SLACK:
        purge(session, log)
