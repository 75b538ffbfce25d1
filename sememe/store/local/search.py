"""The three ways to search a local store. Each works on one view of it and fetches only the winners' records."""

from __future__ import annotations

import heapq
import json
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from sememe.errors import DamagedError, UsageError
from sememe.shapes import Hits, Vectors
from sememe.store import scan
from sememe.store.batch import matrix
from sememe.store.filter_sql import Sql
from sememe.store.local import hybrid, seals
from sememe.store.local.nearest import nearest
from sememe.store.local.view import View
from sememe.store.local.words import Unusable, Words
from sememe.store.record_rows import COLUMNS, record_of

MODES = ("dense", "words", "hybrid")
#: candidates of each side of a hybrid search: at least this many, or this many times k
CANDIDATES, CANDIDATES_PER_HIT = 100, 10
#: up to this many rows that a filter lets through, Tantivy looks only at them
FEW = 5000

Ranking = list[tuple[int, float]]
Parts = Mapping[int, dict[str, float]]


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


class Search:
    """One question to one view."""

    def __init__(self, connection: sqlite3.Connection, view: View, where: Sql | None) -> None:
        self.connection, self.view = connection, view
        self.started = time.perf_counter()
        self._ids: dict[int, str] = {}  # of the row numbers that were met on the way
        self.allowed = view.allowed(connection, where)

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
        return [
            self._hybrid(query, words, text, k, (wide, dense))
            for query, dense, text in zip(queries, self._dense(queries, wide), texts, strict=True)
        ]

    def _hybrid(self, query: Vectors, words: Words, text: str, k: int, near: tuple[int, Ranking]) -> Hits:
        """The best ``k`` by both, of so many candidates of each side as it takes to be sure of them."""
        wide, dense = near
        cosine, bm25 = dict(dense[:wide]), dict(self._words(words, text, wide)[:wide])
        usual = float(scan.unit(query[np.newaxis])[0] @ self.view.centroid)
        scale = hybrid.Scale(usual, max(cosine.values(), default=0.0), words.yardstick(text))
        # Of no candidate of either side is more known than that it scores no better than the last of each.
        last = min(cosine.values(), default=0.0), min(bm25.values()) if len(bm25) == wide else 0.0
        only_words = [number for number in bm25 if number not in cosine]
        cosine |= self._cosines(query, only_words)
        only_dense = sorted(number for number in cosine if number not in bm25)
        if only_dense and bm25:
            rest = words.best(text, len(only_dense), among=only_dense)
            bm25 |= dict(zip(rest.numbers, rest.scores, strict=True))
        scores = hybrid.combined(cosine, bm25, scale)
        if k and wide < self.allowed.count:
            (others,) = hybrid.combined({0: last[0]}, {0: last[1]}, scale).values()
            if heapq.nlargest(k, scores.values())[-1] <= others:
                wide *= 4
                return self._hybrid(query, words, text, k, (wide, self._dense(query[np.newaxis], wide)[0]))
        parts = {number: {"cosine": cosine[number]} for number in scores}
        for number, score in bm25.items():
            parts[number]["bm25"] = score
        return self._hits("hybrid", list(scores.items()), k, parts)

    def _dense(self, queries: Vectors, k: int) -> list[Ranking]:
        """The best ``k`` of each query in order; ties at the end are all there."""
        if not self.allowed.count or not k or not len(queries):
            return [[]] * len(queries)
        self.view.prove(self.connection)
        rankings = []
        for slots, scores in nearest(self.view, self.allowed.mask, self.allowed.count, scan.unit(queries), k):
            numbers = self._numbers(slots)
            rankings.append(self._ordered(((numbers[int(s)], float(c)) for s, c in zip(slots, scores, strict=True))))
        return rankings

    def _words(self, words: Words, text: str, k: int) -> Ranking:
        """The best ``k`` in order; ties at the end are all there."""
        numbers = self.allowed.numbers
        among = numbers.tolist() if numbers is not None and len(numbers) <= FEW else None
        if not k or not self.allowed.count:
            return []
        limit = min(k, self.view.state.live) + 8
        while True:
            match = words.best(text, limit, among=among)
            ranking = list(zip(match.numbers, match.scores, strict=True))
            if numbers is not None:
                passing = np.isin(np.array(match.numbers, np.int64), numbers, assume_unique=True)
                ranking = [pair for pair, passed in zip(ranking, passing, strict=True) if passed]
            if match.complete or (len(ranking) > k and match.scores[-1] < ranking[k - 1][1]):
                return self._ordered(ranking)
            limit *= 4

    def _cosines(self, query: Vectors, numbers: list[int]) -> dict[int, float]:
        sql = "SELECT number, slot, crc FROM rows WHERE number IN (SELECT value FROM json_each(?))"
        rows = self.connection.execute(sql, [json.dumps(numbers)]).fetchall()
        if len(rows) != len(numbers):
            raise Unusable("the word index names rows that are not there")
        seals.prove_rows(self.view.vectors, [(slot, crc) for _, slot, crc in rows])
        slots = np.array([slot for _, slot, _ in rows], np.int64)
        unit = scan.unit(query[np.newaxis])[0]
        scores = scan.cosines(self.view.vectors, slots, unit)
        return {number: float(score) for (number, _, _), score in zip(rows, scores, strict=True)}

    def _numbers(self, slots: scan.Slots) -> dict[int, int]:
        sql = "SELECT slot, number, id, crc FROM rows"
        if len(slots) * 4 > self.view.state.live:
            rows = self.connection.execute(sql).fetchall()
        else:
            sql += " WHERE slot IN (SELECT value FROM json_each(?))"
            rows = self.connection.execute(sql, [json.dumps(slots.tolist())]).fetchall()
        self._ids |= {number: id for _, number, id, _ in rows}
        crcs = {row[0]: row[-1] for row in rows}
        seals.prove_rows(self.view.vectors, [(int(slot), crcs.get(int(slot))) for slot in slots])
        return {slot: number for slot, number, _, _ in rows}

    def _ordered(self, pairs: Iterable[tuple[int, float]]) -> Ranking:
        """Best first, ties by id."""
        ranking, ids = list(pairs), self._ids
        unknown = [number for number, _ in ranking if number not in ids]
        if unknown:
            sql = "SELECT number, id FROM rows WHERE number IN (SELECT value FROM json_each(?))"
            found = dict(self.connection.execute(sql, [json.dumps(unknown)]))
            if len(found) != len(unknown):
                raise Unusable("the word index names rows that are not there")
            ids |= found
        return sorted(ranking, key=lambda pair: (-pair[1], ids[pair[0]]))

    def _hits(self, kind: str, ranking: Ranking, k: int, parts: Parts) -> Hits:
        ranking = self._ordered(ranking)[:k] if kind == "hybrid" else ranking[:k]
        numbers = [number for number, _ in ranking]
        sql = f"SELECT number, id, {COLUMNS}, seal FROM records WHERE number IN (SELECT value FROM json_each(?))"
        rows = {row[0]: seals.proved(row)[1:] for row in self.connection.execute(sql, [json.dumps(numbers)])}
        if any(number not in rows or rows[number][0] != self._ids[number] for number in numbers):
            raise DamagedError("records are lost, or are not those of their rows", do=[seals.REMEDY])
        return Hits(
            ids=tuple(rows[number][0] for number in numbers),
            scores=tuple(score for _, score in ranking),
            kind=kind,
            records=tuple(record_of(rows[number][1:]) for number in numbers),
            parts=tuple(parts[number] for number in numbers),
            searched=self.allowed.count,
            seconds=time.perf_counter() - self.started,
        )
