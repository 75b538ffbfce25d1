"""Two scores made one: a convex combination of the cosine and the BM25 score, each brought to a scale of about 0 … 1.

The cosine counts from what is usual between the query and any row, up to the best that was found: encoders differ in
how close they put everything together, and this takes it out. BM25 counts against what three words of the query could
bring, or all if they are fewer: a text with one of three words stays low even if no other has more. Neither scale
depends on how many candidates were fetched, so the first ten of a hundred hits are the ten that are asked for. The
numbers behind this stand in docs/decisions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

#: the cosine's share; the rest is BM25's
WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Scale:
    """Of one query: the usual and the best cosine, and a good score of BM25."""

    usual: float
    best: float
    good: float

    def cosine(self, score: float) -> float:
        """0 for the usual or less, 1 for the best."""
        span = self.best - self.usual
        return max(0.0, (score - self.usual) / span) if span > 1e-6 else 0.0

    def bm25(self, score: float) -> float:
        """0 for none of the words; 1, seldom reached, for three of them as often as can be."""
        return score / self.good if self.good > 0 else 0.0


def combined(cosine: Mapping[int, float], bm25: Mapping[int, float], scale: Scale) -> dict[int, float]:
    """The hybrid score of every candidate.

    Args:
        cosine: of every candidate.
        bm25: of those that hold a word of the query; the others count as 0.
    """
    return {
        number: round(WEIGHT * scale.cosine(score) + (1 - WEIGHT) * scale.bm25(bm25.get(number, 0.0)), 6)
        for number, score in cosine.items()
    }


def best(cosine: Mapping[int, float], bm25: Mapping[int, float], scale: Scale, k: int) -> dict[int, float]:
    """The best ``k`` of `combined`, and all that equal the last of them: the same digits, worked out at once."""
    if not k or len(cosine) <= k:
        return combined(cosine, bm25, scale) if k else {}
    near = np.fromiter(cosine.values(), np.float64, len(cosine))
    word = np.fromiter((bm25.get(number, 0.0) for number in cosine), np.float64, len(cosine))
    span = scale.best - scale.usual
    scores = WEIGHT * np.maximum(0.0, (near - scale.usual) / span) if span > 1e-6 else np.zeros(len(near))
    if scale.good > 0:
        scores += (1 - WEIGHT) * (word / scale.good)
    # Rounding may make equals of what differs by less than its last digit.
    bound = np.partition(scores, len(scores) - k)[len(scores) - k] - 1e-6
    numbers = list(cosine)
    chosen = [numbers[place] for place in np.flatnonzero(scores >= bound)]
    return combined({number: cosine[number] for number in chosen}, bm25, scale)
