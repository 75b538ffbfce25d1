"""The contract of stores, held against every adaptor: order, ties, bounds, replacing, deleting, reopening, filters, and
what a failed call, another process or a killed one may leave behind."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
from drill_servers import addresses, ready
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from kill_drill import calls_of, survive
from store_drill import ADAPTORS, DIM, WORDS, record, text_of, vector_of, vectors
from vector_twins import TWINS, kept_by

from sememe.errors import DataError, SememeError, UsageError
from sememe.shapes import Hits, Record, Vectors
from sememe.store.contract import Store
from sememe.store.filters import matches, parse

HERE = Path(__file__).parent


#: four directions; ``b`` and ``c`` are the same one, of other lengths
FILLED = dict(zip("acbd", vectors((1, 0, 0, 0), (0, 3, 0, 0), (0, 2, 0, 0), (0, 0, -1, 0)), strict=True))


@pytest.fixture
def filled(store: Store) -> Store:
    store.put(
        list(FILLED),
        np.stack(list(FILLED.values())),
        [
            record("river bank", lang="en", year=1999, source="x/1"),
            record("money bank bank", lang="de", year=2020, source="x/1"),
            record("river water", lang="en", year=2021, source="x/2", starred=True),
            record("stone", tag=["a", "b"], source="y"),
        ],
        sources={"x/1": "h1", "x/2": "h2"},
    )
    return store


def state(store: Store) -> tuple[Any, ...]:
    """All that can be seen of a store."""
    ids = store.ids()
    return (ids, store.get(ids), store.vectors(ids).tolist(), dict(store.sources()), store.count())


def refused(store: Store, mode: str) -> bool:
    """Whether the store cannot search so; then asking for it raises, and nothing else happens."""
    if mode in store.capabilities:
        return False
    before = state(store)
    with pytest.raises(UsageError, match=f'cannot search with mode="{mode}"'):
        store.search(vectors((1, 0, 0, 0)), words=["river"], mode=mode)
    assert state(store) == before
    return True


def modes(store: Store) -> list[str]:
    return [mode for mode in ("dense", "words", "hybrid") if mode in store.capabilities]


def dense(store: Store, *query: float, k: int = 10, **options: Any) -> Hits:
    (hits,) = store.search(vectors(query), k, mode="dense", **options)
    return hits


def cosine_of(row: Vectors, query: Vectors) -> float:
    """In float64, rounded to float32; 0 with a zero vector."""
    a, b = row.astype(np.float64), query.astype(np.float64)
    lengths = np.sqrt((a * a).sum()), np.sqrt((b * b).sum())
    return float(np.float32((a * (b / lengths[1])).sum() / lengths[0])) if all(lengths) else 0.0


def best_of(adaptor: str, rows: dict[str, Vectors], query: Vectors, k: int = 10) -> tuple[tuple[str, float], ...]:
    """Ids and scores of the best, worked out from what the adaptor keeps of each row."""
    scores = {id: cosine_of(kept_by(adaptor, row), query) for id, row in rows.items()}
    return tuple(sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:k])


def by_words(store: Store, text: str, k: int = 10, **options: Any) -> Hits:
    (hits,) = store.search(None, k, words=[text], mode="words", **options)
    return hits


# --- asking ----------------------------------------------------------------------------------------------------------


def test_dense_is_ordered_by_cosine_and_ties_by_id(filled: Store, adaptor: str) -> None:
    hits = dense(filled, 1, 2, 1, 0)
    assert hits.kind == "cosine"
    if adaptor != "local-binary":
        assert hits.ids == ("b", "c", "a", "d")
        assert hits.scores == pytest.approx([2 / 6**0.5, 2 / 6**0.5, 1 / 6**0.5, -1 / 6**0.5])
    assert tuple(zip(hits.ids, hits.scores, strict=True)) == best_of(adaptor, FILLED, np.float32([1, 2, 1, 0]))
    assert hits.scores[0] == hits.scores[1]
    assert hits.searched == 4
    assert hits.parts[0] == {"cosine": hits.scores[0]}
    at = hits.ids.index("a")
    assert hits[at].record == record("river bank", lang="en", year=1999, source="x/1")


def test_ties_at_the_end_of_the_answer_are_cut_by_id(store: Store) -> None:
    # 300 equal rows among others: whichever block of a product they fall into, their scores are the same.
    numbers = np.random.default_rng(7).permutation(300)
    rows = np.tile(np.random.default_rng(8).standard_normal(DIM).astype(np.float32), (300, 1))
    store.put([f"t{n:03}" for n in numbers], rows, [record("same") for _ in numbers])
    store.put(["other"], -rows[:1], [record("other")])
    hits = dense(store, *rows[0], k=20)
    assert hits.ids == tuple(f"t{n:03}" for n in range(20))
    assert len(set(hits.scores)) == 1
    assert refused(store, "words") or by_words(store, "same", k=20).ids == hits.ids


def test_words_are_ordered_by_bm25(filled: Store) -> None:
    if refused(filled, "words"):
        return
    hits = by_words(filled, "bank")
    assert hits.kind == "bm25"
    assert hits.ids == ("c", "a")
    assert hits.scores[0] > hits.scores[1] > 0
    assert by_words(filled, "Banks RIVERS").ids[0] == "a"
    assert by_words(filled, "nothing of it").ids == ()


@pytest.mark.parametrize(
    "text",
    ['"', "bank AND", "AND OR NOT", "title:bank", "*", "bank*", "(bank", "bank)", "+bank -river", "[a TO b]", "\\",
     "^2", "~", "/b.*/", "\x00bank", "\ud800 bank", "", "   ", "bank " * 5000, "!@#$%^&*()", "IN ['x']", "🏦 bank"],
)  # fmt: skip
def test_a_query_is_no_syntax(filled: Store, text: str) -> None:
    if refused(filled, "words"):
        return
    for hits in (by_words(filled, text), filled.search(vectors((1, 0, 0, 0)), words=[text], mode="hybrid")[0]):
        assert set(hits.ids) <= {"a", "b", "c", "d"}
    if "bank" in text:
        assert set(by_words(filled, text).ids) >= {"a", "c"}


def test_hybrid_has_both_parts_and_finds_what_either_finds(filled: Store, adaptor: str) -> None:
    if refused(filled, "hybrid"):
        return
    (hits,) = filled.search(vectors((0, 0, -1, 0)), 4, words=["water"], mode="hybrid")
    assert hits.kind == "hybrid"
    assert set(hits.ids) == {"a", "b", "c", "d"}
    assert set(hits.ids[:2]) == {"b", "d"}
    parts = dict(zip(hits.ids, hits.parts, strict=True))
    assert set(parts["b"]) == {"cosine", "bm25"}
    assert parts["d"] == {"cosine": 0.5 if adaptor == "local-binary" else 1.0}
    assert parts["b"]["bm25"] == by_words(filled, "water").scores[0]
    assert list(hits.scores) == sorted(hits.scores, reverse=True)


@pytest.mark.parametrize("mode", ["dense", "words", "hybrid"])
def test_fewer_hits_are_the_first_of_more(filled: Store, mode: str) -> None:
    def ask(k: int) -> Hits:
        return filled.search(vectors((1, 2, 3, 0)), k, words=["river bank"], mode=mode)[0]

    if refused(filled, mode):
        return
    everything = ask(100)
    assert len(everything) == (3 if mode == "words" else 4)
    for k in range(6):
        assert (ask(k).ids, ask(k).scores) == (everything.ids[:k], everything.scores[:k])


@pytest.mark.parametrize("mode", ["dense", "words", "hybrid"])
def test_an_empty_store_answers(store: Store, mode: str) -> None:
    if refused(store, mode):
        return
    (hits,) = store.search(vectors((1, 0, 0, 0)), words=["bank"], mode=mode)
    assert (len(hits), hits.searched) == (0, 0)
    assert (store.count(), store.ids(), store.get(["x"]), dict(store.sources())) == (0, [], [None], {})
    assert store.vectors([]).shape == (0, DIM)
    assert store.verify().ok


def test_several_queries_are_answered_in_their_order(filled: Store) -> None:
    answers = filled.search(vectors((1, 0, 0, 0), (0, 0, -1, 0)), 1, words=["x", "y"], mode="dense")
    assert [hits.ids for hits in answers] == [("a",), ("d",)]
    assert filled.search(np.empty((0, DIM), np.float32), mode="dense") == []
    if not refused(filled, "words"):
        found = filled.search(None, 1, words=["stone", "money"], mode="words")
        assert [hits.ids for hits in found] == [("d",), ("c",)]


@pytest.mark.parametrize(
    "question",
    [
        {"vectors": vectors((1, 0, 0, 0)), "k": -1},
        {"vectors": vectors((1, 0, 0, 0)), "k": 1.5},
        {"vectors": vectors((1, 0, 0, 0)), "mode": "magic"},
        {"vectors": None},
        {"vectors": None, "words": ["x"], "mode": "hybrid"},
        {"vectors": vectors((1, 0, 0, 0)), "mode": "words"},
        {"vectors": vectors((1, 0, 0, 0)), "words": ["x", "y"], "mode": "hybrid"},
        {"vectors": None, "words": "one text", "mode": "words"},
    ],
)
def test_a_question_that_makes_no_sense_is_refused(filled: Store, question: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        filled.search(**question)


@pytest.mark.parametrize("bad", [[[1, 0, 0]], [1, 0, 0, 0], [[np.nan, 0, 0, 0]], [[np.inf, 0, 0, 0]], [["a"] * 4]])
def test_a_query_of_another_shape_or_no_numbers_is_refused(filled: Store, bad: Any) -> None:
    with pytest.raises(DataError):
        filled.search(np.array(bad), mode="dense")


def test_a_zero_vector_is_like_nothing(store: Store, adaptor: str) -> None:
    store.put(["z", "a"], vectors((0, 0, 0, 0), (1, 0, 0, 0)), [record("z"), record("a")])
    # Of a zero its sign is kept, and counts as that of a positive number.
    assert dense(store, 1, 0, 0, 0).scores == ((0.5, 0.5) if adaptor == "local-binary" else (1.0, 0.0))
    assert dense(store, 0, 0, 0, 0).ids == ("a", "z")


@pytest.mark.parametrize("size", [1e-30, 1e-15, 1e15, 1e30, 3e38])
def test_the_length_of_a_vector_does_not_matter(store: Store, adaptor: str, size: float) -> None:
    rows = np.random.default_rng(1).standard_normal((50, DIM))
    rows /= np.abs(rows).max()
    mixed = rows.copy()
    mixed[::3] *= size
    store.put([f"i{n:02}" for n in range(50)], mixed.astype(np.float32), [record(str(n)) for n in range(50)])
    query = rows[7] + 0.1
    kept = {f"i{n:02}": row for n, row in enumerate(rows.astype(np.float32))}
    ids, scores = zip(*best_of(adaptor, kept, query, k=5), strict=True)
    hits = dense(store, *query, k=5)
    assert hits.ids == ids
    assert hits.scores == pytest.approx(scores, abs=1e-5)


# --- changing --------------------------------------------------------------------------------------------------------


def test_putting_a_known_id_replaces_it(filled: Store, adaptor: str) -> None:
    filled.put(["b"], vectors((0, 0, 0, 5)), [record("boat", source="z")])
    assert filled.count() == 4
    assert filled.get(["b"]) == [record("boat", source="z")]
    now = FILLED | {"b": np.float32([0, 0, 0, 5])}
    assert filled.vectors(["b"]).tolist() == [kept_by(adaptor, now["b"]).tolist()]
    assert dense(filled, 0, 1, 0, 0, k=1).ids == ("a" if adaptor == "local-binary" else "c",)
    ((best, _),) = best_of(adaptor, now, np.float32([0, 1, 0, 0]), k=1)
    assert dense(filled, 0, 1, 0, 0, k=1).ids == (best,)
    if not refused(filled, "words"):
        assert by_words(filled, "water").ids == ()
        assert by_words(filled, "boats").ids == ("b",)
    assert (filled.ids("x/2"), filled.ids("z")) == ([], ["b"])


@pytest.mark.parametrize("mode", ["dense", "words", "hybrid"])
def test_what_was_deleted_is_never_returned(filled: Store, mode: str) -> None:
    assert filled.delete(["a", "unknown", "b", "a"]) == 2
    if refused(filled, mode):
        return
    (hits,) = filled.search(vectors((1, 1, 0, 0)), words=["river bank stone"], mode=mode)
    assert set(hits.ids) == {"c", "d"}
    assert (filled.count(), filled.get(["a"]), filled.ids()) == (2, [None], ["c", "d"])
    filled.compact()
    (again,) = filled.search(vectors((1, 1, 0, 0)), words=["river bank stone"], mode=mode)
    assert again.ids == hits.ids
    assert filled.verify().ok


def test_a_source_leaves_with_all_that_came_from_it(filled: Store) -> None:
    assert filled.delete([], sources=["x/1", "unknown"]) == 2
    assert (filled.ids(), dict(filled.sources())) == (["b", "d"], {"x/2": "h2"})


def test_put_drops_and_stamps_in_one_transaction(filled: Store) -> None:
    filled.put(["e"], vectors((1, 1, 1, 1)), [record("e", source="x/1")], drop=["a", "c", "zzz"], sources={"x/1": "h9"})
    assert filled.ids("x/1") == ["e"]
    assert dict(filled.sources()) == {"x/1": "h9", "x/2": "h2"}
    filled.put([], vectors(), [], drop=["e"], sources={"w": "h"})
    assert (filled.ids("x/1"), filled.sources()["w"]) == ([], "h")


def test_an_id_that_is_put_and_dropped_stays(filled: Store) -> None:
    filled.put(["a"], vectors((0, 0, 0, 1)), [record("new")], drop=["a"])
    assert filled.get(["a"]) == [record("new")]


def test_known_finds_contents(filled: Store) -> None:
    digest = record("stone").hash
    assert dict(filled.known([digest, "unknown"])) == {digest: "d"}


def test_ids_are_found_by_item(store: Store) -> None:
    store.put(["p~1", "p~2", "q"], np.eye(3, DIM, dtype=np.float32), [record(item=item) for item in ("p", "p", "q")])
    assert store.ids(items=["p"]) == ["p~1", "p~2"]
    assert store.ids("a.txt", items=["q", "r"]) == ["q"]


@pytest.mark.parametrize(
    ("ids", "rows", "records", "kind"),
    [
        (["x"], [[np.nan, 0, 0, 0]], [record()], DataError),
        (["x"], [[0, -np.inf, 0, 0]], [record()], DataError),
        (["x"], [[1e300, 0, 0, 0]], [record()], DataError),
        (["x"], [[1, 2, 3]], [record()], DataError),
        (["x"], [1, 2, 3, 4], [record()], DataError),
        (["x", "x"], [[1, 0, 0, 0]] * 2, [record()] * 2, UsageError),
        (["x", ""], [[1, 0, 0, 0]] * 2, [record()] * 2, UsageError),
        (["x", 7], [[1, 0, 0, 0]] * 2, [record()] * 2, UsageError),
        (["x"], [[1, 0, 0, 0]] * 2, [record()] * 2, UsageError),
        (["x"], [[1, 0, 0, 0]], [], UsageError),
        (["x\0"], [[1, 0, 0, 0]], [record()], DataError),
        (["\ud800"], [[1, 0, 0, 0]], [record()], DataError),
        (["x"], [[1, 0, 0, 0]], [record("\udfff")], DataError),
        (["x"], [[1, 0, 0, 0]], [record(year=float("nan"))], DataError),
        (["x"], [[1, 0, 0, 0]], [record(year={"a": 1})], DataError),
        (["x"], [[1, 0, 0, 0]], [record(tag=["a", b"b"])], DataError),
    ],
)
def test_a_put_that_is_refused_changes_nothing(
    filled: Store, ids: list[Any], rows: list[Any], records: list[Record], kind: type[SememeError]
) -> None:
    before = state(filled)
    with pytest.raises(kind):
        filled.put(ids, np.array(rows), records, drop=["a"], sources={"x/1": "other"})
    assert state(filled) == before


def test_an_unknown_id_has_no_vector(filled: Store) -> None:
    with pytest.raises(UsageError, match="nobody"):
        filled.vectors(["a", "nobody"])


def test_reopening_gives_equal_answers(filled: Store, open_store: Callable[[], Store]) -> None:
    filled.delete(["c"])
    filled.put(["e"], vectors((1, 1, 1, 1)), [record("river stone", year=3, mixed=[1, "a", None, True])])

    def answers(store: Store) -> list[Any]:
        found = [store.search(vectors((1, 2, 3, 4)), words=["river"], mode=mode)[0] for mode in modes(store)]
        return [state(store), *((hits.ids, hits.scores, hits.parts) for hits in found)]

    before = answers(filled)
    beside = answers(open_store())
    filled.close()
    filled.close()
    assert before == beside == answers(open_store())


# --- filters ---------------------------------------------------------------------------------------------------------

FILTERS = [
    'lang = "en"',
    'lang != "en"',
    "year >= 2020",
    "year > 1999 and year < 2021",
    'lang in ("en", "fr")',
    'tag = "b"',
    "starred",
    "not starred",
    "year is null",
    "lang exists",
    'source like "X/%"',
    'id = "a" or text like "%water"',
    'not (lang = "en" and (year >= 2020 or starred))',
    {"lang": "en", "year": {">=": 2000}},
    {"or": [{"tag": ["a"]}, {"not": {"lang": "en"}}]},
]


@pytest.mark.parametrize("where", FILTERS, ids=str)
def test_a_filter_means_the_same_everywhere(filled: Store, where: Any) -> None:
    expr = parse(where)
    wanted = {id for id in filled.ids() if matches(expr, id, filled.get([id])[0] or record())}
    assert filled.count(where) == len(wanted)
    assert set(dense(filled, 1, 1, 1, 1, where=where).ids) == wanted
    assert dense(filled, 1, 1, 1, 1, where=where).searched == len(wanted)
    if refused(filled, "words"):
        return
    assert set(by_words(filled, "river bank money water stone", where=where).ids) == wanted
    (hits,) = filled.search(vectors((1, 1, 1, 1)), words=["river"], where=where, mode="hybrid")
    assert set(hits.ids) == wanted


@pytest.mark.parametrize("where", ["langg = 'en'", "year = '1999'", "lang =", {"lang": {"~": 1}}, "starred > 1", 7])
def test_a_filter_that_cannot_be_is_refused(filled: Store, where: Any) -> None:
    with pytest.raises(UsageError):
        filled.count(where)
    with pytest.raises(UsageError):
        dense(filled, 1, 0, 0, 0, where=where)


# --- against a model of dictionaries ---------------------------------------------------------------------------------

IDS = st.sampled_from([f"k{n}" for n in range(12)])
ROWS = st.tuples(*[st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0, 2.0])] * DIM)
TEXTS = st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)


class Machine(RuleBasedStateMachine):
    """A store beside a dictionary; after each step both say the same."""

    adaptor = "local"

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(mkdtemp(prefix="sememe-store-"))
        self.model: dict[str, tuple[tuple[float, ...], Record]] = {}
        self.stamps: dict[str, str] = {}

    @initialize()
    def start(self) -> None:
        self.store = ADAPTORS[self.adaptor](self.folder / "s")

    @rule(
        rows=st.dictionaries(IDS, st.tuples(ROWS, TEXTS, st.integers(0, 3)), max_size=6),
        drop=st.lists(IDS, max_size=3),
        stamp=st.booleans(),
    )
    def put(self, rows: dict[str, tuple[tuple[float, ...], str, int]], drop: list[str], stamp: bool) -> None:
        records = {id: record(text, source=f"s{n}", year=n) for id, (_, text, n) in rows.items()}
        sources = {records[id].place.source: f"h{len(self.model)}" for id in rows} if stamp else {}
        self.store.put(list(rows), vectors(*(row for row, _, _ in rows.values())), list(records.values()),
                       drop=drop, sources=sources)  # fmt: skip
        for id in drop:
            self.model.pop(id, None)
        for id, (row, _, _) in rows.items():
            self.model[id] = (tuple(kept_by(self.adaptor, np.float32(row)).tolist()), records[id])
        self.stamps |= sources

    @rule(rows=st.dictionaries(IDS, ROWS, min_size=1, max_size=3))
    def refused(self, rows: dict[str, tuple[float, ...]]) -> None:
        bad = vectors(*rows.values())
        bad[-1, 2] = np.nan
        with pytest.raises(DataError):
            self.store.put(list(rows), bad, [record("bad")] * len(rows), drop=list(rows))

    @rule(ids=st.lists(IDS, max_size=5), source=st.sampled_from(["s0", "s1", "none"]))
    def delete(self, ids: list[str], source: str) -> None:
        gone = {id for id in self.model if id in ids or self.model[id][1].place.source == source}
        assert self.store.delete(ids, sources=[source]) == len(gone)
        for id in gone:
            del self.model[id]
        self.stamps.pop(source, None)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = ADAPTORS[self.adaptor](self.folder / "s")

    @rule()
    def compact(self) -> None:
        self.store.compact()

    @rule(query=ROWS, k=st.integers(0, 15), least=st.none() | st.integers(0, 3))
    def ask_dense(self, query: tuple[float, ...], k: int, least: int | None) -> None:
        where = {"year": {">=": least}} if least is not None and self.store.count() else None
        try:
            (hits,) = self.store.search(vectors(query), k, mode="dense", where=where)
        except UsageError:
            assert not any("year" in kept.meta for _, kept in self.model.values())
            return
        among = {
            id: row for id, (row, kept) in self.model.items() if where is None or kept.meta["year"] >= (least or 0)
        }
        scores = {id: self._cosine(row, query) for id, row in among.items()}
        ranking = sorted(scores, key=lambda id: (-scores[id], id))[:k]
        assert hits.ids == tuple(ranking)
        assert hits.scores == tuple(scores[id] for id in ranking)
        assert hits.searched == len(among)

    @rule(word=st.sampled_from(WORDS), k=st.integers(0, 15))
    def ask_words(self, word: str, k: int) -> None:
        if refused(self.store, "words"):
            return
        (hits,) = self.store.search(None, k, words=[word], mode="words")
        holding = {id for id, (_, kept) in self.model.items() if word in kept.text.split()}
        assert set(hits.ids) <= holding
        assert len(hits) == min(k, len(holding))
        assert list(hits.scores) == sorted(hits.scores, reverse=True)

    @rule(query=ROWS, word=st.sampled_from(WORDS))
    def ask_hybrid(self, query: tuple[float, ...], word: str) -> None:
        if refused(self.store, "hybrid"):
            return
        (hits,) = self.store.search(vectors(query), 20, words=[word], mode="hybrid")
        assert set(hits.ids) == set(self.model)
        for id, parts in zip(hits.ids, hits.parts, strict=True):
            row, kept = self.model[id]
            assert parts["cosine"] == self._cosine(row, query)
            assert ("bm25" in parts) == (word in kept.text.split())

    @staticmethod
    def _cosine(row: tuple[float, ...], query: tuple[float, ...]) -> float:
        return cosine_of(np.array(row), np.array(query))

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "store"):
            return
        ids = sorted(self.model)
        assert self.store.ids() == ids
        assert self.store.get(ids) == [self.model[id][1] for id in ids]
        assert self.store.vectors(ids).tolist() == [list(self.model[id][0]) for id in ids]
        assert dict(self.store.sources()) == self.stamps

    def teardown(self) -> None:
        if hasattr(self, "store"):
            assert self.store.verify().ok
            self.store.close()
        shutil.rmtree(self.folder)


@pytest.mark.parametrize("name", sorted(ADAPTORS))
def test_like_a_dictionary(name: str) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        type("Machine", (Machine,), {"adaptor": ready(name)}),
        settings=settings(
            max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


# --- other processes and threads -------------------------------------------------------------------------------------


def _child(verb: str, adaptor: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(HERE / "store_drill.py"), verb, adaptor, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE.parents[1],
        env={"PYTHONPATH": str(HERE.parents[1]), **addresses()},
    )  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9 here")
def test_what_was_acknowledged_survives_kill_nine(adaptor: str, tmp_path: Path) -> None:
    with ADAPTORS[adaptor](tmp_path / "first") as store:  # type: ignore[attr-defined]
        if "transactions" not in store.capabilities:
            pytest.skip("this store has no transactions, and says so; its own tests say what a broken call leaves")
    done = survive(adaptor, tmp_path / "store", kills=20, seed=2, longest=0.05)  # `make torture` does it 300 times
    assert sum(done.goals.values()) == 20
    with ADAPTORS[adaptor](tmp_path / "store") as store:  # type: ignore[attr-defined]
        assert set(done.goals) == set(calls_of(store))  # where in a call each of them landed is the machine's affair


def test_four_readers_see_whole_states_while_another_process_writes(adaptor: str, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    ADAPTORS[adaptor](folder).close()
    acknowledged: SimpleQueue[str] = SimpleQueue()
    with ExitStack() as stack:
        writer = stack.enter_context(_child("write", adaptor, folder))
        assert writer.stdout is not None
        drain = threading.Thread(target=lambda lines=writer.stdout: [acknowledged.put(line) for line in lines])
        drain.start()
        stack.callback(drain.join)
        stack.callback(writer.kill)
        assert acknowledged.get(timeout=60)
        readers = [stack.enter_context(_child("read", adaptor, folder)) for _ in range(4)]
        for reader in readers:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "enough\n"  # or its traceback is on standard error
        while not acknowledged.empty():
            acknowledged.get()
        assert acknowledged.get(timeout=60)  # it was at work all the while
        for reader in readers:
            reader.communicate()  # which tells it to end
            assert reader.returncode == 0


def test_threads_share_a_store(store: Store, adaptor: str) -> None:
    errors: list[BaseException] = []

    def work(turn: int) -> None:
        try:
            for n in range(turn, 24, 4):
                store.put([f"i{n}"], vector_of(n)[np.newaxis], [record(text_of(n), number=n)])
                (hits,) = store.search(vector_of(n)[np.newaxis], 1, mode="dense")
                if adaptor not in TWINS:
                    assert hits.scores[0] == pytest.approx(1, abs=1e-6)
                assert hits.scores[0] >= cosine_of(kept_by(adaptor, vector_of(n)), vector_of(n)) - 1e-6
                if "words" in store.capabilities:
                    store.search(None, 3, words=["river"], mode="words")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(turn,)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert store.count() == 24
    assert store.verify().ok
