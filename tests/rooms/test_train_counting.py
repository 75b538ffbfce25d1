"""Models that count: phrases, bags of words, TF-IDF, PPMI with SVD, weighted means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sememe.errors import UsageError
from sememe.space.space import Space
from sememe.train import twins
from sememe.train.bags import bag_of_words, one_hot
from sememe.train.means import sif
from sememe.train.phrases import Phrases, find_phrases
from sememe.train.ppmi import PpmiOptions, Sparse, ppmi, ppmi_svd, truncated_svd
from sememe.train.stream import read_stream
from sememe.train.vocabulary import choose
from tests.rooms.train_texts import FIELDS, texts


def test_pairs_that_stand_together_become_phrases() -> None:
    chance = np.random.default_rng(0)
    given = [[str(w) for w in chance.choice(["new york", "sun", "rain", "tree", "new"], 6)] for _ in range(200)]
    split = [" ".join(words).split() for words in given]
    found = find_phrases(split, min_count=5, threshold=0.5)
    assert set(found.scores) == {("new", "york")}
    counts = {"new": sum(t.count("new") for t in split), "york": sum(t.count("york") for t in split)}
    total, both = sum(len(t) for t in split), counts["york"]
    score = np.log(both / total / (counts["new"] * counts["york"] / total**2)) / -np.log(both / total)
    assert found.scores["new", "york"] == pytest.approx(score)
    words = ["the", "new", "york", "new", "york", "times", "new"]
    assert found.join(words) == ["the", "new_york", "new_york", "times", "new"]
    joined = found.joined(split)
    assert list(joined) == list(joined) and any("new_york" in words for words in joined)
    with pytest.raises(UsageError):
        find_phrases(split, threshold=2)


@given(st.lists(st.sampled_from("abc"), max_size=12))
def test_joining_loses_no_word(words: list[str]) -> None:
    joined = Phrases({("a", "b"): 1.0, ("b", "a"): 1.0, ("c", "c"): 1.0}).join(words)
    assert [part for word in joined for part in word.split("_")] == words


def test_bags_count_words() -> None:
    bags = bag_of_words(["a b a", "", "c b z"], vocabulary=choose({"a": 3, "b": 2, "c": 1}, min_count=1))
    assert bags.dense().tolist() == [[2, 1, 0], [0, 0, 0], [0, 1, 1]]
    assert bags.unknown == 1 and bags.space().labels == ("0", "1", "2")


def test_tf_idf_by_hand() -> None:
    rows = bag_of_words(["a b a", "b c", "b"]).tf_idf().dense()  # columns: b (3), a (2), c (1)
    rare = np.log(4 / 2) + 1
    assert np.allclose(rows[0], np.array([1, 2 * rare, 0]) / np.hypot(1, 2 * rare))
    assert np.allclose(rows[1], np.array([1, 0, rare]) / np.hypot(1, rare))
    assert np.allclose(rows[2], [1, 0, 0])


def test_one_hot_words_are_all_unlike() -> None:
    space = one_hot(choose({"a": 2, "b": 1}, min_count=1))
    assert space.matrix.tolist() == [[1, 0], [0, 1]]
    with pytest.raises(UsageError, match="too many"):
        one_hot(choose({f"w{n}": 1 for n in range(20_000)}, min_count=1))


def _dense(matrix: Sparse) -> np.ndarray:
    size = len(matrix.ends) - 1
    out = np.zeros((size, size))
    out[np.repeat(np.arange(size), np.diff(matrix.ends)), matrix.columns] = matrix.values
    return out


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_ppmi_by_its_formula(shift: float) -> None:
    _, stream = read_stream(texts(), min_count=1)
    counted = twins.count(stream.ids.tolist(), 3)
    full = np.zeros((22, 22))
    for (i, j), weight in counted.items():
        full[i, j] = full[j, i] = weight
    low, high = np.array(list(counted)).T
    options = PpmiOptions(shift=shift)
    found = _dense(ppmi(low, high, np.array(list(counted.values())), words=22, options=options))
    context = full.sum(axis=0) ** 0.75
    with np.errstate(divide="ignore"):
        expected = np.log(full / full.sum(axis=1, keepdims=True) / (context / context.sum())) - shift
    assert np.allclose(found, np.maximum(expected, 0))


def test_the_strongest_directions_are_those_of_the_full_svd() -> None:
    pytest.importorskip("numba")
    chance = np.random.default_rng(1)
    dense = chance.random((120, 120)) * (chance.random((120, 120)) < 0.1) + np.outer(*chance.random((2, 120)))
    rows, columns = np.nonzero(dense)
    sparse = Sparse(dense[rows, columns], columns, np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=120))]))
    left, strengths = truncated_svd(sparse, 10, seed=1, rounds=40)
    full_left, full_strengths, _ = np.linalg.svd(dense)
    assert np.allclose(strengths, full_strengths[:10], rtol=1e-5)
    assert np.allclose(np.abs(np.sum(left * full_left[:, :10], axis=0)), 1, atol=1e-4)
    assert (left[np.abs(left).argmax(axis=0), np.arange(10)] > 0).all()


def test_fields_come_apart_by_counting() -> None:
    pytest.importorskip("numba")
    options = PpmiOptions(dim=4, min_count=1, window=4)
    space = ppmi_svd(texts(), options)
    near = space.units @ space.units.T
    ship = space.place("ship")
    assert {space.labels[row] for row in np.argsort(-near[ship])[:6]} == set(FIELDS["sea"])
    assert np.array_equal(space.matrix, ppmi_svd(texts(), options).matrix)
    with pytest.raises(UsageError, match="directions"):
        ppmi_svd(texts(), PpmiOptions(dim=50, min_count=1))


def test_means_by_smooth_inverse_frequency() -> None:
    space = Space(("the", "ship", "sea"), np.array([[1, 1, 0], [2, 0, 0], [0, 0, 3]], np.float32))
    counts = {"the": 90, "ship": 10}
    means = sif(space, ["the ship", "the sea unknown", "unknown", ""], counts, weight=0.1, remove=False)
    the, ship, sea = 0.1 / 1.0, 0.1 / 0.2, 1.0
    assert np.allclose(means.vectors[0], [(the + 2 * ship) / 2, the / 2, 0])
    assert np.allclose(means.vectors[1], [the / 2, the / 2, 3 * sea / 2])
    assert (means.vectors[2:] == 0).all() and (means.unknown, means.empty) == (2, 2)
    cleared = sif(space, ["the ship", "the sea"], counts, weight=0.1)
    assert cleared.direction is not None
    assert np.allclose(cleared.vectors @ cleared.direction, 0, atol=1e-6)
    again = sif(space, ["the ship"], counts, weight=0.1, direction=cleared.direction)
    assert np.allclose(again.vectors[0], cleared.vectors[0], atol=1e-6)
    with pytest.raises(UsageError):
        sif(space, ["the"], {}, weight=0.1)
