"""What each scheme of positions is for, and that it does it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sememe.architectures import positions
from sememe.ops.numpy import NumpyOps

OPS: Any = NumpyOps()
LONGEST, H, HEADS = 12, 16, 4
D = H // HEADS
_random = np.random.default_rng(3)
WORDS = dict(zip(["dog", "bites", "man"], _random.normal(size=(3, H)).astype(np.float32), strict=True))
PROJECTIONS = _random.normal(size=(3, H, H)).astype(np.float32)


def _mean(sentence: str, *, rows: Any = None, angles: Any = None, table: Any = None) -> Any:
    """A sentence's mean vector after one layer of attention, with what a scheme gives."""
    x = np.stack([WORDS[word] for word in sentence.split()])[None]  # (1, n, h)
    like = np.zeros(x.shape[:2])
    if rows is not None:
        x = x + rows[: x.shape[1]]
    q, k, v = (OPS.split_heads(x @ p, HEADS) for p in PROJECTIONS)
    if angles is not None:
        q, k = (positions.rotate(OPS, t, *(OPS.prefix(a, like) for a in angles), half=D // 2) for t in (q, k))
    bias = None if table is None else positions.by_distance(OPS, table, like)
    seen = OPS.attention(q, k, v, np.ones(like.shape, np.float32), name="", bias=bias)
    return OPS.merge_heads(seen).mean(axis=1)[0]


LEARNED = _random.normal(size=(LONGEST, H)).astype(np.float32)
T5 = _random.normal(size=(8, HEADS)).astype(np.float32)
ALIBI = positions.alibi(LONGEST, positions.alibi_slopes(HEADS))
SCHEMES: dict[str, dict[str, Any]] = {
    "learned": {"rows": LEARNED},
    "sinusoidal": {"rows": positions.sinusoids(LONGEST, H)},
    "rope": {"angles": positions.angles(LONGEST, positions.frequencies(D, 10000.0))},
    "alibi": {"table": ALIBI + positions.causal(LONGEST)},  # as in the paper, where no token looks ahead
    "t5 buckets": {"table": T5[positions.buckets(LONGEST, 8, 10, both_sides=True)]},
    "causal": {"table": positions.causal(LONGEST)},
}


def test_without_positions_order_does_not_matter() -> None:
    np.testing.assert_allclose(_mean("dog bites man"), _mean("man bites dog"), atol=1e-6)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_with_positions_it_does(scheme: str) -> None:
    one, other = (_mean(text, **SCHEMES[scheme]) for text in ("dog bites man", "man bites dog"))
    assert np.abs(one - other).max() > 1e-3


def test_alibi_on_both_sides_knows_distance_but_not_direction() -> None:
    """What JinaBERT has: another order differs, the same order backwards does not."""
    forward, other = (_mean(text, table=ALIBI) for text in ("dog bites man", "bites dog man"))
    assert np.abs(forward - other).max() > 1e-3
    np.testing.assert_allclose(_mean("man bites dog", table=ALIBI), forward, atol=1e-5)


def test_rope_scores_depend_on_the_distance_alone() -> None:
    q, k = _random.normal(size=(2, 1, 1, 1, D)).astype(np.float32)
    cosine, sine = positions.angles(LONGEST, positions.frequencies(D, 10000.0))
    q, k = np.repeat(q, LONGEST, 2), np.repeat(k, LONGEST, 2)
    turned = [positions.rotate(OPS, x, cosine, sine, half=D // 2) for x in (q, k)]
    scores = (turned[0] @ turned[1].transpose(0, 1, 3, 2))[0, 0]
    for distance in range(-LONGEST + 1, LONGEST):
        diagonal = np.diagonal(scores, distance)
        np.testing.assert_allclose(diagonal, diagonal[0], atol=1e-5)
    assert len(np.unique(scores[0].round(3))) == LONGEST
    np.testing.assert_allclose(np.linalg.norm(turned[0], axis=-1), np.linalg.norm(q, axis=-1), atol=1e-5)


def test_rope_turns_as_complex_numbers_do_and_leaves_the_rest() -> None:
    x = _random.normal(size=(1, 1, LONGEST, D + 3)).astype(np.float32)
    frequency = positions.frequencies(D, 500.0)
    got = positions.rotate(OPS, x, *positions.angles(LONGEST, frequency), half=D // 2, rest=3)[0, 0]
    pairs = x[0, 0, :, : D // 2] + 1j * x[0, 0, :, D // 2 : D]
    turned = pairs * np.exp(1j * np.arange(LONGEST)[:, None] * frequency)
    np.testing.assert_allclose(got[:, :D], np.hstack([turned.real, turned.imag]), atol=1e-5)
    np.testing.assert_array_equal(got[:, D:], x[0, 0, :, D:])


def test_alibi_falls_linearly_and_each_head_has_its_slope() -> None:
    slopes = positions.alibi_slopes(8)
    np.testing.assert_allclose(slopes, [2.0**-i for i in range(1, 9)])  # as the paper prints them
    bias = positions.by_distance(OPS, positions.alibi(LONGEST, slopes), np.zeros((1, 5)))
    for head, i, j in np.ndindex(8, 5, 5):
        assert bias[head, i, j] == pytest.approx(-slopes[head] * abs(i - j))


def test_alibi_of_heads_that_are_no_power_of_two() -> None:
    slopes = positions.alibi_slopes(12)
    np.testing.assert_allclose(slopes[:8], positions.alibi_slopes(8))
    np.testing.assert_allclose(slopes[8:], positions.alibi_slopes(16)[0:8:2])


def test_a_shift_of_sinusoids_is_one_linear_map() -> None:
    """Vaswani et al.: PE(p + k) is a linear function of PE(p), the same for every p."""
    table = positions.sinusoids(60, H).astype(np.float64)
    for k in (1, 7):
        turn = np.zeros((H, H))
        for i in range(0, H, 2):
            angle = k / 10000 ** (i / H)
            turn[i : i + 2, i : i + 2] = [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
        np.testing.assert_allclose(table[k:], table[:-k] @ turn.T, atol=1e-5)


def test_sinusoids_are_the_formula() -> None:
    table = positions.sinusoids(20, 7)
    for p, i in np.ndindex(20, 7):
        angle = p / 10000 ** ((i - i % 2) / 7)
        assert table[p, i] == pytest.approx(math.cos(angle) if i % 2 else math.sin(angle), abs=1e-6)


MASKS: list[tuple[Any, Callable[[int, int], bool]]] = [
    (positions.causal(LONGEST), lambda i, j: j <= i),
    (positions.window(LONGEST, 2), lambda i, j: abs(i - j) <= 2),
]


@pytest.mark.parametrize("at", range(len(MASKS)))
@pytest.mark.parametrize("n", [1, 5, LONGEST])
def test_masks_forbid_what_they_should(at: int, n: int) -> None:
    table, allowed = MASKS[at]
    bias = positions.by_distance(OPS, table, np.zeros((2, n)))
    for i, j in np.ndindex(n, n):
        assert (bias[0, i, j] == 0) == allowed(i, j)
        assert bias[0, i, j] in (0, positions.FORBIDDEN)


@pytest.mark.parametrize("both_sides", [True, False])
def test_buckets_are_fine_near_and_coarse_far(both_sides: bool) -> None:
    count, furthest, longest = 16, 40, 60
    bucket = positions.buckets(longest, count, furthest, both_sides=both_sides)
    back = bucket[:longest][::-1]  # distances 0, -1, -2 …
    side = count // 2 if both_sides else count
    near = side // 2
    assert back[: near + 1].tolist() == list(range(near + 1))
    assert (np.diff(back) >= 0).all()
    assert back.max() == side - 1
    assert (back[furthest:] == side - 1).all()
    ahead = bucket[longest:]
    if both_sides:
        np.testing.assert_array_equal(ahead, back[1:] + side)
    else:
        assert (ahead == 0).all()


def test_rope_frequencies_are_the_formula() -> None:
    expected = [500.0 ** (-2 * i / 6) for i in range(3)]
    np.testing.assert_allclose(positions.frequencies(6, 500.0), expected)
    cosine, sine = positions.angles(9, positions.frequencies(6, 500.0), scale=2.0)
    np.testing.assert_allclose(cosine[8], [2 * math.cos(8 * f) for f in expected], rtol=1e-6)
    np.testing.assert_allclose(sine[8], [2 * math.sin(8 * f) for f in expected], rtol=1e-6)
