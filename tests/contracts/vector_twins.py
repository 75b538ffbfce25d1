"""What each adaptor keeps of a vector, worked out number by number: the slow twin of `sememe.store.vector_type`, which
shares nothing with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from sememe.shapes import Vectors


def _all(row: Sequence[float]) -> list[float]:
    return list(row)


def _float16(row: Sequence[float]) -> list[float]:
    """Eleven bits of each number, and of small ones those down to 2 ** -24 of the power of two below the largest."""
    largest = max(map(abs, row))
    if not largest:
        return [0.0] * len(row)
    power = math.floor(math.log2(largest))
    if _rounded(Fraction(largest), power - 10) == 2 ** (power + 1):
        power += 1
    return [float(_rounded(Fraction(x), max(math.frexp(x)[1] - 11, power - 24))) if x else 0.0 for x in row]


def _rounded(x: Fraction, power: int) -> Fraction:
    """To a multiple of ``2 ** power``, ties to the even one."""
    unit = Fraction(2) ** power
    return round(x / unit) * unit


def _int8(row: Sequence[float]) -> list[float]:
    """Whole numbers up to 127 of a step that has 17 bits."""
    largest = max(map(abs, row))
    if not largest:
        return [0.0] * len(row)
    exact = Fraction(float(np.float32(largest) / np.float32(127)))
    unit = Fraction(2) ** (math.frexp(float(exact))[1] - 17)
    step = math.floor(exact / unit) * unit
    return [float(round(Fraction(x) / step) * step) for x in row]


def _binary(row: Sequence[float]) -> list[float]:
    return [-1.0 if x < 0 else 1.0 for x in row]


TWINS: dict[str, Callable[[Sequence[float]], list[float]]] = {
    "local-float16": _float16,
    "local-int8": _int8,
    "local-binary": _binary,
}


def kept_by(adaptor: str, rows: Vectors) -> Vectors:
    """What ``adaptor`` gives back for ``rows``, float32 ``(n, dim)`` or ``(dim,)``; those not named above keep all."""
    twin = TWINS.get(adaptor, _all)
    if rows.ndim == 1:
        return np.array(twin(rows.tolist()), np.float32)
    return np.array([twin(row) for row in rows.tolist()], np.float32).reshape(rows.shape)
