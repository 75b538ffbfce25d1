"""What is done to a space does what its name says; spaces are compared and turned onto each other."""

from __future__ import annotations

import numpy as np
import pytest

from sememe.errors import UsageError
from sememe.space.align import aligned, joined, procrustes, translations
from sememe.space.compare import cka, difference, hubness, intrinsic_dim, isotropy
from sememe.space.shape import centred, cut, principal, projected, whitened, without_top
from sememe.space.space import Space


def cloud(n: int = 200, d: int = 6, *, seed: int = 2) -> Space:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, d)) * np.arange(d, 0, -1) + 3
    return Space(tuple(f"w{i}" for i in range(n)), rows.astype(np.float32), {"source": "a cloud"})


def rotation(d: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(9).normal(size=(d, d)))[0]


def test_centred_whitened_and_along_their_widest_directions() -> None:
    space = cloud()
    assert np.abs(centred(space).matrix.mean(axis=0)).max() < 1e-5
    covariance = np.cov(whitened(space, dims=4).matrix.T, bias=True)
    np.testing.assert_allclose(covariance, np.eye(4), atol=1e-5)
    found = principal(space, 3)
    _, lengths, axes = np.linalg.svd(space.matrix - space.matrix.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.linalg.norm(found.matrix, axis=0), lengths[:3], rtol=1e-4)
    np.testing.assert_allclose(
        np.abs(found.matrix), np.abs((space.matrix - space.matrix.mean(0)) @ axes[:3].T), atol=1e-3
    )
    assert found.provenance == {"source": "a cloud", "changed": "PCA to 3 dims"}


def test_all_but_the_top_leaves_nothing_along_it() -> None:
    space = cloud()
    left = without_top(space, 2)
    _, _, axes = np.linalg.svd(space.matrix - space.matrix.mean(axis=0), full_matrices=False)
    assert np.abs(left.matrix @ axes[:2].T).max() < 1e-3
    assert np.abs(left.matrix @ axes[2:].T).max() > 1


def test_projection_and_cut() -> None:
    space = cloud(60, 300)
    small = projected(space, 200, seed=4)
    np.testing.assert_array_equal(small.matrix, projected(space, 200, seed=4).matrix)
    ratio = np.linalg.norm(small.matrix[0] - small.matrix[1:], axis=1) / np.linalg.norm(
        space.matrix[0] - space.matrix[1:], axis=1
    )
    assert 0.7 < ratio.min() <= ratio.max() < 1.3
    short = cut(space, 5)
    np.testing.assert_allclose(np.linalg.norm(short.matrix, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(
        short.matrix[0] / short.matrix[0, 0], space.matrix[0, :5] / space.matrix[0, 0], rtol=1e-5
    )


def test_what_cannot_be_done_is_refused() -> None:
    space = cloud()
    for wrong in (lambda: cut(space, 7), lambda: principal(space, 0), lambda: without_top(space, 6)):
        with pytest.raises(UsageError):
            wrong()
    flat = space.with_matrix(space.matrix * [1, 1, 1, 0, 0, 0], "flattened")
    with pytest.raises(UsageError, match="along 3 directions, not along 6"):
        whitened(flat)
    with pytest.raises(UsageError, match="no label in common"):
        joined(space, Space(("x",), [[1.0]]))
    with pytest.raises(UsageError, match="different widths"):
        aligned(space, cut(space, 3))


def test_a_turned_space_is_turned_back() -> None:
    space = cloud()
    turn = rotation(6)
    other = Space(tuple(f"v{i}" for i in range(200)), space.units @ turn)
    np.testing.assert_allclose(procrustes(space.units, other.matrix), turn, atol=1e-5)
    back = aligned(space, other, [(f"w{i}", f"v{i}") for i in range(30)])
    np.testing.assert_allclose(back.matrix, other.matrix, atol=1e-4)
    found = translations(back, other, ["w150", "w7"], 2)
    assert [best[0].label for best in found] == ["v150", "v7"]


def test_csls_is_twice_the_cosine_less_both_neighbourhoods() -> None:
    one, other = cloud(20, 3), cloud(25, 3, seed=8)
    cosines = one.units.astype(np.float64) @ other.units.T
    near = np.sort(cosines, axis=1)[:, -5:].mean(axis=1)[:, None] + np.sort(cosines, axis=0)[-5:].mean(axis=0)
    want = 2 * cosines - near
    found = translations(one, other, ["w3"], 25, around=5)[0]
    assert [n.score for n in found] == pytest.approx(np.sort(want[3])[::-1], abs=1e-5)


def test_joined_cosines_are_the_mean_of_both() -> None:
    one, other = cloud(), cloud(150, 4, seed=5)
    both = joined(one, other)
    assert len(both) == 150
    want = (one.units[3] @ one.units[4] + other.units[3] @ other.units[4]) / 2
    assert both["w3"] @ both["w4"] == pytest.approx(want, abs=1e-6)


def test_differences_and_the_words_that_moved() -> None:
    space = cloud()
    same = difference(space, space.with_matrix(space.matrix @ rotation(6) * 2, "turned"))
    assert (same.labels, same.overlap) == (200, pytest.approx(1, abs=0.01))
    assert same.cka == pytest.approx(1)
    moved = space.matrix.copy()
    moved[17] *= -1
    assert difference(space, space.with_matrix(moved, "one moved")).moved[0].label == "w17"
    assert cka(space, cloud(seed=77)) < 0.2


def test_how_a_space_is_spread() -> None:
    rng = np.random.default_rng(1)
    labels = tuple(map(str, range(1000)))
    even = Space(labels, rng.normal(size=(1000, 3)))
    assert isotropy(even) > 0.9
    assert isotropy(Space(labels, rng.normal(size=(1000, 3)) + 20)) < 0.1
    star = np.vstack([np.eye(29), np.ones(29)])  # of all rows the last is the nearest
    assert abs(hubness(even)) < 1 < hubness(Space(labels[:30], star), k=1)
    assert hubness(Space(labels[:5], np.ones((5, 2))), k=2) < 1.5  # rows that are all alike are each other's neighbours
    sheet = rng.uniform(size=(1000, 2)) @ rng.normal(size=(2, 20))
    assert intrinsic_dim(Space(labels, sheet)) == pytest.approx(2, abs=0.25)
    with pytest.raises(UsageError, match="three different rows"):
        intrinsic_dim(Space(("a", "b", "c"), np.ones((3, 2))))
