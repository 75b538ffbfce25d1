"""A corpus as one long row of word numbers in a temporary file, made in one pass and then read as often as needed.

A number below zero ends a text: `END`; or, where a text is longer than a kernel's buffer, a part of it: `BREAK`.
"""

from __future__ import annotations

import tempfile
import zlib
from dataclasses import dataclass
from itertools import chain
from typing import IO

import numpy as np
import numpy.typing as npt

from sememe.errors import DataError
from sememe.progress import SILENT, Progress
from sememe.train.corpus import Texts, sentences
from sememe.train.vocabulary import Vocabulary, choose

Ids = npt.NDArray[np.int32]
END, BREAK = -1, -2
LONGEST = 10_000
_TOGETHER = 1 << 20


@dataclass(frozen=True, eq=False)
class Stream:
    """``ids``: int32, words as rows of the vocabulary, ends below zero; mapped from a file that goes when they do.

    ``checksum`` is a CRC-32 of all numbers: a run that is resumed must read the same.
    """

    ids: Ids
    checksum: int
    texts: int
    words: int

    def segments(self, size: int) -> list[tuple[int, int]]:
        """Stretches of about ``size`` numbers that end where a text or a part of one ends."""
        ends = np.flatnonzero(self.ids < 0) + 1
        wanted = np.arange(size, len(self.ids) + size, size)
        cuts = np.unique(ends[np.minimum(np.searchsorted(ends, wanted), len(ends) - 1)])
        return [(int(a), int(b)) for a, b in zip([0, *cuts[:-1]], cuts, strict=True)]


class _Numbers(dict[str, int]):
    """Word → its number; a new word gets the next one."""

    def __missing__(self, word: str) -> int:
        number = len(self)
        self[word] = number
        return number


def read_stream(
    texts: Texts,
    *,
    min_count: int = 5,
    max_words: int | None = None,
    older: Vocabulary | None = None,
    progress: Progress = SILENT,
) -> tuple[Vocabulary, Stream]:
    """Read a corpus once: its vocabulary, and its words as numbers. Words that are not in the vocabulary are dropped,
    and counted there. Of an ``older`` vocabulary all words stay in their rows, and new ones come after them.

    Raises:
        DataError: too few words are left to learn from.
    """
    numbers = _Numbers()
    with tempfile.TemporaryFile(prefix="sememe-stream-") as file:
        counts = _write(texts, numbers, file, progress)
        counted = dict(zip(numbers, counts.tolist(), strict=True))
        vocabulary = choose(counted, min_count=min_count, max_words=max_words, older=older)
        rows = np.full(len(numbers) + 2, -3, np.int32)  # from the end: BREAK and END stay what they are
        rows[-1], rows[-2] = END, BREAK
        places = vocabulary.places
        rows[: len(numbers)] = [places.get(word, -3) for word in numbers]
        return vocabulary, _renumber(file, rows)


def _write(texts: Texts, numbers: _Numbers, file: IO[bytes], progress: Progress) -> npt.NDArray[np.int64]:
    number = numbers.__getitem__
    counts = np.zeros(0, np.int64)
    waiting: list[int] = []
    with progress.phase("read", total=None, unit="words") as phase:
        for words in chain(sentences(texts), [None]):
            if words is not None:
                found = list(map(number, words))
                for start in range(0, len(found), LONGEST):
                    waiting += found[start : start + LONGEST]
                    waiting.append(END if start + LONGEST >= len(found) else BREAK)
                if len(waiting) < _TOGETHER:
                    continue
            block = np.array(waiting, np.int32)
            file.write(block.tobytes())
            seen = np.bincount(block[block >= 0], minlength=len(numbers))
            seen[: len(counts)] += counts
            counts = seen.astype(np.int64)
            phase.advance(len(waiting))
            waiting.clear()
    return counts


def _renumber(file: IO[bytes], rows: Ids) -> Stream:
    # Blocks are read, renumbered, and written back further to the front: dropped words leave no gap.
    read = write = checksum = texts = ends = 0
    while True:
        file.seek(read)
        block = np.frombuffer(file.read(4 * _TOGETHER), np.int32)
        if not len(block):
            break
        read += block.nbytes
        kept = rows[block]
        kept = kept[kept > -3]
        data = kept.tobytes()
        checksum = zlib.crc32(data, checksum)
        texts += int((kept == END).sum())
        ends += int((kept < 0).sum())
        file.seek(write)
        file.write(data)
        write += len(data)
    file.truncate(write)
    file.flush()
    if write // 4 == ends:
        raise DataError("the corpus holds no words", do=["look at what it yields: next(iter(corpus))"])
    return Stream(np.asarray(np.memmap(file, np.int32, mode="r+")), checksum, texts, write // 4 - ends)
