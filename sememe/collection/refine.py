"""What may be done with the hits of a search before they are answered: how two sides become one order, a second opinion
on the best, one hit for each item or source, and hits that differ from each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from sememe.errors import DataError, UsageError
from sememe.shapes import Hits

FUSIONS = ("scores", "ranks")
GROUPS = ("item", "source")


class Reranker(Protocol):
    """Judges texts against a query, slower and better than a search does."""

    def __call__(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """A score for each text, in their order; bigger is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refine:
    """How hits are made of candidates. Each step takes what the one before it leaves, in the order that follows.

    Args:
        fusion: of the mode hybrid: ``scores`` adds the two scores on one scale, ``ranks`` only looks at the places that
            an item takes on either side.
        rerank: a second opinion; its scores are then those of the hits.
        group: ``item`` or ``source``: one hit for each, its best, which carries the others.
        diversity: from 0, none, to 1: how much a hit is held back by its likeness to those before it.
        depth: how many candidates are looked at by ``ranks``, ``rerank`` and ``diversity``; None: 100, or ``k`` if
            that is more.

    Raises:
        UsageError: a value that makes no sense.
    """

    fusion: Literal["scores", "ranks"] = "scores"
    rerank: Reranker | None = None
    group: Literal["item", "source"] | None = None
    diversity: float = 0.0
    depth: int | None = None

    def __post_init__(self) -> None:
        if self.fusion not in FUSIONS:
            raise UsageError(f'fusion="{self.fusion}" is not known', do=[f"use one of: {', '.join(FUSIONS)}"])
        if self.group is not None and self.group not in GROUPS:
            raise UsageError(f'group="{self.group}" is not known', do=[f"use one of: {', '.join(GROUPS)}"])
        if self.rerank is not None and not callable(self.rerank):
            raise UsageError(f"rerank is called with a query and texts, which {type(self.rerank).__name__} cannot be")
        if not isinstance(self.diversity, (int, float)) or not 0 <= self.diversity <= 1:
            raise UsageError(f"diversity is from 0 (none) to 1 (nothing else), not {self.diversity!r}")
        if self.depth is not None and (not isinstance(self.depth, int) or self.depth < 1):
            raise UsageError(f"depth is how many candidates are looked at, 1 or more, not {self.depth!r}")

    @property
    def bounded(self) -> bool:
        """Whether the order of the hits depends on how many candidates are looked at."""
        return self.fusion == "ranks" or self.rerank is not None or self.diversity > 0

    def described(self) -> dict[str, Any]:
        """Plain values that tell one way from another."""
        name = ""
        if self.rerank is not None:
            known = (getattr(self.rerank, key, None) for key in ("name", "__qualname__"))
            name = next((word for word in known if isinstance(word, str)), type(self.rerank).__qualname__)
        return {"fusion": self.fusion, "rerank": name, "group": self.group, "diversity": float(self.diversity)}


def reranked(hits: Hits, query: str, rerank: Reranker) -> Hits:
    """``hits`` in the order of a second opinion, ties by id. The score that they had becomes one of their parts.

    Raises:
        DataError: not one number for each text.
    """
    from sememe.collection.indexing import encoded_text

    if not hits:
        return hits
    texts = [encoded_text(hit.title, hit.text) for hit in hits]
    scores = [float(score) for score in rerank(query, texts)]
    if len(scores) != len(texts) or not all(map(math.isfinite, scores)):
        raise DataError(
            "the reranker does not give a number for each text",
            why=[("texts", str(len(texts))), ("numbers", str(sum(map(math.isfinite, scores))))],
        )
    order = sorted(range(len(hits)), key=lambda i: (-scores[i], hits.ids[i]))
    return Hits(
        tuple(hits.ids[i] for i in order),
        tuple(scores[i] for i in order),
        "rerank",
        tuple(hits.records[i] for i in order),
        tuple({**hits.parts[i], hits.kind: hits.scores[i], "rerank": scores[i]} for i in order),
        hits.searched,
        hits.seconds,
    )
