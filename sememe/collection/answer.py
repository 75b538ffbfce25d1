"""From a question to its answer: as many candidates as it takes, refined, cut to a page.

A store ranks; what is done with its ranking is done here, the same for every store. Fewer hits of a store are the first
of more, so a plain search asks for as many as are wanted, a range or a group for more until there are enough.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.collection.cursor import Cursor
from sememe.collection.fusion import fused
from sememe.collection.groups import grouped
from sememe.collection.refine import Refine, reranked
from sememe.errors import UsageError
from sememe.shapes import Hits, Vectors
from sememe.space.diversity import diverse

if TYPE_CHECKING:
    from sememe.store.contract import Store

#: candidates of a refined search, unless it says how many
DEPTH = 100
#: of a range or of groups nobody knows beforehand how many hits it takes: so many at first, then so many times more
FIRST, MORE = 256, 4


@dataclass(frozen=True, slots=True)
class Question:
    """Queries to one store: their vectors ``(q, dim)`` (None: words alone), their texts (None: vectors alone), and ids
    that must not answer."""

    vectors: Vectors | None
    texts: Sequence[str] | None
    mode: str
    where: str | Mapping[str, Any] | None = None
    without: frozenset[str] = frozenset()

    @property
    def count(self) -> int:
        """How many queries there are."""
        if self.texts is not None:
            return len(self.texts)
        return 0 if self.vectors is None else len(self.vectors)


@dataclass(frozen=True, slots=True)
class Page:
    """Which hits are wanted: the best ``k``, None for all; not below ``min_score``; those after a cursor."""

    k: int | None = 10
    min_score: float | None = None
    after: str | None = None

    def __post_init__(self) -> None:
        k = self.k
        if k is not None and (not isinstance(k, int) or isinstance(k, bool) or k < 0):
            raise UsageError(f"k is how many hits are wanted, 0 or more, or None for all, not {k!r}")


def answers(store: Store, question: Question, page: Page, refine: Refine) -> list[Hits]:
    """The hits of each query.

    Raises:
        UsageError: the question makes no sense, or the cursor is of another one.
        StoreError: the collection changed, and the cursor cannot go on.
    """
    cursors = _cursors(store, question, page, refine)
    depth = _depth(page, refine, max((cursor.depth for cursor in cursors), default=0))
    seen = max((cursor.seen for cursor in cursors), default=0)
    search = _Search(store, question, page.min_score, refine)
    if depth:
        whole = search.refined(search.candidates(depth))
    elif page.k is None:
        whole = search.refined(search.grown(FIRST, search.is_past))
    elif refine.group:
        wanted = seen + page.k + 1
        whole = search.refined(search.grown(max(wanted, DEPTH), lambda hits: search.has_groups(hits, wanted)))
    else:
        whole = search.refined(search.ranked(seen + page.k + 1))
    return [_page(hits, cursor, page.k, depth) for hits, cursor in zip(whole, cursors, strict=True)]


def _cursors(store: Store, question: Question, page: Page, refine: Refine) -> list[Cursor]:
    """Where each query's page begins."""
    count = question.count
    if page.after is not None and count != 1:
        raise UsageError(f"a cursor goes on with one query, not with {count}")
    common = {
        "store": str(store.manifest.get("store", "")),
        "mode": question.mode,
        "where": question.where,
        "without": sorted(question.without),
        "min_score": page.min_score,
        "refine": refine.described(),
    }
    found = []
    for place in range(count):
        text = None if question.texts is None else question.texts[place]
        # Of a text the vector follows; its last digits may depend on the batch that it was encoded in.
        vector = question.vectors[place].tolist() if text is None and question.vectors is not None else None
        found.append(Cursor.read(page.after, common | {"text": text, "vector": vector}))
    return found


def _depth(page: Page, refine: Refine, before: int) -> int:
    """How many candidates are refined: on later pages as many as on the first; 0: as many as it takes."""
    if not refine.bounded:
        return 0
    depth = before or refine.depth or (max(DEPTH, page.k) if page.k is not None else 0)
    if not depth:
        raise UsageError(
            "all hits are asked for, and their order depends on how many candidates are looked at",
            do=[("say how many", "Refine(depth=1000, …)")],
        )
    if page.k is not None and page.k > depth and not before:
        raise UsageError(
            f"{page.k} hits cannot come of {depth} candidates", do=[("look at more", f"Refine(depth={page.k}, …)")]
        )
    return depth


def _page(whole: Hits, cursor: Cursor, k: int | None, depth: int) -> Hits:
    cursor.check(whole.ids)
    end = len(whole) if k is None else min(cursor.seen + k, len(whole))
    hits = whole.take(range(cursor.seen, end))
    if end < len(whole) and k:
        return replace(hits, cursor=cursor.after(whole.ids[:end], depth))
    return hits


@dataclass(frozen=True, slots=True)
class _Search:
    """One question to one store, and what becomes of its rankings."""

    store: Store
    question: Question
    min_score: float | None
    refine: Refine

    def ranked(self, n: int, mode: str | None = None) -> list[Hits]:
        """The best ``n`` of each query, without those that must not answer."""
        asked, without = self.question, self.question.without
        found = self.store.search(
            asked.vectors, n + len(without), words=asked.texts, where=asked.where, mode=mode or asked.mode
        )
        if without:
            found = [hits.take([i for i, id in enumerate(hits.ids) if id not in without][:n]) for hits in found]
        return found

    def grown(self, n: int, enough: Callable[[Hits], bool]) -> list[Hits]:
        """So many of each query that there are enough of all, or no more."""
        while True:
            found = self.ranked(n)
            if all(len(hits) < n or enough(hits) for hits in found):
                return found
            n *= MORE

    def is_past(self, hits: Hits) -> bool:
        """Whether what comes after ``hits`` is below the lowest score that is wanted."""
        return self.min_score is not None and hits.scores[-1] < self.min_score

    def has_groups(self, hits: Hits, wanted: int) -> bool:
        """Whether these are so many groups."""
        return self.is_past(hits) or len(grouped(hits, str(self.refine.group))) >= wanted

    def candidates(self, depth: int) -> list[Hits]:
        """What is refined: at most ``depth`` of each query, of either side where places are fused."""
        if self.refine.fusion == "scores":
            return self.ranked(depth)
        if self.question.mode != "hybrid":
            raise UsageError(
                f'fusion="ranks" puts two sides together, and mode="{self.question.mode}" has one',
                do=['ask with mode="hybrid", or leave fusion out'],
            )
        sides = self.ranked(depth, "dense"), self.ranked(depth, "words")
        return [fused(pair) for pair in zip(*sides, strict=True)]

    def refined(self, found: Sequence[Hits]) -> list[Hits]:
        """Each ranking judged again, cut, grouped and spread."""
        refine, out = self.refine, []
        for place, hits in enumerate(found):
            started = time.perf_counter()
            if refine.rerank is not None:
                if self.question.texts is None:
                    raise UsageError("a reranker judges texts against a query text, and there is none")
                hits = reranked(hits, self.question.texts[place], refine.rerank)
            if self.min_score is not None:
                least = self.min_score
                hits = hits.take([i for i, score in enumerate(hits.scores) if score >= least])
            if refine.group is not None:
                hits = grouped(hits, refine.group)
            if refine.diversity > 0 and hits:
                hits = hits.take(diverse(self.store.vectors(hits.ids), _relevance(hits), refine.diversity))
            out.append(replace(hits, seconds=hits.seconds + time.perf_counter() - started))
        return out


def _relevance(hits: Hits) -> Any:
    """The scores from 0 for the last of the candidates to 1 for the first, whatever their kind (docs/decisions)."""
    scores = np.array(hits.scores, np.float64)
    low, high = scores.min(), scores.max()
    return (scores - low) / (high - low) if high > low else np.zeros(len(scores))
