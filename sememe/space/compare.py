"""How two spaces of the same labels differ, and how one space is spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sememe.errors import UsageError
from sememe.space.nearest import Near, nearest_rows
from sememe.space.space import Places, Space


@dataclass(frozen=True, slots=True)
class Difference:
    """Of ``labels`` common labels: ``overlap``, the mean share of the ``k`` nearest that are the same; ``cka``, linear
    centred kernel alignment, 1 for spaces that are turned or stretched forms of each other; ``moved``, the labels whose
    neighbours changed most, with the share that stayed."""

    labels: int
    k: int
    overlap: float
    cka: float
    moved: tuple[Near, ...]


def difference(one: Space, other: Space, *, k: int = 10, most: int = 20) -> Difference:
    """Compare two spaces by the labels that both have; their widths need not agree.

    Raises:
        UsageError: fewer than three labels in common.
    """
    labels = [label for label in one.labels if label in other]
    if len(labels) < 3:
        raise UsageError("spaces are compared by three labels or more that both have", why=[f"there are {len(labels)}"])
    left, right = one.take(labels), other.take(labels)
    near = min(k, len(labels) - 1)
    shares = np.array(
        [len(set(a) & set(b)) / near for a, b in zip(_others(left, near), _others(right, near), strict=True)]
    )
    order = np.argsort(shares, kind="stable")[:most]
    moved = tuple(Near(labels[row], float(shares[row])) for row in order)
    return Difference(len(labels), near, float(shares.mean()), cka(left, right), moved)


def cka(one: Space, other: Space) -> float:
    """Linear centred kernel alignment of rows that belong to each other (Kornblith and others, 2019), 0 to 1."""
    if len(one) != len(other):
        raise UsageError("as many rows of one space as of the other are needed", why=[f"{len(one)} and {len(other)}"])
    x, y = (space.matrix - space.matrix.mean(axis=0, dtype=np.float64) for space in (one, other))
    both, left, right = (float(np.square(a.T @ b).sum()) for a, b in ((x, y), (x, x), (y, y)))
    return both / float(np.sqrt(left * right)) if left and right else 0.0


def isotropy(space: Space) -> float:
    """How evenly the rows point everywhere: 1 less the length of their mean direction; 0 for rows all alike."""
    return 1 - float(np.linalg.norm(space.units.mean(axis=0, dtype=np.float64)))


def hubness(space: Space, k: int = 10) -> float:
    """The skewness of how often a label is among the ``k`` nearest of others: 0 is even, above 1 there are hubs."""
    counts = np.bincount(_others(space, min(k, len(space) - 1)).ravel(), minlength=len(space)).astype(np.float64)
    spread = counts.std()
    return float((((counts - counts.mean()) / spread) ** 3).mean()) if spread > 0 else 0.0


def intrinsic_dim(space: Space) -> float:
    """About how many directions the rows really vary along: TwoNN (Facco and others, 2017), from the distances to the
    nearest and the second nearest row. Rows that are there twice are left out.

    Raises:
        UsageError: fewer than three different rows.
    """
    scores = -nearest_rows(space, space.matrix, 3, kind="euclidean")[1].astype(np.float64)
    if scores.shape[1] < 3 or not (scores[:, 1] > 0).any():
        raise UsageError("three different rows or more are needed")
    apart = scores[scores[:, 1] > 0]
    ratios = np.sort(np.log(apart[:, 2] / apart[:, 1]))[: max(1, int(0.9 * len(apart)))]  # the far end is noise
    ranks = -np.log1p(-np.arange(1, len(ratios) + 1) / (len(apart) + 1))
    total = float((ratios * ratios).sum())
    return float((ratios * ranks).sum() / total) if total else float("inf")


def _others(space: Space, k: int) -> Places:
    """The ``k`` nearest of every row without itself: ``(n, k)``."""
    places = nearest_rows(space, space.matrix, k + 1)[0]
    own = places == np.arange(len(space))[:, None]
    own[~own.any(axis=1), -1] = True  # behind more than k equal ones: the last goes
    others: Places = places[~own].reshape(len(space), k)
    return others
