"""Cosine similarity, the angle between directions: 1 the same, 0 unrelated, -1 opposite."""

from __future__ import annotations

from typing import Any, overload

import numpy as np
import numpy.typing as npt

from sememe.errors import DataError

Floats = npt.NDArray[np.float64]
#: rows of the result that are made at a time, so that float64 never holds a large result twice
BLOCK = 1024


@overload
def similarity(a: list[float], b: list[float]) -> float: ...
@overload
def similarity(a: npt.ArrayLike, b: npt.ArrayLike) -> Any: ...
def similarity(a: npt.ArrayLike, b: npt.ArrayLike) -> Any:
    """Cosine of every vector of ``a`` with every vector of ``b``, in [-1, 1]; lengths do not matter.

    Args:
        a: one vector ``(d,)`` or a matrix ``(n, d)``.
        b: one vector ``(d,)`` or a matrix ``(m, d)``.

    Returns:
        A float for two vectors, float32 ``(n, m)`` for two matrices, float32 ``(n,)`` or ``(m,)`` for one of each.

    Raises:
        DataError: widths that differ; a NaN, an infinity, a vector of zeros (it has no direction), no numbers at all.
    """
    left, right = _unit(a, "a"), _unit(b, "b")
    if left.shape[-1] != right.shape[-1]:
        raise DataError(
            "only vectors of the same width can be compared",
            why=[("a", f"{left.shape[-1]} dims"), ("b", f"{right.shape[-1]} dims")],
            do=["encode both with the same encoder"],
        )
    rows, columns = np.atleast_2d(left), np.atleast_2d(right)
    out = np.empty((len(rows), len(columns)), np.float32)
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK] @ columns.T
        if left.ndim == right.ndim == 1:
            return float(np.clip(block[0, 0], -1.0, 1.0))
        out[start : start + BLOCK] = np.clip(block, -1.0, 1.0)
    return out.reshape(left.shape[:-1] + right.shape[:-1])


def _unit(values: npt.ArrayLike, name: str) -> Floats:
    try:
        given = np.asarray(values)
    except ValueError as error:
        raise DataError(f"{name} is no vector or matrix: its rows differ in width", why=[str(error)]) from None
    if given.dtype.kind not in "fiu":
        raise DataError(
            f"{name} holds no real numbers but {given.dtype}", do=["pass vectors; texts go through embed()"]
        )
    if given.ndim not in (1, 2) or given.shape[-1] == 0:
        raise DataError(f"{name} has the shape {given.shape}", do=["pass (d,) or (n, d) with d > 0"])
    matrix = given.astype(np.float64)
    rows = np.atleast_2d(matrix)
    _refuse(np.logical_not(np.isfinite(rows).all(axis=1)), name, "holds NaN or infinity")
    # Divide by the largest number first: squares of very large or very small ones leave float64.
    largest = np.abs(rows).max(axis=1, keepdims=True)
    _refuse(largest[:, 0] == 0, name, "is all zeros, and so has no direction")
    unit: Floats = rows / largest
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return unit.reshape(matrix.shape)


def _refuse(bad: npt.NDArray[np.bool_], name: str, why: str) -> None:
    if bad.any():
        raise DataError(
            f"a vector of {name} {why}",
            why=[("row", str(int(bad.argmax()))), ("such rows", f"{int(bad.sum())} of {len(bad)}")],
        )
