"""Two spaces made one: turned onto each other (languages, years), compared without hubs, joined side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sememe.errors import UsageError
from sememe.shapes import Vectors
from sememe.space.nearest import Near, nearest_rows
from sememe.space.space import Space, unit_rows

Floats = npt.NDArray[np.float64]


def procrustes(source: npt.ArrayLike, target: npt.ArrayLike) -> Floats:
    """The rotation (or mirroring) ``(d, d)`` that brings the rows of ``source`` nearest to those of ``target``, both
    ``(n, d)``: ``source @ rotation`` (Schönemann, 1966)."""
    left, right = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if left.shape != right.shape or left.ndim != 2 or not len(left):
        raise UsageError("pairs of rows of one width are needed", why=[f"{left.shape} and {right.shape}"])
    u, _, v = np.linalg.svd(left.T @ right)
    rotation: Floats = u @ v
    return rotation


def aligned(source: Space, target: Space, pairs: Sequence[tuple[str, str]] | None = None) -> Space:
    """``source`` at unit length, turned onto ``target`` by pairs of labels; None: by the labels that both have.

    Raises:
        UsageError: no pairs, a label that is not there, or widths that differ.
    """
    if source.dim != target.dim:
        raise UsageError("spaces of different widths cannot be turned", why=[f"{source.dim} and {target.dim} dims"])
    chosen = [(label, label) for label in source.labels if label in target] if pairs is None else list(pairs)
    if not chosen:
        raise UsageError("there are no pairs to turn one space onto the other by")
    left = source.units[source.places([one for one, _ in chosen])]
    right = target.units[target.places([other for _, other in chosen])]
    turned = source.units.astype(np.float64) @ procrustes(left, right)
    return source.with_matrix(turned, f"turned by {len(chosen)} pairs")


def translations(
    source: Space, target: Space, words: Sequence[str], k: int = 1, *, around: int = 10
) -> list[list[Near]]:
    """For each word of ``source`` the ``k`` labels of ``target`` by CSLS (Conneau and others, 2018): twice the cosine,
    less how near each of the two is to its ``around`` nearest on the other side, so that hubs are not always best."""
    vectors = source.units[source.places(words)]
    own = nearest_rows(target, vectors, around)[1].mean(axis=1)
    theirs = nearest_rows(source, target.units, around)[1].mean(axis=1)
    scores: Vectors = 2 * (vectors @ target.units.T) - own[:, None] - theirs[None, :]
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return [
        [Near(target.labels[at], float(row[at])) for at in best]
        for row, best in zip(scores, order.tolist(), strict=True)
    ]


def joined(one: Space, other: Space) -> Space:
    """The labels that both have, with the unit rows of both side by side, each weighing the same.

    Raises:
        UsageError: they have none in common.
    """
    labels = tuple(label for label in one.labels if label in other)
    if not labels:
        raise UsageError("the two spaces have no label in common")
    sides = [space.units[space.places(labels)] for space in (one, other)]
    told = {"joined": " and ".join(space.provenance.get("source", "a space") for space in (one, other))}
    return Space(labels, unit_rows(np.concatenate(sides, axis=1)), told)
