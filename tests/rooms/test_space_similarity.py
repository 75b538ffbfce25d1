"""Cosine: against the plain formula, at the edges of float64, and on what has no direction."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sememe.errors import DataError
from sememe.space import similarity as room
from sememe.space.similarity import similarity

numbers = st.floats(-100, 100, width=32)


@given(arrays.arrays(np.float32, (3, 4), elements=numbers), arrays.arrays(np.float32, (5, 4), elements=numbers))
def test_it_is_the_plain_formula(a: np.ndarray, b: np.ndarray) -> None:
    a, b = a + np.float32(0.5), b - np.float32(0.25)
    if not (a.any(axis=1).all() and b.any(axis=1).all()):
        return
    got = similarity(a, b)
    assert got.shape == (3, 5)
    assert got.dtype == np.float32
    for i in range(3):
        for j in range(5):
            x, y = [float(v) for v in a[i]], [float(v) for v in b[j]]
            plain = math.fsum(p * q for p, q in zip(x, y, strict=True)) / (math.hypot(*x) * math.hypot(*y))
            assert got[i, j] == pytest.approx(plain, abs=1e-6)
    assert np.abs(got).max() <= 1.0


def test_shapes_follow_the_arguments() -> None:
    eye = np.eye(3)
    assert similarity([1, 0, 0], [0, 2, 0]) == 0.0
    assert isinstance(similarity([1.0, 2.0], [2.0, 4.0]), float)
    assert similarity(eye, [1, 0, 0]).tolist() == [1, 0, 0]
    assert similarity([1, 0, 0], eye[:2]).tolist() == [1, 0]
    assert similarity(eye, eye).tolist() == eye.tolist()
    assert similarity(np.empty((0, 3)), eye).shape == (0, 3)


def test_blocks_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = np.random.default_rng(1).normal(size=(2, 11, 5))
    whole = similarity(a, b)
    monkeypatch.setattr(room, "BLOCK", 3)
    assert np.array_equal(similarity(a, b), whole)


def test_numbers_at_the_edges_of_float64() -> None:
    assert similarity([1e300, 1e300], [1e-300, 1e-300]) == pytest.approx(1.0)
    assert similarity([5e-324, 0.0], [0.0, 1.0]) == 0.0


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1, 2], [1, 2, 3], "same width"),
        ([0.0, 0.0], [1, 2], "a vector of a is all zeros"),
        ([1, 2], [[1, 2], [0, 0]], "a vector of b is all zeros"),
        ([1, math.nan], [1, 2], "NaN or infinity"),
        ([1, 2], [math.inf, 2], "NaN or infinity"),
        ([[1, 2], [3]], [1, 2], "rows differ in width"),
        (["a"], [1], "no real numbers"),
        ([1j], [1], "no real numbers"),
        ([True], [1], "no real numbers"),
        ([[[1.0]]], [1.0], r"the shape \(1, 1, 1\)"),
        ([], [], r"the shape \(0,\)"),
        (1.0, [1.0], r"the shape \(\)"),
    ],
)
def test_what_has_no_cosine_is_refused(a: object, b: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        similarity(a, b)  # type: ignore[arg-type]


def test_the_row_at_fault_is_named_and_both_widths() -> None:
    with pytest.raises(DataError) as caught:
        similarity([[1, 1], [0, 0], [0, 0]], [1, 2])
    assert caught.value.why == (("row", "1"), ("such rows", "2 of 3"))
    with pytest.raises(DataError) as caught:
        similarity(np.ones(384), np.ones(768))
    assert caught.value.why == (("a", "384 dims"), ("b", "768 dims"))


def test_the_input_is_not_changed() -> None:
    a = np.array([[3.0, 4.0]])
    similarity(a, a)
    assert a.tolist() == [[3.0, 4.0]]
