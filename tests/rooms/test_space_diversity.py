"""Maximal marginal relevance, beside a twin that follows its formula word by word."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sememe.errors import DataError, UsageError
from sememe.space.diversity import diverse


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    lengths = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    return float(a @ b) / lengths if lengths else 0.0


def worth(rows: np.ndarray, relevance: np.ndarray, amount: float, place: int, picked: list[int]) -> float:
    nearest = max((cosine(rows[place], rows[other]) for other in picked), default=0.0)
    return (1 - amount) * relevance[place] - amount * nearest


def slow(rows: np.ndarray, relevance: np.ndarray, amount: float) -> list[int]:
    """The twin."""
    picked: list[int] = []
    left = list(range(len(rows)))
    while left:
        values = [worth(rows, relevance, amount, place, picked) for place in left]
        picked.append(left.pop(values.index(max(values))))
    return picked


ROWS = arrays.arrays(
    np.float64, st.tuples(st.integers(0, 9), st.just(3)), elements=st.sampled_from([-2.0, -1.0, 0.0, 1.0, 3.0])
)


@settings(max_examples=60)
@given(rows=ROWS, amount=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), data=st.data())
def test_each_pick_is_as_good_as_any_that_the_twin_knows(rows: np.ndarray, amount: float, data: st.DataObject) -> None:
    relevance = np.array(data.draw(st.lists(st.integers(0, 8), min_size=len(rows), max_size=len(rows)))) / 8
    order = diverse(rows, relevance, amount)
    assert sorted(order) == list(range(len(rows)))
    for turn, place in enumerate(order):
        best = max(worth(rows, relevance, amount, other, order[:turn]) for other in order[turn:])
        assert worth(rows, relevance, amount, place, order[:turn]) == pytest.approx(best, abs=1e-12)
    for count in range(len(rows) + 2):
        assert diverse(rows, relevance, amount, count=count) == order[:count]


def test_the_order_is_the_twins_where_no_two_are_equal() -> None:
    rng = np.random.default_rng(5)
    rows, relevance = rng.standard_normal((30, 8)), rng.random(30)
    for amount in (0, 0.1, 0.3, 0.7, 1):
        assert diverse(rows.astype(np.float32), relevance, amount) == slow(
            rows.astype(np.float32).astype(np.float64), relevance, amount
        )


def test_a_double_of_the_best_comes_last_of_its_likes() -> None:
    rows = [[1, 0], [1, 0], [0, 1], [-1, 0]]
    assert diverse(rows, [1, 0.99, 0.9, 0.2], 0) == [0, 1, 2, 3]
    assert diverse(rows, [1, 0.99, 0.9, 0.2], 0.3) == [0, 2, 1, 3]
    assert diverse(rows, [1, 0.99, 0.9, 0.2], 0.5) == [0, 3, 2, 1]


def test_lengths_do_not_matter_and_equals_keep_their_order() -> None:
    rows = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, -1.0]])
    order = diverse(rows, [0.5, 0.5, 0.5], 0.5)
    assert order[0] == 0
    for size in (1e-200, 1e-30, 1e30, 1e200):
        assert diverse(rows * np.array([[1], [size], [1]]), [0.5, 0.5, 0.5], 0.5) == order
    assert diverse(np.ones((4, 2)), np.ones(4), 0.5) == [0, 1, 2, 3]
    assert diverse(np.zeros((3, 2)), [0.1, 0.3, 0.2], 0.5) == [1, 2, 0]
    assert diverse(np.zeros((0, 2)), [], 0.5) == []


@pytest.mark.parametrize("amount", [-0.1, 1.1, float("nan")])
def test_an_amount_is_from_0_to_1(amount: float) -> None:
    with pytest.raises(UsageError):
        diverse([[1.0]], [1.0], amount)


@pytest.mark.parametrize(
    ("rows", "relevance"), [([[1.0], [2.0]], [1.0]), ([1.0], [1.0]), ([[np.nan]], [1.0]), ([[1.0]], [np.inf])]
)
def test_what_is_no_ranking_is_refused(rows: list, relevance: list) -> None:
    with pytest.raises(DataError):
        diverse(rows, relevance, 0.5)
