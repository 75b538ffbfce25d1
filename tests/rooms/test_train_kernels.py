"""Kernels against their twins: the same numbers from compiled code and from plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from numba import njit

from sememe.train import kernel, twins
from sememe.train.lanes import load, sigmoid, store
from sememe.train.merging import merge
from sememe.train.tree import huffman
from sememe.train.vocabulary import Vocabulary

WORDS, DIMS, BUCKETS = 40, 32, 30
MODES = {"skip-gram": 0, "cbow": 1, "dbow": 2, "dm": 3}


def _ids() -> np.ndarray:
    chance = np.random.default_rng(3)
    ids = chance.integers(0, WORDS, 1500) ** 2 // WORDS
    ids[chance.integers(0, 1500, 120)] = -1
    ids[77], ids[-1] = -2, -1
    return ids.astype(np.int32)


def _tables(ids: np.ndarray, *, parts: bool) -> kernel.Tables:
    counts = np.bincount(ids[ids >= 0], minlength=WORDS) + 1
    vocabulary = Vocabulary(tuple(map(str, range(WORDS))), counts)
    rows = np.random.default_rng(4).integers(0, WORDS + BUCKETS, WORDS * 3)
    ends = np.arange(WORDS + 1) * 3
    none = np.zeros(0, np.int64)
    which = (rows, ends) if parts else (none, none)
    return kernel.Tables(vocabulary.keep(1e-2), *vocabulary.noise(0.75), *which, *huffman(counts))


@pytest.mark.parametrize("negatives", [5, 8, 0])
@pytest.mark.parametrize("mode", ["skip-gram", "cbow", "dbow", "dm", "skip-gram of parts", "cbow of parts"])
def test_the_kernel_agrees_with_its_twin(mode: str, negatives: int) -> None:
    ids = _ids()
    parts = mode.endswith("parts")
    tables = _tables(ids, parts=parts)
    extra = BUCKETS if parts else int((ids == -1).sum())
    chance = np.random.default_rng(5)
    fast = kernel.Model(
        chance.normal(0, 0.1, (WORDS + extra, DIMS)).astype(np.float32),
        chance.normal(0, 0.1, (WORDS, DIMS)).astype(np.float32),
    )
    slow = kernel.Model(fast.inputs.copy(), fast.outputs.copy())
    plan = kernel.Plan(MODES[mode.removesuffix(" of parts")], 4, negatives, WORDS, int(np.diff(tables.node_ends).max()))
    stretch = kernel.Stretch(ids, 0, 0.05, 0.01, 5)
    tally = kernel.learn(fast, tables, plan, kernel.make_desk(fast, tables, plan), stretch)
    expected = twins.learn(slow, tables, plan, stretch)
    assert tally[1:] == expected[1:] and tally[2] > 1000
    assert tally[0] == pytest.approx(expected[0], rel=1e-5)
    assert np.abs(fast.inputs - slow.inputs).max() < 1e-5
    assert np.abs(fast.outputs - slow.outputs).max() < 1e-5


def test_a_step_is_the_gradient_of_the_loss() -> None:
    # Numerically: the twin moves each number by -rate times the slope of the loss.
    chance = np.random.default_rng(6)
    inputs, outputs = chance.normal(size=(3, 8)), chance.normal(size=(4, 8))
    signs, rows, targets = np.array([1.0, 0, 0, 1]), [0, 2], [1, 0, 3, 2]

    def loss(x: np.ndarray, o: np.ndarray) -> float:
        p = 1 / (1 + np.exp(-(x[rows] @ o[targets].T)))
        return float(-np.log(np.where(signs == 1, p, 1 - p)).sum())

    moved, rate, tiny = (inputs.copy(), outputs.copy()), 1e-6, 1e-5
    said = twins.step(moved[0], rows, moved[1], targets, (signs, rate))
    assert said == pytest.approx(loss(inputs, outputs))
    for place, matrix in enumerate((inputs, outputs)):
        for index in np.ndindex(matrix.shape):
            up, down = [inputs.copy(), outputs.copy()], [inputs.copy(), outputs.copy()]
            up[place][index] += tiny
            down[place][index] -= tiny
            slope = (loss(*up) - loss(*down)) / (2 * tiny)
            assert (moved[place][index] - matrix[index]) / -rate == pytest.approx(slope, rel=1e-3, abs=2e-2)


@njit
def _sigmoid_of(numbers: np.ndarray, out: np.ndarray) -> None:
    for column in range(0, numbers.shape[1], 16):
        store(out, 0, column, sigmoid(load(numbers, 0, column)))


def test_the_sigmoid_of_lanes() -> None:
    numbers = np.concatenate([np.linspace(-45, 45, 2000), np.linspace(-1, 1, 46), [-1e30, 1e30]])
    given, out = numbers.astype(np.float32)[None], np.zeros((1, 2048), np.float32)
    _sigmoid_of(given, out)
    exact = 1 / (1 + np.exp(-np.clip(given.astype(np.float64), -700, 700)))
    assert np.abs(out - exact).max() < 2e-7


def test_copies_are_merged_by_those_that_moved() -> None:
    matrix = np.array([[1.0, 1], [2, 2], [3, 3]], np.float32)
    copies = np.stack([matrix, matrix])
    copies[0, 0] += 4
    copies[0, 1] += 4
    copies[1, 1] += 2
    merge(matrix, copies, 0, 3)
    assert np.allclose(matrix, [[5, 5], [2 + 6 / 2**0.5] * 2, [3, 3]])
    assert (copies == matrix).all()
