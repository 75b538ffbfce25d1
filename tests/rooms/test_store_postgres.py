"""The store on PostgreSQL: filters against their twin, connections that end, writers that wait, damage. What it has in
common with every store stands in tests/contracts."""

from __future__ import annotations

import itertools
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sememe.errors import DataError, LockedError, StoreError, UsageError
from sememe.shapes import Place, Record
from sememe.store.filter_tree import Expr, Test
from sememe.store.filters import matches, parse
from sememe.store.servers.postgres import PostgresStore, create_postgres, open_postgres
from sememe.store.servers.postgres_filter import Compiled, facts_of
from tests.postgres_server import VARIABLE, NoServer, server_url
from tests.rooms.test_store_filters import FILTERS, RECORDS, STRINGS

ROOT = Path(__file__).resolve().parents[2]
DIM = 8
NUMBER = itertools.count()


@pytest.fixture(scope="module")
def server() -> str:
    try:
        return server_url()
    except NoServer as reason:
        pytest.skip(str(reason))


@pytest.fixture
def url(server: str) -> str:
    return f"{server}&collection=r{os.getpid()}_{next(NUMBER)}"


@pytest.fixture
def store(url: str) -> Iterator[PostgresStore]:
    with create_postgres(url, dim=DIM, manifest={"encoder": "letters"}) as store:
        yield store


@pytest.fixture
def admin(server: str) -> Iterator[Any]:
    """A connection of one's own, to do what a server's owner, or its misfortune, does."""
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        yield connection


def rows(n: int, dim: int = DIM) -> Any:
    return np.random.default_rng(n).standard_normal((n, dim)).astype(np.float32)


def fill(store: PostgresStore, n: int) -> list[str]:
    ids = [f"i{number:05}" for number in range(n)]
    records = [Record(f"text {k}", Place(f"s{k % 5}"), meta={"k": k, "odd": k % 2 == 1}) for k in range(n)]
    store.put(ids, rows(n, store.dim), records, sources={"s0": "h"})
    return ids


# --- filters ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def says(server: str) -> Iterator[Callable[[Expr, list[Record]], list[bool]]]:
    """What the SQL of a filter says of records."""
    import psycopg

    with psycopg.connect(server) as connection:
        connection.execute(
            'CREATE TEMPORARY TABLE items (number int, id text COLLATE "C", source text COLLATE "C",'
            ' title text COLLATE "C", text text COLLATE "C", facts jsonb)'
        )

        def ask(expr: Expr, records: list[Record]) -> list[bool]:
            connection.execute("DELETE FROM items")
            for number, one in enumerate(records):
                own = (number, "i", one.place.source, one.title, one.text, facts_of(one.meta))
                connection.execute("INSERT INTO items VALUES (%s, %s, %s, %s, %s, %s)", own)
            compiled = Compiled(expr)
            sql = f"SELECT {compiled.sql} FROM items ORDER BY number"
            return [said for (said,) in connection.execute(sql, compiled.values).fetchall()]

        yield ask


@settings(max_examples=300, deadline=None)
@given(where=FILTERS, records=st.lists(RECORDS, min_size=1, max_size=4))
def test_sql_and_twin_agree(says: Callable[..., list[bool]], where: dict[str, Any], records: list[Record]) -> None:
    expr = parse(where)
    assert expr is not None
    assert says(expr, records) == [matches(expr, "i", one) for one in records]


FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([1e23, 0.1, 2.0**53, 1e308, 5e-324, -0.0])
INTEGERS = st.integers(-(10**30), 10**30) | st.sampled_from([10**23, 2**53, 2**53 + 1, 0])


@settings(max_examples=200, deadline=None)
@example(held=2.0**60, wanted=2**60)
@example(held=1e23, wanted=10**23)
@given(held=FLOATS | INTEGERS, wanted=FLOATS | INTEGERS | st.just(float("inf")))
def test_numbers_compare_as_python_compares_them(says: Callable[..., list[bool]], held: Any, wanted: Any) -> None:
    kept = [Record("", Place("a"), meta={"x": held}), Record("", Place("a"), meta={"x": [None, held]})]
    for op in ("=", "<", "<=", ">", ">=", "in"):
        expr = Test("x", op, (wanted,) if op == "in" else wanted)
        assert says(expr, kept) == [matches(expr, "i", one) for one in kept], op


@settings(max_examples=200, deadline=None)
@given(text=STRINGS | st.text("aAbBéÉİıſK_%\\", max_size=4), pattern=st.text("aAbBéÉİıſK_%\n", max_size=4))
def test_patterns_fold_ascii_and_nothing_else(says: Callable[..., list[bool]], text: str, pattern: str) -> None:
    kept = [Record(text, Place(text), meta={"x": text})]
    for name in ("x", "text", "source"):
        assert says(Test(name, "like", pattern), kept) == [matches(Test(name, "like", pattern), "i", kept[0])]


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_what_was_put_comes_back_as_it_was(store: PostgresStore) -> None:
    meta = {"big": 10**40, "float": 1e300, "one": 1.0, "list": [1.5, None, True, "ä"], "": "empty", 'q"\\': "\n\t😀"}
    kept = Record("a\r\nb\u2028\x01", Place("s\\'\"", 3, 2**40, "row"), "t", "item", (1, 2), "h", meta)
    store.put(["'; DROP TABLE items; --"], rows(1), [kept])
    (back,) = store.get(["'; DROP TABLE items; --"])
    assert back == kept
    assert repr(back.meta) == repr(meta)  # 1.0 is not 1
    assert store.get(["\0", "\ud800"]) == [None, None]
    assert store.delete(["\0"], sources=["\0"]) == 0
    assert store.known(["h", "\0"]) == {"h": "'; DROP TABLE items; --"}


@pytest.mark.parametrize("dim", [1, 1024, 1025, 3000])
def test_vectors_of_any_width_come_back_bit_by_bit(url: str, dim: int) -> None:
    with create_postgres(url, dim=dim) as store:
        ids = fill(store, 20)
        assert store.vectors(ids).tobytes() == rows(20, dim).tobytes()
        assert store.search(rows(20, dim)[7:8], 1)[0].ids == ("i00007",) if dim > 1 else store.count() == 20


def test_a_put_that_fails_in_the_middle_changes_nothing(store: PostgresStore) -> None:
    ids = fill(store, 3)
    before = (store.ids(), store.get(ids), dict(store.sources()))
    good, bad = Record("new", Place("n")), Record("new", Place("n", 2**63))
    with pytest.raises(DataError, match="64 bits"):
        store.put([ids[0], "x"], rows(2), [good, bad], drop=[ids[1]], sources={"s0": "other"})
    with pytest.raises(DataError, match="NUL"):
        store.put([ids[0]], rows(1), [good], drop=[ids[1]], sources={"s\0": "other"})
    with pytest.raises(StoreError):
        store.put(["i" * 100_000 + "".join(map(chr, range(1000, 5000)))], rows(1), [good], drop=[ids[1]])
    assert (store.ids(), store.get(ids), dict(store.sources())) == before


def test_the_index_finds_what_an_exact_search_finds(url: str, server: str, admin: Any) -> None:
    name = url.rpartition("=")[2]
    with create_postgres(url, dim=DIM, index="hnsw") as near, create_postgres(url + "e", dim=DIM) as exact:
        for one in (near, exact):
            fill(one, 3000)
            one.put(["tiny"], np.full((1, DIM), 1e-20, np.float32), [Record("tiny", Place("t"))])
        queries = np.vstack([rows(30), np.ones((1, DIM), np.float32)])
        same = 0
        for a, b in zip(near.search(queries, 10), exact.search(queries, 10), strict=True):
            known = dict(zip(b.ids, b.scores, strict=True))
            same += len(known.keys() & set(a.ids))
            assert all(known.get(id, score) == score for id, score in zip(a.ids, a.scores, strict=True))
            assert (a.searched, len(a)) == (3001, 10)
        assert same >= 0.97 * 310
        assert near.search(queries[-1:], 1)[0].ids == ("tiny",)  # too short for the index, and found
        for where in ("k < 30", "odd"):
            a, b = (one.search(queries, 10, where=where) for one in (near, exact))
            assert [(one.ids, one.scores) for one in a] == [(one.ids, one.scores) for one in b]
        admin.execute(f"ANALYZE sememe_{name}.items")
        plan = admin.execute(
            f"EXPLAIN SELECT id FROM sememe_{name}.items ORDER BY vector <=> '[1,1,1,1,1,1,1,1]' LIMIT 100"
        ).fetchall()
        assert "items_hnsw" in str(plan)


def test_near_ties_are_decided_here(url: str) -> None:
    # One direction in 300 lengths: pgvector's float32 would put them in an order of its own.
    lengths = np.random.default_rng(3).uniform(0.1, 10, (300, 1))
    vectors = (rows(1, 384) * lengths).astype(np.float32)
    with create_postgres(url, dim=384) as store:
        store.put([f"i{n:03}" for n in range(300)], vectors, [Record("x", Place("x"))] * 300)
        everything, (some,) = store.search(rows(1, 384), 300)[0], store.search(rows(1, 384), 20)
    wide = vectors.astype(np.float64)
    right = (wide @ rows(1, 384)[0] / np.linalg.norm(wide, axis=1) / np.linalg.norm(rows(1, 384))).astype(np.float32)
    ranking = sorted(range(300), key=lambda n: (-right[n], n))
    assert everything.ids == tuple(f"i{n:03}" for n in ranking)
    assert some.ids == everything.ids[:20]


def test_the_index_does_not_hide_a_zero_vector(url: str) -> None:
    with create_postgres(url, dim=DIM, index="hnsw") as store:
        away = -np.ones((300, DIM), np.float32) + rows(300) / 10
        store.put([f"i{n:03}" for n in range(300)], away, [Record("x", Place("x"))] * 300)
        store.put(["zero"], np.zeros((1, DIM), np.float32), [Record("x", Place("x"))])
        (hits,) = store.search(np.ones((1, DIM), np.float32), 2)
        assert (hits.ids[0], hits.scores[0], hits.searched) == ("zero", 0.0, 301)
        assert hits.scores[1] < 0


@pytest.mark.parametrize(("dim", "index"), [(0, "exact"), (16_001, "exact"), (2001, "hnsw"), (8, "flat")])
def test_what_pgvector_cannot_hold_is_refused_first(dim: int, index: str) -> None:
    with pytest.raises(UsageError):
        create_postgres("postgresql://nobody.invalid/x?collection=x", dim=dim, index=index)


# --- connections, writers, damage ------------------------------------------------------------------------------------


def test_a_lost_connection_says_so_and_the_next_call_connects_anew(store: PostgresStore, admin: Any) -> None:
    ids = fill(store, 3)
    for call in (lambda: store.count(), lambda: store.delete(ids)):
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sememe'")
        with pytest.raises(StoreError, match="was lost") as caught:
            call()
        assert caught.value.why
        assert caught.value.do
        assert store.count() == 3


def test_a_server_that_is_not_there(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    password = "geheim"
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        open_postgres(f"postgresql://anna:{password}@127.0.0.1:1/db?collection=notes", timeout=2)
    assert caught.value.why
    assert caught.value.do
    assert "postgresql://anna:***@127.0.0.1:1/db?collection=notes" in str(caught.value)
    assert password not in "".join(traceback.format_exception(caught.value)) + caplog.text


def test_a_second_writer_waits_and_is_told(store: PostgresStore, url: str) -> None:
    ids = fill(store, 3)
    with open_postgres(url, timeout=0.2) as second, store._session.writing() as cursor:
        cursor.execute(f"DELETE FROM {store._schema}.items")
        with pytest.raises(LockedError, match="another process is writing"):
            second.put(["x"], rows(1), [Record("x", Place("x"))], drop=ids)
        assert second.ids() == ids  # readers wait for nobody, and see nothing of it
    assert store.count() == 0


def test_there_is_one_of_a_name(store: PostgresStore, url: str, admin: Any) -> None:
    with pytest.raises(StoreError, match="of this name already"):
        create_postgres(url, dim=3)
    with pytest.raises(StoreError, match="there is no collection") as caught:
        open_postgres(url + "x")
    assert f"?collection={url.rpartition('=')[2]}" in str(caught.value)
    with open_postgres(url) as second:
        admin.execute(f"DROP SCHEMA {store._schema} CASCADE")
        with pytest.raises(StoreError, match="not there any more"):
            second.count()
        create_postgres(url, dim=DIM).close()
        for call in (second.count, lambda: second.put(["x"], rows(1), [Record("x", Place("x"))])):
            with pytest.raises(StoreError, match="made anew"):
                call()
    admin.execute(f"UPDATE {store._schema}.layout SET version = 2")
    with pytest.raises(StoreError, match="later sememe"):
        open_postgres(url)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_uses_a_connection_of_its_own(store: PostgresStore) -> None:
    fill(store, 3)

    def backend() -> int:
        with store._session.reading() as cursor:
            return int(cursor.execute("SELECT pg_backend_pid()").fetchone()[0])

    ours = backend()
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if backend() != ours and store.delete(["i00000"]) == 1 else 1
            store.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.ids() == ["i00001", "i00002"]
    assert backend() == ours


def test_damage_is_found_named_and_set_aside(store: PostgresStore, admin: Any) -> None:
    ids = fill(store, 1500)
    assert store.verify().ok
    assert dict(store.verify().checked) == {"items": 1500, "vectors": 1500}
    items = f"{store._schema}.items"
    admin.execute(f"UPDATE {items} SET vector = '[1,2,3,4,5,6,7,8]' WHERE id = 'i00005'")
    admin.execute(f"UPDATE {items} SET facts = '{{\"k\": 77}}' WHERE id = 'i01499'")
    admin.execute(f"UPDATE {items} SET odd = true WHERE id = 'i00002'")
    admin.execute(f"DELETE FROM {store._schema}.fields WHERE name = 'odd'")
    health = store.verify()
    assert health.affected == ("i00002", "i00005", "i01499")
    assert [problem.partition(":")[0] for problem in health.problems] == ["vectors", "filters", "filters"]
    assert store.count() == 1500
    assert store.repair().affected == health.affected
    assert store.verify().ok
    assert store.ids() == [id for id in ids if id != "i00005"]
    assert store.sources() == {}  # it was of the source s0, which is to be read again
    assert store.count("k = 1499 and odd") == 1
    (kept,) = admin.execute(f"SELECT text FROM {store._schema}.quarantine").fetchall()
    assert kept == ("text 5",)


# --- the tests' own server -------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no kill -9 here")
def test_a_killed_session_leaves_no_server_behind(server: str) -> None:
    code = "from tests.postgres_server import server_url; print(server_url(), flush=True); input()"
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=ROOT,
    ) as session:
        assert session.stdout is not None
        folder = Path(unquote(session.stdout.readline().strip().partition("host=")[2]))
        assert (folder / "data" / "postmaster.pid").is_file()
        session.kill()
        session.stdout.read()  # ends with the last that holds it: the guard
    assert not folder.exists()
