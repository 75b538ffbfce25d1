"""Other numbers for the same labels: centred, whitened, turned, cut.

Each gives a new `Space` whose provenance says what was done. Means and directions are worked out in float64.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sememe.errors import UsageError
from sememe.space.space import Space, unit_rows

Floats = npt.NDArray[np.float64]


def centred(space: Space) -> Space:
    """The mean of all rows subtracted from each."""
    return space.with_matrix(_moved(space), "centred")


def principal(space: Space, dims: int) -> Space:
    """The rows along their ``dims`` directions of most variance, the widest first (PCA)."""
    _check(space, dims)
    rows = _moved(space)
    directions = _directions(rows)[1]
    return space.with_matrix(rows @ directions[:, :dims], f"PCA to {dims} dims")


def whitened(space: Space, *, dims: int | None = None) -> Space:
    """Centred, along the directions of most variance, and of variance 1 along each.

    Raises:
        UsageError: there is no variance along one of them; ask for fewer ``dims``.
    """
    dims = space.dim if dims is None else dims
    _check(space, dims)
    rows = _moved(space)
    values, directions = _directions(rows)
    if values[dims - 1] <= values[0] * 1e-12:
        there = int((values > values[0] * 1e-12).sum())
        raise UsageError(f"the rows vary along {there} directions, not along {dims}", do=[f"use dims={there} at most"])
    return space.with_matrix(rows @ (directions[:, :dims] / np.sqrt(values[:dims])), f"whitened to {dims} dims")


def without_top(space: Space, count: int | None = None) -> Space:
    """Centred, and without what lies along the ``count`` directions of most variance: all but the top (Mu and
    Viswanath, 2018), who take a hundredth of the width, which None stands for."""
    count = max(1, space.dim // 100) if count is None else count
    if not 0 <= count < space.dim:
        raise UsageError(f"{count} of {space.dim} directions cannot be taken away")
    rows = _moved(space)
    top = _directions(rows)[1][:, :count]
    return space.with_matrix(rows - (rows @ top) @ top.T, f"without the top {count} directions")


def projected(space: Space, dims: int, *, seed: int = 0) -> Space:
    """Along ``dims`` random directions, which keeps distances about as they are; the same seed gives the same."""
    _check(space, dims, most=None)
    directions = np.random.default_rng(seed).normal(size=(space.dim, dims)) / np.sqrt(dims)
    return space.with_matrix(space.matrix.astype(np.float64) @ directions, f"random projection to {dims}, seed {seed}")


def cut(space: Space, dims: int) -> Space:
    """The first ``dims`` numbers of each row, at unit length: for vectors that were trained for it (Matryoshka)."""
    _check(space, dims)
    return space.with_matrix(unit_rows(space.matrix[:, :dims]), f"cut to {dims} dims")


def _check(space: Space, dims: int, most: int | None = 0) -> None:
    limit = space.dim if most == 0 else most
    if dims < 1 or (limit is not None and dims > limit):
        raise UsageError(f"{dims} dims cannot be made of {space.dim}")
    if not len(space):
        raise UsageError("the space is empty")


def _moved(space: Space) -> Floats:
    if not len(space):
        raise UsageError("the space is empty")
    rows = space.matrix.astype(np.float64)
    rows -= rows.mean(axis=0)
    return rows


def _directions(rows: Floats) -> tuple[Floats, Floats]:
    """Variances ``(d,)`` and directions ``(d, d)``, a column each, the widest first; of a direction's two signs the one
    whose largest number is positive."""
    values, columns = np.linalg.eigh(rows.T @ rows / len(rows))
    values, columns = np.maximum(values[::-1], 0), columns[:, ::-1]
    largest = columns[np.abs(columns).argmax(axis=0), np.arange(columns.shape[1])]
    return values, columns * np.where(largest < 0, -1, 1)
