"""Sentences as weighted means of their words: rare words weigh more, and what all sentences share is taken away.

Smooth inverse frequency (Arora et al., 2017): a simple thing that learned encoders have to beat.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from sememe.errors import UsageError
from sememe.shapes import Vectors
from sememe.space.space import Space
from sememe.train.corpus import Texts, sentences


class Means(NamedTuple):
    """``vectors`` ``(texts, dim)``; ``direction`` ``(dim,)`` is what was taken away from each, None if nothing was;
    ``unknown`` running words were not in the space; ``empty`` texts had none that were, and have a zero row."""

    vectors: Vectors
    direction: Vectors | None
    unknown: int
    empty: int


def sif(
    space: Space,
    texts: Texts,
    counts: Mapping[str, int],
    *,
    weight: float = 1e-3,
    direction: Vectors | None = None,
    remove: bool = True,
) -> Means:
    """The mean of each text's words, a word with the share p of the corpus weighing ``weight / (weight + p)``.

    Args:
        space: vectors of words.
        texts: texts or lists of words.
        counts: how often each word is seen, in some large corpus; a word that is not there has the share 0.
        weight: smaller: frequent words weigh less.
        direction: that of an earlier call, so that new texts are treated like those; None: the first principal
            direction of these texts.
        remove: whether to take the direction away.
    """
    total = sum(counts.values())
    if weight <= 0 or total <= 0:
        raise UsageError(f"weight and counts are above 0, not {weight} and {total} in all")
    rows, unknown, empty = [], 0, 0
    for words in sentences(texts):
        known = [word for word in words if word in space]
        unknown += len(words) - len(known)
        if not known:
            empty += 1
            rows.append(np.zeros(space.dim, np.float32))
            continue
        weights = np.array([weight / (weight + counts.get(word, 0) / total) for word in known], np.float32)
        rows.append(weights @ space.vectors(known) / np.float32(len(known)))
    vectors = np.array(rows, np.float32).reshape(-1, space.dim)
    if not remove:
        return Means(vectors, None, unknown, empty)
    if direction is None:
        _, _, right = np.linalg.svd(vectors, full_matrices=False) if len(vectors) else (0, 0, np.zeros((1, space.dim)))
        direction = np.asarray(right[0], np.float32)
    return Means(vectors - np.outer(vectors @ direction, direction), direction, unknown, empty)
