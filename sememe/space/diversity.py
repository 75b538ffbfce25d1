"""An order in which neighbours differ: maximal marginal relevance (Carbonell and Goldstein, 1998)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sememe.errors import DataError, UsageError

Floats = npt.NDArray[np.float64]


def diverse(vectors: npt.ArrayLike, relevance: npt.ArrayLike, amount: float, *, count: int | None = None) -> list[int]:
    """The places of rows in the order in which they are picked: each time the one with the most of
    ``(1 - amount) * relevance - amount * nearest``, where ``nearest`` is its highest cosine with any row picked before.

    Args:
        vectors: ``(n, dim)``; their lengths do not matter, and a zero vector is like nothing.
        relevance: ``(n,)``, on a scale that can be weighed against cosines: about 0 to 1.
        amount: from 0, relevance alone, to 1, after the first row difference alone. Ties go to the earlier row.
        count: how many to pick; None: all.

    Raises:
        UsageError: an amount outside of 0 … 1.
        DataError: not as many numbers as rows, or some that are none.
    """
    rows, worth = np.asarray(vectors, np.float64), np.asarray(relevance, np.float64)
    if not 0 <= amount <= 1:
        raise UsageError(f"diversity is from 0 (only relevance) to 1 (only difference), not {amount!r}")
    if rows.ndim != 2 or worth.shape != rows.shape[:1]:
        raise DataError(f"{worth.shape} numbers of relevance do not fit vectors of the shape {rows.shape}")
    if not (np.isfinite(rows).all() and np.isfinite(worth).all()):
        raise DataError("vectors or relevance hold NaN or infinity")
    unit = _unit(rows)
    open_, nearest = np.ones(len(rows), bool), np.zeros(len(rows))
    order: list[int] = []
    for _ in range(len(rows) if count is None else min(count, len(rows))):
        value = (1 - amount) * worth - amount * nearest
        pick = int(np.argmax(np.where(open_, value, -np.inf)))  # the first of equals
        closeness = (unit * unit[pick]).sum(axis=1)
        nearest = np.maximum(nearest, closeness) if order else closeness
        open_[pick] = False
        order.append(pick)
    return order


def _unit(rows: Floats) -> Floats:
    # Divide by the largest number first: squares of very large or very small ones leave float64.
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0)
    scaled = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)
    lengths = np.sqrt((scaled * scaled).sum(axis=1, keepdims=True))
    out: Floats = np.divide(scaled, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return out
