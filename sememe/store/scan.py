"""Exact dense search over the mapped vectors.

The scan itself is a float32 matrix product, whose last digits depend on where in a block a row stands. So it only makes
a shortlist, wide enough for any rounding; the shortlist is then scored again in float64, row by row. Equal rows get
equal scores wherever they stand, and ties are ties.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sememe.shapes import Vectors
from sememe.store.vector_type import Kept

Slots = npt.NDArray[np.int64]
Floats64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: numbers of one block of rows: 4 MB, so that it is still in the cache when the norms are taken
BLOCK = 1 << 20
#: numbers of the table of scores; more queries than fit are taken in turns
TABLE = 1 << 24
#: the share of rows from which on a filtered scan reads all of them
GATHER = 0.25
#: float32 products of vectors outside of these lengths may overflow or vanish: such rows are always scored exactly
ODD = (1e-12, 1e12)


def norms(vectors: Kept, first: int = 0) -> Vectors:
    """The length of each row from ``first`` on, good to float32: ``(n - first,)``; infinite where its square is."""
    n, dim = vectors.shape
    out = np.empty(n - first, np.float32)
    step = max(1, BLOCK // max(dim, 1))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for start in range(first, n, step):
            block = vectors[start : start + step]
            out[start - first : start - first + step] = np.sqrt(np.einsum("ij,ij->i", block, block))
    return out


def cosines(vectors: Kept, slots: Slots, query: Floats64) -> Vectors:
    """The cosine of ``query`` ``(dim,)``, of unit length or zero, with each of ``slots``; 0 with a zero vector, NaN
    with one that holds NaN or infinity."""
    out = np.zeros(len(slots), np.float32)
    step = max(1, BLOCK // max(vectors.shape[1], 1))
    for start in range(0, len(slots), step):
        rows = vectors[slots[start : start + step]].astype(np.float64)
        # Row by row over the last axis: the order of the sum does not depend on the row's place.
        products, lengths = (rows * query).sum(axis=1), np.sqrt((rows * rows).sum(axis=1))
        ratio = np.divide(products, lengths, out=np.zeros_like(products), where=lengths != 0)
        out[start : start + step] = np.clip(ratio, -1, 1)
    return out


def unit(queries: Vectors) -> Floats64:
    """float64 rows of length 1; a zero row stays zero."""
    rows = queries.astype(np.float64)
    lengths = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    out: Floats64 = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return out


def shortlists(vectors: Kept, lengths: Vectors, allowed: Mask | None, queries: Floats64, k: int) -> list[Slots]:
    """For each query the slots that may be among its best ``k``: all of these and few others.

    Args:
        vectors: float32 ``(n, dim)``, mapped.
        lengths: float32 ``(n,)``, the norms.
        allowed: bool ``(n,)``, which slots may answer; None for all.
        queries: float64 ``(q, dim)``, unit rows.
    """
    chosen = None if allowed is None else np.flatnonzero(allowed)
    total = len(vectors) if chosen is None else len(chosen)
    if k >= total:
        return [np.arange(total) if chosen is None else chosen] * len(queries)
    if chosen is not None and total > GATHER * len(vectors):
        chosen = None  # reading all rows in order beats picking out most of them
    # A float32 product is off by at most dim roundings, the length by half as many, and both sides of the comparison
    # may be; eps is two roundings.
    slack = np.float32((1.5 * vectors.shape[1] + 8) * np.finfo(np.float32).eps)
    ours = lengths if chosen is None else lengths[chosen]
    odd = np.flatnonzero((ours < ODD[0]) | (ours > ODD[1]))
    closed = np.flatnonzero(~allowed) if allowed is not None and chosen is None else np.empty(0, np.int64)
    with np.errstate(divide="ignore"):
        scale = np.float32(1) / ours
    scale[odd] = 0
    found: list[Slots] = []
    turn = max(1, TABLE // len(ours))
    for start in range(0, len(queries), turn):
        table = _products(vectors, chosen, queries[start : start + turn].astype(np.float32).T)
        table[:, odd] = 0
        table *= scale
        table[:, odd] = np.inf  # among the best, whatever they are; room is made for them below
        table[:, closed] = -np.inf
        for scores in table:
            wide = min(total, k + len(odd))
            bound = np.partition(scores, len(scores) - wide)[len(scores) - wide] - slack
            places = np.flatnonzero(scores >= bound)
            found.append(places if chosen is None else chosen[places])
    return found


def _products(vectors: Kept, chosen: Slots | None, queries: Vectors) -> Vectors:
    """float32 ``(q, n)``: each query ``(dim, q)`` with each chosen row, block by block."""
    n = len(vectors) if chosen is None else len(chosen)
    table = np.empty((queries.shape[1], n), np.float32)
    step = max(1, BLOCK // max(vectors.shape[1], 1))
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for start in range(0, n, step):
            rows = vectors[start : start + step] if chosen is None else vectors[chosen[start : start + step]]
            table[:, start : start + step] = (rows @ queries).T
    return table
