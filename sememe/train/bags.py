"""Texts and words without learning: one-hot vectors, bags of words, TF-IDF. For history, and to compare with."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sememe.errors import UsageError
from sememe.shapes import Vectors
from sememe.space.space import Space
from sememe.train.corpus import Texts, sentences
from sememe.train.vocabulary import Vocabulary, choose

#: numbers that a dense matrix may have
LARGEST = 1 << 28


@dataclass(frozen=True, eq=False)
class Bags:
    """A row for each text, a column for each word, most of them zero: row r has ``values[ends[r]:ends[r + 1]]`` in the
    columns ``places[ends[r]:ends[r + 1]]``. ``unknown`` running words were not in the vocabulary."""

    vocabulary: Vocabulary
    places: npt.NDArray[np.int32]
    values: Vectors
    ends: npt.NDArray[np.int64]
    unknown: int = 0

    def __len__(self) -> int:
        return len(self.ends) - 1

    def dense(self) -> Vectors:
        """All of it as ``(texts, words)``; `UsageError` where that would be larger than a gigabyte."""
        _check_size(len(self), len(self.vocabulary))
        out = np.zeros((len(self), len(self.vocabulary)), np.float32)
        out[np.repeat(np.arange(len(self)), np.diff(self.ends)), self.places] = self.values
        return out

    def space(self, labels: Sequence[str] | None = None) -> Space:
        """The texts as a space; they are called 0, 1, … where they have no labels."""
        names = [str(row) for row in range(len(self))] if labels is None else list(labels)
        return Space(tuple(names), self.dense(), {"model": "bag of words"})

    def tf_idf(self) -> Bags:
        """The counts times ``log((1 + texts) / (1 + texts with the word)) + 1``, each row then at unit length."""
        with_word = np.bincount(self.places, minlength=len(self.vocabulary))
        values = self.values * (np.log((1 + len(self)) / (1 + with_word)) + 1)[self.places]
        rows = np.repeat(np.arange(len(self)), np.diff(self.ends))
        lengths = np.sqrt(np.bincount(rows, values**2, minlength=len(self)))
        return dataclasses.replace(self, values=(values / np.maximum(lengths, 1e-12)[rows]).astype(np.float32))


def bag_of_words(texts: Texts, *, vocabulary: Vocabulary | None = None, min_count: int = 1) -> Bags:
    """Count the words of each text; ``vocabulary`` that of other texts, or None for that of these."""
    counted = [Counter(words) for words in sentences(texts)]
    if vocabulary is None:
        whole: Counter[str] = Counter()
        for words in counted:
            whole.update(words)
        vocabulary = choose(whole, min_count=min_count)
    known, places, values, ends, unknown = vocabulary.places, list[int](), list[int](), [0], 0
    for words in counted:
        row = sorted((known[word], count) for word, count in words.items() if word in known)
        unknown += words.total() - sum(count for _, count in row)
        places += [place for place, _ in row]
        values += [count for _, count in row]
        ends.append(len(places))
    return Bags(vocabulary, np.array(places, np.int32), np.array(values, np.float32), np.array(ends), unknown)


def one_hot(vocabulary: Vocabulary) -> Space:
    """Each word as a vector of its own direction: no two are alike."""
    _check_size(len(vocabulary), len(vocabulary))
    return Space(vocabulary.words, np.eye(len(vocabulary), dtype=np.float32), {"model": "one-hot"})


def _check_size(rows: int, columns: int) -> None:
    if rows * columns > LARGEST:
        raise UsageError(
            f"{rows} rows of {columns} numbers are too many for a dense matrix",
            why=[f"{4 * rows * columns / 1e9:.1f} GB"],
            do=["fewer words: a higher min_count"],
        )
