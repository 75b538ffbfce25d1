"""Pooling: the weights add up, belong to the right tokens, and give what the plain formulas give."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sememe.architectures import pooling
from sememe.errors import ModelError
from sememe.ops.contract import Inputs
from sememe.ops.numpy import run

lengths_and_width = st.lists(st.integers(1, 40), min_size=1, max_size=6).flatmap(
    lambda lengths: st.tuples(st.just(lengths), st.integers(max(lengths), max(lengths) + 9))
)
kinds = st.sampled_from(pooling.KINDS)
skips = st.integers(0, 45)


@given(lengths_and_width, kinds, skips)
def test_padding_has_no_weight_and_every_text_has_some(case: tuple[list[int], int], kind: str, skip: int) -> None:
    lengths, width = case
    weights = pooling.weights(kind, lengths, width, skip=skip)
    assert weights.shape == (len(lengths), width)
    assert weights.dtype == np.float32
    assert (weights >= 0).all()
    for row, length in zip(weights, lengths, strict=True):
        assert (row[length:] == 0).all()
        assert row[:length].sum() > 0


@given(lengths_and_width, kinds, skips)
def test_the_prompt_has_no_weight_unless_there_is_nothing_else(
    case: tuple[list[int], int], kind: str, skip: int
) -> None:
    lengths, width = case
    for row, length in zip(pooling.weights(kind, lengths, width, skip=skip), lengths, strict=True):
        assert (row[: min(skip, length - 1)] == 0).all()


@given(lengths_and_width, st.sampled_from(["mean", "cls", "last", "weighted_mean"]), skips)
def test_means_and_choices_sum_to_one(case: tuple[list[int], int], kind: str, skip: int) -> None:
    np.testing.assert_allclose(pooling.weights(kind, *case, skip=skip).sum(axis=1), 1, atol=1e-5)


@given(lengths_and_width, kinds, skips)
def test_the_weights_of_a_text_do_not_depend_on_its_company(case: tuple[list[int], int], kind: str, skip: int) -> None:
    lengths, width = case
    together = pooling.weights(kind, lengths, width, skip=skip)
    for row, length in zip(together, lengths, strict=True):
        assert np.array_equal(pooling.weights(kind, [length], length, skip=skip)[0], row[:length])


def _plain(kind: str, tokens: np.ndarray, skip: int) -> np.ndarray:
    """The pooled vector of one text, token by token."""
    start = min(skip, len(tokens) - 1)
    kept = tokens[start:].astype(np.float64)
    if kind == "weighted_mean":
        places = range(start + 1, len(tokens) + 1)
        return sum(place * token for place, token in zip(places, kept, strict=True)) / sum(places)
    return {
        "mean": lambda: sum(kept) / len(kept),
        "mean_sqrt_len": lambda: sum(kept) / math.sqrt(len(kept)),
        "cls": lambda: kept[0],
        "last": lambda: kept[-1],
        "max": lambda: np.array([max(column) for column in kept.T]),
    }[kind]()


@pytest.mark.parametrize("kind", pooling.KINDS)
@pytest.mark.parametrize("skip", [0, 1, 3])
def test_the_pooled_vector_is_the_formula(kind: str, skip: int) -> None:
    random = np.random.default_rng(3)
    lengths, width = [5, 1, 9, 4], 11
    hidden = random.normal(size=(4, width, 6)).astype(np.float32) - 3  # all below 0: a max over padding would show
    mask = (np.arange(width)[None] < np.array(lengths)[:, None]).astype(np.float32)
    inputs = Inputs(np.zeros((4, width), np.int32), mask, pooling.weights(kind, lengths, width, skip=skip))
    result, taps = run(partial(_pool, kind=kind, hidden=hidden), inputs, ["pooled"])
    for row, length in enumerate(lengths):
        np.testing.assert_allclose(result[row], _plain(kind, hidden[row, :length], skip), atol=1e-5)
    assert taps["pooled"] is result


def _pool(ops, inputs: Inputs, *, kind: str, hidden: np.ndarray) -> np.ndarray:
    return pooling.pool(ops, hidden, inputs, kind)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ModelError, match="median"):
        pooling.weights("median", [3], 4)
