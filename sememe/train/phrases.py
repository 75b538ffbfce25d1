"""Words that belong together: pairs that stand side by side far more often than chance would have it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from sememe.errors import UsageError
from sememe.train.corpus import Texts, sentences


@dataclass(frozen=True, eq=False)
class Phrases:
    """``scores``: pair of words → its normalised pointwise mutual information, from 0 (chance) to 1 (always together).
    ``joint`` stands between the words of a phrase."""

    scores: Mapping[tuple[str, str], float]
    joint: str = "_"

    def join(self, words: Iterable[str]) -> list[str]:
        """The words with phrases made one, from left to right: of overlapping ones the first."""
        out: list[str] = []
        last = ""  # the last word, while it may still begin a phrase
        for word in words:
            if last and (last, word) in self.scores:
                out[-1] = f"{last}{self.joint}{word}"
                last = ""
            else:
                out.append(word)
                last = word
        return out

    def joined(self, texts: Texts) -> Joined:
        """The corpus with phrases made one; it can be gone through as often as ``texts`` can."""
        return Joined(texts, self)


@dataclass(frozen=True, eq=False)
class Joined:
    """A corpus in which phrases are one word."""

    texts: Texts
    phrases: Phrases

    def __iter__(self) -> Iterator[list[str]]:
        return map(self.phrases.join, sentences(self.texts))


def find_phrases(texts: Texts, *, min_count: int = 5, threshold: float = 0.5, joint: str = "_") -> Phrases:
    """Pairs seen at least ``min_count`` times whose score (see `Phrases`) is ``threshold`` or more.

    For phrases of three and four words, find phrases again in ``phrases.joined(texts)``. Memory holds all different
    pairs of the corpus.

    Raises:
        UsageError: a threshold outside of 0 … 1.
    """
    if not 0 <= threshold <= 1:
        raise UsageError(f"the score of a phrase is from 0 to 1, so the threshold cannot be {threshold}")
    words: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for text in sentences(texts):
        words.update(text)
        pairs.update(pairwise(text))
    total = words.total()
    scores = {}
    for (first, second), count in pairs.items():
        if count < min_count:
            continue
        share = count / total
        information = math.log(share / (words[first] / total * words[second] / total))
        score = information / -math.log(share) if share < 1 else 1.0
        if score >= threshold:
            scores[first, second] = score
    return Phrases(scores, joint)
