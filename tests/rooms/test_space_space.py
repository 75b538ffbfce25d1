"""A space keeps what it was given, refuses what is none, and gives unseen words a vector by their parts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sememe.errors import DataError, UsageError
from sememe.space.space import Space, unit_rows
from sememe.space.subwords import Subwords, part_hash, parts


def small() -> Space:
    return Space(("king", "queen", "Berlin"), np.array([[3, 4], [0, 2], [0, 0]], np.float32), {"source": "a test"})


def test_a_label_gives_its_row() -> None:
    space = small()
    assert (len(space), space.dim, "king" in space, "man" in space) == (3, 2, True, False)
    assert space["queen"].tolist() == [0, 2]
    assert space.places(["Berlin", "king"]).tolist() == [2, 0]
    assert space.vectors(["Berlin", "king"]).tolist() == [[0, 0], [3, 4]]
    assert repr(space) == "<space: 3 labels, 2 dims>"


def test_nothing_of_a_space_can_be_changed() -> None:
    given = np.ones((1, 2), np.float32)
    space = Space(("a",), given)
    with pytest.raises(ValueError, match="read-only"):
        space.matrix[0, 0] = 5
    with pytest.raises(ValueError, match="read-only"):
        space["a"][0] = 5
    with pytest.raises(dataclasses.FrozenInstanceError):
        space.labels = ("b",)  # type: ignore[misc]
    given[0, 0] = 1  # the caller's own array is still the caller's


def test_an_unknown_label_is_said_with_those_near_it() -> None:
    with pytest.raises(UsageError, match='has no "berlin"') as caught:
        small().place("berlin")
    assert "close to it: Berlin" in str(caught.value)
    with pytest.raises(UsageError, match="close to it: queen"):
        small()["queeen"]
    with pytest.raises(UsageError, match="not one string"):
        small().places("king")
    with pytest.raises(UsageError, match="not one string"):
        small().vectors("king")


@pytest.mark.parametrize(
    ("labels", "matrix", "said"),
    [
        (("a", "b", "a"), np.ones((3, 2)), '"a" is there twice\n  rows 0 and 2'),
        (("a",), np.ones((2, 2)), "1 labels, 2 rows"),
        (("a", "b"), np.array([[1, 2], [np.nan, 1]]), 'row 1, "b"'),
        (("a",), np.array([[np.inf, 1]]), 'row 0, "a"'),
        (("a",), np.ones(2), "shape  (2,)"),
        (("a",), np.ones((1, 0)), "shape  (1, 0)"),
        ((7,), np.ones((1, 2)), "the label of row 0 is no string"),
        (("a",), np.array([["x"]]), "type   <U1"),
    ],
)
def test_what_is_no_space_is_refused(labels: tuple[str, ...], matrix: np.ndarray, said: str) -> None:
    with pytest.raises(DataError) as caught:
        Space(labels, matrix)
    assert said in str(caught.value)


def test_numbers_whose_sum_leaves_float32_are_numbers() -> None:
    assert len(Space(("a", "b"), np.full((2, 2), 3e38, np.float32))) == 2


def test_unit_rows_are_of_length_one_whatever_their_size() -> None:
    space = small()
    assert space.units.tolist() == [[np.float32(0.6), np.float32(0.8)], [0, 1], [0, 0]]
    assert space.units is space.units
    assert np.linalg.norm(unit_rows([[1e-30, 1e-30], [3e38, 3e38]]), axis=1) == pytest.approx(1)


def test_parts_of_a_space() -> None:
    assert small().take(["Berlin", "king"]).labels == ("Berlin", "king")
    assert small().take(["queen"]).matrix.tolist() == [[0, 2]]
    first = small().first(2)
    assert (first.labels, first.provenance) == (("king", "queen"), {"source": "a test"})
    assert np.shares_memory(first.matrix, small().matrix) is False
    changed = small().with_matrix(np.zeros((3, 5)), "emptied").with_matrix(np.ones((3, 4)), "filled")
    assert (changed.dim, changed.provenance) == (4, {"source": "a test", "changed": "emptied; filled"})


def test_an_unseen_word_is_the_mean_of_its_parts() -> None:
    table = np.arange(14, dtype=np.float32).reshape(7, 2)
    space = Space(("a",), np.ones((1, 2)), subwords=Subwords(table, 3, 4))
    rows = [part_hash(part) % 7 for part in ("<ca", "<cat", "cat", "cat>", "at>")]
    assert space["cat"] == pytest.approx(table[rows].mean(axis=0))
    assert space.vectors(["a", "cat"])[1] == pytest.approx(space["cat"])
    assert space["a"].tolist() == [1, 1]  # a label is looked up
    with pytest.raises(UsageError, match="has no parts"):
        Subwords(table, 6, 6).vector("cat")
    with pytest.raises(DataError, match="different widths"):
        Space(("a",), np.ones((1, 3)), subwords=Subwords(table))
    with pytest.raises(DataError, match="NaN"):
        Subwords(np.full((1, 2), np.nan, np.float32)).vector("cat")


def test_parts_of_many_words_are_those_of_each() -> None:
    subwords = Subwords(np.random.default_rng(0).normal(size=(1000, 2)).astype(np.float32), 1, 4)
    words = ["cat", "é", "", "日本語x", "a", "🙂ab"]
    rows, counts = subwords.rows_of_many(words)
    for word, some in zip(words, np.split(rows, np.cumsum(counts)[:-1]), strict=True):
        assert sorted(some.tolist()) == sorted(subwords.rows(word))
    means = subwords.means(rows, counts, np.ones((6, 2), np.float32))
    want = (subwords.matrix[subwords.rows("cat")].sum(axis=0) + 1) / (len(subwords.rows("cat")) + 1)
    assert means[0] == pytest.approx(want)
    assert Subwords(subwords.matrix, 5, 2**40).rows_of_many(["a"])[1].tolist() == [0]


def test_parts_and_their_hashes() -> None:
    assert parts("ab", 1, 2) == ["<a", "a", "ab", "b", "b>"]
    assert parts("é", 3, 6) == ["<é>"]
    # FNV-1a's own published values, and one with a byte above 127, which fastText takes as negative
    assert (part_hash("a"), part_hash("foobar")) == (0xE40C292C, 0xBF9CF968)
    assert part_hash("é") != 0  # golden values of fastText itself are in the tests of its format
