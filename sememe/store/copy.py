"""Copy a store into another, of whatever kind. What is there already and equal is not sent again, so that a copy which
was cut off goes on where it was; at the end both are compared."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sememe.errors import MismatchError, StoreError, UsageError
from sememe.progress import SILENT, Progress
from sememe.shapes import Record, Vectors
from sememe.store.contract import Store

#: items that are compared with each other at the end, chosen at random
SAMPLE = 200


@dataclass(frozen=True, slots=True)
class CopyReport:
    """``items`` are in both stores now; ``sent`` of them were sent, ``kept`` were there already; ``checked`` were read
    from both again and compared."""

    items: int
    sent: int
    kept: int
    sources: int
    checked: int
    seconds: float


def copy(source: Store, target: Store, *, batch: int = 1000, progress: Progress = SILENT) -> CopyReport:
    """Put all that ``source`` holds into ``target``: items, and the sources that are complete.

    Nobody should write to either meanwhile. ``target`` may hold a part of it, from a copy that was cut off, and nothing
    else. Its word index and the like it makes by itself.

    A target that keeps a smaller type of vectors is compared with what such a type keeps of the source's.

    Args:
        batch: items that are sent in one transaction.

    Raises:
        MismatchError: the widths of the vectors or their encoders differ.
        StoreError: ``target`` holds something else, or they differ at the end.
    """
    if batch < 1:
        raise UsageError(f"batch is how many items are sent at once, 1 or more, not {batch}")
    _check_same_space(source, target)
    started = time.monotonic()
    ids = source.ids()
    _check_nothing_else(ids, source.sources(), target)
    there = set(target.ids())
    sent = 0
    with progress.phase("copy", total=len(ids), unit="items") as phase:
        for start in range(0, len(ids), batch):
            part = ids[start : start + batch]
            sent += _send(part, there, source, target)
            phase.advance(len(part))
    # Only now: a source that is stamped is complete.
    known = target.sources()
    stamps = {name: mark for name, mark in source.sources().items() if known.get(name) != mark}
    if stamps:
        target.put([], source.vectors([]), [], sources=stamps)
    checked = _check_equal(source, target, batch)
    return CopyReport(len(ids), sent, len(ids) - sent, len(source.sources()), checked, time.monotonic() - started)


def _send(ids: list[str], there: set[str], source: Store, target: Store) -> int:
    """Those of ``ids`` that the target does not hold as they are; says how many."""
    records, vectors = _read(source, ids)
    known = [id for id in ids if id in there]
    old = dict(zip(known, zip(*_read(target, known), strict=True), strict=True)) if known else {}
    wanted = _as_kept(target, vectors)
    places = [
        place for place, id in enumerate(ids) if id not in old or not equal((records[place], wanted[place]), old[id])
    ]
    if places:
        target.put([ids[place] for place in places], vectors[places], [records[place] for place in places])
    return len(places)


def _read(store: Store, ids: list[str]) -> tuple[list[Record], Vectors]:
    records, vectors = store.get(ids), store.vectors(ids)
    whole = [record for record in records if record is not None]
    if len(whole) != len(ids):
        raise StoreError("a store changed while it was copied", do=["copy again when nobody writes to it"])
    return whole, vectors


def _as_kept(target: Store, vectors: Vectors) -> Vectors:
    """What the target gives back for ``vectors``: one that keeps a smaller type says so itself."""
    smaller = getattr(target, "as_kept", None)
    return vectors if smaller is None else smaller(vectors)


def equal(one: tuple[Record, Vectors], other: tuple[Record, Vectors]) -> bool:
    """Whether two items are the same, bit by bit."""
    return _plain(one[0]) == _plain(other[0]) and one[1].tobytes() == other[1].tobytes()


def _plain(record: Record) -> tuple[Any, ...]:
    """What is compared: 1 and True are two values, a list and a tuple one."""
    meta = {key: _typed(value) for key, value in record.meta.items()}
    return (record.text, record.place, record.title, record.item, tuple(record.span), record.hash, meta)


def _typed(value: Any) -> Any:
    return [_typed(one) for one in value] if isinstance(value, (list, tuple)) else (isinstance(value, bool), value)


def fingerprint_of(manifest: Mapping[str, Any]) -> str | None:
    """What says which encoder the vectors come from, None if the manifest does not."""
    encoder = manifest.get("encoder")
    found = encoder.get("fingerprint") if isinstance(encoder, Mapping) else encoder
    return None if found is None else str(found)


def _check_same_space(source: Store, target: Store) -> None:
    if source.dim != target.dim:
        raise MismatchError(
            "the stores hold vectors of different widths",
            why=[("source", str(source.dim)), ("target", str(target.dim))],
        )
    ours, theirs = fingerprint_of(source.manifest), fingerprint_of(target.manifest)
    if ours != theirs:
        raise MismatchError(
            "the vectors of the stores come from different encoders",
            why=[("source", ours or "does not say"), ("target", theirs or "does not say")],
            do=["make the target with the manifest of the source:  create_store(…, manifest=source.manifest)"],
        )


def _check_nothing_else(ids: list[str], sources: Mapping[str, str], target: Store) -> None:
    others = sorted(set(target.ids()).difference(ids))
    strange = sorted(set(target.sources()).difference(sources))
    if others or strange:
        raise StoreError(
            "the target holds what the source does not",
            why=[
                ("items", f"{len(others)}" + (f": {', '.join(others[:5])}" if others else "")),
                ("sources", f"{len(strange)}" + (f": {', '.join(strange[:5])}" if strange else "")),
            ],
            do=["copy into an empty store, or delete them there first"],
        )


def _check_equal(source: Store, target: Store, batch: int) -> int:
    """Compare counts, ids and sources, and some items in full; says how many."""
    ids = source.ids()
    if (source.count(), ids, dict(source.sources())) != (target.count(), target.ids(), dict(target.sources())):
        raise StoreError(
            "the copy is not what the source is",
            why=[("source", f"{source.count()} items, {len(source.sources())} sources"),
                 ("target", f"{target.count()} items, {len(target.sources())} sources")],
            do=["copy again when nobody writes to either; what is there is not sent again"],
        )  # fmt: skip
    chosen = sorted(random.Random(len(ids)).sample(ids, min(SAMPLE, len(ids))))
    wrong: list[str] = []
    for start in range(0, len(chosen), batch):
        part = chosen[start : start + batch]
        records, vectors = _read(source, part)
        ours = zip(records, _as_kept(target, vectors), strict=True)
        pairs = zip(part, ours, zip(*_read(target, part), strict=True), strict=True)
        wrong += [id for id, one, other in pairs if not equal(one, other)]
    if wrong:
        raise StoreError(
            f"{len(wrong)} of {len(chosen)} items that were compared are not what they are in the source",
            why=[", ".join(wrong[:10])],
            do=["copy again; what differs is sent anew"],
        )
    return len(chosen)
