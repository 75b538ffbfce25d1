"""What a search sees: one committed state, with the vectors mapped and their lengths at hand.

The mapping and the lengths are kept from one search to the next as long as the vector file is the same; what was
appended since is added to them.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sememe.errors import DamagedError
from sememe.shapes import Place, Record, Scalar, Vectors
from sememe.store.local import scan, vector_file

#: rows that the centroid is taken over, at least this many where there are more; and how many are few
SAMPLE, FEW = 2048, 10
COLUMNS = "source, first, last, unit, title, item, span_start, span_end, hash, meta, text"


@dataclass(frozen=True, slots=True)
class State:
    """The one row of the table ``state``."""

    change: int
    slots: int
    live: int
    vectors: str
    log_from: int


def state_of(connection: sqlite3.Connection) -> State:
    """The state that the transaction sees."""
    return State(*connection.execute("SELECT change, slots, live, vectors, log_from FROM state").fetchone())


@dataclass(frozen=True)
class View:
    """One state: ``vectors`` float32 ``(slots, dim)``, ``lengths`` float32 ``(slots,)``, ``open`` bool ``(slots,)``
    saying which slots hold a row that is alive, None when all do."""

    state: State
    vectors: Vectors
    lengths: Vectors
    open: scan.Mask | None

    @cached_property
    def centroid(self) -> scan.Floats64:
        """About the mean of all rows as unit vectors, float64 ``(dim,)``: with a query, the cosine that is usual. Of
        few rows less, for they say little about what is usual."""
        slots = np.arange(self.state.slots) if self.open is None else np.flatnonzero(self.open)
        chosen = slots[:: max(1, len(slots) // SAMPLE)]
        out: scan.Floats64 = scan.unit(self.vectors[chosen]).sum(axis=0) / (len(chosen) + FEW)
        return out


class Views:
    """The last view of a folder, brought up to date on demand."""

    def __init__(self, folder: Path, dim: int) -> None:
        self.folder, self.dim = folder, dim
        self._guard = threading.Lock()
        self._last: View | None = None

    def of(self, connection: sqlite3.Connection) -> View:
        """The view of the state that ``connection``'s transaction sees.

        Raises:
            FileNotFoundError: the vector file has just been replaced by a compaction, or is lost.
            DamagedError: it is too short, or holds what was never put there.
        """
        state = state_of(connection)
        with self._guard:
            last = self._last
        if last is not None and last.state == state:
            return last
        vectors = vector_file.mapped(self.folder / state.vectors, state.slots, self.dim)
        known = np.empty(0, np.float32)
        if last is not None and last.state.vectors == state.vectors:
            known = last.lengths[: state.slots]
        lengths = np.concatenate([known, scan.norms(vectors[len(known) :])])
        opened = self._open(connection, state)
        odd = np.flatnonzero(~np.isfinite(lengths) & (True if opened is None else opened))
        if not np.isfinite(vectors[odd]).all():
            raise DamagedError(
                f"{state.vectors} holds vectors that are no numbers",
                do=["repair the collection; it names the items that are touched"],
            )
        view = View(state, vectors, lengths, opened)
        with self._guard:
            if self._last is None or self._last.state.change <= state.change:
                self._last = view
        return view

    def _open(self, connection: sqlite3.Connection, state: State) -> scan.Mask | None:
        if state.slots == state.live:
            return None
        mask = np.ones(state.slots, bool)
        mask[[slot for (slot,) in connection.execute("SELECT slot FROM free")]] = False
        return mask

    def forget(self) -> None:
        """Let go of the mapping."""
        with self._guard:
            self._last = None


def record_of(row: Sequence[Any]) -> Record:
    """A record from the values of `COLUMNS`."""
    source, first, last, unit, title, item, start, end, digest, meta, text = row
    return Record(
        text=text,
        place=Place(source, first, last, unit),
        title=title,
        item=item,
        span=(start, end),
        hash=digest,
        meta=json.loads(meta),
    )


def _plain(value: Scalar | Sequence[Scalar]) -> Scalar | list[Scalar]:
    return value if value is None or isinstance(value, (str, int, float)) else list(value)


def row_of(record: Record) -> tuple[Scalar, ...]:
    """The values of `COLUMNS`."""
    place = record.place
    plain = {key: _plain(value) for key, value in record.meta.items()}
    meta = json.dumps(plain, ensure_ascii=False, allow_nan=False)
    where = (place.source, place.start, place.end, place.unit)
    return (*where, record.title, record.item, *record.span, record.hash, meta, record.text)
