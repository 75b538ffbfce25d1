"""Dense search. Milvus makes a shortlist, which is scored again here in float64: equal vectors get equal scores, the
same ones that the store in a folder gives them.

Where Milvus cannot say by itself which rows a filter lets through, all that may pass are read, and looked at here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sememe.shapes import Hits, Record, Vectors
from sememe.store import scan
from sememe.store.filter_tree import Expr
from sememe.store.filters import matches
from sememe.store.servers import milvus_rows as rows
from sememe.store.servers.milvus_filter import Compiled
from sememe.store.servers.milvus_log import State
from sememe.store.servers.milvus_session import MOST, Row, Session

#: numbers that one expression lists
LISTED = 1000
#: candidates beyond k that are asked for at first
SPARE = 32
#: candidates of the HNSW index: at least this many, or this many times k
CANDIDATES, CANDIDATES_PER_HIT = 100, 4

_Scored = tuple[float, str, int]


@dataclass(frozen=True, slots=True)
class Search:
    """Questions to one state."""

    session: Session
    state: State
    expr: Expr | None
    where: Compiled
    dim: int
    index: str

    def dense(self, queries: Vectors, k: int) -> list[Hits]:
        """The best ``k`` by cosine of each query ``(q, dim)``."""
        started = time.perf_counter()
        units = scan.unit(queries)
        if not self.where.exact or k > MOST:
            found, searched = self._all(units, k)
        else:
            searched = self.count()
            found = [self._best(unit, k) for unit in units]
        numbers = [number for best in found for _, _, number in best]
        kept = {one["number"]: rows.record_from(one) for one in self._fetched(numbers, ["record"])}
        seconds = time.perf_counter() - started
        return [_hits(best, kept, searched, seconds / len(found)) for best in found]

    def count(self) -> int:
        """How many items satisfy the filter."""
        if self.expr is None:
            return self.state.items
        if self.where.exact:
            return self.session.count(self.session.items, self.state.seen(self.where.text))
        return sum(len(part) for part in self.passing(["id"]))

    def passing(self, columns: Sequence[str]) -> Iterator[list[Row]]:
        """The rows of all items that satisfy the filter, some at a time."""
        wanted = list(columns) if self.where.exact else sorted({*columns, "id", "record"})
        for part in rows.read(self.session, self.state.seen(self.where.text), wanted, self.dim):
            yield part if self.where.exact else [one for one in part if self._fits(one)]

    def _fits(self, found: Row) -> bool:
        return matches(self.expr, found["id"], rows.record_from(found))

    def _best(self, unit: scan.Floats64, k: int) -> list[_Scored]:
        if not k:
            return []
        if not unit.any():
            # Like nothing: all scores are 0, and the order is that of the ids.
            names = [(one["id"], one["number"]) for part in self.passing(["id"]) for one in part]
            return [(0.0, id, number) for id, number in sorted(names)[:k]]
        numbers = [*self._near(unit, k), *self._odd()]
        found = self._fetched(numbers, ["id", "vector"])
        scored = _scored(found, unit, self.dim)
        return sorted(scored, key=_order)[:k]

    def _near(self, unit: scan.Floats64, k: int) -> list[int]:
        """The numbers of all that may be among the best ``k``: those not farther than the k-th, but for rounding."""
        # The product and both norms are off by at most dim roundings each, the query by one, on both sides.
        slack = (4 * self.dim + 16) * float(np.finfo(np.float32).eps)
        condition = self.state.seen(f"odd == false and {self.where.text}")
        query = unit.astype(np.float32).tolist()
        wide = k + SPARE
        if self.index == "hnsw":
            wide = max(CANDIDATES, CANDIDATES_PER_HIT * k)
        while True:
            wide = min(wide, MOST)
            params = {"ef": wide} if self.index == "hnsw" else {}
            found = self.session.near(query, condition, wide, params)
            edge = found[k - 1][1] - slack if len(found) >= k else -np.inf
            if len(found) < wide or found[-1][1] < edge or self.index == "hnsw":
                return [number for number, score in found if score >= edge]
            if wide == MOST:  # more ties than Milvus answers at once
                return [one["number"] for part in self.passing(["odd"]) for one in part if not one["odd"]]
            wide *= 4

    def _odd(self) -> list[int]:
        condition = self.state.seen(f"odd == true and {self.where.text}")
        found = self.session.rows(self.session.items, condition, [], width=100)
        return [one["number"] for part in found for one in part]

    def _all(self, units: scan.Floats64, k: int) -> tuple[list[list[_Scored]], int]:
        """Each row looked at and scored here."""
        best: list[list[_Scored]] = [[] for _ in units]
        searched = 0
        for part in self.passing(["id", "vector"]):
            searched += len(part)
            for place, unit in enumerate(units):
                best[place] = sorted([*best[place], *_scored(part, unit, self.dim)], key=_order)[:k]
        return best, searched

    def _fetched(self, numbers: Sequence[int], columns: Sequence[str]) -> Iterator[Row]:
        for start in range(0, len(numbers), LISTED):
            condition = f"number in {list(numbers[start : start + LISTED])}"
            for part in rows.read(self.session, condition, columns, self.dim):
                yield from part


def _order(one: _Scored) -> tuple[float, str]:
    return (-one[0], one[1])


def _scored(found: Sequence[Row] | Iterator[Row], unit: scan.Floats64, dim: int) -> list[_Scored]:
    kept = list(found)
    scores = scan.cosines(rows.vectors_from(kept, dim), np.arange(len(kept)), unit).tolist()
    return [(score, one["id"], one["number"]) for score, one in zip(scores, kept, strict=True)]


def _hits(best: Sequence[_Scored], kept: dict[int, Record], searched: int, seconds: float) -> Hits:
    return Hits(
        ids=tuple(id for _, id, _ in best),
        scores=tuple(score for score, _, _ in best),
        kind="cosine",
        records=tuple(kept[number] for _, _, number in best),
        parts=tuple({"cosine": score} for score, _, _ in best),
        searched=searched,
        seconds=seconds,
    )
