"""Arithmetic with words, on a space so small that every answer can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sememe.errors import UsageError
from sememe.space.analogy import Term, analogy, analogy_rows, evaluate, odd_one_out, read_sum, solve
from sememe.space.space import Space, unit_rows

#: royal, male, female, fruit
WORDS = {
    "king": [9, 5, 1, 0],
    "queen": [9, 1, 5, 0],
    "man": [1, 6, 1, 0],
    "woman": [1, 1, 6, 0],
    "apple": [0, 0, 1, 9],
    "new york": [4, 1, 1, 2],
}


def royal() -> Space:
    return Space(tuple(WORDS), np.array(list(WORDS.values()), np.float32))


@pytest.mark.parametrize("way", ["add", "mul"])
def test_king_is_to_man_as_queen_to_woman(way: str) -> None:
    found = analogy(royal(), "man", "king", "woman", k=2, way=way)
    assert (found.answer, found.asked, found.way) == ("queen", ("man", "king", "woman"), way)
    assert len(found.without) == len(found.with_inputs) == 2
    assert not {near.label for near in found.without} & {"man", "king", "woman"}
    assert found.with_inputs[0].score >= found.without[0].score


def test_the_words_of_the_question_are_shown_where_they_win() -> None:
    found = analogy(royal(), "apple", "king", "new york", k=3)
    assert found.with_inputs[0].label == "king"
    assert found.without[0].label not in ("apple", "king", "new york")


def test_multiplied_cosines_as_by_hand() -> None:
    space = royal()
    a, b, c = unit_rows(space.vectors(["man", "king", "woman"]))
    near = (space.units.astype(np.float64) @ np.stack([a, b, c], 1).astype(np.float64) + 1) / 2
    want = near[:, 1] * near[:, 2] / (near[:, 0] + 1e-3)
    places, scores = analogy_rows(space, np.stack([[a, b, c]]), 10, way="mul")
    assert places[0].tolist() == np.argsort(-want).tolist()
    assert scores[0] == pytest.approx(np.sort(want)[::-1])


def test_an_analogy_needs_known_words_and_one_more() -> None:
    with pytest.raises(UsageError, match='has no "prince"'):
        analogy(royal(), "man", "prince", "woman")
    with pytest.raises(UsageError, match='not by "sub"'):
        analogy(royal(), "man", "king", "woman", way="sub")
    with pytest.raises(UsageError, match="beside the three"):
        analogy(royal().take(["man", "king", "woman"]), "man", "king", "woman")


def test_the_odd_one_comes_first() -> None:
    found = odd_one_out(royal(), ["king", "apple", "queen", "man"])
    assert found[0].label == "apple"
    assert [near.score for near in found] == sorted(near.score for near in found)
    with pytest.raises(UsageError, match="three different words"):
        odd_one_out(royal(), ["king", "king", "queen"])


def test_a_sum_is_read_and_worked_out() -> None:
    assert read_sum("king - man + woman") == (Term(1, "king"), Term(-1, "man"), Term(1, "woman"))
    assert read_sum("- man + 0.5 * new york") == (Term(-1, "man"), Term(0.5, "new york"))
    assert read_sum("well-known + a+b") == (Term(1, "well-known"), Term(1, "a+b"))
    assert read_sum(" 3 + c* ") == (Term(1, "3"), Term(1, "c*"))
    space = royal()
    units = dict(zip(space.labels, space.units, strict=True))
    assert evaluate(space, "king - 2 * man") == pytest.approx(units["king"] - 2 * units["man"])
    assert solve(space, "king - man + woman", 1)[0].label == "queen"
    assert {near.label for near in solve(space, "king - man + woman")} == {"queen", "apple", "new york"}
    assert len(solve(space, "king - man + woman", with_inputs=True)) == 6


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a sum of no words"),
        ("king -", "a sign without a word"),
        ("king - + woman", "a sign without a word"),
        ("x * king", '"x" before \\* is no number'),
        ("nan * king", "no finite number"),
        ("king + 2 * ", "a sign without a word"),
        ("king - prince", 'has no "prince"'),
    ],
)
def test_a_sum_that_is_none_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_sum(text, royal())
