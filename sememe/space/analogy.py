"""``king - man + woman``: arithmetic with words, analogies, and the word that does not belong.

Most published figures leave the words of the question out of the answers; asked honestly, a word of the question is
often the nearest of all. Both answers are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sememe.errors import UsageError
from sememe.shapes import Vectors
from sememe.space.nearest import Near, nearest, nearest_rows
from sememe.space.space import Space, unit_rows

#: what 3CosMul adds below the line, so that nothing is divided by zero (Levy and Goldberg, 2014)
SMALL = 1e-3


@dataclass(frozen=True, slots=True)
class Analogy:
    """The answers to ``a`` is to ``b`` as ``c`` is to what: without the three words, and with them."""

    asked: tuple[str, str, str]
    way: str
    without: tuple[Near, ...]
    with_inputs: tuple[Near, ...]

    @property
    def answer(self) -> str:
        """The best that is none of the three words."""
        return self.without[0].label


def analogy(space: Space, a: str, b: str, c: str, *, k: int = 5, way: str = "add") -> Analogy:
    """``a`` is to ``b`` as ``c`` is to …: ``analogy(space, "man", "king", "woman")``.

    Args:
        way: ``add`` looks for what is nearest to ``b - a + c`` (3CosAdd); ``mul`` for the most of
            ``cos(b) cos(c) / cos(a)``, each cosine moved to 0 … 1 (3CosMul), so that no one of them outweighs the rest.

    Raises:
        UsageError: an unknown word or way, or a space with no other words.
    """
    asked = (a, b, c)
    if way not in ("add", "mul"):
        raise UsageError(f'an analogy is found by "add" or "mul", not by "{way}"')
    if len(set(space.labels[:4]) - set(asked)) == 0:
        raise UsageError("an analogy needs a word beside the three that it is made of")
    places, scores = analogy_rows(space, unit_rows(space.vectors(asked))[None], k + len(set(asked)), way=way)
    found = [Near(space.labels[row], score) for row, score in zip(places[0].tolist(), scores[0].tolist(), strict=True)]
    others = tuple(near for near in found if near.label not in asked)
    return Analogy(asked, way, others[:k], tuple(found[:k]))


def analogy_rows(
    space: Space, words: Vectors, k: int, *, way: str = "add"
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The best rows of many questions at once, the words of the questions not left out: ``(q, k)`` twice.

    ``words`` is ``(q, 3, d)``: the unit vectors of a, b and c of each question.
    """
    if way == "add":
        return nearest_rows(space, words[:, 1] - words[:, 0] + words[:, 2], k)
    k = min(k, len(space))
    places, scores = np.empty((len(words), k), np.int64), np.empty((len(words), k), np.float32)
    for at, question in enumerate(words):
        away, one, two = (np.float32(1) + space.units @ question.T).T / 2
        value = one * two / (away + np.float32(SMALL))
        places[at] = np.argsort(-value, kind="stable")[:k]
        scores[at] = value[places[at]]
    return places, scores


def odd_one_out(space: Space, words: Sequence[str]) -> list[Near]:
    """The words with their cosine to the mean of all of them, the least fitting first.

    Raises:
        UsageError: fewer than three words, or one that the space does not have.
    """
    if len(set(words)) < 3:
        raise UsageError("which of them is the odd one can be said of three different words or more")
    units = unit_rows(space.vectors(words))
    fit = (units @ unit_rows(units.mean(axis=0)[None])[0]).tolist()
    return sorted((Near(word, value) for word, value in zip(words, fit, strict=True)), key=lambda near: near.score)


@dataclass(frozen=True, slots=True)
class Term:
    """One word of a sum, with the number it is multiplied by."""

    weight: float
    word: str


def read_sum(text: str, space: Space | None = None) -> tuple[Term, ...]:
    """The terms of ``king - man + 0.5 * woman``.

    Signs stand between blanks, so that ``well-known`` is one word, and a word may be of several
    (``new york - usa``). A number is a factor only with ``*``.

    Raises:
        UsageError: a sign without a word, a factor that is no number, or a word that ``space`` does not have.
    """
    groups: list[tuple[str, list[str]]] = []
    for piece in text.split():
        if piece in ("+", "-"):
            groups.append((piece, []))
        elif not groups:
            groups.append(("+", [piece]))
        else:
            groups[-1][1].append(piece)
    terms = tuple(_term(sign, pieces, text) for sign, pieces in groups)
    if not terms:
        raise UsageError("a sum of no words cannot be worked out", do=['write it like "king - man + woman"'])
    if space is not None:
        space.vectors([term.word for term in terms])  # refuses what it does not have
    return terms


def _term(sign: str, pieces: list[str], text: str) -> Term:
    weight, word = 1.0, pieces
    if "*" in pieces:
        at = pieces.index("*")
        factor, word = " ".join(pieces[:at]), pieces[at + 1 :]
        try:
            weight = float(factor)
        except ValueError:
            raise UsageError(f'"{factor:.100}" before * is no number', why=[f"in {text:.200}"]) from None
        if not np.isfinite(weight):
            raise UsageError(f'"{factor:.100}" before * is no finite number', why=[f"in {text:.200}"])
    if not word:
        raise UsageError(f'"{text:.200}" has a sign without a word', do=['write it like "king - man + woman"'])
    return Term(-weight if sign == "-" else weight, " ".join(word))


def evaluate(space: Space, text: str) -> Vectors:
    """The vector of a sum of words, each at unit length: float32 ``(d,)``, not of unit length itself."""
    terms = read_sum(text, space)
    units = unit_rows(space.vectors([term.word for term in terms]))
    total: Vectors = np.array([term.weight for term in terms], np.float32) @ units
    return total


def solve(space: Space, text: str, k: int = 10, *, with_inputs: bool = False) -> list[Near]:
    """The labels nearest to a sum of words, the words themselves left out unless ``with_inputs``."""
    words = {term.word for term in read_sum(text, space)}
    return nearest(space, evaluate(space, text), k, leave_out=() if with_inputs else words & set(space.labels))
