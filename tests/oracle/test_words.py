"""Word vectors beside gensim: its files are read as it reads them, and its answers are ours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sememe.space.analogy import analogy, odd_one_out
from sememe.space.formats.files import read_space
from sememe.space.nearest import nearest

GOLDEN = Path(__file__).parent / "golden" / "words"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text("utf-8"))


@pytest.mark.parametrize("name", ["plain.txt", "plain.bin", "fasttext.bin"])
def test_words_and_numbers(name: str) -> None:
    space = read_space(GOLDEN / name)
    assert sorted(space.labels) == sorted(EXPECTED["words"])
    np.testing.assert_allclose(space.vectors(EXPECTED["words"]), EXPECTED["vectors"], rtol=0, atol=1e-7)


def test_unseen_words_by_their_parts() -> None:
    space = read_space(GOLDEN / "fasttext.bin")
    for word, vector in EXPECTED["unseen"].items():
        assert word not in space
        np.testing.assert_allclose(space[word], vector, rtol=0, atol=1e-7)


def test_neighbours() -> None:
    space = read_space(GOLDEN / "plain.bin")
    for word, found in EXPECTED["nearest"].items():
        ours = nearest(space, word, 5)
        assert [near.label for near in ours] == [label for label, _ in found]
        assert [near.score for near in ours] == pytest.approx([score for _, score in found], abs=1e-6)


@pytest.mark.parametrize("way", ["add", "mul"])
def test_analogies(way: str) -> None:
    space = read_space(GOLDEN / "plain.bin")
    for a, b, c, found in EXPECTED[way]:
        ours = analogy(space, a, b, c, k=3, way=way).without
        assert [near.label for near in ours] == [label for label, _ in found]
        if way == "mul":  # gensim adds 0.000001 below the line, the paper and we 0.001
            assert [near.score for near in ours] == pytest.approx([score for _, score in found], rel=1e-2)
        else:
            assert [near.score for near in ours] == pytest.approx([score for _, score in found], abs=1e-6)


def test_the_odd_one() -> None:
    words, odd = EXPECTED["odd"]
    assert odd_one_out(read_space(GOLDEN / "plain.bin"), words)[0].label == odd
