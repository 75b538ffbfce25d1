"""What every kind of index promises: it proposes the rows that are worth scoring.

The rows that an index proposes are scored from the vector file, in float64, as in a scan of all of them: an index that
is wrong can hide a hit, never invent one or change a score. It is derived from the vector file alone. Slot ``i`` of a
vector file never changes, so an index only grows; which slots are alive, and which a reader's state has, is said by a
mask when it is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sememe.shapes import Vectors
from sememe.store import scan
from sememe.store.scan import Floats64, Mask, Slots
from sememe.store.vector_type import Kept


class Shortlist(Protocol):
    """An index of the first ``len`` slots of one vector file. Safe to share between threads.

    ``odd`` are the slots of which it knows nothing: vectors of no length, of one beyond what float32 can multiply, or
    damaged ones. They belong on every shortlist.
    """

    odd: Slots

    def __len__(self) -> int:
        """How many slots it has."""

    def extend(self, vectors: Kept) -> None:
        """Take in the slots of ``vectors`` ``(slots, dim)`` that it does not have yet."""

    def nearest(self, queries: Floats64, wide: int, slots: int, allowed: Mask | None) -> list[Slots]:
        """For each query the ``wide`` slots that look best, best first; fewer where it finds no more.

        Args:
            queries: float64 ``(q, dim)``, unit rows.
            slots: only the slots before this one exist for the reader.
            allowed: bool ``(slots,)``, which of them may answer; None for all.
        """

    def as_bytes(self) -> tuple[int, Slots, bytes]:
        """How many slots, the odd ones among them, and what is to be kept in a file."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of index: how it is made, and how it is read again.

    ``widest``: the largest dim that it takes. ``least``: the share of the slots that must be allowed to answer; with
    fewer, reading those is quicker. ``repeats``: whether the same vectors always give the same bytes. ``read`` raises
    ValueError unless it is safe to search in what the bytes say, whoever wrote them; of the vectors it is given
    those that were indexed.
    """

    name: str
    file: str
    form: str
    widest: int
    least: float
    repeats: bool
    empty: Callable[[int], Shortlist]
    read: Callable[[bytes, Slots, Kept], Shortlist]

    def check(self) -> None:
        """Raises MissingExtraError where what it needs is not installed."""
        self.empty(8)


def unit_rows(block: Vectors, width: int) -> tuple[Vectors, Slots]:
    """The rows of ``block`` ``(n, dim)`` at length 1, as float32 ``(n, width)`` with zeros behind, and the places of
    the odd ones, which are zeros altogether."""
    lengths = scan.norms(block)
    odd = ~((lengths >= scan.ODD[0]) & (lengths <= scan.ODD[1]))
    rows = np.zeros((len(block), width), np.float32)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        rows[:, : block.shape[1]] = block / lengths[:, np.newaxis]
    rows[odd] = 0
    return rows, np.flatnonzero(odd)


def mask_over(held: int, slots: int, allowed: Mask | None) -> Mask | None:
    """Which of the ``held`` slots of an index may answer a reader that has ``slots`` of them; None for all."""
    if held == slots:
        return allowed
    mask = np.zeros(held, bool)
    mask[:slots] = True if allowed is None else allowed
    return mask
