"""How the numbers of a vector are kept: as they come, or smaller where that was asked for.

    float32   4 bytes a number; what comes back is what was put
    float16   2 bytes a number, and one power of two for each vector
    int8      1 byte a number, and one step for each vector
    binary    1 bit a number: whether it is below zero

The type of a file stands in its name, ``vectors.f32`` or ``vectors-3.i8``. What is kept is the truth from then on:
a score is the cosine with the vector as it comes back. Keeping a vector that came back changes nothing more, so that
copies, exports and compactions lose nothing: encoding is the identity on what decoding gives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sememe.errors import DamagedError, UsageError
from sememe.shapes import Vectors

#: rows as they stand in the file: ``(n, width)``
Bytes = npt.NDArray[np.uint8]

#: of an int8 step these bits are 0: 17 are left, and the product with any of -127 … 127 is exact in float32
STEP_BITS = 0xFFFF_FF80
#: below this a step of 17 bits is no float32 any more; smaller vectors lose their last numbers
LEAST_STEP = np.float32(2.0**-133)
#: the largest float16 below 2
BELOW_TWO = 2 - 2.0**-10


@dataclass(frozen=True, slots=True)
class VectorType:
    """One way to keep vectors; ``row`` is the layout of one of width ``dim``."""

    name: str
    suffix: str
    row: Callable[[int], npt.DTypeLike]
    fill: Callable[[Any, Vectors], None]
    numbers: Callable[[Any], Vectors]

    def width(self, dim: int) -> int:
        """Bytes of one vector."""
        return np.dtype(self.row(dim)).itemsize

    def encode(self, vectors: Vectors) -> Bytes:
        """float32 ``(n, dim)`` to the bytes of the file, ``(n, width)``."""
        rows = np.zeros(len(vectors), self.row(vectors.shape[1]))
        if len(vectors):
            self.fill(rows, vectors)
        return rows.view(np.uint8).reshape(len(vectors), rows.itemsize)

    def decode(self, raw: Bytes, dim: int) -> Vectors:
        """The bytes of the file, ``(n, width)``, to float32 ``(n, dim)``."""
        rows = np.ascontiguousarray(raw).view(self.row(dim)).reshape(len(raw))
        with np.errstate(over="ignore", invalid="ignore"):  # damaged bytes may be any numbers; checksums say so
            return np.ascontiguousarray(self.numbers(rows)[:, :dim])

    def kept(self, vectors: Vectors) -> Vectors:
        """What ``vectors`` ``(n, dim)`` come back as."""
        return self.decode(self.encode(vectors), vectors.shape[1])


def _float32(rows: Any, vectors: Vectors) -> None:
    rows["numbers"] = vectors


def _float16(rows: Any, vectors: Vectors) -> None:
    # The largest number comes to stand in [1, 2), where float16 has all its bits; a power of two loses none.
    largest = np.abs(vectors).max(axis=1).astype(np.float64)
    power = np.frexp(largest)[1] - 1
    power += np.ldexp(largest, -power).astype(np.float16) == 2
    rows["power"] = power = np.minimum(power, 127)
    numbers = np.ldexp(vectors.astype(np.float64), -power[:, np.newaxis])
    rows["numbers"] = np.clip(numbers, -BELOW_TWO, BELOW_TWO)  # cuts only what would round to 2 ** 128


def _from_float16(rows: Any) -> Vectors:
    numbers: Vectors = rows["numbers"].astype(np.float32)
    numbers *= np.ldexp(np.float32(1), rows["power"].astype(np.int32))[:, np.newaxis]
    return numbers


def _int8(rows: Any, vectors: Vectors) -> None:
    largest = np.abs(vectors).max(axis=1)
    step = ((largest / np.float32(127)).view(np.uint32) & np.uint32(STEP_BITS)).view(np.float32)
    rows["step"] = step = np.maximum(step, LEAST_STEP)
    rows["numbers"] = np.rint(vectors / step[:, np.newaxis].astype(np.float64))


def _from_int8(rows: Any) -> Vectors:
    numbers: Vectors = rows["numbers"].astype(np.float32)
    numbers *= rows["step"][:, np.newaxis]
    return numbers


def _binary(rows: Any, vectors: Vectors) -> None:
    rows["numbers"] = np.packbits(vectors < 0, axis=1, bitorder="little")


def _from_binary(rows: Any) -> Vectors:
    numbers = rows["numbers"]
    signs: Vectors = np.take(_SIGNS, numbers.reshape(-1), axis=0).reshape(len(numbers), 8 * numbers.shape[1])
    return signs


#: the eight numbers of each byte, the lowest bit first: 1, or -1 where the bit is set
_SIGNS: Vectors = 1 - 2 * np.unpackbits(
    np.arange(256, dtype=np.uint8)[:, np.newaxis], axis=1, bitorder="little"
).astype(np.float32)

TYPES = {
    one.name: one
    for one in (
        VectorType("float32", "f32", lambda dim: [("numbers", "<f4", (dim,))], _float32, lambda rows: rows["numbers"]),
        VectorType(
            "float16", "f16", lambda dim: [("power", "<i2"), ("numbers", "<f2", (dim,))], _float16, _from_float16
        ),
        VectorType("int8", "i8", lambda dim: [("step", "<f4"), ("numbers", "i1", (dim,))], _int8, _from_int8),
        VectorType("binary", "b1", lambda dim: [("numbers", "u1", (-(-dim // 8),))], _binary, _from_binary),
    )
}
FLOAT32 = TYPES["float32"]


def find(name: str) -> VectorType:
    """The type of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in TYPES:
        raise UsageError(f'vectors="{name}" is not known', do=[f"use one of: {', '.join(TYPES)}"])
    return TYPES[name]


def of_file(name: str) -> VectorType:
    """The type that the name of a vector file tells.

    Raises:
        DamagedError: none that is known.
    """
    suffix = name.rpartition(".")[2]
    for one in TYPES.values():
        if one.suffix == suffix:
            return one
    raise DamagedError(f'"{name[:100]}" is no name of a file of vectors', do=["repair the collection"])


class Packed:
    """Vectors of a smaller type in a mapped file: indexed like a float32 array ``(n, dim)``, and decoded where they
    are read, so that no more of them is in memory than was asked for."""

    def __init__(self, raw: Bytes, kind: VectorType, dim: int) -> None:
        self.raw, self.kind, self.shape = raw, kind, (len(raw), dim)

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | npt.NDArray[Any] | list[int]) -> Vectors:
        return self.kind.decode(self.raw[rows], self.shape[1])


#: vectors as a reader has them: a float32 array, or what is indexed like one
Kept = Vectors | Packed


def until(vectors: Kept, end: int) -> Kept:
    """The rows before ``end``, still where they are."""
    return Packed(vectors.raw[:end], vectors.kind, vectors.shape[1]) if isinstance(vectors, Packed) else vectors[:end]


def bytes_of(vectors: Kept) -> Bytes:
    """The bytes of the file, ``(n, width)``, without a copy where there need not be one."""
    if isinstance(vectors, Packed):
        return vectors.raw
    return np.ascontiguousarray(vectors, "<f4").view(np.uint8).reshape(len(vectors), vectors.shape[1] * 4)
