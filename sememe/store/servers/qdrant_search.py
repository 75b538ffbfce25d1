"""Dense search. Qdrant proposes; what it proposes is scored again here in float64 from the vectors as they were put. So
equal vectors get equal scores, the same ones that the store in a folder gives them, and ties are in the order of the
ids.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sememe.shapes import Hits, Record, Vectors
from sememe.store import scan
from sememe.store.filter_tree import Expr
from sememe.store.filters import matches
from sememe.store.servers.packed import Json, record_in
from sememe.store.servers.qdrant_points import vectors_of
from sememe.store.servers.qdrant_session import Session

#: candidates: so many more than k at first, and the most that are asked for at once; for more all items are read
SPARE, MOST = 10, 4096
#: candidates of an index that may miss some: at least this many, or this many times k
NEAR, NEAR_PER_HIT = 100, 4


@dataclass(slots=True)
class Found:
    """Candidates for one query: parallel ids, float32 scores and records, no id twice."""

    ids: list[str]
    scores: list[float]
    records: list[Record]

    def best(self, k: int) -> Found:
        """The first ``k``: by score, then by id."""
        order = sorted(range(len(self.ids)), key=lambda n: (-self.scores[n], self.ids[n]))[:k]
        return Found([self.ids[n] for n in order], [self.scores[n] for n in order], [self.records[n] for n in order])


@dataclass(frozen=True, slots=True)
class Search:
    """One question to one state.

    Args:
        where: Qdrant's filter for the items that may answer.
        rest: a filter that Qdrant does not know, asked of every record that comes back; then all are read.
        exact: whether Qdrant looks at every vector.
    """

    session: Session
    dim: int
    where: Json
    rest: Expr | None
    exact: bool

    def dense(self, queries: Vectors, k: int) -> list[Hits]:
        """The best ``k`` by cosine to each of ``queries`` ``(q, dim)``."""
        started = time.perf_counter()
        units = scan.unit(queries)
        among = 0 if self.rest is not None else self.session.count(self.where)
        if self.rest is not None or min(k, among) > MOST - SPARE:
            found, among = self._read(units, k)
        else:
            found = [Found([], [], []) for _ in units]
            # A zero query is like nothing: the order is that of the ids, which Qdrant does not have.
            aimed = [number for number, unit in enumerate(units) if unit.any()]
            if k and among and len(aimed) < len(units):
                found, _ = self._read(units, k)
            elif k and among:
                found = self._proposed(units, k, among)
        seconds = (time.perf_counter() - started) / max(1, len(units))
        return [_hits(one.best(k), among, seconds) for one in found]

    def _proposed(self, units: scan.Floats64, k: int, among: int) -> list[Found]:
        """Qdrant's nearest: enough of them that none of the best can be missing."""
        limit = min(among, k + SPARE) if self.exact else min(among, MOST, max(NEAR, NEAR_PER_HIT * k))
        answers: list[list[Json]] = [[] for _ in units]
        open_ = list(range(len(units)))
        while open_:
            asked = [units[number].astype(np.float32).tolist() for number in open_]
            for number, points in zip(
                open_, self.session.nearest(asked, self.where, limit, exact=self.exact), strict=True
            ):
                answers[number] = points
            if not self.exact or limit >= among:
                break
            open_ = [number for number in open_ if self._cut_short(answers[number], k)]
            limit = min(among, 4 * limit)
            if open_ and limit > MOST:
                whole, _ = self._read(units, k)
                return whole
        return [self._scored(points, unit) for points, unit in zip(answers, units, strict=True)]

    def _cut_short(self, points: list[Json], k: int) -> bool:
        """Whether one that is not there may be as near as the k-th. Qdrant's products are off by at most dim roundings,
        and both sides of the comparison may be; what it compares was rounded too."""
        slack = (4 * self.dim + 16) * float(np.finfo(np.float32).eps)
        scores = [float(point["score"]) for point in points]
        return scores[-1] >= scores[k - 1] - slack

    def _scored(self, points: Sequence[Json], unit: scan.Floats64) -> Found:
        vectors = vectors_of(points, self.dim)
        scores = scan.cosines(vectors, np.arange(len(points)), unit).tolist()
        payloads = [point["payload"] for point in points]
        return Found([one["id"] for one in payloads], scores, [record_in(one) for one in payloads])

    def _passes(self, payload: Json) -> bool:
        return matches(self.rest, payload["id"], record_in(payload))

    def _read(self, units: scan.Floats64, k: int) -> tuple[list[Found], int]:
        """All items that may answer, page by page; and how many they are."""
        found = [Found([], [], []) for _ in units]
        among = 0
        for page in self.session.pages(self.where, vector=self.rest is None):
            if self.rest is not None:
                page = self.session.points([point["id"] for point in page if self._passes(point["payload"])])
            among += len(page)
            for number, unit in enumerate(units):
                here, sofar = self._scored(page, unit), found[number]
                together = Found(sofar.ids + here.ids, sofar.scores + here.scores, sofar.records + here.records)
                found[number] = together.best(k)
        return found, among


def _hits(found: Found, searched: int, seconds: float) -> Hits:
    return Hits(
        ids=tuple(found.ids),
        scores=tuple(found.scores),
        kind="cosine",
        records=tuple(found.records),
        parts=tuple({"cosine": score} for score in found.scores),
        searched=searched,
        seconds=seconds,
    )
