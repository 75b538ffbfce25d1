"""The store on Milvus: filters against their twin, writers that are cut off at every step, rows that arrive late,
readers under whom rows are removed, damage. What it has in common with every store stands in tests/contracts."""

from __future__ import annotations

import itertools
import os
import socket
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sememe.errors import DataError, LockedError, StoreError, UsageError
from sememe.shapes import Place, Record
from sememe.store.filter_tree import Expr, Not, Test
from sememe.store.filters import matches, parse
from sememe.store.servers import milvus_care, milvus_change, milvus_search, milvus_session
from sememe.store.servers.address import read_address
from sememe.store.servers.milvus import MilvusStore, create_milvus, open_milvus
from sememe.store.servers.milvus_change import changing
from sememe.store.servers.milvus_filter import compiled, large_fields
from sememe.store.servers.milvus_rows import columns, indexes, row
from sememe.store.servers.milvus_session import Session
from tests.milvus_server import NoServer, server_url
from tests.rooms.test_store_filters import FILTERS, RECORDS, STRINGS

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
    return f"{server}?collection=r{os.getpid()}-{next(NUMBER)}"


@pytest.fixture
def store(url: str) -> Iterator[MilvusStore]:
    with create_milvus(url, dim=DIM, manifest={"encoder": "letters"}) as store:
        yield store


@pytest.fixture
def beside(store: MilvusStore, url: str) -> Iterator[MilvusStore]:
    """The same store, opened by someone else, who does not wait."""
    with open_milvus(url, timeout=0.1) as other:
        other._session.timeout = 0.1
        yield other


def rows(n: int, dim: int = DIM) -> Any:
    return np.random.default_rng(n).standard_normal((n, dim)).astype(np.float32)


def fill(store: MilvusStore, n: int) -> list[str]:
    ids = [f"i{number:05}" for number in range(n)]
    records = [Record(f"text {k}", Place(f"s{k % 5}"), meta={"k": k, "odd": k % 2 == 1}) for k in range(n)]
    store.put(ids, rows(n, store.dim), records, sources={"s0": "h"})
    return ids


def seen(store: MilvusStore) -> tuple[Any, ...]:
    ids = store.ids()
    return (ids, store.get(ids), store.vectors(ids).tolist(), dict(store.sources()), store.count())


# --- filters ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def says(server: str) -> Iterator[Callable[[Expr, list[Record]], list[bool]]]:
    """What the expression of a filter says of records; of one that is wider, whether it leaves out what fits."""
    session = Session(read_address(f"{server}?collection=filters"), timeout=30)
    session.make(session.items, columns(2), indexes("exact"))
    changes = itertools.count(1)

    def ask(exprs: list[Expr], records: list[Record]) -> list[list[bool]]:
        change = next(changes)
        kept = [row("i", one, np.ones(2, np.float32), False) for one in records]
        numbered = [{**one, "number": 10 * change + i, "change": change} for i, one in enumerate(kept)]
        session.insert(session.items, numbered)
        large = frozenset(name for name, _ in large_fields(records))
        said = []
        for expr in exprs:
            where = compiled(expr, large)
            found = {one["number"] for part in session.rows(session.items, where.text, []) for one in part}
            within = [one["number"] in found for one in numbered]
            right = [matches(expr, "i", one) for one in records]
            said.append(within if where.exact else [a and b for a, b in zip(within, right, strict=True)])
        session.delete(session.items, f"number in {[one['number'] for one in numbered]}")
        return said

    yield ask
    session.remove(session.items)
    session.close()


def meant(exprs: list[Expr], records: list[Record]) -> list[list[bool]]:
    return [[matches(expr, "i", one) for one in records] for expr in exprs]


@settings(max_examples=150, deadline=None)
@given(where=FILTERS, records=st.lists(RECORDS, min_size=1, max_size=4))
def test_expression_and_twin_agree(says: Any, where: Any, records: list[Record]) -> None:
    expr = parse(where)
    assert expr is not None
    assert says([expr], records) == meant([expr], records)


FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([1e23, 0.1, 2.0**53, 1e308, 5e-324, -0.0])
INTEGERS = st.integers(-(10**30), 10**30) | st.sampled_from([10**23, 2**53, 2**53 + 1, 0, 10**400])


@settings(max_examples=40, deadline=None)
@example(held=2.0**60, wanted=2**60)
@example(held=1e23, wanted=10**23)
@example(held=2**53 + 1, wanted=2.0**53)
@given(held=FLOATS | INTEGERS, wanted=FLOATS | INTEGERS | st.sampled_from([float("inf"), float("-inf")]))
def test_numbers_compare_as_python_compares_them(says: Any, held: Any, wanted: Any) -> None:
    kept = [
        Record("", Place("a"), meta=meta) for meta in ({"x": held}, {"x": [None, held, 7]}, {"x": True}, {"x": []}, {})
    ]
    tests: list[Expr] = [Test("x", op, wanted) for op in ("=", "<", "<=", ">", ">=")] + [Test("x", "in", (wanted,))]
    tests += [Not(one) for one in tests]
    assert says(tests, kept) == meant(tests, kept)


@settings(max_examples=40, deadline=None)
@given(text=STRINGS, other=STRINGS)
def test_no_text_of_a_filter_is_an_expression(says: Any, text: str, other: str) -> None:
    kept = [Record(text, Place(text), other, meta={text: other, "x": text})]
    tests = [Test("x", "=", other), Test("source", "in", (other,)), Test(text, "exists"), Test("title", "=", text)]
    assert says(tests, kept) == meant(list(tests), kept)


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_what_was_put_comes_back_as_it_was(store: MilvusStore) -> None:
    meta = {"big": 10**40, "float": 1e300, "one": 1.0, "list": [1.5, None, True, "ä"], "": "empty", 'q"\\': "\n\t😀"}
    kept = Record("a\r\nb\u2028\x01", Place("s\\'\"", 3, 2**60, "row"), "t", "item", (1, 2), "h", meta)
    id = '"] or number >= 0 or key in ["'
    store.put([id], rows(1), [kept])
    (back,) = store.get([id])
    assert back == kept
    assert repr(back.meta) == repr(meta)  # 1.0 is not 1
    assert store.get(["\0", "\ud800", "x"]) == [None, None, None]
    assert store.delete(["\0"], sources=["\0"]) == 0
    assert store.known(["h", "\0"]) == {"h": id}
    assert store.vectors([id]).tobytes() == rows(1).tobytes()
    assert store.count("big > 5 and float = 1e300") == 1


def test_what_is_too_large_is_refused_before_anything_is_written(store: MilvusStore) -> None:
    fill(store, 3)
    before = seen(store)
    fits = Record("é" * 400_000, Place("a"))
    for id, record, sources in (
        ("é" * 40_000, Record("", Place("a")), {}),
        ("x", Record("", Place("a"), meta={"tags": list(range(5000))}), {}),
        ("x", fits, {"s" * 70_000: "h"}),
    ):
        with pytest.raises(DataError, match=r"larger than Milvus|too long"):
            store.put([id], rows(1), [record], drop=["i00000"], sources=sources)
    assert seen(store) == before
    session = store._session
    for _ in range(2):
        store.put(["x"], rows(1), [fits])
        assert store.get(["x"]) == [fits]
        assert store.verify().ok
        store.compact()
    assert session.count(session.log, 'kind == "rest"') == 400_000 // 16_383  # those of the first are gone
    for dim in (1, 40_000):
        with pytest.raises(UsageError, match="2 to 32,768"):
            create_milvus("milvus://127.0.0.1:1?collection=x", dim=dim)


def test_the_index_finds_what_an_exact_search_finds(url: str) -> None:
    queries = np.vstack([rows(10), np.ones((1, DIM), np.float32)])
    with create_milvus(url, dim=DIM, index="hnsw") as near, create_milvus(url + "e", dim=DIM) as exact:
        for one in (near, exact):
            fill(one, 400)
            one.put(["tiny"], np.full((1, DIM), 1e-20, np.float32), [Record("tiny", Place("t"))])
        for a, b in zip(near.search(queries, 10), exact.search(queries, 10), strict=True):
            known = dict(zip(b.ids, b.scores, strict=True))
            assert len(known.keys() & set(a.ids)) >= 9
            assert all(known.get(id, score) == score for id, score in zip(a.ids, a.scores, strict=True))
        assert near.search(queries[-1:], 1)[0].ids == ("tiny",)  # too short for the index, and found


@pytest.mark.parametrize("most", [20, 60, 16_384])
def test_ties_are_cut_by_id_also_where_milvus_answers_no_more(
    store: MilvusStore, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(milvus_search, "MOST", most)
    ids = [f"t{n:03}" for n in np.random.default_rng(7).permutation(100)]
    store.put(ids, np.tile(rows(1), (100, 1)), [Record("same", Place("a"), meta={"n": n}) for n in range(100)])
    for where in (None, "n >= 0", 'source like "A"'):
        (hits,) = store.search(rows(1), 40, where=where)
        assert (hits.ids, hits.searched) == (tuple(sorted(ids)[:40]), 100)


# --- writers ---------------------------------------------------------------------------------------------------------


def change_all(store: MilvusStore) -> None:
    """Everything that a put can do at once: replaced, new and dropped items, a source, a new field."""
    store.put(
        ["i00000", "new"], rows(2), [Record("n", Place("n"), meta={"z": 1})] * 2, drop=["i00001"], sources={"n": "h"}
    )


def test_a_writer_that_is_cut_off_at_any_step_leaves_all_or_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with create_milvus(url + "whole", dim=DIM) as whole:
        fill(whole, 3)
        before = seen(whole)
        change_all(whole)
        after = seen(whole)
    outcomes = []
    for step in itertools.count():
        here = f"{url}{step}"
        with create_milvus(here, dim=DIM) as first, open_milvus(here) as store:
            fill(first, 3)  # so that the writer does not know the number of its change from before
            left = _cut_off(store._session, step, monkeypatch)
            try:
                change_all(store)
            except StoreError:
                assert left() == 0
            else:
                if left():
                    break
        with open_milvus(here) as other:
            outcomes.append(seen(other) == after)
            assert seen(other) in (before, after)
            assert other.verify().ok
            change_all(other)  # also ends what was begun
            assert seen(other) == after
            assert other._session.count(other._session.items, "number >= 0") == 5 + 2 * outcomes[-1]
    assert outcomes == sorted(outcomes)  # nothing, nothing, …, all
    assert outcomes.count(False) >= 5
    assert outcomes.count(True) >= 1


def _cut_off(session: Session, step: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """After so many writes the server is out of reach."""
    left = [step]

    def guarded(do: Callable[..., Any]) -> Callable[..., Any]:
        def write(*args: Any, **options: Any) -> Any:
            if not left[0]:
                raise StoreError("the connection is lost")
            left[0] -= 1
            return do(*args, **options)

        return write

    for name in ("insert", "replace", "delete"):
        monkeypatch.setattr(session, name, guarded(getattr(session, name)))
    return lambda: left[0]


def test_what_arrives_after_it_was_given_up_is_never_seen(store: MilvusStore, beside: MilvusStore) -> None:
    fill(store, 3)
    session = store._session
    with pytest.raises(KeyboardInterrupt), changing(session, store._log) as change:
        number = change.number
        change.items([row("late", Record("l", Place("l")), rows(1)[0], False)], width=1000)
        raise KeyboardInterrupt
    before = seen(store)
    late = {**row("late", Record("l", Place("l")), rows(1)[0], False), "number": number << 20, "change": number}
    session.insert(session.items, [late])
    state = store._log.state
    milvus_change.mark(
        session, "whole", number, {"store": state.store, "items": 99, "floor": 0, "base": 0, "purged": 0}
    )
    assert seen(store) == seen(beside) == before
    fill(store, 4)
    assert "late" not in store.ids()
    assert store.verify().ok
    store.compact()
    assert not session.count(session.items, f"change == {number}") or "late" not in beside.ids()


def test_a_second_writer_waits_and_is_told_for_whom(store: MilvusStore, beside: MilvusStore) -> None:
    fill(store, 3)
    with changing(store._session, store._log):
        with pytest.raises(LockedError, match="another process is writing") as caught:
            beside.delete(["i00000"])
        assert f"process {os.getpid()}" in str(caught.value)
        assert beside.count() == 3  # readers wait for nobody
    assert beside.delete(["i00000"]) == 1
    assert store.count() == 2


def test_a_writer_elsewhere_that_stands_still_is_taken_for_dead_in_the_end(
    store: MilvusStore, beside: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 3)
    with changing(store._session, store._log) as change:
        change._lock._row["place"] = "elsewhere"
        change._lock._write()
        with pytest.raises(LockedError, match="another process is writing"):
            beside.delete(["i00000"])
        monkeypatch.setattr(milvus_change, "SILENT", -1.0)
        assert beside.delete(["i00000"]) == 1
        with pytest.raises(StoreError, match=r"took this writer of .* for dead"):
            monkeypatch.setattr(milvus_change, "BEAT", -1.0)
            change.items([row("x", Record("", Place("a")), rows(1)[0], False)], width=1000)
    assert store.ids() == ["i00001", "i00002"]


# --- readers ---------------------------------------------------------------------------------------------------------


def test_a_reader_under_whom_rows_are_removed_asks_again(store: MilvusStore, beside: MilvusStore) -> None:
    fill(store, 3)
    asked = []

    def ask(state: Any) -> int:
        asked.append(state.change)
        if len(asked) == 2:  # the first was of the state that was known from before
            store.delete(["i00001"])
            store.compact()
        found = beside._session.rows(beside._session.items, state.seen(), ["id"])
        return sum(len(part) for part in found)

    assert beside.count() == 3
    store.delete(["i00000"])
    assert beside._log.read(ask) == 1
    assert len(asked) == len(set(asked)) == 3


def test_a_reader_of_long_ago_learns_what_a_shorter_log_no_longer_tells(
    store: MilvusStore, beside: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(milvus_care, "SLACK", 5)
    fill(store, 10)
    assert beside.sources() == {"s0": "h"}
    for turn in range(8):
        store.put(
            ["a", f"b{turn}"],
            rows(2),
            [Record(str(turn), Place("p"), meta={f"f{turn}": 1})] * 2,
            sources={"p": str(turn)},
        )
    store.delete([], sources=["s0"])
    assert seen(beside) == seen(store)
    assert beside.sources() == {"p": "7"}
    assert beside.count("f0 = 1") == 1
    session = store._session
    assert session.count(session.items, "number >= 0") <= store.count() + 2 * 5
    assert session.count(session.log, "number >= 0") <= 30


def test_a_store_that_was_made_anew_is_another(store: MilvusStore, beside: MilvusStore, url: str) -> None:
    fill(store, 3)
    assert beside.count() == 3
    for name in (store._session.items, store._session.log):
        store._session.remove(name)
    with pytest.raises(StoreError, match="not there any more"):
        beside.count()
    with pytest.raises(StoreError, match="there is no collection"):
        open_milvus(url)
    with create_milvus(url, dim=DIM) as new:
        fill(new, 2)
        with pytest.raises(StoreError, match="made anew"):
            beside.count()
    with pytest.raises(StoreError, match="already"):
        create_milvus(url, dim=DIM)


def test_a_making_that_was_cut_off_can_be_made_again(server: str, url: str) -> None:
    session = Session(read_address(url), timeout=10)
    session.make(session.items, columns(3), indexes("exact"))
    session.close()
    with pytest.raises(StoreError, match="there is no collection"):
        open_milvus(url)
    with create_milvus(url, dim=DIM) as store:
        fill(store, 2)
        assert store.count() == 2
    with pytest.raises(StoreError, match="did you mean"):
        open_milvus(url + "x")


# --- damage ----------------------------------------------------------------------------------------------------------


def test_damaged_rows_are_named_and_set_aside(store: MilvusStore) -> None:
    ids = fill(store, 10)
    session = store._session
    ((found,),) = session.rows(session.items, 'id == "i00005"', [*columns(DIM)])
    session.replace(session.items, {**found, "vector": [1.0] * DIM})
    health = store.verify()
    assert (health.ok, health.affected) == (False, ("i00005",))
    assert "1 of 10 are not what was written" in health.problems[0]
    assert store.repair().affected == ("i00005",)
    assert store.verify().ok
    assert store.ids() == [id for id in ids if id != "i00005"]
    assert store.sources() == {}
    store.compact()
    store.compact()
    assert session.count(session.items, 'id == "i00005"') == 1  # what is left of it can still be looked at


def test_what_filters_look_at_is_made_anew(store: MilvusStore) -> None:
    fill(store, 10)
    session = store._session
    ((found,),) = session.rows(session.items, 'id == "i00005"', [*columns(DIM)])
    session.replace(session.items, {**found, "tokens": ["0" * 32], "bounds": {}})
    assert store.count("k = 5") == 0
    assert store.verify().affected == ("i00005",)
    store.repair()
    assert store.verify().ok
    assert (store.count("k = 5"), store.count("k >= 5"), store.count()) == (1, 5, 10)


# --- the connection --------------------------------------------------------------------------------------------------


def test_a_server_that_is_not_there_is_said_and_no_password() -> None:
    word = "geheim"[::-1]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        port = taken.getsockname()[1]
        with pytest.raises(StoreError, match="cannot be reached") as caught:
            open_milvus(f"milvus://anna:{word}@127.0.0.1:{port}/db?collection=x", timeout=0.2)
    assert word not in "".join(traceback.format_exception(caught.value))
    assert "anna:***@" in str(caught.value)


@pytest.mark.parametrize("end", ["&sslmode=on", "&secure=maybe", "&token=geheim"])
def test_an_address_says_nothing_that_is_not_understood(end: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_milvus(f"milvus://host/db?collection=x{end}")
    assert "geheim" not in str(caught.value)


def test_what_an_address_means_to_the_driver() -> None:
    options = milvus_session._options
    assert options(read_address("milvus://an%40na:ge%2Fheim@host:1/db?collection=x&secure=true")) == {
        "uri": "https://host:1", "token": "an@na:ge/heim", "db_name": "db"}  # fmt: skip
    assert options(read_address("milvus://:KEY@[::1]?collection=x")) == {
        "uri": "http://[::1]:19530", "token": "KEY", "db_name": "default"}  # fmt: skip


def test_the_driver_brings_no_settings_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def require(*args: Any, **options: Any) -> Any:
        os.environ["FROM_SOME_DOTENV"] = "1"  # what pymilvus does when it is imported
        return None

    monkeypatch.setattr(milvus_session, "require", require)
    milvus_session._imported()
    assert "FROM_SOME_DOTENV" not in os.environ


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_after_a_fork_has_a_connection_of_its_own(store: MilvusStore) -> None:
    fill(store, 5)
    ours = store._session._client
    child = os.fork()
    if not child:
        try:
            store.put(["child"], rows(1), [Record("c", Place("c"))])
            os._exit(0 if store.count() == 6 and store._session._client is not ours else 1)
        finally:
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert "child" in store.ids()
