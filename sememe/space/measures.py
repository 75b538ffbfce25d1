"""How near or far two vectors are, in six ways.

``cosine``     the angle: 1 the same direction, -1 the opposite one; 0 where a vector is all zeros
``dot``        the inner product: the angle, and the lengths too
``euclidean``  the straight way
``manhattan``  the way along the axes: the sum of the differences
``hamming``    the share of numbers that differ
``jaccard``    of the numbers that are not zero in one of the two, the share that differ; 0 where there are none

The first two grow with nearness, the others with distance.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from sememe.errors import DataError, UsageError
from sememe.shapes import Vectors
from sememe.space.space import unit_rows

Measure = Literal["cosine", "dot", "euclidean", "manhattan", "hamming", "jaccard"]
DISTANCES = frozenset({"euclidean", "manhattan", "hamming", "jaccard"})
#: numbers of the largest array that is made on the way
ROOM = 4_000_000


def check_measure(kind: str) -> None:
    """Refuse a name that is no measure's."""
    if kind not in get_args(Measure):
        raise UsageError(f'no measure is called "{kind}"', do=[f"use one of: {', '.join(get_args(Measure))}"])


def measure(a: npt.ArrayLike, b: npt.ArrayLike, kind: str = "cosine") -> Vectors:
    """Every row of ``a`` with every row of ``b``: ``(n, d)`` and ``(m, d)`` into float32 ``(n, m)``.

    Raises:
        UsageError: a measure that there is none of.
        DataError: no matrices, or widths that differ.
    """
    check_measure(kind)
    left, right = np.asarray(a, np.float32), np.asarray(b, np.float32)
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[1]:
        raise DataError("only rows of the same width can be compared", why=[f"{left.shape} and {right.shape}"])
    out: Vectors
    if kind in ("cosine", "dot"):
        out = np.clip(unit_rows(left) @ unit_rows(right).T, -1, 1) if kind == "cosine" else left @ right.T
        return out
    out = np.empty((len(left), len(right)), np.float32)
    step = max(1, ROOM // max(1, right.shape[1]))
    for row, one in enumerate(left):
        for start in range(0, len(right), step):
            out[row, start : start + step] = _apart(one, right[start : start + step], kind)
    return out


def _apart(one: Vectors, rows: Vectors, kind: str) -> npt.NDArray[np.float64]:
    """The distances of ``(d,)`` and ``(m, d)``: ``(m,)``."""
    if kind in ("euclidean", "manhattan"):
        # differences, not the square of a sum: near neighbours of long vectors would lose their last digits
        between = np.subtract(rows, one, dtype=np.float64)
        if kind == "manhattan":
            along: npt.NDArray[np.float64] = np.abs(between).sum(axis=1)
            return along
        straight: npt.NDArray[np.float64] = np.sqrt(np.einsum("md,md->m", between, between))
        return straight
    differ: npt.NDArray[np.float64] = (rows != one).sum(axis=1, dtype=np.float64)
    if kind == "hamming":
        differ /= rows.shape[1]
        return differ
    either = ((rows != 0) | (one != 0)).sum(axis=1)
    share: npt.NDArray[np.float64] = np.divide(differ, either, out=np.zeros_like(differ), where=either > 0)
    return share
