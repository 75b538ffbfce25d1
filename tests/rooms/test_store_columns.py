"""Columns: what filters read instead of the records says what the records' SQL says, grows with them, and is never
believed alone."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sememe.shapes import Place, Record
from sememe.store.filter_tree import Expr
from sememe.store.filters import matches, parse
from sememe.store.local import column, column_file, columns, hybrid, nearest, words
from sememe.store.local.columns import Columns, Stands, slots_of
from sememe.store.local.keeper import Origin
from sememe.store.local.store import LocalStore, create_store, open_store
from sememe.store.record_rows import COLUMNS, row_of
from tests.rooms.test_store_filters import FILTERS, RECORDS

ORIGIN = Origin("s", "vectors.f32", 0)


def put(connection: sqlite3.Connection, records: list[Record], start: int = 0) -> None:
    marks = ", ".join("?" * (2 + len(COLUMNS.split(","))))
    for slot, one in enumerate(records, start=start):
        connection.execute("INSERT INTO rows VALUES (?, ?)", (slot + 10, slot))
        connection.execute(f"INSERT INTO records VALUES ({marks})", (slot + 10, "i", *row_of(one)))
        for key in one.meta:
            connection.execute("INSERT OR IGNORE INTO fields VALUES (?)", [key])


@pytest.fixture
def tables() -> Iterator[sqlite3.Connection]:
    connection = made()
    yield connection
    connection.close()


def made() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, slot)")
    connection.execute("CREATE TABLE fields (name PRIMARY KEY)")
    connection.execute(f"CREATE TABLE records (number INTEGER PRIMARY KEY, id, {COLUMNS})")
    return connection


def record(**meta: Any) -> Record:
    return Record("text", Place(str(meta.pop("source", "a.md")), 1, 1), meta=meta)


def tree(where: Any) -> Expr:
    expr = parse(where)
    assert expr is not None
    return expr


@settings(max_examples=400, deadline=None)
@given(FILTERS, st.lists(RECORDS, min_size=1, max_size=4), st.lists(RECORDS, max_size=3))
def test_columns_and_sql_agree(where: dict[str, Any], first: list[Record], later: list[Record]) -> None:
    connection, expr, held = made(), tree(where), Columns(Path("nowhere"), writable=False)
    records: list[Record] = []
    for change, more in enumerate((first, later), start=1):
        put(connection, more, len(records))
        records += more
        mask = held.passing(connection, Stands(ORIGIN, len(records), change), expr)
        assert mask is not None
        assert mask.tolist() == [matches(expr, "i", one) for one in records]
        assert np.flatnonzero(mask).tolist() == sorted(slots_of(connection, len(records), expr))
    connection.close()


@pytest.mark.parametrize(
    ("values", "wheres"),
    [
        ([2**53 + 1, 2**53, 1], ["x = 9007199254740993", "x > 9007199254740992", "x < 2"]),
        ([2.0**53, 1, None], ["x = 9007199254740993", "x = 9007199254740992", "x in (1, 9007199254740993)"]),
        ([10**30, -(10**30), 0.5, 7], ["x > 1e20", "x < 0", "x = 7"]),
        (
            [1.5, 2, True, "2", None, [], [2, None], [[]][0]],
            ["x = 2", "x > 1", "x", "x is null", "x exists", 'x = "2"'],
        ),
        ([3, 300, 70_000, 5_000_000_000, -1], ["x > 100", "x < 1000000", "x = 5000000000", "x >= 99999999999"]),
        (["ä", "z", "\U0001f600", "\uffff", "A", "a"], ['x > "z"', 'x <= "\U0001f600"', 'x like "a"', 'x like "%"']),
        ([-0.0, 0, 0.0], ["x = 0", "x < 0"]),
        ([2.0**53, 0.5], ["x = 9007199254740993", "x < 9007199254740993"]),
        ([1, 2, 3, True, False], ["x <= 2", "x >= 2", "x < 2", "x > 2", "x <= true", "x < true", "x >= false"]),
        (["a", "b", "c"], ['x <= "b"', 'x >= "b"', 'x < "b"', 'x > "b"']),
    ],
)
def test_values_at_the_edges(tables: sqlite3.Connection, values: list[Any], wheres: list[str]) -> None:
    put(tables, [record(x=value) for value in values] + [record(y=1)])
    held, at = Columns(Path("nowhere"), writable=False), Stands(ORIGIN, len(values) + 1, 1)
    for where in wheres:
        mask = held.passing(tables, at, tree(where))
        assert mask is not None
        assert np.flatnonzero(mask).tolist() == sorted(slots_of(tables, at.slots, tree(where))), where


def test_a_field_of_too_many_texts_is_left_to_sql(tables: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column, "TEXTS", 3)
    held = Columns(Path("nowhere"), writable=False)
    put(tables, [record(x=text, n=1) for text in "abc"])
    assert held.passing(tables, Stands(ORIGIN, 3, 1), tree('x = "a"')) is not None
    assert held._held["meta.x"].exact
    put(tables, [record(x="d", n=2)], 3)
    for where in ('x = "d"', 'n = 2 and x = "d"', 'not (n = 1 or x = "a")', 'x like "d%"'):
        mask = held.passing(tables, Stands(ORIGIN, 4, 2), tree(where))
        assert mask is not None
        assert mask.tolist() == [False, False, False, True], where
    assert not held._held["meta.x"].exact
    assert not len(held._held["meta.x"].kinds)


def test_all_that_only_sql_can_tell_is_read_in_one_go(
    tables: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tables, [record(n=n) for n in range(5)])
    asked = []
    monkeypatch.setattr(columns, "slots_of", lambda *args: asked.append(args[2]) or slots_of(*args))
    held = Columns(Path("nowhere"), writable=False)
    for where, times in (('text = "text" and n < 3 and id = "i"', 1), ('text = "a" or id = "i"', 1), ("n < 3", 0)):
        mask = held.passing(tables, Stands(ORIGIN, 5, 1), tree(where))
        assert mask is not None
        assert mask.tolist() == [n < 3 or "or" in where for n in range(5)]
        assert len(asked) == times
        asked.clear()


def test_an_older_state_is_told_to_ask_the_records(tables: sqlite3.Connection) -> None:
    put(tables, [record(n=n) for n in range(3)])
    held = Columns(Path("nowhere"), writable=False)
    assert held.passing(tables, Stands(ORIGIN, 3, 5), tree("n = 1")) is not None
    assert held.passing(tables, Stands(ORIGIN, 3, 4), tree("n = 1")) is None
    assert held.column(tables, Stands(ORIGIN, 3, 4), "meta.n") is None
    assert held.numbers(tables, Stands(ORIGIN, 3, 4)).numbers.tolist() == [10, 11, 12]
    other = Origin("s", "vectors-1.f32", 0)
    assert held.passing(tables, Stands(other, 3, 4), tree("n = 1")) is not None  # of another file they begin anew


def test_values_are_counted(tables: sqlite3.Connection) -> None:
    put(tables, [record(x=1, source="a"), record(x=["b", 1.0, True], source="b"), record(x="b", source="b"), record()])
    held, at = Columns(Path("nowhere"), writable=False), Stands(ORIGIN, 4, 1)
    mask = np.array([True, True, True, False])
    found = held.column(tables, at, "meta.x")
    assert found is not None
    assert found.tally(mask) == [(1, 2), ("b", 2), (True, 1)]
    assert found.tally(~mask) == []
    sources = held.column(tables, at, "source")
    assert sources is not None
    assert sources.tally(mask) == [("a", 1), ("b", 2)]


# --- the file --------------------------------------------------------------------------------------------------------


def entry(n: int) -> Record:
    tags = {"tag": ["a", n % 3, None]} if n % 5 == 0 else {"name": f"n{n}"}
    return Record(f"words {n % 7}", Place(f"{n % 4}.md", 1), meta={"n": n, "half": n / 2, **tags})


def unit(n: int) -> Any:
    out = np.random.default_rng(n).normal(size=(1, 8)).astype(np.float32)
    return out


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sixty rows of which six are gone and six replaced; the file of columns lies there."""
    monkeypatch.setattr(columns, "LEAST", 10)
    with create_store(tmp_path / "s", dim=8) as store:
        store.put(
            [f"i{n:02}" for n in range(60)], np.concatenate([unit(n) for n in range(60)]), list(map(entry, range(60)))
        )
        store.delete([f"i{n:02}" for n in range(0, 60, 10)])
        again = [f"i{n:02}" for n in range(1, 60, 10)]
        store.put(again, np.concatenate([unit(n) for n in range(6)]), [entry(100 + n) for n in range(6)])
    assert (tmp_path / "s" / column_file.FILE).exists()
    return tmp_path / "s"


WHERES = [
    "n > 30",
    "half < 2.5",
    'tag = "a"',
    "tag is null",
    'name like "n1%"',
    'source in ("1.md", "2.md")',
    "tag = 2",
]


def seen(store: LocalStore) -> list[Any]:
    found = []
    for where in WHERES:
        for mode in ("dense", "words", "hybrid"):
            (hits,) = store.search(unit(3), 60, words=["words 3"], mode=mode, where=where)
            found.append((hits.ids, hits.scores, hits.searched))
    return found


def by_sql(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    with monkeypatch.context() as patch, open_store(folder) as store:
        patch.setattr(Columns, "passing", lambda *_: None)
        return seen(store)


def test_the_file_answers_without_the_records(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = by_sql(folder, monkeypatch)
    with open_store(folder) as store:
        assert store.verify().ok
        monkeypatch.setattr(columns, "entries_of", None)  # whoever reads the records fails
        monkeypatch.setattr(columns, "_read_numbers", None)
        assert seen(store) == wanted


def test_the_file_is_added_to(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(folder) as store:
        store.put(["new"], unit(70), [Record("words 3", Place("1.md"), meta={"n": 99, "fresh": True})])
        assert seen(store) == by_sql(folder, monkeypatch)
        (hits,) = store.search(unit(70), where="fresh")
        assert hits.ids == ("new",)
        before = (folder / column_file.FILE).read_bytes()
        store.catch_up()  # it lacks less than a twentieth
        assert (folder / column_file.FILE).read_bytes() == before
        store.put([f"x{n}" for n in range(9)], np.repeat(unit(1), 9, axis=0), [entry(n) for n in range(9)])
        store.catch_up()
        header = column_file.read_header(folder)
        assert header is not None
        assert header.slots == 76
        assert "meta.fresh" in header.names
        assert store.verify().ok
    with open_store(folder) as store:
        assert seen(store) == by_sql(folder, monkeypatch)


def test_a_compaction_and_a_repair_begin_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(folder) as store:
        before = seen(store)
        store.compact()
        assert seen(store) == before == by_sql(folder, monkeypatch)
        store.repair()
        assert not (folder / column_file.FILE).exists()
        assert seen(store) == before
        store.catch_up()
        assert (folder / column_file.FILE).exists()


@pytest.mark.parametrize("part", range(24))
def test_a_damaged_file_changes_no_answer(folder: Path, part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = by_sql(folder, monkeypatch)
    path = folder / column_file.FILE
    data = bytearray(path.read_bytes())
    place = len(data) * part // 24
    if part % 3 == 2:
        del data[place:]
    else:
        data[place] ^= 1 << part % 8
    path.write_bytes(data)
    with open_store(folder) as store:
        if place < 10:
            assert not store.verify().ok
        assert seen(store) == wanted


@pytest.mark.parametrize("part", ["kinds", "values"])
def test_damage_to_an_array_hides_nothing(folder: Path, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = by_sql(folder, monkeypatch)
    header = column_file.read_header(folder)
    assert header is not None
    _, place, count, same, _ = header.parts["fields"]["meta.n"][part]
    path = folder / column_file.FILE
    data = bytearray(path.read_bytes())
    for at in range(header.start + place, header.start + place + (1 if same else count)):
        data[at] ^= 1
    path.write_bytes(data)
    with open_store(folder) as store:
        assert seen(store) == wanted
        assert store.verify().problems == (
            'fields: the file is not what the records say of "meta.n"; delete it, or repair',
        )


def test_a_file_that_lies_is_found_out_and_goes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = by_sql(folder, monkeypatch)
    header = column_file.read_header(folder)
    assert header is not None
    numbers = column_file.read_numbers(folder, header)
    assert numbers is not None
    held = {name: column_file.read_column(folder, header, name) for name in header.names}
    whole = {name: one for name, one in held.items() if one is not None}
    wrong = whole["meta.n"]
    lied = column.Column(wrong.upto, wrong.slots, wrong.kinds, wrong.values[::-1].copy(), wrong.texts)
    column_file.write(folder, header.origin, header.change, header.slots, numbers, {**whole, "meta.n": lied})
    with open_store(folder) as store:
        problems = store.verify().problems
        assert problems == ('fields: the file is not what the records say of "meta.n"; delete it, or repair',)
        assert seen(store) == wanted
        assert not (folder / column_file.FILE).exists()


def test_numbers_that_lie_invent_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = by_sql(folder, monkeypatch)
    header = column_file.read_header(folder)
    assert header is not None
    slots, numbers = column_file.read_numbers(folder, header) or ()
    names = {name: column_file.read_column(folder, header, name) or column.Column() for name in header.names}
    column_file.write(folder, header.origin, header.change, header.slots, (slots, numbers + 1), names)
    with open_store(folder) as store:
        for found, right in zip(seen(store), wanted, strict=True):
            assert set(zip(*found[:2], strict=True)) <= set(zip(*right[:2], strict=True))


def test_a_read_only_folder_gets_no_file(folder: Path) -> None:
    (folder / column_file.FILE).unlink()
    with open_store(folder, read_only=True) as store:
        assert seen(store)
        store.catch_up()
    assert not (folder / column_file.FILE).exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_need_not_wait_for_the_parents_lock(folder: Path) -> None:
    with open_store(folder) as store:
        store.search(unit(3), where="n = 33")
        held, done = threading.Event(), threading.Event()

        def hold() -> None:
            with store._views.columns._guard:
                held.set()
                done.wait()

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait()
        try:
            child = os.fork()
            if not child:
                threading.Timer(20, os._exit, [2]).start()
                os._exit(int(store.search(unit(3), where="n in (33)")[0].ids != ("i33",)))
        finally:
            done.set()
            holder.join()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# --- other short cuts, each beside its twin --------------------------------------------------------------------------


SCORES = st.dictionaries(st.integers(0, 50), st.floats(-1, 1, width=32), min_size=1, max_size=40)
MATCHES = st.dictionaries(st.integers(0, 50), st.floats(0, 30, width=32), max_size=40)


@given(SCORES, MATCHES, st.floats(-0.5, 0.5), st.floats(0, 20), st.integers(0, 50))
def test_the_best_of_a_hybrid_search(
    cosine: dict[int, float], bm25: dict[int, float], usual: float, good: float, k: int
) -> None:
    bm25 = {number: score for number, score in bm25.items() if number in cosine}
    scale = hybrid.Scale(usual, max(cosine.values()), good)
    whole = hybrid.combined(cosine, bm25, scale)
    found = hybrid.best(cosine, bm25, scale, k)
    assert found.items() <= whole.items()
    left = [score for number, score in whole.items() if number not in found]
    assert len(found) >= min(k, len(whole))
    assert not left or not found or max(left) < sorted(found.values(), reverse=True)[k - 1]


def test_what_rounding_makes_equal_is_all_there() -> None:
    cosine = {1: 0.5, 2: 0.5 + 2e-7, 3: 0.5 - 2e-7, 4: 0.1}
    scale = hybrid.Scale(0.0, 1.0, 0.0)
    assert hybrid.best(cosine, {}, scale, 1).keys() == {1, 2, 3}


def test_few_rows_are_looked_up_one_by_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(folder) as store:
        store.search(None, words=["words"], mode="words")
        index = store._words
        assert index is not None
        numbers = index.numbers()[::2]
        found = []
        for singly in (0, 1000):
            monkeypatch.setattr(words, "SINGLY", singly)
            match = index.best("words 3 5", 60, among=numbers)
            found.append(dict(zip(match.numbers, match.scores, strict=True)))
        assert found[0] == found[1]
        assert set(found[0]) == set(numbers)


@pytest.mark.parametrize("few", [0, 1000])
def test_few_rows_are_scored_from_their_vectors(folder: Path, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = by_sql(folder, monkeypatch)
    monkeypatch.setattr(nearest, "FEW", few)
    with open_store(folder) as store:
        assert seen(store) == wanted


def test_a_single_letter_counts_less_beside_longer_words(tmp_path: Path) -> None:
    texts = {"a": "vitamin c", "b": "vitamin d d", "c": "stone j", "d": "i i i i water", "e": "river river water"}
    with create_store(tmp_path / "s", dim=8) as store:
        kept = [Record(text, Place("t")) for text in texts.values()]
        store.put(list(texts), np.ones((len(texts), 8)), kept)

        def found(query: str) -> tuple[str, ...]:
            return store.search(None, words=[query], mode="words")[0].ids

        assert found("vitamin c") == ("a", "b")
        assert found("i sit by the river") == ("e", "d")
        assert found("j") == ("c",)
