"""Neighbours are exact: the fast way agrees with the slow one, for every measure, over the borders of blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sememe.errors import DataError, UsageError
from sememe.space import nearest as room
from sememe.space.measures import measure
from sememe.space.nearest import Near, nearest, nearest_many, nearest_rows, nearest_rows_slow
from sememe.space.space import Space
from sememe.space.subwords import Subwords

KINDS = ["cosine", "dot", "euclidean", "manhattan", "hamming", "jaccard"]


def corners() -> Space:
    return Space(("east", "north", "north-east", "far east"), np.array([[1, 0], [0, 1], [1, 1], [9, 0]], np.float32))


def test_a_label_is_not_its_own_neighbour() -> None:
    assert nearest(corners(), "east", 2) == [Near("far east", 1.0), Near("north-east", pytest.approx(0.5**0.5))]
    assert [near.label for near in nearest(corners(), [1, 0], 2)] == ["east", "far east"]
    assert [near.label for near in nearest(corners(), "east", leave_out=["far east"])] == ["north-east", "north"]
    assert [near.label for near in nearest(corners(), "far east", kind="euclidean")] == ["east", "north-east", "north"]
    assert nearest(corners(), "east", kind="euclidean")[0] == Near("north-east", -1.0)
    assert nearest(corners(), "east", 0) == []


def test_many_at_once_are_each_as_alone() -> None:
    space = corners()
    assert nearest_many(space, ["north", "east"], 2) == [nearest(space, "north", 2), nearest(space, "east", 2)]
    assert nearest_many(space, space.matrix[:2], 2) == [nearest(space, space.matrix[i], 2) for i in range(2)]
    assert nearest_many(space, np.empty((0, 2)), 2) == []


def test_an_unseen_word_is_asked_by_its_parts() -> None:
    space = Space(("a", "b"), np.eye(2), subwords=Subwords(np.array([[0.0, 2.0]], np.float32)))
    assert [near.label for near in nearest(space, "unseen")] == ["b", "a"]


@pytest.mark.parametrize("kind", KINDS)
def test_fast_and_slow_agree(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "ROWS", 7)
    monkeypatch.setattr(room, "QUERIES", 3)
    rng = np.random.default_rng(5)
    # small whole numbers: many rows are equally near, and their scores are exact
    matrix = rng.integers(-2, 3, (40, 4)).astype(np.float32)
    space = Space(tuple(map(str, range(40))), matrix)
    queries = matrix[:10] if kind != "cosine" else rng.normal(size=(10, 4)).astype(np.float32)
    for k in (1, 3, 8, 39, 40, 100):
        places, scores = nearest_rows(space, queries, k, kind=kind)
        slow_places, slow_scores = nearest_rows_slow(space, queries, k, kind=kind)
        np.testing.assert_allclose(scores, slow_scores, atol=1e-6)
        if kind == "cosine":  # equal directions may differ in the last digit
            own = np.take_along_axis(measure(queries, matrix), places, axis=1)
            np.testing.assert_allclose(own, slow_scores, atol=1e-6)
        else:
            np.testing.assert_array_equal(places, slow_places)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 5), st.integers(0, 35))
def test_any_shape_gives_the_best_in_order(seed: int, n: int, d: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    space = Space(tuple(map(str, range(n))), rng.integers(-1, 2, (n, d)).astype(np.float32))
    places, scores = nearest_rows(space, space.matrix, k, kind="dot")
    slow = nearest_rows_slow(space, space.matrix, k, kind="dot")
    np.testing.assert_array_equal(places, slow[0])
    np.testing.assert_array_equal(scores, slow[1])


def test_what_cannot_be_asked_is_refused() -> None:
    space = corners()
    with pytest.raises(UsageError, match='no measure is called "angle"'):
        nearest(space, "east", kind="angle")
    with pytest.raises(UsageError, match='has no "west"'):
        nearest(space, "west")
    with pytest.raises(UsageError, match='has no "west"'):
        nearest(space, "east", leave_out=["west"])
    with pytest.raises(DataError, match="do not fit"):
        nearest(space, [1, 2, 3])
    with pytest.raises(DataError, match="NaN"):
        nearest(space, [1, np.nan])
    with pytest.raises(UsageError, match="-1 neighbours cannot"):
        nearest(space, "east", -1)
    with pytest.raises(UsageError, match="not one string"):
        nearest_many(space, "east")


def test_measures_of_two_rows() -> None:
    a, b = [[1, 0, 2, 0]], [[1, 3, 0, 0]]
    want = [1 / 50**0.5, 1, 13**0.5, 5, 0.5, 2 / 3]
    assert [float(measure(a, b, kind)[0, 0]) for kind in KINDS] == pytest.approx(want)
    zero = [[0, 0, 0, 0]]
    assert [float(measure(zero, zero, kind)[0, 0]) for kind in KINDS] == [0, 0, 0, 0, 0, 0]
    with pytest.raises(DataError, match="same width"):
        measure([[1, 2]], [[1, 2, 3]])
