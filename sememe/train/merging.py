"""Copies of a model, learned apart, made one again: the way to many threads and the same bits each time."""

from __future__ import annotations

from typing import Any

from numba import njit


@njit(nogil=True, cache=True)
def merge(matrix: Any, copies: Any, first: int, last: int) -> None:
    """Rows ``first`` to ``last`` of ``matrix`` move by what the ``copies`` ``(threads, n, dims)`` moved, summed and
    divided by the root of how many moved at all; the copies become equal to it.

    The sum alone goes too far where many threads saw the same row, their mean not far enough.
    """
    for row in range(first, last):
        changed = 0
        for copy in range(copies.shape[0]):
            for d in range(matrix.shape[1]):
                if copies[copy, row, d] != matrix[row, d]:
                    changed += 1
                    break
        if changed == 0:
            continue
        for d in range(matrix.shape[1]):
            old, moved = matrix[row, d], 0.0
            for copy in range(copies.shape[0]):
                moved += copies[copy, row, d] - old
            matrix[row, d] = old + moved / changed**0.5
            for copy in range(copies.shape[0]):
                copies[copy, row, d] = matrix[row, d]
