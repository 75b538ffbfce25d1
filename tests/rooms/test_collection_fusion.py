"""Rank fusion, beside a twin that follows its formula word by word."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sememe.collection.fusion import fused
from sememe.shapes import Hits, Place, Record


def ranking(ids: list[str], kind: str = "cosine") -> Hits:
    scores = tuple(float(len(ids) - n) for n in range(len(ids)))
    records = tuple(Record(f"text of {id}", Place("x")) for id in ids)
    return Hits(tuple(ids), scores, kind, records, tuple({kind: score} for score in scores), 40, 0.25)


IDS = st.lists(st.sampled_from("abcdefgh"), unique=True)


@given(st.lists(IDS, max_size=4))
def test_the_score_is_the_sum_of_the_places(rankings: list[list[str]]) -> None:
    exact = {
        id: sum((Fraction(1, 60 + ids.index(id) + 1) for ids in rankings if id in ids), Fraction())
        for ids in rankings
        for id in ids
    }
    hits = fused([ranking(ids) for ids in rankings])
    assert list(hits.ids) == sorted(exact, key=lambda id: (-exact[id], id))
    assert hits.scores == pytest.approx([float(exact[id]) for id in hits.ids], abs=1e-9)


def test_a_fused_hit_keeps_the_scores_of_both_sides() -> None:
    hits = fused([ranking(["a", "b"], "cosine"), ranking(["c", "b", "d"], "bm25")])
    assert hits.ids == ("b", "a", "c", "d")
    assert hits.kind == "rrf"
    assert hits.scores[1] == hits.scores[2]
    assert [dict(parts) for parts in hits.parts] == [{"cosine": 1, "bm25": 2}, {"cosine": 2}, {"bm25": 3}, {"bm25": 1}]
    assert [hit.text for hit in hits] == ["text of b", "text of a", "text of c", "text of d"]
    assert (hits.searched, hits.seconds) == (40, 0.5)


def test_nothing_fused_is_nothing() -> None:
    assert len(fused([])) == len(fused([ranking([]), ranking([])])) == 0
