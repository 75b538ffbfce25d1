"""Dense search. pgvector makes a shortlist, which is scored again here in float64: equal vectors get equal scores, the
same ones that the store in a folder gives them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from sememe.shapes import Hits, Vectors
from sememe.store import scan
from sememe.store.servers.postgres_filter import Compiled
from sememe.store.servers.postgres_tables import COLUMNS, record_of, vectors_of

#: candidates of the HNSW index: at least this many, or this many times k; beyond its limit the search is exact
CANDIDATES, CANDIDATES_PER_HIT, MOST = 100, 4, 1000

# Every row that may be among the best k: those not farther than the k-th by more than rounding, and the odd ones.
_EXACT = """
WITH allowed AS MATERIALIZED (
    SELECT id, CASE WHEN odd THEN NULL ELSE vector <=> %(query)s::vector END AS distance
    FROM {schema}.items WHERE {condition}
), edge AS (SELECT distance FROM allowed WHERE distance IS NOT NULL ORDER BY distance LIMIT 1 OFFSET %(k)s - 1)
SELECT id, (SELECT count(*) FROM allowed) FROM allowed
WHERE distance IS NULL OR distance <= coalesce((SELECT distance FROM edge), 'Infinity') + %(slack)s
"""
_NEAR = """
(SELECT id FROM {schema}.items ORDER BY vector <=> %(query)s::vector LIMIT %(wide)s)
UNION ALL SELECT id FROM {schema}.items WHERE odd
"""


@dataclass(frozen=True, slots=True)
class Search:
    """One question in one transaction; ``cursor`` is binary."""

    cursor: Any
    schema: str
    where: Compiled
    dim: int
    index: str

    def dense(self, query: Vectors, k: int) -> Hits:
        """The best ``k`` by cosine to ``query`` ``(dim,)``."""
        started = time.perf_counter()
        unit = scan.unit(query[np.newaxis])[0]
        wide = max(CANDIDATES, CANDIDATES_PER_HIT * k)
        if not k:
            ids, searched = [], self._count()
        elif not unit.any():
            ids, searched = self._first(k), self._count()
        elif self.index == "hnsw" and self.where.sql == "true" and wide <= MOST:
            ids, searched = self._near(unit, wide), self._count()
        else:
            ids, searched = self._exact(unit, k)
        # By their ids and not by a join: nothing then leads the planner to read all vectors a second time.
        sql = f"SELECT id, vector, {COLUMNS} FROM {self.schema}.items WHERE id = ANY (%s::text[])"
        rows = {row[0]: row[1:] for row in self.cursor.execute(sql, [ids])}
        ids = list(rows)
        vectors = vectors_of([rows[id][0] for id in ids], self.dim)
        scores = scan.cosines(vectors, np.arange(len(ids)), unit).tolist()
        best = sorted(zip(ids, scores, strict=True), key=lambda pair: (-pair[1], pair[0]))[:k]
        return Hits(
            ids=tuple(id for id, _ in best),
            scores=tuple(score for _, score in best),
            kind="cosine",
            records=tuple(record_of(rows[id][1:]) for id, _ in best),
            parts=tuple({"cosine": score} for _, score in best),
            searched=searched,
            seconds=time.perf_counter() - started,
        )

    def _exact(self, unit: scan.Floats64, k: int) -> tuple[list[str], int]:
        # The product and both norms are off by at most dim roundings each, the query by one, on both sides.
        slack = (4 * self.dim + 16) * float(np.finfo(np.float32).eps)
        sql = _EXACT.format(schema=self.schema, condition=self.where.sql)
        asked = {"query": written(unit), "k": min(k, 2**62), "slack": slack, **self.where.values}
        found = self.cursor.execute(sql, asked).fetchall()
        return [id for id, _ in found], (found[0][1] if found else 0)

    def _near(self, unit: scan.Floats64, wide: int) -> list[str]:
        self.cursor.execute("SELECT set_config('hnsw.ef_search', %s, true)", [str(wide)])
        asked = {"query": written(unit), "wide": wide}
        return [id for (id,) in self.cursor.execute(_NEAR.format(schema=self.schema), asked)]

    def _first(self, k: int) -> list[str]:
        """A zero query is like nothing: all scores are 0, and the order is that of the ids."""
        sql = f"SELECT id FROM {self.schema}.items WHERE {self.where.sql} ORDER BY id LIMIT %(k)s"
        return [id for (id,) in self.cursor.execute(sql, {"k": min(k, 2**62), **self.where.values})]

    def _count(self) -> int:
        return count(self.cursor, self.schema, self.where)


def count(cursor: Any, schema: str, where: Compiled) -> int:
    """How many items satisfy a filter."""
    (number,) = cursor.execute(f"SELECT count(*) FROM {schema}.items WHERE {where.sql}", where.values).fetchone()
    return int(number)


def written(vector: scan.Floats64) -> str:
    """A vector as pgvector reads it."""
    return "[" + ",".join(map(repr, vector.astype(np.float32).tolist())) + "]"
