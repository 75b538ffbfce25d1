"""The three ways to search a local store. Each works on one view of it and fetches only the winners' records."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from sememe.shapes import Hits, Vectors
from sememe.store.filter_sql import Sql
from sememe.store.local import hybrid, scan
from sememe.store.local.view import COLUMNS, View, record_of
from sememe.store.local.words import Unusable, Words

#: candidates of each side of a hybrid search: at least this many, or this many times k
CANDIDATES, CANDIDATES_PER_HIT = 100, 10
#: up to this many rows that a filter lets through, Tantivy looks only at them
FEW = 5000

Ranking = list[tuple[int, float]]
Parts = Mapping[int, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Allowed:
    """The rows that may answer: as a mask over the slots and as row numbers (None: all that are alive)."""

    mask: scan.Mask | None
    numbers: list[int] | None
    count: int


class Search:
    """One question to one view."""

    def __init__(self, connection: sqlite3.Connection, view: View, where: Sql | None) -> None:
        self.connection, self.view = connection, view
        self.started = time.perf_counter()
        self.allowed = self._allowed(where)

    def _allowed(self, where: Sql | None) -> Allowed:
        state = self.view.state
        if where is None:
            return Allowed(self.view.open, None, state.live)
        condition, values = where
        sql = f"SELECT number, slot FROM rows JOIN (SELECT number FROM records WHERE {condition}) USING (number)"
        rows = self.connection.execute(sql, values).fetchall()
        mask = np.zeros(state.slots, bool)
        mask[[slot for _, slot in rows]] = True
        return Allowed(mask, sorted(number for number, _ in rows), len(rows))

    def dense(self, queries: Vectors, k: int) -> list[Hits]:
        """By cosine."""
        return [
            self._hits("cosine", ranking, k, {number: {"cosine": score} for number, score in ranking})
            for ranking in self._dense(queries, k)
        ]

    def words(self, words: Words, texts: Iterable[str], k: int) -> list[Hits]:
        """By BM25."""
        answers = []
        for text in texts:
            ranking = self._words(words, text, k)
            parts = {number: {"bm25": score} for number, score in ranking}
            answers.append(self._hits("bm25", ranking, k, parts))
        return answers

    def hybrid(self, queries: Vectors, words: Words, texts: Iterable[str], k: int) -> list[Hits]:
        """By both."""
        wide = max(CANDIDATES, CANDIDATES_PER_HIT * k)
        answers = []
        for query, dense, text in zip(queries, self._dense(queries, wide), texts, strict=True):
            cosine, bm25 = dict(dense[:wide]), dict(self._words(words, text, wide)[:wide])
            usual = float(scan.unit(query[np.newaxis])[0] @ self.view.centroid)
            scale = hybrid.Scale(usual, max(cosine.values(), default=0.0), words.yardstick(text))
            only_words = [number for number in bm25 if number not in cosine]
            cosine |= self._cosines(query, only_words)
            only_dense = sorted(number for number in cosine if number not in bm25)
            if only_dense and bm25:
                rest = words.best(text, len(only_dense), among=only_dense)
                bm25 |= dict(zip(rest.numbers, rest.scores, strict=True))
            scores = hybrid.combined(cosine, bm25, scale)
            parts = {number: {"cosine": cosine[number]} for number in scores}
            for number, score in bm25.items():
                parts[number]["bm25"] = score
            answers.append(self._hits("hybrid", list(scores.items()), k, parts))
        return answers

    def _dense(self, queries: Vectors, k: int) -> list[Ranking]:
        """The best ``k`` of each query in order; ties at the end are all there."""
        view = self.view
        if not self.allowed.count or not k:
            return [[]] * len(queries)
        units = scan.unit(queries)
        rankings = []
        lists = scan.shortlists(view.vectors, view.lengths, self.allowed.mask, units, k)
        for query, slots in zip(units, lists, strict=True):
            scores = scan.cosines(view.vectors, slots, query)
            if k < len(slots):
                kept = scores >= np.partition(scores, len(scores) - k)[len(scores) - k]
                slots, scores = slots[kept], scores[kept]
            numbers = self._numbers(slots)
            rankings.append(self._ordered(((numbers[int(s)], float(c)) for s, c in zip(slots, scores, strict=True))))
        return rankings

    def _words(self, words: Words, text: str, k: int) -> Ranking:
        """The best ``k`` in order; ties at the end are all there."""
        numbers = self.allowed.numbers
        among = numbers if numbers is not None and len(numbers) <= FEW else None
        passing: Callable[[int], bool] = (lambda number: True) if numbers is None else set(numbers).__contains__
        if not k or numbers == []:
            return []
        limit = k + 8
        while True:
            match = words.best(text, limit, among=among)
            ranking = [pair for pair in zip(match.numbers, match.scores, strict=True) if passing(pair[0])]
            if match.complete or (len(ranking) > k and match.scores[-1] < ranking[k - 1][1]):
                return self._ordered(ranking)
            limit *= 4

    def _cosines(self, query: Vectors, numbers: list[int]) -> dict[int, float]:
        rows = self.connection.execute(
            "SELECT number, slot FROM rows WHERE number IN (SELECT value FROM json_each(?))", [json.dumps(numbers)]
        ).fetchall()
        if len(rows) != len(numbers):
            raise Unusable("the word index names rows that are not there")
        slots = np.array([slot for _, slot in rows], np.int64)
        unit = scan.unit(query[np.newaxis])[0]
        scores = scan.cosines(self.view.vectors, slots, unit)
        return {number: float(score) for (number, _), score in zip(rows, scores, strict=True)}

    def _numbers(self, slots: scan.Slots) -> dict[int, int]:
        sql = "SELECT slot, number FROM rows"
        if len(slots) * 4 > self.view.state.live:
            return dict(self.connection.execute(sql))
        sql += " WHERE slot IN (SELECT value FROM json_each(?))"
        return dict(self.connection.execute(sql, [json.dumps(slots.tolist())]))

    def _ordered(self, pairs: Iterable[tuple[int, float]]) -> Ranking:
        """Best first, ties by id."""
        ranking = list(pairs)
        listed = json.dumps([number for number, _ in ranking])
        sql = "SELECT number, id FROM rows WHERE number IN (SELECT value FROM json_each(?))"
        ids = dict(self.connection.execute(sql, [listed]))
        if len(ids) != len(ranking):
            raise Unusable("the word index names rows that are not there")
        return sorted(ranking, key=lambda pair: (-pair[1], ids[pair[0]]))

    def _hits(self, kind: str, ranking: Ranking, k: int, parts: Parts) -> Hits:
        ranking = self._ordered(ranking)[:k] if kind == "hybrid" else ranking[:k]
        numbers = [number for number, _ in ranking]
        sql = f"SELECT number, id, {COLUMNS} FROM records WHERE number IN (SELECT value FROM json_each(?))"
        rows = {row[0]: row[1:] for row in self.connection.execute(sql, [json.dumps(numbers)])}
        return Hits(
            ids=tuple(rows[number][0] for number in numbers),
            scores=tuple(score for _, score in ranking),
            kind=kind,
            records=tuple(record_of(rows[number][1:]) for number in numbers),
            parts=tuple(parts[number] for number in numbers),
            searched=self.allowed.count,
            seconds=time.perf_counter() - self.started,
        )
