"""Why a hit is a hit: the words of the query that it holds, and how its score came of its parts, so that the sum can be
done again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sememe.shapes import Hit, Hits
from sememe.store.filters import parse
from sememe.store.local.hybrid import WEIGHT
from sememe.store.local.words import stems, terms

if TYPE_CHECKING:
    from sememe.collection.collection import Collection
    from sememe.store.local.hybrid import Scale

_WORDS = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Matched:
    """A word of the query in a hit: as the query spells it, how often title and text have it, and how they spell it."""

    word: str
    times: int
    spelt: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a hybrid score: ``weight * (score - zero) / (one - zero)``, and not below 0, is the ``share`` that it
    adds. ``zero`` is what counts as nothing, ``one`` what counts as all."""

    part: str
    score: float
    zero: float
    one: float
    weight: float
    share: float


@dataclass(frozen=True, slots=True)
class Explained:
    """One hit: the ``words`` of the query that it holds, ``missing`` ones, and the ``steps`` of its hybrid score, whose
    shares add up to it; empty where its score is of another kind."""

    id: str
    score: float
    kind: str
    scores: Mapping[str, float]
    words: tuple[Matched, ...]
    missing: tuple[str, ...]
    steps: tuple[Step, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "words": [asdict(one) | {"spelt": list(one.spelt)} for one in self.words],
            "missing": list(self.missing),
            "steps": [asdict(step) for step in self.steps],
        }


def explain(collection: Collection, query: str, hits: Hits, where: str | Mapping[str, Any] | None) -> list[Explained]:
    """Why each of ``hits`` answers ``query``, asked with the same filter."""
    scale = None
    if any(_hybrid_score(hit) is not None for hit in hits):
        scale = _scale(collection, query, where)
    asked = _asked(query)
    out = []
    for hit in hits:
        words = _matched(asked, f"{hit.title}\n{hit.text}")
        found = {one.word for one in words}
        steps = () if scale is None or _hybrid_score(hit) is None else _steps(hit, scale)
        missing = tuple(word for word in asked.values() if word not in found)
        out.append(Explained(hit.id, hit.score, hit.kind, dict(hit.scores), words, missing, steps))
    return out


def _scale(collection: Collection, query: str, where: str | Mapping[str, Any] | None) -> Scale:
    """What the cosines and the BM25 scores of this query were held against."""
    vectors = collection.encoder().encode([query], role="query", on_long="cut")
    store, expr = collection.store, parse(where)
    return store.ask(lambda search: search.scale(vectors, store.words_at(search), query), expr)


def _hybrid_score(hit: Hit) -> float | None:
    return hit.score if hit.kind == "hybrid" else hit.scores.get("hybrid")


def _steps(hit: Hit, scale: Scale) -> tuple[Step, ...]:
    near, word = hit.scores["cosine"], hit.scores.get("bm25", 0.0)
    return (
        Step("cosine", near, scale.usual, scale.best, WEIGHT, WEIGHT * scale.cosine(near)),
        Step("bm25", word, 0.0, scale.good, 1 - WEIGHT, (1 - WEIGHT) * scale.bm25(word)),
    )


def _asked(query: str) -> dict[str, str]:
    """The stems that are looked for, each with its first spelling in the query."""
    spelling: dict[str, str] = {}
    for word in _WORDS.findall(query):
        for stem in stems(word):
            spelling.setdefault(stem, word)
    return {stem: spelling.get(stem, stem) for stem in terms(query)}


def _matched(asked: Mapping[str, str], text: str) -> tuple[Matched, ...]:
    spelt: dict[str, Counter[str]] = {stem: Counter() for stem in asked}
    for word, times in Counter(_WORDS.findall(text)).items():
        for stem in stems(word):
            if stem in spelt:
                spelt[stem][word] += times
    return tuple(
        Matched(asked[stem], sum(found.values()), _names(found.most_common())) for stem, found in spelt.items() if found
    )


def _names(found: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.casefold() for word, _ in found))
