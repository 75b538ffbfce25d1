"""Vectors of the parts of words, as fastText makes them: a word that was never seen is the mean of its parts.

A word is written ``<word>``, and every run of ``shortest`` to ``longest`` characters of that is a part. A part has no
entry of its own: a hash of its bytes tells its row, so that unlike parts may share one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sememe.errors import DataError, UsageError
from sememe.shapes import Vectors

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
        """
        rows = self.rows(word)
        if not rows:
            raise UsageError(f'"{word:.100}" has no parts of {self.shortest} to {self.longest} characters')
        mean: Vectors = self.matrix[rows].mean(axis=0, dtype=np.float64).astype(np.float32)
        return mean

    def rows(self, word: str) -> list[int]:
        """The rows of the word's parts, in the order in which they stand in it."""
        return [part_hash(part) % len(self.matrix) for part in parts(word, self.shortest, self.longest)]


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
