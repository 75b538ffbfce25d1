"""fastText's .bin: the words, their own rows, and the rows of the parts of words.

Numbers are little-endian. After two numbers that say what it is come the settings, the words (each ended by a zero
byte, with a count and a kind), and the matrix: a row for each word, then the rows that the parts share. The vector of a
word is the mean of its own row and those of its parts. What comes after (the output layer) is not read.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sememe.errors import DataError
from sememe.shapes import Vectors
from sememe.space.formats.labels import decode_one, distinct
from sememe.space.space import Space
from sememe.space.subwords import Subwords

MAGIC, VERSION = 793712314, 12
#: the sign for the end of a line is a word without parts
END = "</s>"
_SETTINGS = struct.Struct("<12id")
_SIZES = struct.Struct("<3i2q")


@dataclass(frozen=True, slots=True)
class _Head:
    dim: int
    buckets: int
    shortest: int
    longest: int
    kind: int


def read_fasttext(path: Path, *, limit: int | None = None, repeated: str = "error") -> Space:
    """A model of fastText: its words, with the parts of words that give a vector to all others.

    The rows of the parts stay in the mapped file. ``limit`` and ``repeated`` are those of `read_space`.

    Raises:
        DataError: what is not as it should be, with its byte; a quantised model (.ftz).
    """
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise DataError(f"{path} is empty") from None
    reader = _Reader(data, path)
    magic, version = reader.take(struct.Struct("<2i"), "what the file is")
    if magic != MAGIC or version != VERSION:
        raise DataError(
            f"{path} is no model of fastText that can be read",
            why=[f"it begins with {magic} and {version} instead of {MAGIC} and {VERSION}"],
        )
    values = reader.take(_SETTINGS, "the settings")
    head = _Head(values[0], values[8], values[9], values[10], values[7])
    words = _words(reader)
    table = reader.matrix(head.dim)
    parts = head.longest > 0 and head.buckets > 0
    if len(table) != len(words) + (head.buckets if parts else 0) and len(table) != len(words) + head.buckets:
        raise reader.wrong(f"{len(table)} rows do not fit {len(words)} words and {head.buckets} shared rows")
    subwords = None
    if parts:
        shared: Vectors = table[len(words) :]
        subwords = Subwords(shared, max(1, head.shortest), head.longest)
    labels = words[:limit]
    matrix = _with_parts(labels, table[: len(labels)], subwords)
    kept = distinct(labels, repeated, path, unit="word")
    told = {"source": path.name, "format": "fastText"}
    if kept is not None:
        told["left out"] = f"{len(labels) - len(kept)} words that were there before"
        labels, matrix = [labels[row] for row in kept], matrix[kept]
    return Space(tuple(labels), matrix, told, subwords)


def _words(reader: _Reader) -> list[str]:
    size, count, labels, _, pruned = reader.take(_SIZES, "the sizes")
    if not 0 <= count <= size or labels < 0 or count + labels != size:
        raise reader.wrong(f"{size} entries cannot be {count} words and {labels} labels")
    if pruned > 0:
        raise DataError(
            f"{reader.path} is a model whose parts of words were pruned", do=["use the .bin that it was made from"]
        )
    words = []
    for row in range(size):
        end = reader.data.find(b"\0", reader.at, reader.at + 100_000)
        if end < 0:
            raise reader.wrong(f"entry {row + 1} of {size} does not end")
        if row < count:
            words.append(decode_one(reader.data[reader.at : end], f"{reader.path}, word {row + 1}"))
        reader.at = end + 1
        (_, kind) = reader.take(struct.Struct("<qb"), f"entry {row + 1}")
        if kind not in (0, 1) or (kind == 0) != (row < count):
            raise reader.wrong(f"entry {row + 1} is of the kind {kind}")
    return words


def _with_parts(labels: list[str], own: Vectors, subwords: Subwords | None) -> Vectors:
    if subwords is None:
        return own
    out = np.empty(own.shape, np.float32)
    for at in range(0, len(labels), 4096):
        names = labels[at : at + 4096]
        rows, counts = subwords.rows_of_many(names)
        counts = counts.copy()
        keep = np.repeat(np.array([name != END for name in names]), counts)
        counts[[name == END for name in names]] = 0
        out[at : at + 4096] = subwords.means(rows[keep], counts, own[at : at + 4096])
    return out


class _Reader:
    """A place in the mapped file; every step past its end is an error."""

    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self.data, self.path, self.at = data, path, 0

    def wrong(self, why: str) -> DataError:
        return DataError(f"{self.path} is damaged at byte {self.at}", why=[why])

    def take(self, what: struct.Struct, name: str) -> tuple[int, ...]:
        if self.at + what.size > len(self.data):
            raise DataError(f"{self.path} is cut off", why=[f"{name} should end at byte {self.at + what.size}"])
        values = what.unpack_from(self.data, self.at)
        self.at += what.size
        return values

    def matrix(self, dim: int) -> Vectors:
        (quantised,) = self.take(struct.Struct("<b"), "the kind of matrix")
        if quantised:
            raise DataError(
                f"{self.path} is quantised (.ftz), which is not read", do=["use the .bin that it was made from"]
            )
        rows, width = self.take(struct.Struct("<2q"), "the size of the matrix")
        if width != dim or width <= 0 or rows < 0:
            raise self.wrong(f"a matrix of {rows} rows of {width} numbers, where vectors have {dim}")
        if self.at + 4 * rows * width > len(self.data):
            raise DataError(
                f"{self.path} is cut off",
                why=[f"{rows} rows of {width} numbers should end at byte {self.at + 4 * rows * width}"],
            )
        table: Vectors = np.frombuffer(self.data, "<f4", rows * width, self.at).reshape(rows, width)
        return table if table.flags.aligned else table.copy()
