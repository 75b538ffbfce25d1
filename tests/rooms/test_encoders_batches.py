"""Batches: every text is in exactly one, the budget holds, and padding is padding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sememe.encoders.batches import pad, plan, rounded

lengths_of = st.lists(st.integers(1, 300), max_size=60)
budgets = st.integers(1, 2000)
steps = st.sampled_from([1, 2, 8, 16])


@given(lengths_of, budgets, steps)
def test_every_text_is_in_exactly_one_batch(lengths: list[int], budget: int, step: int) -> None:
    batches = plan(lengths, budget=budget, step=step)
    assert sorted(row for rows in batches for row in rows) == list(range(len(lengths)))
    assert all(len(rows) for rows in batches)


@given(lengths_of, budgets, steps)
def test_a_batch_keeps_to_the_budget_or_holds_one_text(lengths: list[int], budget: int, step: int) -> None:
    for rows in plan(lengths, budget=budget, step=step):
        width = rounded(max(lengths[row] for row in rows), step)
        assert len(rows) == 1 or len(rows) * width <= budget


@given(lengths_of, budgets, steps)
def test_the_longest_come_first(lengths: list[int], budget: int, step: int) -> None:
    ordered = [lengths[row] for rows in plan(lengths, budget=budget, step=step) for row in rows]
    assert ordered == sorted(lengths, reverse=True)


@given(lengths_of, budgets, steps)
def test_no_batch_is_half_empty_without_need(lengths: list[int], budget: int, step: int) -> None:
    batches = plan(lengths, budget=budget, step=step)
    for rows in batches[:-1]:
        width = rounded(max(lengths[row] for row in rows), step)
        assert (len(rows) + 1) * width > budget


@given(st.integers(1, 5000), st.integers(1, 64))
def test_rounding_goes_up_to_the_next_multiple(length: int, step: int) -> None:
    width = rounded(length, step)
    assert width % step == 0
    assert length <= width < length + step


@given(
    st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=30), min_size=1, max_size=9),
    steps,
    st.integers(0, 5),
    st.randoms(use_true_random=False),
)
def test_what_is_padded_is_what_was_given(ids: list[list[int]], step: int, slack: int, random) -> None:
    rows = np.array(random.sample(range(len(ids)), random.randint(1, len(ids))))
    longest = max(len(ids[row]) for row in rows)
    asked: list[tuple[list[int], int]] = []

    def pool(lengths: list[int], width: int) -> np.ndarray:
        asked.append((list(lengths), width))
        return np.ones((len(lengths), width), np.float32)

    inputs = pad(ids, rows, step=step, limit=longest + slack, pad_id=77, pool=pool)
    width = inputs.ids.shape[1]
    assert longest <= width <= longest + slack
    assert width == longest + slack or width % step == 0
    assert (inputs.ids.dtype, inputs.mask.dtype, inputs.pool.dtype) == (np.int32, np.float32, np.float32)
    assert asked == [([len(ids[row]) for row in rows], width)]
    assert inputs.types is None
    for at, row in enumerate(rows):
        length = len(ids[row])
        assert inputs.ids[at, :length].tolist() == ids[row]
        assert (inputs.ids[at, length:] == 77).all()
        assert inputs.mask[at].tolist() == [1.0] * length + [0.0] * (width - length)


@pytest.mark.parametrize("budget", [1, 10])
def test_a_text_longer_than_the_budget_goes_alone(budget: int) -> None:
    assert [rows.tolist() for rows in plan([5, 400, 3], budget=budget, step=8)][:2] == [[1], [0]]
