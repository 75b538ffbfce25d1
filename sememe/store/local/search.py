"""The three ways to search a local store. Each works on one view of it and fetches only the winners' records."""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sememe.errors import DamagedError, UsageError
from sememe.shapes import Hits, Record, Vectors
from sememe.store import scan
from sememe.store.batch import matrix
from sememe.store.filter_sql import Sql
from sememe.store.filter_tree import Expr
from sememe.store.local import hybrid, seals
from sememe.store.local.hybrid import Scale
from sememe.store.local.nearest import nearest
from sememe.store.local.view import View
from sememe.store.local.words import Match, Unusable, Words
from sememe.store.record_rows import COLUMNS, record_of

MODES = ("dense", "words", "hybrid")
#: candidates of each side of a hybrid search: at least this many, or this many times k
CANDIDATES, CANDIDATES_PER_HIT = 100, 10
#: up to this many rows that a filter lets through, Tantivy looks only at them
FEW = 1000
#: rows that are fetched beyond k, because their scores equal the last, before their ids alone are looked at
EQUALS = 50

#: slots or row numbers, each with its score
Scored = Sequence[tuple[int, float]]
Parts = Mapping[int, Mapping[str, float]]


def question(
    vectors: Vectors | None, k: int, words: Sequence[str] | None, mode: str, *, dim: int
) -> tuple[Vectors, Sequence[str]]:
    """What is asked for, refused where it makes no sense: query vectors ``(q, dim)`` and query texts."""
    if mode not in MODES:
        raise UsageError(f'mode="{mode}" is not known', do=[f"use one of: {', '.join(MODES)}"])
    if not isinstance(k, int) or isinstance(k, bool) or k < 0:
        raise UsageError(f"k is how many hits are wanted, 0 or more, not {k!r}")
    if mode != "words" and vectors is None:
        raise UsageError(f'mode="{mode}" needs query vectors')
    if mode != "dense" and (words is None or isinstance(words, str)):
        raise UsageError(f'mode="{mode}" needs a list of query texts')
    if not all(isinstance(text, str) for text in words or ()):
        raise UsageError("a query text is a text")
    queries = np.empty((0, dim), np.float32) if mode == "words" else matrix(vectors, dim)
    if mode == "hybrid" and len(queries) != len(words or ()):
        raise UsageError(f"{len(queries)} query vectors came with {len(words or ())} query texts")
    return queries, words or ()


class Misled(Exception):
    """The columns were not what the records say, and are gone: ask again."""


class Search:
    """One question to one view. Candidates are scored by slot or by row number; only the winners' rows are fetched, and
    each is compared with its checksums and with the filter's SQL."""

    def __init__(self, connection: sqlite3.Connection, view: View, where: Sql | None, expr: Expr | None) -> None:
        self.connection, self.view, self.where = connection, view, where
        self.started = time.perf_counter()
        self.allowed = view.allowed(connection, where, expr)

    def dense(self, queries: Vectors, k: int) -> list[Hits]:
        """By cosine."""
        return [
            self._hits("cosine", [(slot, score, {"cosine": score}) for slot, score in pairs], k, by="slot")
            for pairs in self._dense(queries, k)
        ]

    def words(self, words: Words, texts: Iterable[str], k: int) -> list[Hits]:
        """By BM25."""
        return [
            self._hits("bm25", [(number, score, {"bm25": score}) for number, score in self._words(words, text, k)], k)
            for text in texts
        ]

    def hybrid(self, queries: Vectors, words: Words, texts: Iterable[str], k: int) -> list[Hits]:
        """By both."""
        wide = max(CANDIDATES, CANDIDATES_PER_HIT * k)
        return [
            self._hybrid(query, words, text, k, (wide, near))
            for query, near, text in zip(queries, self._dense(queries, wide), texts, strict=True)
        ]

    def _hybrid(self, query: Vectors, words: Words, text: str, k: int, found: tuple[int, Scored]) -> Hits:
        """The best ``k`` by both, of so many candidates of each side as it takes to be sure of them."""
        wide, near = found[0], self._first(found[1], found[0], by="slot")
        numbers = self.view.numbers(self.connection).of(np.array([slot for slot, _ in near], np.int64)).tolist()
        cosine = dict(zip(numbers, (score for _, score in near), strict=True))
        bm25 = dict(self._first(self._words(words, text, wide), wide))
        unit = scan.unit(query[np.newaxis])[0]
        top = max(cosine, key=lambda number: cosine[number], default=-1)
        scale = self._scale(unit, cosine.get(top, 0.0), words.yardstick(text))
        # Of no candidate of either side is more known than that it scores no better than the last of each.
        last = min(cosine.values(), default=0.0), min(bm25.values()) if len(bm25) == wide else 0.0
        cosine |= self._cosines(unit, [number for number in bm25 if number not in cosine])
        if bm25 and (rest := sorted(number for number in cosine if number not in bm25)):
            match = words.best(text, len(rest), among=rest)
            bm25 |= dict(zip(match.numbers, match.scores, strict=True))
        scores = hybrid.best(cosine, bm25, scale, k)
        if k and wide < self.allowed.count:
            (others,) = hybrid.combined({0: last[0]}, {0: last[1]}, scale).values()
            if sorted(scores.values(), reverse=True)[:k][-1] <= others:
                wide *= 4
                (near,) = self._dense(query[np.newaxis], wide)
                return self._hybrid(query, words, text, k, (wide, near))
        parts = [(number, score, _parts(number, cosine, bm25)) for number, score in scores.items()]
        # The best cosine is a part of every score, and so has to be right.
        return self._hits("hybrid", parts, k, beside=[top] if top >= 0 else [])

    def scale(self, query: Vectors, words: Words, text: str) -> Scale:
        """What the scores of both sides are held against; ``query`` is ``(1, dim)``."""
        (near,) = self._dense(query, 1)
        best = max((score for _, score in near), default=0.0)
        return self._scale(scan.unit(query)[0], best, words.yardstick(text))

    def _scale(self, unit: scan.Floats64, best: float, good: float) -> Scale:
        return Scale(float(unit @ self.view.centroid), best, good)

    def _dense(self, queries: Vectors, k: int) -> Iterable[Scored]:
        """The slots of the best ``k`` of each query in no order; ties at the end are all there."""
        if not self.allowed.count or not k or not len(queries):
            return [[]] * len(queries)
        self.view.prove(self.connection)
        found = nearest(self.view, self.allowed.mask, self.allowed.count, scan.unit(queries), k)
        return (list(zip(slots.tolist(), scores.tolist(), strict=True)) for slots, scores in found)

    def _words(self, words: Words, text: str, k: int) -> Scored:
        """The row numbers of the best ``k``, best first; ties at the end are all there."""
        count = self.allowed.count
        if not k or not count:
            return []
        among, limit = None, min(k, self.view.state.live) + 8
        if self.allowed.chosen and self.allowed.mask is not None:
            if count <= FEW:
                slots = np.flatnonzero(self.allowed.mask)
                among = self.view.numbers(self.connection).of(slots).tolist()
            else:
                limit = math.ceil(limit * self.view.state.live / count)
        while True:
            match = words.best(text, limit, among=among)
            ranking = self._passing(match) if among is None else list(zip(match.numbers, match.scores, strict=True))
            if match.complete or (len(ranking) > k and match.scores[-1] < ranking[k - 1][1]):
                return ranking
            limit *= 4

    def _passing(self, match: Match) -> Scored:
        pairs = list(zip(match.numbers, match.scores, strict=True))
        if not self.allowed.chosen or self.allowed.mask is None:
            return pairs
        slots = self._slots(match.numbers)
        return [pair for pair, passes in zip(pairs, self.allowed.mask[slots].tolist(), strict=True) if passes]

    def _cosines(self, unit: scan.Floats64, numbers: list[int]) -> dict[int, float]:
        slots = self._slots(numbers)
        return dict(zip(numbers, scan.cosines(self.view.vectors, slots, unit).tolist(), strict=True))

    def _slots(self, numbers: list[int]) -> scan.Slots:
        """Of rows that the word index names."""
        slots = self.view.numbers(self.connection).slots_of(np.array(numbers, np.int64))
        if (slots < 0).any() or (self.view.open is not None and not self.view.open[slots].all()):
            raise self._missing("number")
        return slots

    def _first(self, pairs: Scored, k: int, *, by: str = "number") -> Scored:
        """The best ``k`` in no order, of equal ones those whose ids come first."""
        if not k or len(pairs) <= k:
            return pairs if k else []
        last = sorted((score for _, score in pairs), reverse=True)[k - 1]
        first = [pair for pair in pairs if pair[1] > last]
        equal = [pair for pair in pairs if pair[1] == last]
        if len(first) + len(equal) > k:
            sql = f"SELECT {by}, id FROM rows WHERE {by} IN (SELECT value FROM json_each(?))"
            ids = dict(self.connection.execute(sql, [json.dumps([key for key, _ in equal])]))
            if len(ids) != len(equal):
                raise self._missing(by)
            equal.sort(key=lambda pair: ids[pair[0]])
        return first + equal[: k - len(first)]

    def _hits(
        self,
        kind: str,
        found: Sequence[tuple[int, float, Mapping[str, float]]],
        k: int,
        *,
        by: str = "number",
        beside: Sequence[int] = (),
    ) -> Hits:
        """The best ``k`` of candidates, best first, ties by id; ``beside`` are more rows whose vectors are compared."""
        if len(found) > k + EQUALS:
            kept = dict(self._first([(key, score) for key, score, _ in found], k, by=by))
            found = [one for one in found if one[0] in kept]
        rows = self._rows([*(key for key, *_ in found), *beside], by)
        ranked = sorted(found, key=lambda one: (-one[1], rows[one[0]][1]))[:k]
        chosen = [rows[key] for key, *_ in ranked]
        if kind != "bm25":
            if kind == "hybrid":
                slots = np.array([row[2] for row in chosen], np.int64)
                if self.view.numbers(self.connection).of(slots).tolist() != [row[0] for row in chosen]:
                    raise self._misled()
            proven = [*chosen, *(rows[key] for key in beside)]
            seals.prove_rows(self.view.vectors, [(row[2], row[3]) for row in proven])
        return Hits(
            ids=tuple(row[1] for row in chosen),
            scores=tuple(score for _, score, _ in ranked),
            kind=kind,
            records=tuple(self._record(row) for row in chosen),
            parts=tuple(parts for *_, parts in ranked),
            searched=self.allowed.count,
            seconds=time.perf_counter() - self.started,
        )

    def _misled(self) -> Misled:
        self.view.columns.remove()
        self.view.forget()
        return Misled()

    def _missing(self, by: str) -> Exception:
        if by == "slot":
            return DamagedError("vectors have no rows any more", do=[seals.REMEDY])
        if self.view.columns.remembered:
            return self._misled()
        return Unusable("the word index names rows that are not there")

    def _rows(self, keys: Sequence[int], by: str) -> dict[int, Sequence[Any]]:
        """Rows with their records and what the filter says of them, by slot or by number."""
        condition, values = self.where or ("1", [])
        sql = (
            f"SELECT row.{by}, row.id, row.slot, row.crc, held.* FROM rows AS row LEFT JOIN"
            f" (SELECT ({condition}) AS passes, number, id, {COLUMNS}, seal FROM records) AS held USING (number)"
            f" WHERE row.{by} IN (SELECT value FROM json_each(?))"
        )
        rows = {row[0]: row for row in self.connection.execute(sql, [*values, json.dumps(keys)])}
        if any(key not in rows for key in keys):
            raise self._missing(by)
        return rows

    def _record(self, row: Sequence[Any]) -> Record:
        _, id, _, _, passes, *values = row
        if passes is None or seals.proved(values)[1] != id:
            raise DamagedError("records are lost, or are not those of their rows", do=[seals.REMEDY])
        if not passes:
            raise self._misled()
        return record_of(values[2:-1])


def _parts(number: int, cosine: Mapping[int, float], bm25: Mapping[int, float]) -> dict[str, float]:
    parts = {"cosine": cosine[number]}
    if number in bm25:
        parts["bm25"] = bm25[number]
    return parts
