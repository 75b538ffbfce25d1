"""The store in Pinecone: filters against their twin, limits, writes that are seen late, calls that break off, damage.
What it has in common with every store stands in tests/contracts."""

from __future__ import annotations

import itertools
import json
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sememe.errors import DamagedError, DataError, StoreError, UsageError
from sememe.shapes import Place, Record
from sememe.store.copy import copy
from sememe.store.filters import matches, parse
from sememe.store.open import create_store, open_store
from sememe.store.servers import pinecone_search, pinecone_session
from sememe.store.servers.pinecone import PineconeStore, create_pinecone, open_pinecone
from sememe.store.servers.pinecone_filter import pinecone_filter
from sememe.store.servers.pinecone_rows import ID, facts_of, key_of, unseen_fields
from sememe.store.servers.qdrant_filter import Untranslatable
from tests.pinecone_server import PineconeServer, _passes
from tests.rooms.test_store_filters import FILTERS, RECORDS

DIM = 8
NUMBER = itertools.count()
KEY = "pcsk_geheim-0123456789"


@pytest.fixture(scope="module")
def started() -> Iterator[PineconeServer]:
    server = PineconeServer(dim=DIM)
    yield server
    server.close()


@pytest.fixture
def server(started: PineconeServer) -> Iterator[PineconeServer]:
    """The server, which does as it should at first."""
    yield started
    started.before, started.key, started.metric, started.lag = lambda method, path, body: None, "", "cosine", 0


@pytest.fixture
def url(server: PineconeServer) -> str:
    return f"{server.url}?namespace=r{next(NUMBER)}"


@pytest.fixture
def store(url: str) -> Iterator[PineconeStore]:
    with create_pinecone(url, dim=DIM, manifest={"encoder": "letters"}) as store:
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


def asked(server: PineconeServer, path: str) -> list[Any]:
    return [json.loads(body) if body else where for _, where, body in server.requests if where.startswith(path)]


# --- filters ---------------------------------------------------------------------------------------------------------


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(where=FILTERS, records=st.lists(RECORDS, min_size=1, max_size=4))
def test_filter_and_twin_agree(where: dict[str, Any], records: list[Record]) -> None:
    expr = parse(where)
    assert expr is not None
    try:
        said = pinecone_filter(expr, frozenset(unseen_fields(records)))
    except Untranslatable:
        return
    for one in records:
        held = {"id": "i", "source": one.place.source, "title": one.title, "text": one.text, **facts_of(one.meta)}
        assert (said if isinstance(said, bool) else _passes(said, held)) == matches(expr, "i", one)


def test_common_filters_are_asked_of_the_server_and_others_here(store: PineconeStore, server: PineconeServer) -> None:
    fill(store, 40)
    store.put(["big"], rows(1), [Record("x", Place("s9"), meta={"n": 2**60 + 1, "name": "Ä", "l": [1, 2]})])
    for where, here in (("k < 10 and odd", False), ("source in ('s1', 's2')", False), ("n > 3", True),
                        ("name > 'A'", True), ("not odd", True), ("text like 'TEXT 1%'", True), ("l = 2", True),
                        ("k in (1, 2, true) or name = 'Ä'", False), ("k exists", False)):  # fmt: skip
        expr = parse(where)
        wanted = [id for id in store.ids() if matches(expr, id, store.get([id])[0] or Record("", Place("")))]
        server.requests.clear()
        assert store.count(where) == len(wanted) > 0
        assert bool(asked(server, "/vectors/list")) == here, where
        (hits,) = store.search(rows(1), 100, where=where)
        assert (sorted(hits.ids), hits.searched) == (wanted, len(wanted))
        assert store.facets("source", where, limit=None).items == len(wanted)
    assert store.count("n = 1152921504606846976") == 0
    assert store.search(rows(1), where="not (k exists or k is null)")[0].searched == 0


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_what_was_put_comes_back_as_it_was(store: PineconeStore) -> None:
    meta = {"big": 10**40, "float": 1e300, "one": 1.0, "list": [1.5, None, True, "ä"], "": "empty", "$q.[0]": "\n😀"}
    kept = Record("a\r\nb\u2028\x01", Place("s\\'\"", 3, 2**62, "row"), "t", "item", (1, 2**62), "h", meta)
    ids = ["'; -- %41 ö#?&/", "x" * 600, "ö" * 300, "%", "q"]
    store.put(ids, rows(5), [kept] * 5)
    assert store.ids() == sorted(ids)
    for back in store.get(ids):
        assert back == kept
        assert repr(back.meta if back else {}) == repr(meta)  # 1.0 is not 1
    assert store.vectors(ids).tobytes() == rows(5).tobytes()
    assert store.get(["\0", "\ud800", "A"]) == [None] * 3
    assert store.delete(["\0"], sources=["\0"]) == 0
    assert store.known(["h", "\0"]) == {"h": min(ids)}
    with pytest.raises(DataError, match="NUL"):
        store.put(["x"], rows(1), [kept], sources={"s\0": "other"})
    assert store.verify().ok
    assert store.delete(ids) == 5


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True, max_size=20))
def test_ids_have_keys_of_their_own(ids: list[str]) -> None:
    keys = [key_of(id) for id in ids] + [key_of(id * 600) for id in ids]
    assert len(set(keys)) == len({*ids, *(id * 600 for id in ids)})
    assert all(key.isascii() and 1 <= len(key) <= ID for key in keys)


def test_what_is_too_large_is_refused_first(store: PineconeStore) -> None:
    ids = fill(store, 3)
    before = state(store)
    large = Record("ä" * 25_000, Place("s"))
    with pytest.raises(DataError, match='"x" is too large') as caught:
        store.put([ids[0], "x"], rows(2), [Record("new", Place("s")), large], drop=ids[1:], sources={"s0": "other"})
    assert "40960 bytes" in str(caught.value)
    assert state(store) == before


def test_more_than_one_request_holds(store: PineconeStore, server: PineconeServer, monkeypatch: Any) -> None:
    records = [Record("word " * 2000, Place("s"), meta={"k": k}) for k in range(350)]
    server.requests.clear()
    store.put([f"i{n:03}" for n in range(350)], rows(350), records)
    sizes = [len(body) for _, path, body in server.requests if path == "/vectors/upsert"]
    assert len(sizes) == 3  # 3.5 MB of texts, and the head
    assert max(sizes) < 2 << 20
    assert store.ids() == [f"i{n:03}" for n in range(350)]
    monkeypatch.setattr(pinecone_session, "DELETE", 100)
    monkeypatch.setattr(pinecone_session, "MOST", 50)
    monkeypatch.setattr("sememe.store.servers.pinecone.MOST", 50)
    assert store.delete([], sources=["s"]) == 350
    assert store.count() == 0


def test_what_pinecone_misses_by_its_limits_is_read(store: PineconeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = fill(store, 200)
    queries = np.vstack([rows(3), np.zeros((1, DIM), np.float32)])
    store.put(["zero"], np.zeros((1, DIM), np.float32), [Record("z", Place("z"), meta={"k": 1})])
    usual = [store.search(queries, k, where=where) for k in (5, 201) for where in (None, "k >= 1")]
    monkeypatch.setattr(pinecone_search, "FETCHED", 20)
    monkeypatch.setattr(pinecone_search, "MOST", 50)
    read = [store.search(queries, k, where=where) for k in (5, 201) for where in (None, "k >= 1")]
    for one, other in zip(usual, read, strict=True):
        assert [(hits.ids, hits.scores, hits.searched) for hits in one] == [
            (hits.ids, hits.scores, hits.searched) for hits in other
        ]
    same = np.tile(rows(1), (60, 1))
    store.put([f"t{n:02}" for n in range(60)], same, [Record("same", Place("t"))] * 60)
    assert store.search(same[:1], 3)[0].ids == ("t00", "t01", "t02")
    assert store.count("k >= 1") == 200
    assert "zero" in usual[3][0].ids
    assert len(ids) == 200


def test_an_index_that_does_not_fit_is_refused(server: PineconeServer, url: str) -> None:
    with pytest.raises(UsageError, match="another width"):
        create_pinecone(url, dim=DIM + 1)
    with pytest.raises(UsageError, match="numbers"):
        create_pinecone(url, dim=20_001)
    server.metric = "euclidean"
    with pytest.raises(UsageError, match="distance"):
        create_pinecone(url, dim=DIM)
    server.metric = "dotproduct"
    create_pinecone(url, dim=DIM).close()
    with pytest.raises(StoreError, match="of this name already"):
        create_store(url, dim=DIM)
    with pytest.raises(StoreError, match="no store of sememe"):
        open_store(url + "x")


# --- what is seen late, and what breaks off --------------------------------------------------------------------------


def test_a_read_waits_for_what_was_written(store: PineconeStore, server: PineconeServer) -> None:
    server.lag = 3
    pauses: list[float] = []
    store._session.rest.pause = pauses.append
    ids = fill(store, 5)
    assert store.ids() == ids
    assert store.search(rows(5)[2:3], 1)[0].ids == ("i00002",)
    store.delete(["i00002"])
    assert store.get(["i00002"]) == [None]
    assert store.search(rows(5)[2:3], 1)[0].ids != ("i00002",)
    assert len(pauses) >= 6
    server.lag = 10**9
    store._session.timeout = -1
    store.put(["new"], rows(1), [Record("x", Place("x"))])
    with pytest.raises(StoreError, match="does not show yet"):
        store.get(["new"])


@pytest.mark.parametrize("way", ["cut", "lost"])
def test_a_put_that_is_cut_off_is_mended_by_doing_it_again(
    store: PineconeStore, server: PineconeServer, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(pinecone_session, "UPSERT", 2)
    new = [Record("new", Place("s0"), meta={"fresh": 1})] * 5
    ids = ["i00000", "n1", "n2", "n3", "n4"]
    for when in range(100):
        store.delete(store.ids(), sources=list(store.sources()))
        fill(store, 6)
        before, turns = state(store), itertools.count()

        def fail(*asked: Any, turns: Any = turns, when: int = when) -> Any:
            turn = next(turns)
            return None if turn < when else way if turn == when else "cut"

        server.before = fail
        broken = False
        try:
            store.put(ids, rows(5), new, drop=["i00001"], sources={"s0": "new"})
        except StoreError as error:
            assert error.do
            broken = True
        server.before = lambda *asked: None
        if broken and state(store) != before:
            # Only a source that is whole has a stamp: the old items with the old one, the new with the new.
            assert store.sources() in ({}, {"s0": "new"})
            assert store.sources() == {} or store.ids() == ["i00000", "i00002", "i00003", "i00004", "i00005", *ids[1:]]
        store.put(ids, rows(5), new, drop=["i00001"], sources={"s0": "new"})
        assert store.ids() == ["i00000", "i00002", "i00003", "i00004", "i00005", *ids[1:]]
        assert store.sources() == {"s0": "new"}
        assert store.vectors(ids).tobytes() == rows(5).tobytes()
        assert store.verify().ok
        if not broken:
            break
    assert when >= 6  # so many requests it took


def test_the_key_goes_to_the_server_and_into_no_message(
    server: PineconeServer, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.key = KEY
    monkeypatch.delenv("PINECONE_API_KEY", raising=False)
    with pytest.raises(StoreError, match="does not let us in") as caught:
        open_pinecone(url)
    assert "PINECONE_API_KEY is not set" in str(caught.value)
    monkeypatch.setenv("PINECONE_API_KEY", KEY)
    with create_pinecone(url, dim=DIM) as store:
        assert KEY not in repr(store) + repr(store._session.rest)
        server.before = lambda *asked: (
            429,
            {"Retry-After": "0"},
            b'{"code": 8, "message": "too many from %s"}' % KEY.encode(),
        )
        with pytest.raises(StoreError, match="is busy") as caught:
            store.count()
    assert "429 too many from ***" in str(caught.value)
    assert KEY not in "".join(traceback.format_exception(caught.value)) + caplog.text
    with pytest.raises(UsageError) as refused:
        open_pinecone(f"pinecone://{KEY}@host?namespace=a")
    assert KEY not in str(refused.value)


@pytest.mark.parametrize("said", [b"<html>", b'{"vectors": 7}', b'{"vectors": {"head": {}}}', b"[1]"])
def test_an_answer_that_is_none_is_named(store: PineconeStore, server: PineconeServer, said: bytes) -> None:
    server.before = lambda *asked: (200, {}, said)
    with pytest.raises(DamagedError, match="answers with"):
        store.count()


def test_it_says_what_it_cannot(store: PineconeStore) -> None:
    assert "transactions" not in store.capabilities
    with pytest.raises(UsageError, match="cannot search"):
        store.search(None, words=["x"], mode="words")


# --- care ------------------------------------------------------------------------------------------------------------


def test_damage_is_found_named_and_set_aside(store: PineconeStore, server: PineconeServer) -> None:
    ids = fill(store, 60)
    assert store.verify().ok
    assert dict(store.verify().checked) == {"items": 60, "vectors": 60}
    here = server.spaces[store._items].rows
    here["i00005"]["metadata"]["text"] = "forged"
    here["i00010"]["metadata"]["row"] = "[1"
    del here["i00011"]["metadata"]["vector"]
    here["i00012"]["values"] = -here["i00012"]["values"]
    here["i00059"]["metadata"]["n:k"] = 77
    head = server.spaces[store._books].rows["head"]["metadata"]
    head["fields"] = '[["k", "number"]]'
    health = store.verify()
    assert health.affected == ("i00005", "i00010", "i00011", "i00012", "i00059")
    assert [problem.partition(":")[0] for problem in health.problems] == ["items", "filters", "filters"]
    with pytest.raises(DamagedError, match="i00010"):
        store.get(["i00010"])
    assert store.repair().affected == health.affected
    assert store.verify().ok
    assert store.ids() == [id for id in ids if id not in health.affected[:4]]
    assert store.sources() == {}  # two were of the source s0, which is to be read again
    assert store.count("k = 59 and odd") == 1
    aside = [row["metadata"]["text"] for key, row in server.spaces[store._books].rows.items() if key.startswith("q:")]
    assert sorted(aside) == ["forged", "text 10", "text 11", "text 12"]


def test_another_store_of_the_name_is_no_continuation(store: PineconeStore, url: str, server: PineconeServer) -> None:
    fill(store, 3)
    server.spaces[store._items].write(dict.fromkeys(store.ids()))
    server.spaces[store._books].write({"head": None})
    with pytest.raises(StoreError, match="no store of sememe"):
        store.count()
    create_pinecone(url, dim=DIM).close()
    for call in (store.count, lambda: store.put(["x"], rows(1), [Record("x", Place("x"))])):
        with pytest.raises(StoreError, match="made anew"):
            call()
    server.spaces[store._books].rows["head"]["metadata"]["layout"] = 2
    with pytest.raises(StoreError, match="later sememe"):
        open_pinecone(url)


@pytest.mark.parametrize("way", ["to", "from"])
def test_a_copy_is_equal(store: PineconeStore, tmp_path: Path, way: str) -> None:
    with create_store(tmp_path / "s", dim=DIM, manifest={"encoder": "letters"}) as folder:
        source, target = (folder, store) if way == "to" else (store, folder)
        fill(source, 50)
        assert copy(source, target, batch=20).sent == 50
        assert state(target) == state(source)
        (here,), (there,) = source.search(rows(50)[7:8], 5), target.search(rows(50)[7:8], 5)
        assert (here.ids, here.scores) == (there.ids, there.scores)
