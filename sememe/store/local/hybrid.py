"""Two scores made one: a convex combination of the cosine and the BM25 score, each brought to the scale 0 … 1.

Both scales depend on the best score of the query and not on how many candidates were fetched, so the first ten of a
hundred hits are the ten that are asked for. How the weight was chosen stands in docs/decisions.
"""

from __future__ import annotations

from collections.abc import Mapping

#: the cosine's share; the rest is BM25's
WEIGHT = 0.6


def combined(cosine: Mapping[int, float], bm25: Mapping[int, float], *, best: tuple[float, float]) -> dict[int, float]:
    """The hybrid score of every candidate.

    Args:
        cosine: of every candidate.
        bm25: of those that hold a word of the query; the others count as 0.
        best: the highest cosine and the highest BM25 score of the query.
    """
    top_cosine, top_bm25 = best
    out = {}
    for number, similarity in cosine.items():
        dense = (similarity + 1) / (top_cosine + 1) if top_cosine > -1 else 1.0
        words = bm25.get(number, 0.0) / top_bm25 if top_bm25 > 0 else 0.0
        out[number] = WEIGHT * dense + (1 - WEIGHT) * words
    return out
