"""Hits put together by what they were cut from: an item, or a source."""

from __future__ import annotations

from dataclasses import replace

from sememe.shapes import Group, Hit, Hits


def grouped(hits: Hits, by: str) -> Hits:
    """The best hit of each group, in their order; each carries its group with the others.

    Args:
        by: ``item`` or ``source``. A hit that does not say where it came from is a group of its own.
    """
    places: dict[tuple[bool, str], list[int]] = {}
    for place, hit in enumerate(hits):
        places.setdefault(_key(hit, by), []).append(place)
    best = hits.take([first for first, *_ in places.values()])
    groups = (Group(by, key, hits.take(rest)) for (_, key), (_, *rest) in places.items())
    return replace(best, groups=tuple(groups))


def _key(hit: Hit, by: str) -> tuple[bool, str]:
    said = hit.record.item if by == "item" else hit.place.source
    return (True, said) if said else (False, hit.id)
