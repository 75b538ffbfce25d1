"""Vectors of the parts of words, as fastText makes them: a word that was never seen is the mean of its parts.

A word is written ``<word>``, and every run of ``shortest`` to ``longest`` characters of that is a part. A part has no
entry of its own: a hash of its bytes tells its row, so that unlike parts may share one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sememe.errors import DataError, UsageError
from sememe.shapes import Vectors

Rows = npt.NDArray[np.int64]

_MASK = 0xFFFFFFFF


@dataclass(frozen=True, eq=False)
class Subwords:
    """``matrix`` is float32 ``(buckets, d)``; parts are ``shortest`` to ``longest`` characters long."""

    matrix: Vectors
    shortest: int = 3
    longest: int = 6

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or not len(self.matrix):
            raise DataError("parts of words need a matrix", why=[f"its shape is {self.matrix.shape}"])
        if not 1 <= self.shortest <= self.longest:
            raise DataError(f"parts of words cannot be {self.shortest} to {self.longest} characters long")

    def vector(self, word: str) -> Vectors:
        """The mean of the vectors of the word's parts, ``(d,)``.

        Raises:
            UsageError: the word is too short to have any.
            DataError: their vectors hold NaN or infinity, which is only looked for here: there may be millions of rows.
        """
        rows = self.rows(word)
        if not rows:
            raise UsageError(f'"{word:.100}" has no parts of {self.shortest} to {self.longest} characters')
        with np.errstate(all="ignore"):
            mean: Vectors = self.matrix[rows].mean(axis=0, dtype=np.float64).astype(np.float32)
        if not np.isfinite(mean).all():
            raise DataError(f'the parts of "{word:.100}" have vectors with NaN or infinity')
        return mean

    def rows(self, word: str) -> list[int]:
        """The rows of the word's parts, in the order in which they stand in it."""
        return [part_hash(part) % len(self.matrix) for part in parts(word, self.shortest, self.longest)]

    def rows_of_many(self, words: Sequence[str]) -> tuple[Rows, Rows]:
        """The rows of the parts of many words, one after the other, and how many each word has: int64 ``(p,)`` and
        ``(n,)``. The parts of a word are those of `rows` in another order: short ones before long ones."""
        data, begins, owner, place, length = _characters(words)
        steps = np.diff(begins, append=len(data))
        value = np.full(len(begins), 2166136261, np.uint32)
        found_rows, found_owners = [], []
        signed = data.view(np.int8).astype(np.int32).view(np.uint32)
        for size in range(1, self.longest + 1):
            # every start whose part of this many characters is within its word takes in one character more
            alive = np.flatnonzero(place + size <= length)
            if not len(alive):
                break
            last = alive + size - 1
            for byte in range(4):
                more = steps[last] > byte
                at = alive[more]
                value[at] = (value[at] ^ signed[begins[last[more]] + byte]) * np.uint32(16777619)
            if size < self.shortest:
                continue
            if size == 1:
                alive = alive[(place[alive] > 0) & (place[alive] < length[alive] - 1)]
            found_rows.append(value[alive].astype(np.int64) % len(self.matrix))
            found_owners.append(owner[alive])
        owners = np.concatenate([np.empty(0, np.int64), *found_owners])
        order = np.argsort(owners, kind="stable")
        return np.concatenate([np.empty(0, np.int64), *found_rows])[order], np.bincount(owners, minlength=len(words))

    def means(self, rows: Rows, counts: Rows, own: Vectors) -> Vectors:
        """The mean of each word's own row with the rows of its parts: float32 ``(n, d)``, added up in float64."""
        # a damaged file may hold anything: what is no number is found by the space that the means go into
        with np.errstate(all="ignore"):
            total = own.astype(np.float64)
            full = np.flatnonzero(counts)
            if len(full):
                first = np.cumsum(counts)[full] - counts[full]
                total[full] += np.add.reduceat(self.matrix[rows], first, axis=0, dtype=np.float64)
            mean: Vectors = (total / (counts + 1)[:, None]).astype(np.float32)
        return mean


def _characters(words: Sequence[str]) -> tuple[npt.NDArray[np.uint8], Rows, Rows, Rows, Rows]:
    """The bytes of all ``<word>``; where each character begins, whose it is, its place in its word, and how many
    characters that word has."""
    marked = [f"<{word}>" for word in words]
    data = np.frombuffer("".join(marked).encode("utf-8", "surrogatepass"), np.uint8)
    begins = np.flatnonzero((data & 0xC0) != 0x80)
    lengths = np.fromiter(map(len, marked), np.int64, len(marked))
    owner = np.repeat(np.arange(len(words)), lengths)
    place = np.arange(len(begins)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return data, begins, owner, place, np.repeat(lengths, lengths)


def parts(word: str, shortest: int, longest: int) -> list[str]:
    """The runs of characters of ``<word>``, those from one start together, short ones first.

    The signs ``<`` and ``>`` alone are no parts.
    """
    marked = f"<{word}>"
    found = []
    for start in range(len(marked)):
        for end in range(start + shortest, min(start + longest, len(marked)) + 1):
            if end - start == 1 and (start == 0 or end == len(marked)):
                continue
            found.append(marked[start:end])
    return found


def part_hash(part: str) -> int:
    """FNV-1a of 32 bits over the UTF-8 bytes; each byte is taken as a signed one, as fastText does."""
    value = 2166136261
    for byte in part.encode("utf-8", "surrogatepass"):
        value ^= (byte if byte < 128 else byte | 0xFFFFFF00) & _MASK
        value = value * 16777619 & _MASK
    return value
