"""Numbers out of answers: what every provider's `parse` is made of. Whatever has another shape raises ``ValueError``
with the reason, which the encoder turns into one error for all of them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import numpy as np

from sememe.shapes import Vectors

#: no encoder gives wider vectors
WIDEST = 65_536


def row(value: Any) -> Vectors:
    """One vector, float32 ``(d,)``, of a list of numbers or of base64 over little-endian float32."""
    if isinstance(value, str):
        try:
            raw = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("a vector is no base64") from None
        if len(raw) % 4:
            raise ValueError(f"a vector of {len(raw)} bytes is no row of float32")
        numbers = np.frombuffer(raw, "<f4").astype(np.float32)
    elif isinstance(value, list):
        # bool is an int to Python, and true is no number of a vector
        if not all(type(one) in (int, float) for one in value):
            raise ValueError("a vector holds what is no number")
        try:
            with np.errstate(over="ignore"):
                numbers = np.array(value, np.float64).astype(np.float32)
        except OverflowError:
            raise ValueError("a vector holds numbers that are not finite") from None
    else:
        raise ValueError(f"a vector is a {type(value).__name__}")
    if not 0 < len(numbers) <= WIDEST:
        raise ValueError(f"a vector has {len(numbers)} numbers")
    if not np.isfinite(numbers).all():
        raise ValueError("a vector holds numbers that are not finite")
    return numbers


def rows(values: Any) -> list[Vectors]:
    """Vectors that stand in the order of their texts."""
    if not isinstance(values, list):
        raise ValueError(f"the vectors are a {type(values).__name__}")
    return [row(value) for value in values]


def by_index(entries: Any, key: str = "embedding") -> list[Vectors]:
    """Vectors of entries that say their places (``index``), put in order; the places must be 0 … n - 1, each once."""
    if not isinstance(entries, list):
        raise ValueError(f"the vectors are a {type(entries).__name__}")
    found: dict[int, Vectors] = {}
    for entry in entries:
        place = field(entry, "index")
        if type(place) is not int or not 0 <= place < len(entries) or place in found:
            raise ValueError(f"the place {place!r} is wrong or said twice, of {len(entries)}")
        found[place] = row(field(entry, key))
    return [found[place] for place in range(len(entries))]


def field(value: Any, *path: str) -> Any:
    """What stands at a path of keys."""
    for key in path:
        if not isinstance(value, dict) or key not in value:
            raise ValueError(f"there is no {key!r}")
        value = value[key]
    return value


def together(vectors: Sequence[Vectors], count: int) -> Vectors:
    """The rows of one answer at unit length, float32 ``(count, d)``: as many as texts were sent, equally wide."""
    if len(vectors) != count:
        raise ValueError(f"there are {len(vectors)} vectors for {count} texts")
    widths = sorted({len(vector) for vector in vectors})
    if len(widths) != 1:
        raise ValueError(f"the vectors have {' and '.join(map(str, widths))} numbers")
    matrix = np.array(vectors, np.float64)
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    if not (lengths > 0).all():
        raise ValueError("a vector has no length")
    return np.ascontiguousarray(matrix / lengths, np.float32)
