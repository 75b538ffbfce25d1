"""What filters read instead of the records: the values of every field, field by field, and the number of every row.

They are derived from the records of one state and grow with the slots, like the codes: a later state adds to them, and
which rows are still alive is said by a mask. Beside the records lies a copy (`sememe.store.local.column_file`), so that
the first question of a process is as quick as the next. A field that is asked for and not yet here is read alone; what
arrays cannot say exactly (`Unfit`), and what an older state asks, is left to SQL. Whatever passes, each hit is held
against the filter's SQL once more.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sememe.store.filter_sql import compile_filter
from sememe.store.filter_tree import And, Expr, Not, Or, Test, meta_key, tests
from sememe.store.local import column_file, seals
from sememe.store.local.column import READ, Array, Column, Entry, Unfit, entries_of, smallest
from sememe.store.local.keeper import Origin
from sememe.store.scan import Mask, Slots

#: rows from which on there is a file, and the share of them that it may lack
LEAST, BEHIND = 1000, 0.05
#: entries that are read before they become arrays
PIECE = 100_000

_SOURCE = "SELECT slot, 'source', 'text', source, NULL, NULL FROM rows JOIN records USING (number) WHERE slot >= ?"


class Stands(NamedTuple):
    """What a state says about columns: what its slots are of, how many there are, and its change."""

    origin: Origin
    slots: int
    change: int


class Numbers(NamedTuple):
    """The rows of one state, and perhaps such as have gone since: slots and row numbers, both ascending."""

    slots: Slots
    numbers: Slots

    def of(self, slots: Slots) -> Slots:
        """The numbers of slots; -1 where there is none."""
        return _looked_up(self.slots, self.numbers, slots)

    def slots_of(self, numbers: Slots) -> Slots:
        """The slots of numbers; -1 where there is none."""
        return _looked_up(self.numbers, self.slots, numbers)


class Columns:
    """The columns of one store. Safe to share between threads."""

    def __init__(self, folder: Path, *, writable: bool) -> None:
        self.folder, self.writable = folder, writable
        self._guard, self._pid = threading.RLock(), os.getpid()
        self._clear()

    def forget(self) -> None:
        """Let go of everything in memory."""
        with self._locked():
            self._clear()

    def _clear(self) -> None:
        self._origin: Origin | None = None
        self._file: column_file.Header | None = None
        self._change = -1
        self._held: dict[str, Column] = {}
        self._numbers: tuple[int, Array, Array] | None = None

    @property
    def remembered(self) -> bool:
        """Whether any of it comes from the file."""
        return self._file is not None

    def remove(self) -> None:
        """The file too."""
        self.forget()
        with suppress(OSError):
            (self.folder / column_file.FILE).unlink(missing_ok=True)

    def passing(self, connection: sqlite3.Connection, at: Stands, expr: Expr) -> Mask | None:
        """bool ``(slots,)``: where ``expr`` is true, among rows that are alive; of other slots it says nothing. None
        for a state that is older than what is known here."""
        with self._locked():
            if not self._is_at(at):
                return None
            asked = {name for name in map(_name, tests(expr)) if name is not None}
            columns = {name: self._column(connection, at, name) for name in asked}

        def slow(part: Expr) -> Mask:
            mask = np.zeros(at.slots, bool)
            mask[slots_of(connection, at.slots, part)] = True
            return mask

        try:
            return _mask(expr, at.slots, lambda test: _passing(connection, columns, test), slow)
        except Unfit:
            return slow(expr)

    def column(self, connection: sqlite3.Connection, at: Stands, name: str) -> Column | None:
        """The column of ``source``, or of a field as ``meta.…``: its `Column.tally` counts a facet. None for a state
        that is older than what is known here."""
        with self._locked():
            return self._column(connection, at, name) if self._is_at(at) else None

    def numbers(self, connection: sqlite3.Connection, at: Stands) -> Numbers:
        """Row numbers by slot, of all rows that are alive at least."""
        with self._locked():
            if not self._is_at(at):
                return Numbers(*_read_numbers(connection, 0, at.slots))
            if self._numbers is None:
                read = column_file.read_numbers(self.folder, self._file) if self._file else None
                self._numbers = (self._file.slots if self._file and read else 0, *(read or _none()))
            upto, slots, numbers = self._numbers
            if upto < at.slots:
                fresh = _read_numbers(connection, upto, at.slots)
                slots, numbers = np.concatenate([slots, fresh[0]]), np.concatenate([numbers, fresh[1]])
                self._numbers, self._change = (at.slots, slots, numbers), max(self._change, at.change)
            return Numbers(slots, numbers)

    def save(self, connection: sqlite3.Connection, at: Stands) -> None:
        """Bring the file up to date if it lacks much."""
        if not self.writable or at.slots < LEAST:
            return
        with self._locked():
            header = column_file.read_header(self.folder)
            if header is not None and header.origin == at.origin and header.slots >= at.slots * (1 - BEHIND):
                return
            if not self._is_at(at):
                return
            columns = self._all(connection, at)
            found = self.numbers(connection, at)
            pair = (smallest(found.slots), smallest(found.numbers))
            column_file.write(self.folder, at.origin, at.change, at.slots, pair, columns)

    def check(self, connection: sqlite3.Connection, at: Stands) -> list[str]:
        """What is wrong with the file; that it is absent or of something else is not."""
        header = column_file.read_header(self.folder)
        if header is None:
            there = (self.folder / column_file.FILE).exists()
            return ["fields: the file is damaged; it is made anew when it is needed"] if there else []
        if header.origin != at.origin or header.change > at.change:
            return []
        rows = connection.execute("SELECT slot FROM rows WHERE slot < ?", [header.slots])
        alive = np.zeros(header.slots, bool)
        alive[[slot for (slot,) in rows]] = True
        fresh = Columns(self.folder, writable=False)
        fresh._is_at(Stands(at.origin, at.slots, -1))
        truth = fresh._all(connection, Stands(at.origin, header.slots, at.change))
        for name in sorted(header.names | truth.keys()):
            held = column_file.read_column(self.folder, header, name)
            wanted = truth.get(name, Column(header.slots))
            if held is None or _shown(held, alive) != _shown(wanted, alive):
                return [f'fields: the file is not what the records say of "{name}"; delete it, or repair']
        return []

    def _locked(self) -> threading.RLock:
        if self._pid != os.getpid():  # the parent's lock may be held for ever, in the middle of a change
            self._guard, self._pid = threading.RLock(), os.getpid()
            self._clear()
        return self._guard

    def _is_at(self, at: Stands) -> bool:
        if self._origin != at.origin:
            self._clear()
            self._origin = at.origin
            header = column_file.read_header(self.folder)
            if header and header.origin == at.origin and header.change <= at.change and header.slots <= at.slots:
                self._file, self._change = header, header.change
        return at.change >= self._change

    def _column(self, connection: sqlite3.Connection, at: Stands, name: str) -> Column:
        column = self._known(name)
        if column.upto < at.slots:
            key = name.removeprefix("meta.") if name != "source" else None
            sql, values = (_SOURCE, [column.upto]) if key is None else (READ, [column.upto, key, key])
            entries = (entry for _, entry in entries_of(connection.execute(sql, values)))
            while piece := list(itertools.islice(entries, PIECE)):
                column = column.extended(piece, at.slots)
            self._held[name], self._change = column.extended((), at.slots), max(self._change, at.change)
        return self._held[name]

    def _known(self, name: str) -> Column:
        held = self._held.get(name)
        if held is None:
            held = column_file.read_column(self.folder, self._file, name) if self._file else None
            self._held[name] = held = held or Column()
        return held

    def _all(self, connection: sqlite3.Connection, at: Stands) -> dict[str, Column]:
        """All columns, up to all slots, in one go through the records."""
        names = [f"meta.{name}" for (name,) in connection.execute("SELECT DISTINCT name FROM fields")]
        start = min((self._known(name).upto for name in names), default=0)
        waiting: dict[str, list[Entry]] = {name: [] for name in names}
        ends = {name: self._known(name).upto for name in names}
        count = 0
        for key, entry in entries_of(connection.execute(READ, [start, None, None])):
            name = f"meta.{key}"
            if entry[0] >= at.slots:
                break
            if name not in waiting or entry[0] < ends[name]:
                continue
            waiting[name].append(entry)
            count += 1
            if count % PIECE == 0:
                self._take(waiting, at.slots)
        self._take(waiting, at.slots)
        self._change = max(self._change, at.change)
        names.append("source")
        return {name: self._column(connection, at, name) for name in names}

    def _take(self, waiting: dict[str, list[Entry]], slots: int) -> None:
        for name, entries in waiting.items():
            self._held[name] = self._known(name).extended(entries, slots)
            waiting[name] = []


def slots_of(connection: sqlite3.Connection, slots: int, expr: Expr) -> Slots:
    """The slow twin: the slots of the rows that satisfy ``expr``, by reading the records."""
    condition, values = compile_filter(expr)
    sql = f"SELECT slot FROM rows JOIN (SELECT number FROM records WHERE {condition}) USING (number)"
    return seals.whole_numbers(connection.execute(sql, values).fetchall(), 1, slots)[:, 0]


def _mask(expr: Expr, slots: int, quick: Callable[[Test], Mask], slow: Callable[[Expr], Mask]) -> Mask:
    if isinstance(expr, Test):
        return quick(expr)
    if isinstance(expr, Not):
        return ~_mask(expr.part, slots, quick, slow)
    both = isinstance(expr, And)
    mask, left = np.full(slots, both), []
    for part in expr.parts:
        try:
            found = _mask(part, slots, quick, slow)
        except Unfit:
            left.append(part)
            continue
        mask = mask & found if both else mask | found
    if left and len(left) == len(expr.parts):
        raise Unfit  # so that all of it is read in one go
    if left:
        found = slow(And(tuple(left)) if both else Or(tuple(left)))
        mask = mask & found if both else mask | found
    return mask


def _passing(connection: sqlite3.Connection, columns: dict[str, Column], test: Test) -> Mask:
    name = _name(test)
    if name is None:
        raise Unfit
    return columns[name].passing(connection, test)


def _name(test: Test) -> str | None:
    """The column of a test; None where the records themselves are read."""
    key = meta_key(test.field)
    if key is not None:
        return f"meta.{key}"
    return "source" if test.field == "source" else None


def _read_numbers(connection: sqlite3.Connection, start: int, slots: int) -> tuple[Array, Array]:
    sql = "SELECT number, slot FROM rows WHERE slot >= ? ORDER BY slot"
    pairs = seals.whole_numbers(connection.execute(sql, [start]).fetchall(), 2, slots)
    return pairs[:, 1], pairs[:, 0]


def _none() -> tuple[Array, Array]:
    return np.empty(0, np.int64), np.empty(0, np.int64)


def _looked_up(keys: Array, values: Array, wanted: Array) -> Slots:
    if not len(keys):
        return np.full(len(wanted), -1, np.int64)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], -1)


def _shown(column: Column, alive: Mask) -> Sequence[Any]:
    """All that a column says of rows that are alive; text by text, whatever their places are."""
    slots = np.arange(column.upto) if column.slots is None else column.slots
    chosen = alive[slots]
    texts = np.array([*column.texts, ""], object)
    kinds, values = column.kinds[chosen], column.values[chosen]
    said = np.where(kinds & 7 == 4, texts[np.where(kinds & 7 == 4, values, -1).astype(np.int64)], values)
    return [column.exact, slots[chosen].tolist(), kinds.tolist(), said.tolist()]
