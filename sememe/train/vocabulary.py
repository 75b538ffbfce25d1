"""The words that are learned, how often each occurs, and what follows from that: subsampling and noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sememe.errors import DataError, UsageError

Ints = npt.NDArray[np.int64]
#: chances are kept as whole numbers of 2**-32
_WHOLE = 0xFFFFFFFF


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Words with their counts, the most frequent first (of equals, the one seen first).

    ``dropped`` and ``dropped_kinds`` say how many running words, and how many different ones, were too rare.
    """

    words: tuple[str, ...]
    counts: Ints
    dropped: int = 0
    dropped_kinds: int = 0

    def __len__(self) -> int:
        return len(self.words)

    @property
    def total(self) -> int:
        """Running words that are kept."""
        return int(self.counts.sum())

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Word → its row."""
        return {word: row for row, word in enumerate(self.words)}

    def keep(self, sample: float) -> npt.NDArray[np.uint32]:
        """The chance of each word to stay where frequent ones are thinned out, ``(n,)`` in units of 2**-32.

        A word with the share f of the corpus stays with the chance ``sqrt(sample / f) + sample / f`` (word2vec's
        formula); ``sample`` 0 keeps all.
        """
        if sample < 0:
            raise UsageError(f"sample is a share of the corpus, not {sample}")
        if sample == 0:
            return np.full(len(self), _WHOLE, np.uint32)
        share = sample * self.total / self.counts
        chance: npt.NDArray[np.float64] = np.minimum(np.sqrt(share) + share, 1.0)
        return (chance * _WHOLE).astype(np.uint32)

    def noise(self, power: float) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int32]]:
        """A table for drawing words with chances as count**power (Walker's alias method).

        Returns ``chance`` and ``other``, ``(n,)`` each: take a place at random; it is the word with its chance, in
        units of 2**-32, and else the other.
        """
        weights = self.counts.astype(np.float64) ** power
        share = weights / weights.sum() * len(self)
        chance, other = np.ones(len(self)), np.arange(len(self), dtype=np.int32)
        poor = [int(i) for i in np.flatnonzero(share < 1)]
        rich = [int(i) for i in np.flatnonzero(share >= 1)]
        while poor and rich:
            low, high = poor.pop(), rich[-1]
            chance[low], other[low] = share[low], high
            share[high] -= 1 - share[low]
            if share[high] < 1:
                poor.append(rich.pop())
        return (chance * _WHOLE).astype(np.uint32), other


def choose(
    counted: Mapping[str, int], *, min_count: int, max_words: int | None = None, older: Vocabulary | None = None
) -> Vocabulary:
    """The words that occur at least ``min_count`` times; of those, at most the ``max_words`` most frequent.

    The words of an ``older`` vocabulary all stay, in their rows, with counts added up; only new ones are chosen.

    Raises:
        DataError: fewer than two words are left.
    """
    words, counts = list(counted), np.fromiter(counted.values(), np.int64, len(counted))
    order = np.argsort(-counts, kind="stable")
    wanted = [int(i) for i in order[counts[order] >= min_count]]
    known: Mapping[str, int] = {} if older is None else older.places
    new = [i for i in wanted if words[i] not in known][:max_words]
    if len(known) + len(new) < 2:
        raise DataError(
            f"{len(new)} words are left to learn",
            why=[f"{len(counted)} different words", f"each must occur {min_count} times"],
            do=["more text, or a lower min_count"],
        )
    here = [counted.get(word, 0) for word in known]
    before = [] if older is None else older.counts.tolist()
    kept = np.array([a + b for a, b in zip(before, here, strict=True)] + counts[new].tolist(), np.int64)
    dropped = int(counts.sum()) - sum(here) - int(counts[new].sum())
    kinds = len(words) - len(new) - sum(count > 0 for count in here)
    return Vocabulary((*known, *(words[i] for i in new)), kept, dropped, kinds)
