"""The nearest rows of a space, exactly: every row is looked at, in blocks that the processor multiplies as matrices."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sememe.errors import DataError, UsageError
from sememe.shapes import Vectors
from sememe.space.measures import DISTANCES, check_measure, measure
from sememe.space.space import Places, Space, unit_rows

#: rows and queries that are multiplied at a time: 16 MB of scores
ROWS, QUERIES = 16384, 256


class Near(NamedTuple):
    """A label, and how near it is: bigger is nearer. For a measure of distance it is the distance below zero."""

    label: str
    score: float


def nearest(
    space: Space, query: str | npt.ArrayLike, k: int = 10, *, kind: str = "cosine", leave_out: Collection[str] = ()
) -> list[Near]:
    """The ``k`` labels nearest to a label, which is left out itself, or to a vector ``(d,)``.

    ``leave_out`` are labels that no answer is made of. Equally near ones come in the order of the rows.

    Raises:
        UsageError: an unknown label or measure.
        DataError: a vector of another width.
    """
    if isinstance(query, str):
        return nearest_many(space, [query], k, kind=kind, leave_out=leave_out)[0]
    return nearest_many(space, np.asarray(query, np.float32)[None], k, kind=kind, leave_out=leave_out)[0]


def nearest_many(
    space: Space,
    queries: Sequence[str] | npt.ArrayLike,
    k: int = 10,
    *,
    kind: str = "cosine",
    leave_out: Collection[str] = (),
) -> list[list[Near]]:
    """`nearest` of many labels, or of the rows of a matrix ``(q, d)``: much faster than one after the other."""
    own: list[set[int]]
    _check_count(k)
    if isinstance(queries, str):
        raise UsageError("a list of labels is needed, not one string", do=["put it in brackets: [label]"])
    if isinstance(queries, (list, tuple)) and any(isinstance(query, str) for query in queries):
        vectors = space.vectors(queries)
        # a word that is no label has its vector from its parts, and no row to leave out
        own = [{space.place(query)} if query in space else set() for query in queries]
    else:
        vectors = np.asarray(queries, np.float32)
        own = [set()] * len(vectors)
    without = set(space.places(list(leave_out)).tolist())
    hidden = [without | rows for rows in own]
    wanted = k + max(map(len, hidden), default=0)
    places, scores = nearest_rows(space, vectors, wanted, kind=kind)
    found = []
    for rows, values, gone in zip(places.tolist(), scores.tolist(), hidden, strict=True):
        kept = [(row, value) for row, value in zip(rows, values, strict=True) if row not in gone]
        found.append([Near(space.labels[row], value) for row, value in kept[:k]])
    return found


def nearest_rows(space: Space, vectors: Vectors, k: int, *, kind: str = "cosine") -> tuple[Places, Vectors]:
    """Rows and scores of the ``k`` nearest of each of ``(q, d)``: int64 and float32 ``(q, k)``, the nearest first.

    ``k`` above the size of the space gives all of it. Of equal scores the earlier row comes first.
    """
    check_measure(kind)
    _check_count(k)
    if vectors.ndim != 2 or vectors.shape[1] != space.dim:
        raise DataError("queries do not fit the space", why=[f"{vectors.shape}, the space has {space.dim} dims"])
    if not np.isfinite(vectors).all():
        raise DataError("a query holds NaN or infinity")
    k = min(k, len(space))
    places = np.empty((len(vectors), k), np.int64)
    scores = np.empty((len(vectors), k), np.float32)
    for start in range(0, len(vectors), QUERIES):
        block = slice(start, start + QUERIES)
        places[block], scores[block] = _best(space, vectors[block], k, kind)
    return places, scores


def _best(space: Space, vectors: Vectors, k: int, kind: str) -> tuple[Places, Vectors]:
    """The best of each block of rows join the best so far; ``(q, k)`` twice."""
    rows = space.units if kind == "cosine" else space.matrix
    queries = unit_rows(vectors) if kind == "cosine" else vectors
    places = np.empty((len(queries), 0), np.int64)
    scores = np.empty((len(queries), 0), np.float32)
    for start in range(0, len(space), ROWS):
        block = scores_of(queries, rows[start : start + ROWS], kind)
        at = _top(block, k)
        # rows so far stand before those of this block, so that the stable sort keeps their order among equals
        places = np.concatenate([places, at + start], axis=1)
        scores = np.concatenate([scores, np.take_along_axis(block, at, axis=1)], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        places, scores = np.take_along_axis(places, order, axis=1), np.take_along_axis(scores, order, axis=1)
    return places, scores


def scores_of(queries: Vectors, rows: Vectors, kind: str) -> Vectors:
    """Bigger is nearer, float32 ``(q, n)``; for ``cosine`` both must be of unit length already."""
    if kind in ("cosine", "dot"):
        return queries @ rows.T
    far = measure(queries, rows, kind)
    return -far if kind in DISTANCES else far


def _top(scores: Vectors, k: int) -> Places:
    """The places of the ``k`` largest of each row, in ascending order of place; of equals the earlier."""
    n = scores.shape[1]
    if k >= n:
        return np.broadcast_to(np.arange(n), scores.shape).copy()
    if k == 0:
        return np.empty((len(scores), 0), np.int64)
    edge = np.partition(scores, n - k, axis=1)[:, n - k : n - k + 1]
    places = np.empty((len(scores), k), np.int64)
    for row in range(len(scores)):
        above = np.flatnonzero(scores[row] > edge[row])
        equal = np.flatnonzero(scores[row] == edge[row])[: k - len(above)]
        places[row] = np.sort(np.concatenate([above, equal]))
    return places


def _check_count(k: int) -> None:
    if k < 0:
        raise UsageError(f"{k} neighbours cannot be asked for")


def nearest_rows_slow(space: Space, vectors: Vectors, k: int, *, kind: str = "cosine") -> tuple[Places, Vectors]:
    """The same as `nearest_rows`, as one would write it first: all scores, all sorted."""
    far = measure(vectors, space.matrix, kind)
    scores = -far if kind in DISTANCES else far
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(scores, order, axis=1)
