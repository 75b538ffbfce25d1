"""One field of many records as arrays, and what each test of a filter says of it: in a thousandth of a second, and the
same as the SQL of `sememe.store.filter_sql`, which is its slow twin.

A column is a list of entries, in the order of the slots: one for a plain value, one for each member of a list, and one
for the list itself. Slots never change, so a column only grows; a row that has gone stays in it, and whoever asks takes
it out.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sememe.shapes import Scalar
from sememe.store.filter_tree import Test, kind_of
from sememe.store.scan import Mask

Array = npt.NDArray[Any]

#: what an entry is: these, and `MEMBER` more inside of a list
NULL, FALSE, TRUE, NUMBER, TEXT, LIST = range(6)
MEMBER = 8
KINDS = {"null": NULL, "false": FALSE, "true": TRUE, "integer": NUMBER, "real": NUMBER, "text": TEXT, "array": LIST}

#: different texts of one field, beyond which it has no column: SQL reads the records
TEXTS = 100_000
#: whole numbers up to here are the same as floats
WHOLE = 2**53

#: an entry as it is read: slot, kind, and the number or text
Entry = tuple[int, int, Any]

_COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "=": np.equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_PLAIN: dict[str, Callable[[str, str], bool]] = {
    "<": str.__lt__,
    "<=": str.__le__,
    ">": str.__gt__,
    ">=": str.__ge__,
}


class Unfit(Exception):
    """A column cannot say it exactly: ask the records."""


@dataclass(frozen=True)
class Column:
    """The entries of one field in the first ``upto`` slots.

    ``slots`` ``(n,)`` ascending, None: each slot has one entry. ``kinds`` uint8 ``(n,)``. ``values`` ``(n,)``: the
    number, or the place of the text in ``texts``, which are all different. ``exact`` is False where arrays cannot hold
    the values; such a column has no entries, and says nothing.
    """

    upto: int = 0
    slots: Array | None = field(default_factory=lambda: np.empty(0, np.int8))
    kinds: Array = field(default_factory=lambda: np.empty(0, np.uint8))
    values: Array = field(default_factory=lambda: np.empty(0, np.int8))
    texts: tuple[str, ...] = ()
    exact: bool = True

    @cached_property
    def places(self) -> dict[str, int]:
        """Where each text stands."""
        return {text: place for place, text in enumerate(self.texts)}

    @cached_property
    def only(self) -> int | None:
        """The kind of all entries, if they are all of one."""
        first = int(self.kinds[0]) if len(self.kinds) else None
        return first if first is not None and bool((self.kinds == first).all()) else None

    def extended(self, entries: Iterable[Entry], upto: int) -> Column:
        """The column with the entries of the slots up to ``upto``."""
        if not self.exact:
            return Column(upto, exact=False)
        slots, kinds, values, places = [], [], [], dict(self.places)
        for slot, kind, value in entries:
            if kind & 7 == TEXT:
                value = places.setdefault(value, len(places))
            elif kind & 7 != NUMBER:
                value = 0
            elif isinstance(value, int) and not -WHOLE <= value <= WHOLE:
                return Column(upto, exact=False)
            slots.append(slot)
            kinds.append(kind)
            values.append(value)
        if len(places) > TEXTS:
            return Column(upto, exact=False)
        before = np.arange(self.upto) if self.slots is None else self.slots
        all_slots = _joined(before, np.array(slots, np.int64))
        full = len(all_slots) == upto and bool((all_slots == np.arange(upto)).all())
        return Column(
            upto,
            None if full else smallest(all_slots),
            np.concatenate([self.kinds, np.array(kinds, np.uint8)]),
            smallest(_joined(self.values, np.array(values))),
            tuple(places),
        )

    def passing(self, connection: sqlite3.Connection, test: Test) -> Mask:
        """bool ``(upto,)``: of which slots a test is true; what it says of slots without a row means nothing.

        Raises:
            Unfit: only the records can tell.
        """
        if not self.exact:
            raise Unfit
        if test.op == "is null":
            return ~self._mask(self.kinds != NULL)
        if test.op == "exists":
            return self._mask(np.ones(len(self.kinds), bool))
        if test.op == "is true":
            return self._mask(self._are(TRUE))
        wanted = test.value if isinstance(test.value, tuple) else (test.value,)
        found = np.zeros(len(self.kinds), bool)
        for value in wanted:
            found |= self._compared(connection, "=" if test.op == "in" else test.op, value)
        return self._mask(found)

    def tally(self, mask: Mask) -> list[tuple[Scalar, int]]:
        """How many of the slots in ``mask``, bool ``(upto,)``, hold each value; the way to count a facet quickly. One
        that stands twice in a list counts twice.

        Raises:
            Unfit: only the records can tell.
        """
        if not self.exact:
            raise Unfit
        chosen = mask if self.slots is None else mask[self.slots]
        kinds = self.kinds[chosen] & 7
        out: list[tuple[Scalar, int]] = []
        for kind in (NUMBER, TEXT):
            values, counts = np.unique(self.values[chosen][kinds == kind], return_counts=True)
            names = values.tolist() if kind == NUMBER else [self.texts[int(place)] for place in values]
            out += zip(names, counts.tolist(), strict=True)
        out += [(kind == TRUE, int(count)) for kind in (FALSE, TRUE) if (count := np.count_nonzero(kinds == kind))]
        return out

    def _are(self, kind: int) -> Mask:
        if self.only is not None:
            return np.full(len(self.kinds), self.only & 7 == kind)
        out: Mask = self.kinds & 7 == kind
        return out

    def _compared(self, connection: sqlite3.Connection, op: str, wanted: Scalar) -> Mask:
        kind = kind_of(wanted)
        if kind == "text":
            return self._texts_compared(connection, op, str(wanted))
        if kind == "yes/no":
            held = self._are(TRUE)
            out: Mask = (held | self._are(FALSE)) & _COMPARED[op](held, bool(wanted))
            return out
        if isinstance(wanted, int) and not -WHOLE <= wanted <= WHOLE:
            raise Unfit
        out = _COMPARED[op](self.values, wanted)
        return out if self.only == NUMBER else out & self._are(NUMBER)

    def _texts_compared(self, connection: sqlite3.Connection, op: str, wanted: str) -> Mask:
        fits = np.zeros(max(len(self.texts), 1), bool)
        if op == "=":
            if wanted in self.places:
                fits[self.places[wanted]] = True
        elif op == "like":
            sql = "SELECT key FROM json_each(?) WHERE value LIKE ? ESCAPE '\\'"
            listed = json.dumps(self.texts, ensure_ascii=False)
            fits[[key for (key,) in connection.execute(sql, [listed, wanted])]] = True
        else:
            # SQLite compares UTF-8, whose order is that of the letters' numbers.
            fits[: len(self.texts)] = [_PLAIN[op](text, wanted) for text in self.texts]
        if self.only == TEXT:
            out: Mask = fits[self.values]
            return out
        texts = np.flatnonzero(self._are(TEXT))
        out = np.zeros(len(self.kinds), bool)
        out[texts] = fits[self.values[texts].astype(np.int64)]
        return out

    def _mask(self, found: Mask) -> Mask:
        if self.slots is None:
            return found
        mask = np.zeros(self.upto, bool)
        mask[self.slots[found]] = True
        return mask


def smallest(values: Array) -> Array:
    """The same numbers in as few bytes as hold them all."""
    if not len(values):
        return np.empty(0, np.int8)
    low, high = values.min(), values.max()
    if values.dtype.kind == "f" and not (low >= -WHOLE and high <= WHOLE and (values == np.trunc(values)).all()):
        return values
    for kind in (np.int8, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return values.astype(kind)
    return values.astype(np.int64)


def _joined(before: Array, after: Array) -> Array:
    if not len(before):
        return after
    if not len(after):
        return before
    kind = np.float64 if "f" in (before.dtype.kind, after.dtype.kind) else np.int64
    return np.concatenate([before, after]).astype(kind)


def entries_of(rows: Iterable[Sequence[Any]]) -> Iterable[tuple[str, Entry]]:
    """Names and entries, from rows of `READ`."""
    for slot, name, kind, atom, member, inside in rows:
        if kind != "array":
            yield name, (slot, KINDS[kind], atom)
            continue
        yield name, (slot, LIST, 0)
        if member is not None:
            yield name, (slot, KINDS[member] | MEMBER, inside)


#: the fields of the rows from a slot on, all or the one that is named twice: what `entries_of` takes
READ = """
SELECT rows.slot, one.key, one.type, one.atom, member.type, member.atom
FROM rows JOIN records USING (number), json_each(records.meta) AS one
    LEFT JOIN json_each(CASE one.type WHEN 'array' THEN one.value ELSE '[]' END) AS member
WHERE rows.slot >= ? AND (? IS NULL OR one.key = ?) ORDER BY rows.slot
"""
