"""Rank fusion: several orders made one by the places that an item takes in each (Cormack, Clarke and Büttcher, 2009).

It knows nothing of scores, so it needs no common scale, and it cannot tell a near miss from a far one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sememe.shapes import Hits, Record

#: what is added to every place, so that the first places do not decide alone
OFFSET = 60


def fused(rankings: Sequence[Hits]) -> Hits:
    """Every item of ``rankings`` with the score ``sum of 1 / (60 + place)`` over those that have it, ties by id.

    The scores that it had in each are its parts.
    """
    scores: dict[str, float] = {}
    parts: dict[str, Mapping[str, float]] = {}
    records: dict[str, Record] = {}
    for ranking in rankings:
        for place, hit in enumerate(ranking, 1):
            scores[hit.id] = scores.get(hit.id, 0.0) + 1 / (OFFSET + place)
            parts[hit.id] = {**parts.get(hit.id, {}), **hit.scores}
            records[hit.id] = hit.record
    # Rounded, so that equal sums are equal whatever was added first.
    scores = {id: round(score, 9) for id, score in scores.items()}
    order = sorted(scores, key=lambda id: (-scores[id], id))
    return Hits(
        tuple(order),
        tuple(scores[id] for id in order),
        "rrf",
        tuple(records[id] for id in order),
        tuple(parts[id] for id in order),
        max((ranking.searched for ranking in rankings), default=0),
        sum(ranking.seconds for ranking in rankings),
    )
