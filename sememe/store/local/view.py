"""What a search sees: one committed state, with the vectors mapped, and what is worked out from them when it is needed.

The mapping, the lengths and the rows that a filter lets through are kept from one search to the next as long as the
state is the same; the lengths and the index as long as the vector file is, and what was appended since is added.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from sememe.errors import DamagedError
from sememe.shapes import Scalar, Vectors
from sememe.store import scan
from sememe.store.filter_sql import Sql as Compiled
from sememe.store.filter_tree import Expr
from sememe.store.local import seals, vector_file
from sememe.store.local.columns import Columns, Numbers, Stands, slots_of
from sememe.store.local.keeper import Keeper
from sememe.store.local.shortlist import Shortlist
from sememe.store.vector_type import Kept

#: rows that the centroid is taken over, at least this many where there are more; and how many are few
SAMPLE, FEW = 2048, 10
#: filters of one state whose rows are remembered
FILTERS = 8

#: a filter as SQL with its values
Sql = tuple[str, tuple[Scalar, ...]]


@dataclass(frozen=True, slots=True)
class State:
    """The one row of the table ``state``."""

    change: int
    slots: int
    live: int
    vectors: str
    log_from: int


def state_of(connection: sqlite3.Connection) -> State:
    """The state that the transaction sees.

    Raises:
        DamagedError: it is not what was written.
    """
    sealed = f"SELECT change, slots, live, vectors, log_from, seal = {seals.STATE_SEAL} FROM state"
    found = connection.execute(sealed).fetchone()
    if found is None or found[-1] != 1:
        raise DamagedError("the state of the records is not what was written", do=[seals.REMEDY])
    return State(*found[:-1])


@dataclass(frozen=True, slots=True)
class Allowed:
    """The ``count`` rows that may answer, as a mask over the slots; None where every slot is one of them. ``chosen``
    says whether a filter chose them, or they are all that are alive."""

    mask: scan.Mask | None
    count: int
    chosen: bool


@dataclass(frozen=True)
class View:
    """One state: ``vectors`` ``(slots, dim)``; ``open`` bool ``(slots,)`` saying which slots hold a row that is
    alive, None when all do; ``known`` the lengths of the first rows, from an earlier view."""

    state: State
    vectors: Kept
    open: scan.Mask | None
    known: Vectors
    keeper: Keeper
    columns: Columns
    passed: dict[Sql, Allowed] = field(default_factory=dict)
    proof: seals.Proof = field(default_factory=seals.Proof)
    _numbers: list[Numbers] = field(default_factory=list)

    @cached_property
    def lengths(self) -> Vectors:
        """float32 ``(slots,)``.

        Raises:
            DamagedError: a row that is alive holds what was never put there.
        """
        lengths = np.concatenate([self.known, scan.norms(self.vectors, len(self.known))])
        odd = np.flatnonzero(~np.isfinite(lengths) & (True if self.open is None else self.open))
        if not np.isfinite(self.vectors[odd]).all():
            raise DamagedError(
                f"{self.state.vectors} holds vectors that are no numbers",
                do=["repair the collection; it names the items that are touched"],
            )
        return lengths

    def prove(self, connection: sqlite3.Connection) -> None:
        """Compare every vector once with its checksum where a search reads them all anyway; where an index spares it
        that, only what it finds is compared.

        Raises:
            DamagedError: a vector is not what was written.
        """
        if self.vectors.size < self.keeper.numbers:
            self.proof.of(connection, (self.state.vectors, self.state.log_from), self.vectors, self.open)

    def index(self) -> Shortlist | None:
        """The index of all slots, and perhaps of later ones; None where a scan is as good."""
        return self.keeper.of(self.stands.origin, self.state.change, self.vectors)

    @property
    def stands(self) -> Stands:
        """What the columns of its fields have to be of."""
        origin = self.keeper.origin(self.state.vectors, self.state.log_from)
        return Stands(origin, self.state.slots, self.state.change)

    def allowed(self, connection: sqlite3.Connection, where: Compiled | None, expr: Expr | None) -> Allowed:
        """The rows that a filter lets through, given as SQL and as the tree that it was; remembered for the last few
        filters."""
        if where is None or expr is None:
            return Allowed(self.open, self.state.live, False)
        key = (where[0], tuple(where[1]))
        found = self.passed.get(key)
        if found is None:
            mask = self.columns.passing(connection, self.stands, expr)
            if mask is None:
                mask = np.zeros(self.state.slots, bool)
                mask[slots_of(connection, self.state.slots, expr)] = True
            elif self.open is not None:
                mask = mask & self.open
            found = Allowed(mask, int(np.count_nonzero(mask)), True)
            while len(self.passed) >= FILTERS:
                with suppress(KeyError, RuntimeError):  # another thread may be as far
                    del self.passed[next(iter(self.passed))]
            self.passed[key] = found
        return found

    def numbers(self, connection: sqlite3.Connection) -> Numbers:
        """Slots and row numbers, of all rows that are alive at least; ``connection`` must see this state."""
        found = self._numbers
        if not found:
            found.append(self.columns.numbers(connection, self.stands))
        return found[0]

    def forget(self) -> None:
        """Let go of what the columns have said."""
        self.passed.clear()
        self._numbers.clear()

    def save(self, connection: sqlite3.Connection) -> None:
        """Bring the files of the index and of the columns up to date if they lack much."""
        self.keeper.save(self.stands.origin, self.state.change, self.vectors)
        self.columns.save(connection, self.stands)

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

    def __init__(self, folder: Path, dim: int, keeper: Keeper) -> None:
        self.folder, self.dim, self.keeper = folder, dim, keeper
        self.columns = Columns(folder, writable=keeper.writable)
        self._guard, self.proof = threading.Lock(), seals.Proof()
        self._last: View | None = None

    def of(self, connection: sqlite3.Connection) -> View:
        """The view of the state that ``connection``'s transaction sees.

        Raises:
            FileNotFoundError: the vector file has just been replaced by a compaction, or is lost.
            DamagedError: it is too short.
        """
        state = state_of(connection)
        with self._guard:
            last = self._last
        if last is not None and last.state == state:
            return last
        vectors = vector_file.mapped(self.folder / state.vectors, state.slots, self.dim)
        known = np.empty(0, np.float32)
        if last is not None and last.state.vectors == state.vectors and last.state.log_from == state.log_from:
            known = last.__dict__.get("lengths", last.known)[: state.slots]
        view = View(state, vectors, self._open(connection, state), known, self.keeper, self.columns, proof=self.proof)
        with self._guard:
            if self._last is None or self._last.state.change <= state.change:
                self._last = view
        return view

    def _open(self, connection: sqlite3.Connection, state: State) -> scan.Mask | None:
        if state.slots == state.live:
            return None
        mask = np.ones(state.slots, bool)
        free = seals.whole_numbers(connection.execute("SELECT slot FROM free").fetchall(), 1, state.slots)
        mask[free[:, 0]] = False
        if np.count_nonzero(mask) != state.live:
            raise DamagedError("the list of free slots is not what was written", do=[seals.REMEDY])
        return mask

    def forget(self) -> None:
        """Let go of the mapping, of the index and of the columns."""
        with self._guard:
            self._last = None
        self.keeper.forget()
        self.columns.forget()

    def discard(self) -> None:
        """Let go of everything that is derived, the files too."""
        self.forget()
        self.keeper.remove()
        self.columns.remove()
