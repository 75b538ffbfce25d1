"""Weights in eight bits: each row of a matrix as whole numbers from -127 to 127, and the one factor that they share.

Only the matrices of `Ops.linear` are rounded here. A processor that multiplies eight bits in hardware rounds what they
are multiplied with as well, number by number as it comes; the NumPy twin does not, and stands that much apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def rounded(weight: Array) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """A matrix ``(out, in)`` as int8 ``(out, in)`` and factors float32 ``(out, 1)``; their product is near it.

    No number moves by more than half a factor, 1/254 of the largest in its row.
    """
    largest = np.abs(weight).max(axis=1, keepdims=True, initial=0)
    factors = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    return np.clip(np.rint(weight / factors), -127, 127).astype(np.int8), factors


def restored(weight: Array) -> npt.NDArray[np.float32]:
    """What `rounded` leaves of a matrix, as float32 ``(out, in)``."""
    whole, factors = rounded(weight)
    return whole.astype(np.float32) * factors
