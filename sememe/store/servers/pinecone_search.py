"""Dense search in Pinecone: it proposes keys, their records are fetched, and the cosine is taken here in float64.
Pinecone looks at a part of its index only, so it may miss some of the best; what is answered has its right score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sememe.shapes import Hits, Record
from sememe.store import scan
from sememe.store.filter_tree import Expr
from sememe.store.filters import matches
from sememe.store.servers.packed import Json, record_in, vector_in
from sememe.store.servers.pinecone_rows import first
from sememe.store.servers.pinecone_session import MOST, Session

#: candidates: at least this many, or this many times k; beyond the last of these numbers all items are read
NEAR, NEAR_PER_HIT, FETCHED = 100, 4, 2000

Item = tuple[str, Record, float]


@dataclass(frozen=True, slots=True)
class Search:
    """One question.

    Args:
        where: Pinecone's filter, None for none.
        rest: the whole filter, asked of every record that comes back.
        translated: whether ``where`` says all that ``rest`` does; if not, all items are read.
    """

    session: Session
    namespace: str
    dim: int
    where: Json | None
    rest: Expr | None
    translated: bool

    def dense(self, unit: scan.Floats64, k: int) -> Hits:
        """The best ``k`` by cosine to ``unit`` ``(dim,)``."""
        if not k:
            return _hits([], self.count())
        if self.translated and unit.any() and k <= FETCHED:
            keys, among = self._proposed(unit, k)
            if keys is not None:
                return _hits(self._best(self._items(keys, unit), k), among)
        best: list[Item] = []
        among = 0
        for page in self.session.listed(self.namespace):
            items = self._items(page, unit)
            among += len(items)
            best = self._best([*best, *items], k)
        return _hits(best, among)

    def count(self) -> int:
        """How many items may answer."""
        if self.rest is None:
            return self.session.count(self.namespace)
        if self.translated:
            keys = [key for key, _ in self.session.nearest(self.namespace, first(self.dim), MOST, self.where)]
            if len(keys) < MOST:
                return len(keys)
        return sum(len(self.records(page)) for page in self.session.listed(self.namespace))

    def _proposed(self, unit: scan.Floats64, k: int) -> tuple[list[str] | None, int]:
        """The keys of all that may be among the best, as far as Pinecone tells, None if these are too many; and how
        many may answer."""
        ask = unit.astype(np.float32).tolist()
        wide = MOST if self.rest is not None else max(NEAR, NEAR_PER_HIT * k)
        found = self.session.nearest(self.namespace, ask, wide, self._with(zero=False))
        slack = (4 * self.dim + 16) * float(np.finfo(np.float32).eps)
        if len(found) == wide < MOST and found[-1][1] >= found[k - 1][1] - slack:
            found = self.session.nearest(self.namespace, ask, MOST, self._with(zero=False))
        # Those of nothing but zeros are compared as something else; their right score is 0.
        zeros = self.session.nearest(self.namespace, ask, MOST, self._with(zero=True))
        among = len(found) + len(zeros)
        if self.rest is None:
            among = max(among, self.session.count(self.namespace))
        elif max(len(found), len(zeros)) >= MOST:
            return None, 0  # how many there are is known only when they are counted
        edge = found[min(k, len(found)) - 1][1] - slack if found else 0.0
        keys = [key for key, score in found if score >= edge] + [key for key, _ in zeros]
        return (keys, among) if len(keys) <= FETCHED else (None, 0)

    def _with(self, *, zero: bool) -> Json:
        """The filter for items whose vector is, or is not, nothing but zeros."""
        one: Json = {"zero": {"$eq": zero}}
        return one if self.where is None else {"$and": [one, self.where]}

    def records(self, keys: Sequence[str]) -> list[tuple[str, Record, Json]]:
        """Of these items those that pass the filter: id, record, and what Pinecone holds of it."""
        out = []
        for one in self.session.fetch(self.namespace, keys).values():
            id, record = str(one["metadata"].get("id")), record_in(one["metadata"])
            if matches(self.rest, id, record):
                out.append((id, record, one))
        return out

    def _items(self, keys: Sequence[str], unit: scan.Floats64) -> list[Item]:
        here = self.records(keys)
        rows = [vector_in(one["metadata"], one["values"], self.dim) for _, _, one in here]
        table = np.stack(rows) if rows else np.empty((0, self.dim), np.float32)
        scores = scan.cosines(table, np.arange(len(rows)), unit).tolist()
        return [(id, record, score) for (id, record, _), score in zip(here, scores, strict=True)]

    @staticmethod
    def _best(items: Sequence[Item], k: int) -> list[Item]:
        return sorted(items, key=lambda item: (-item[2], item[0]))[:k]


def _hits(items: Sequence[Item], searched: int) -> Hits:
    return Hits(
        ids=tuple(id for id, _, _ in items),
        scores=tuple(score for _, _, score in items),
        kind="cosine",
        records=tuple(record for _, record, _ in items),
        parts=tuple({"cosine": score} for _, _, score in items),
        searched=searched,
    )
