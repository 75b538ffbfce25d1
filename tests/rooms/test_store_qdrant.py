"""The store in Qdrant: filters against their twin, servers that fail at any request, writers that wait or die, damage.
What it has in common with every store stands in tests/contracts."""

from __future__ import annotations

import itertools
import json
import logging
import os
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sememe.errors import DamagedError, DataError, LockedError, SememeError, StoreError, UsageError
from sememe.shapes import Place, Record
from sememe.store.copy import copy
from sememe.store.filter_tree import Test
from sememe.store.filters import matches, parse
from sememe.store.open import create_store
from sememe.store.servers import qdrant_search, qdrant_session, rest
from sememe.store.servers.packed import rough_fields
from sememe.store.servers.qdrant import QdrantStore, create_qdrant, open_qdrant
from sememe.store.servers.qdrant_filter import Untranslatable, condition
from sememe.store.servers.qdrant_points import HEAD, facts_of
from tests.postgres_server import NoServer
from tests.qdrant_server import QdrantServer
from tests.rooms.test_store_filters import FILTERS, RECORDS

DIM = 8
NUMBER = itertools.count()
KEY = "geheim-0123456789"


@pytest.fixture(scope="module")
def started() -> Iterator[QdrantServer]:
    try:
        server = QdrantServer(indexes=False)
    except NoServer as reason:
        pytest.skip(str(reason))
    yield server
    server.close()


@pytest.fixture
def server(started: QdrantServer) -> Iterator[QdrantServer]:
    """The server, which does as it should at first."""
    yield started
    started.before, started.key = lambda method, path, body: None, ""


@pytest.fixture
def url(server: QdrantServer) -> str:
    return f"{server.url}?collection=r{next(NUMBER)}"


@pytest.fixture
def store(url: str) -> Iterator[QdrantStore]:
    with create_qdrant(url, dim=DIM, manifest={"encoder": "letters"}) as store:
        store._session.rest.pause = lambda seconds: None
        yield store


def rows(n: int, dim: int = DIM) -> Any:
    return np.random.default_rng(n).standard_normal((n, dim)).astype(np.float32)


def fill(store: Any, n: int) -> list[str]:
    ids = [f"i{number:05}" for number in range(n)]
    records = [Record(f"text {k}", Place(f"s{k % 5}"), meta={"k": k, "odd": k % 2 == 1}) for k in range(n)]
    store.put(ids, rows(n, store.dim), records, sources={"s0": "h"})
    return ids


def state(store: Any) -> list[Any]:
    ids = store.ids()
    return [ids, store.get(ids), store.vectors(ids).tobytes(), dict(store.sources()), store.count()]


def raw(store: QdrantStore, *operations: dict[str, Any]) -> None:
    """What an owner of the server, or its misfortune, does to the points."""
    store._session.change(*operations)


# --- filters ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def says(started: QdrantServer) -> Iterator[Callable[..., list[bool] | None]]:
    """What the condition of a filter says of records; None where it has none."""
    with create_qdrant(f"{started.url}?collection=filters", dim=1) as store:
        session = store._session

        def ask(expr: Any, records: list[Record]) -> list[bool] | None:
            try:
                asked = condition(expr, frozenset(rough_fields(records)))
            except Untranslatable:
                return None
            if isinstance(asked, bool):
                return [asked] * len(records)
            session.change({"delete": {"filter": {"must_not": [{"has_id": [HEAD]}]}}})
            session.upsert(
                [
                    {
                        "id": number,
                        "vector": {},
                        "payload": {"id": "i", "source": one.place.source, "title": one.title, "text": one.text}
                        | facts_of(one.meta),
                    }
                    for number, one in enumerate(records)
                ]
            )
            found = {
                int(point["id"])
                for page in session.pages({"must": [{"must_not": [{"has_id": [HEAD]}]}, asked]})
                for point in page
            }
            return [number in found for number in range(len(records))]

        yield ask


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(where=FILTERS, records=st.lists(RECORDS, min_size=1, max_size=4))
def test_condition_and_twin_agree(says: Callable[..., Any], where: dict[str, Any], records: list[Record]) -> None:
    expr = parse(where)
    assert expr is not None
    said = says(expr, records)
    assert said is None or said == [matches(expr, "i", one) for one in records]


FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([1e23, 0.1, 2.0**53, 1e308, 5e-324, -0.0])
INTEGERS = st.integers(-(10**30), 10**30) | st.integers(-3, 3) | st.sampled_from([10**23, 2**53, 2**53 + 1, 0])


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@example(held=2.0**60, wanted=2**60)
@example(held=1, wanted=1.0)
@given(held=FLOATS | INTEGERS, wanted=FLOATS | INTEGERS | st.just(float("inf")))
def test_numbers_compare_as_python_compares_them(says: Callable[..., Any], held: Any, wanted: Any) -> None:
    kept = [Record("", Place("a"), meta={"x": held}), Record("", Place("a"), meta={"x": [None, held]})]
    for op in ("=", "<", "<=", ">", ">=", "in"):
        expr = Test("x", op, (wanted,) if op == "in" else wanted)
        assert says(expr, kept) in (None, [matches(expr, "i", one) for one in kept]), op


def test_common_filters_are_asked_of_the_server_and_others_here(store: QdrantStore, server: QdrantServer) -> None:
    fill(store, 40)
    store.put(["big"], rows(1), [Record("x", Place("s9"), meta={"n": 2**60 + 1, "name": "Ä"})])
    for where, asked in (("k < 10 and odd", 0), ("source in ('s1', 's2')", 0), ("n > 3", 1), ("name > 'A'", 1),
                         ("text like 'TEXT 1%'", 1), ("k in (1, 2, true) or k is null", 0)):  # fmt: skip
        server.requests.clear()
        expr = parse(where)
        wanted = [id for id in store.ids() if matches(expr, id, store.get([id])[0] or Record("", Place("")))]
        server.requests.clear()
        assert store.count(where) == len(wanted) > 0
        assert sum(path.endswith("/scroll") for _, path, _ in server.requests) == asked, where
        (hits,) = store.search(rows(1), 100, where=where)
        assert (sorted(hits.ids), hits.searched) == (wanted, len(wanted))
        assert store.facets("source", where, limit=None).items == len(wanted)
    assert store.count("n = 1152921504606846976") == 0
    assert store.count("n = 1152921504606846977") == 1
    assert store.search(rows(1), where="not (k exists or k is null)")[0].searched == 0


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_what_was_put_comes_back_as_it_was(store: QdrantStore) -> None:
    meta = {"big": 10**40, "float": 1e300, "one": 1.0, "list": [1.5, None, True, "ä"], "": "empty", 'q"\\.[0]': "\n😀"}
    kept = Record("a\r\nb\u2028\x01", Place("s\\'\"", 3, 2**62, "row"), "t", "item", (1, 2**62), "h", meta)
    store.put(["'; --"], rows(1), [kept])
    (back,) = store.get(["'; --"])
    assert back == kept
    assert repr(back.meta) == repr(meta)  # 1.0 is not 1
    assert store.count({'q"\\.[0]': "\n😀", "": "empty"}) == 1
    assert store.get(["\0", "\ud800"]) == [None, None]
    assert store.delete(["\0"], sources=["\0"]) == 0
    assert store.known(["h", "\0"]) == {"h": "'; --"}
    with pytest.raises(DataError, match="NUL"):
        store.put(["x"], rows(1), [kept], sources={"s\0": "other"})
    assert store.verify().ok


@pytest.mark.parametrize("dim", [1, 384, 3000])
def test_vectors_of_any_width_and_length_come_back_bit_by_bit(url: str, dim: int) -> None:
    given_ = rows(20, dim) * np.logspace(-30, 30, 20)[:, np.newaxis].astype(np.float32)
    given_[3] /= np.linalg.norm(given_[3])
    with create_qdrant(url, dim=dim) as store:
        store.put([f"i{n:02}" for n in range(20)], given_, [Record("x", Place("x"))] * 20)
        assert store.vectors([f"i{n:02}" for n in range(20)]).tobytes() == given_.astype(np.float32).tobytes()
        assert store.verify().ok


def test_near_ties_are_decided_here(url: str) -> None:
    # One direction in 300 lengths: Qdrant's float32 would put them in an order of its own.
    lengths = np.random.default_rng(3).uniform(0.1, 10, (300, 1))
    vectors = (rows(1, 384) * lengths).astype(np.float32)
    with create_qdrant(url, dim=384) as store:
        store.put([f"i{n:03}" for n in range(300)], vectors, [Record("x", Place("x"))] * 300)
        everything, (some,) = store.search(rows(1, 384), 300)[0], store.search(rows(1, 384), 20)
    wide = vectors.astype(np.float64)
    right = (wide @ rows(1, 384)[0] / np.linalg.norm(wide, axis=1) / np.linalg.norm(rows(1, 384))).astype(np.float32)
    ranking = sorted(range(300), key=lambda n: (-right[n], n))
    assert everything.ids == tuple(f"i{n:03}" for n in ranking)
    assert some.ids == everything.ids[:20]


def test_more_than_one_request_holds(
    store: QdrantStore, url: str, monkeypatch: pytest.MonkeyPatch, server: Any
) -> None:
    monkeypatch.setattr(qdrant_session, "PART", 7)
    monkeypatch.setattr(qdrant_session, "PAGE", 9)
    monkeypatch.setattr(qdrant_search, "MOST", 20)
    ids = fill(store, 50)
    upserts = [path for _, path, _ in server.requests if path.startswith(f"{store._session.path}/points?")]
    assert len(upserts) == 1 + 8 + 1  # the head, the items, the source
    assert state(store)[0] == ids
    with create_qdrant(url + "b", dim=DIM) as other:
        other.put(ids, rows(50), [store.get([id])[0] for id in ids])
        monkeypatch.undo()
        queries = np.vstack([rows(3), np.zeros((1, DIM), np.float32)])
        whole = other.search(queries, 30)
    monkeypatch.setattr(qdrant_search, "MOST", 20)
    assert [(one.ids, one.scores) for one in store.search(queries, 30)] == [(one.ids, one.scores) for one in whole]


def test_a_graph_may_miss_and_filters_do_not(url: str, server: QdrantServer) -> None:
    with create_qdrant(url, dim=DIM, index="hnsw") as store:
        fill(store, 300)
        server.requests.clear()
        (near,), (chosen,) = store.search(rows(300)[7:8], 5), store.search(rows(300)[7:8], 5, where="k < 300")
        asked = [json.loads(body)["searches"][0] for _, path, body in server.requests if "query" in path]
        assert [(one["params"]["exact"], one["limit"]) for one in asked] == [(False, 100), (True, 15)]
        assert near.ids == chosen.ids
    made = [json.loads(body) for method, path, body in server.requests if (method, path.count("/")) == ("PUT", 2)]
    assert all("hnsw_config" not in one for one in made)


@pytest.mark.parametrize(("dim", "index"), [(0, "exact"), (65_536, "exact"), (8, "flat")])
def test_what_qdrant_cannot_hold_is_refused_first(dim: int, index: str) -> None:
    with pytest.raises(UsageError):
        create_qdrant("qdrant://nobody.invalid?collection=x", dim=dim, index=index)


def test_its_own_client_reads_what_was_written() -> None:
    """With real indexes, and through Qdrant's own client: the points are what any user of Qdrant would expect."""
    try:
        server = QdrantServer(indexes=True)
    except NoServer as reason:
        pytest.skip(str(reason))
    from qdrant_client import QdrantClient
    from qdrant_client.http import models as m

    with create_qdrant(f"{server.url}?collection=notes", dim=DIM) as store:
        fill(store, 30)
        assert store.count("k >= 10 and odd") == 10
        assert store.search(rows(30)[3:4], 1, where="source = 's3'")[0].ids == ("i00003",)
        indexed = {body["field_name"] for body in (json.loads(b) for _, p, b in server.requests if "/index" in p)}
        assert {"facts.k", "yes", "has", "source", "born"} <= indexed
        client = QdrantClient(url=server.url.replace("qdrant", "http"), check_compatibility=False)
        item = m.FieldCondition(key="what", match=m.MatchValue(value="item"))
        points, _ = client.scroll("notes", scroll_filter=m.Filter(must=[item]), limit=100, with_vectors=True)
        assert {point.payload["text"] for point in points if point.payload} == {f"text {k}" for k in range(30)}
        assert client.count("notes", count_filter=m.Filter(must=[item])).count == 30
        client.close()
    server.close()


# --- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["cut", "lost"])
def test_a_put_that_is_cut_off_at_any_request_is_whole_or_never_was(
    store: QdrantStore, server: QdrantServer, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(qdrant_session, "PART", 2)
    fill(store, 6)
    new = [Record("new", Place("n"), meta={"k": 1})] * 5
    kept = 0
    for when in range(100):
        before, turns = state(store), itertools.count()

        def fail(*asked: Any, turns: Any = turns, when: int = when) -> Any:
            turn = next(turns)
            return None if turn < when else way if turn == when else "cut"

        server.before = fail
        vectors, stamp, done = rows(5) + when, {"s0": f"{when}"}, True
        try:
            store.put(["i00000", "n1", "n2", "n3", "n4"], vectors, new, drop=["i00001"], sources=stamp)
        except StoreError as error:
            assert error.do
            done = False
        server.before = lambda *asked: None
        after = state(store)
        if after != before:
            kept += 1
            assert after[0] == ["i00000", "i00002", "i00003", "i00004", "i00005", "n1", "n2", "n3", "n4"]
            assert after[3] == stamp
            assert store.vectors(["i00000", "n1", "n2", "n3", "n4"]).tobytes() == vectors.tobytes()
        assert store.verify().ok
        # Another change is not taken for a part of it.
        store.put(["other"], rows(1), [Record("other", Place("o"))])
        assert store.ids() == [*after[0], "other"]
        store.delete(["other"])
        assert after != before or not done
        if next(turns) <= when:
            break
    assert done
    assert when > 10  # so many requests it took
    # When the answer to the commit was lost, or what came after it: reading it, letting go of the name, nothing at all.
    assert kept == {"cut": 3, "lost": 4}[way]


def test_a_busy_server_is_asked_again_and_a_refusal_is_not(store: QdrantStore, server: QdrantServer) -> None:
    fill(store, 3)
    pauses: list[float] = []
    store._session.rest.pause = pauses.append
    answers = [(429, {"Retry-After": "7"}, b""), (503, {}, b""), (500, {"Retry-After": "9999"}, b"")]
    server.before = lambda *asked: answers.pop() if answers else None
    assert store.count() == 3
    assert [pauses[0], pauses[2]] == [20.0, 7.0]
    assert 0 < pauses[1] <= 20
    for status, said, what in ((429, 5, "is busy"), (503, 5, "failed"), (400, 1, "did not do it"), (302, 1, "did not")):
        asked: list[int] = []
        server.before = lambda *_, status=status, asked=asked: (
            asked.append(1) or (status, {"Location": "http://127.0.0.1:1/"}, b'{"status": {"error": "no way"}}')
        )
        with pytest.raises(StoreError, match=what) as caught:
            store.count()
        assert f"{status} no way" in str(caught.value)
        assert len(asked) == said
    server.before = lambda *asked: (404, {}, b"")
    with pytest.raises(StoreError, match="made anew or removed"):
        store.count()


@pytest.mark.parametrize("said", [b"<html>", b'{"result": NaN}', b"\xff", b"[" * 100_000, b'{"status": "ok"}', b"[]"])
def test_an_answer_that_is_none_is_named(store: QdrantStore, server: QdrantServer, said: bytes) -> None:
    server.before = lambda *asked: (200, {}, said)
    with pytest.raises(DamagedError, match="answers with"):
        store.count()


def test_numbers_of_an_answer_that_are_none_are_named(store: QdrantStore, server: QdrantServer) -> None:
    fill(store, 3)
    server.before = lambda method, path, body: (
        (200, {}, b'{"result": {"count": 3}, "time": NaN}') if path.endswith("/count") else None
    )
    with pytest.raises(DamagedError, match="answers with"):
        store.count()
    server.before = lambda *asked: None
    item = {
        "id": 1,
        "payload": store._session.points([HEAD])[0]["payload"] | {"id": "x"},
        "vector": {"v": [1e999] * DIM},
    }
    for number in ("1e999", "1e308"):
        said = json.dumps({"result": {"points": [item]}}).replace("Infinity", number).encode()
        server.before = lambda method, path, body, said=said: (200, {}, said) if path.endswith("/scroll") else None
        with pytest.raises(DamagedError, match='"x" is not what was written'):
            store.vectors(["x"])


def test_the_key_goes_to_the_server_and_into_no_message(
    server: QdrantServer, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.key = KEY
    with pytest.raises(StoreError, match="does not let us in") as caught:
        create_qdrant(url, dim=DIM)
    assert "QDRANT_API_KEY is not set" in str(caught.value)
    monkeypatch.setenv("QDRANT_API_KEY", KEY)
    with create_qdrant(url, dim=DIM) as store:
        assert KEY not in repr(store) + repr(store._session.rest) + repr(store._session.rest.address)
        server.before = lambda *asked: (403, {}, f"forbidden for {KEY}".encode())
        with pytest.raises(StoreError, match="does not let us in") as caught:
            store.count()
        assert "QDRANT_API_KEY is not accepted" in str(caught.value)
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "forbidden for ***" in shown
    assert KEY not in shown


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "ATTEMPTS", 2)
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        open_qdrant("qdrant://127.0.0.1:1?collection=notes", timeout=2)
    assert "qdrant://127.0.0.1:1?collection=notes" in str(caught.value)
    assert "2 times" in str(caught.value)


def test_there_is_one_of_a_name(store: QdrantStore, url: str) -> None:
    with pytest.raises(StoreError, match="of this name already"):
        create_qdrant(url, dim=3)
    with pytest.raises(StoreError, match="no store of sememe") as caught:
        open_qdrant(url + "x")
    assert f"?collection={url.rpartition('=')[2]}" in str(caught.value)
    with open_qdrant(url) as second:
        server = store._session.rest
        server.ask("DELETE", store._session.path)
        with pytest.raises(StoreError, match="removed"):
            second.count()
        with pytest.raises(StoreError, match="no store of sememe"):
            open_qdrant(url)
        create_qdrant(url, dim=DIM).close()
        with pytest.raises(StoreError, match="made anew"):
            second.count()
        with pytest.raises(StoreError, match="not there any more"):
            second.put(["x"], rows(1), [Record("x", Place("x"))])
    with open_qdrant(url) as third:
        third.put(["x"], rows(1), [Record("x", Place("x"))])  # the one that was refused keeps nobody waiting
        raw(third, {"set_payload": {"payload": {"layout": 2}, "points": [HEAD]}})
    with pytest.raises(StoreError, match="later sememe"):
        open_qdrant(url)


def test_a_making_that_fails_leaves_nothing(server: QdrantServer, url: str) -> None:
    server.before = lambda method, path, body: (
        (400, {}, b"") if path.endswith("/points?wait=true&ordering=strong") else None
    )
    with pytest.raises(StoreError):
        create_qdrant(url, dim=DIM)
    server.before = lambda *asked: None
    create_qdrant(url, dim=DIM).close()


# --- writers and readers ---------------------------------------------------------------------------------------------


def test_a_second_writer_waits_and_is_told(store: QdrantStore, url: str) -> None:
    ids = fill(store, 3)
    with open_qdrant(url, timeout=0) as second, store._session.writing(store._store) as change:
        change.end("item", "id", ids)
        with pytest.raises(LockedError, match="another process is writing") as caught:
            second.put(["x"], rows(1), [Record("x", Place("x"))], drop=ids)
        assert str(os.getpid()) in str(caught.value)
        assert second.ids() == ids  # readers wait for nobody, and see nothing of it
    assert store.count() == 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # the server's threads wait meanwhile
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_dead_writer_keeps_nobody_waiting_and_leaves_nothing(store: QdrantStore, url: str) -> None:
    ids = fill(store, 3)
    child = os.fork()
    if not child:
        try:
            with open_qdrant(url) as theirs, theirs._session.writing(theirs._store) as change:
                change.end("item", "id", ids)
                os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    before = state(store)
    assert before[0] == ids
    with open_qdrant(url, timeout=0) as second:
        second.put(["x"], rows(1), [Record("x", Place("x"))])
    assert store.ids() == [*ids, "x"]
    assert state(store)[1][:3] == before[1]


def test_a_writer_that_gives_no_sign_of_life_is_overtaken(
    store: QdrantStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = fill(store, 3)
    with pytest.raises(StoreError, match="has overtaken"):  # noqa: SIM117
        with store._session.writing(store._store) as change:
            change.end("item", "id", ids)
            monkeypatch.setattr(qdrant_session, "LEASE", -1.0)
            with open_qdrant(url, timeout=0) as second:
                second.put(["x"], rows(1), [Record("x", Place("x"))])
            with pytest.raises(StoreError, match="has overtaken"):
                store._session.still_mine(change)
    assert store.ids() == [*ids, "x"]
    store.delete(["x"])
    assert store.ids() == ids


def test_a_reader_that_is_overtaken_reads_again(store: QdrantStore, url: str, server: QdrantServer) -> None:
    ids = fill(store, 3)
    other, turns = open_qdrant(url), iter(range(1, 1000))

    def write(method: str, path: str, body: bytes) -> None:
        if path.endswith("/scroll") and next(turns) == 1:
            server.before = lambda *asked: None
            for number in range(2):
                other.put(["i00000"], rows(1) + number, [Record(f"new {number}", Place("n"))])

    server.before = write
    (record,) = store.get(ids[:1])
    assert record is not None
    assert record.text == "new 1"  # the first answer had neither the old nor the new one whole

    def always(method: str, path: str, body: bytes) -> None:
        if path.endswith("/count"):
            server.before = lambda *asked: None
            for number in range(2):
                other.put(["i00000"], rows(1) + number, [Record("x", Place("n"))])
            server.before = always

    server.before = always
    with pytest.raises(StoreError, match="faster than it can be read"):
        store.count()
    other.close()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # the server's threads wait meanwhile
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_uses_connections_of_its_own(store: QdrantStore) -> None:
    fill(store, 3)
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if store.delete(["i00000"]) == 1 and store.count() == 2 else 1
            store.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.ids() == ["i00001", "i00002"]


def test_what_died_leaves_with_the_next_change(store: QdrantStore) -> None:
    fill(store, 20)
    for number in range(5):
        store.put(["i00000"], rows(1) + number, [Record("x", Place("x"))])
    store.compact()
    every = store._session.count({"must_not": [{"has_id": [HEAD]}]})
    assert (every, store.count()) == (21, 20)  # and one source


# --- care ------------------------------------------------------------------------------------------------------------


def test_damage_is_found_named_and_set_aside(store: QdrantStore) -> None:
    ids = fill(store, 60)
    assert store.verify().ok
    assert dict(store.verify().checked) == {"items": 60, "vectors": 60}
    at = {id: {"must": [{"key": "id", "match": {"value": id}}]} for id in ids}
    raw(
        store,
        {"set_payload": {"payload": {"text": "forged"}, "filter": at["i00005"]}},
        {"set_payload": {"payload": {"row": "[1"}, "filter": at["i00010"]}},
        {"delete_payload": {"keys": ["vector"], "filter": at["i00011"]}},
        {"set_payload": {"payload": {"facts": {"k": 77}}, "filter": at["i00059"]}},
        {"set_payload": {"payload": {"fields": '[["k", "number"]]'}, "points": [HEAD]}},
    )
    health = store.verify()
    assert health.affected == ("i00005", "i00010", "i00011", "i00059")
    assert [problem.partition(":")[0] for problem in health.problems] == ["items", "filters", "filters"]
    with pytest.raises(DamagedError, match="i00010"):
        store.get(["i00010"])
    assert store.count() == 60
    assert store.repair().affected == health.affected
    assert store.verify().ok
    assert store.ids() == [id for id in ids if id not in ("i00005", "i00010", "i00011")]
    assert store.sources() == {}  # one was of the source s0, which is to be read again
    assert store.count("k = 59 and odd") == 1
    set_aside = {"must": [{"key": "what", "match": {"value": "quarantine"}}]}
    kept = [point["payload"]["text"] for page in store._session.pages(set_aside) for point in page]
    assert sorted(kept) == ["forged", "text 10", "text 11"]
    store.compact()
    assert store._session.count(set_aside) == 3


@pytest.mark.parametrize("way", ["to", "from"])
def test_a_copy_is_equal(store: QdrantStore, tmp_path: Path, way: str) -> None:
    with create_store(tmp_path / "s", dim=DIM, manifest={"encoder": "letters"}) as folder:
        source, target = (folder, store) if way == "to" else (store, folder)
        fill(source, 50)
        assert copy(source, target, batch=20).sent == 50
        assert state(target) == state(source)
        (here,), (there,) = source.search(rows(50)[7:8], 5), target.search(rows(50)[7:8], 5)
        assert (here.ids, here.scores) == (there.ids, there.scores)


# --- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "base"),
    [
        ("qdrant://localhost?collection=a", "http://localhost:6333"),
        ("qdrant://[::1]:7?collection=a", "http://[::1]:7"),
        ("qdrant://db.example?collection=a", "https://db.example:6333"),
        ("qdrant://db.example:443/q/?collection=a-B_9&tls=off", "http://db.example:443/q"),
        ("qdrant://127.0.0.1:6333/?collection=a&tls=on", "https://127.0.0.1:6333"),
    ],
)
def test_a_key_goes_over_no_network_in_the_clear_unless_someone_said_so(address: str, base: str) -> None:
    from sememe.store.servers.web_address import read_web_address

    assert read_web_address(address, parameter="collection", port=6333, variable="QDRANT_API_KEY").base == base


@pytest.mark.parametrize(
    "address",
    [
        f"qdrant://{KEY}@host?collection=a", f"qdrant://anna:{KEY}@host?collection=a", "qdrant://?collection=a",
        f"qdrant://host?collection=a&api_key={KEY}", f"qdrant://host:{KEY}?collection=a", "qdrant://host",
        "qdrant://host?collection=", "qdrant://host?collection=a/b", "qdrant://host?collection=a&collection=b",
        f"qdrant://host?collection=a#{KEY}", "qdrant://host?collection=a&tls=maybe", "qdrant://[::1?collection=a",
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_read_is_not_quoted(address: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_qdrant(address)
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert isinstance(caught.value, SememeError)
