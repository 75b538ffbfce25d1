"""Facets: how many items hold each value of a field.

A value counts once per item, of a list every member does. Values are told apart as filters tell them apart: ``1`` and
``1.0`` are one number, ``true`` is none. `counted` is what it all means in plain Python: every adaptor's own way is
tested against it, and one that has none can hand it all of its records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sememe.errors import UsageError
from sememe.shapes import Record, Scalar
from sememe.store.filter_tree import Test, kind_of, meta_key

#: among equally frequent values numbers come first, then texts, then false and true
ORDER = ("number", "text", "yes/no")


@dataclass(frozen=True, slots=True)
class Facet:
    """The values of ``field`` among ``items`` items.

    ``counts`` has pairs of a value and how many items hold it, the most frequent first, ties by value, and no more
    than were asked for; ``values`` says how many different values there are, and ``without`` how many items have none
    (absent, null, or a list of nothing else). A number that is whole is an int.
    """

    field: str
    counts: tuple[tuple[Scalar, int], ...]
    values: int
    items: int
    without: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "field": self.field,
            "counts": [{"value": value, "items": items} for value, items in self.counts],
            "values": self.values,
            "items": self.items,
            "without": self.without,
        }


def asked(field: str, limit: int | None) -> Test:
    """The test that ``field`` exists, by which a store can look whether any record has it.

    Raises:
        UsageError: no field, or no sensible limit.
    """
    if not isinstance(field, str) or not field:
        raise UsageError(f"a facet counts the values of one field, not of {field!r}")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 0):
        raise UsageError(f"limit is how many values are wanted, 0 or more, not {limit!r}")
    return Test(field, "exists")


def plain(value: Scalar) -> Scalar:
    """The one way to write equal numbers: whole ones as int."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def counted(field: str, records: Iterable[tuple[str, Record]], *, limit: int | None = 20) -> Facet:
    """The facet of ``(id, record)`` pairs. Slow and obvious: what adaptors do is tested against it."""
    asked(field, limit)
    counts: Counter[tuple[int, Scalar]] = Counter()
    items = without = 0
    for id, record in records:
        # with the kind beside it, for Python holds True and 1 for the same
        found = {(ORDER.index(kind_of(one)), plain(one)) for one in _values(field, id, record) if one is not None}
        counts.update(found)
        items += 1
        without += not found
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    best = tuple((value, count) for (_, value), count in ranked[:limit])
    return Facet(field, best, len(counts), items, without)


def _values(field: str, id: str, record: Record) -> Sequence[Scalar]:
    key = meta_key(field)
    if key is None:
        return [{"id": id, "source": record.place.source, "title": record.title, "text": record.text}[field]]
    value = record.meta.get(key)
    return value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
