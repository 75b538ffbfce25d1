"""Copying: between kinds of stores, after an interruption, and what is refused or found out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sememe.errors import MismatchError, StoreError, UsageError
from sememe.shapes import Place, Record
from sememe.store.contract import Store
from sememe.store.copy import copy
from sememe.store.open import create_store
from tests.postgres_server import NoServer, server_url

DIM = 8
ENCODER = {"encoder": {"name": "letters", "fingerprint": "f1"}}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Empty stores in folders; ``where="postgres"`` on a server."""
    made: list[Store] = []

    def maker(where: str = "local", *, dim: int = DIM, manifest: Any = ENCODER) -> Store:
        place = tmp_path / f"store{len(made)}"
        url = str(place)
        if where == "postgres":
            try:
                url = f"{server_url()}&collection=c{os.getpid()}_{abs(hash(place))}"
            except NoServer as reason:
                pytest.skip(str(reason))
        made.append(create_store(url, dim=dim, manifest=manifest))
        return made[-1]

    yield maker
    for store in made:
        store.close()


def fill(store: Store, n: int = 50) -> Store:
    vectors = np.random.default_rng(5).standard_normal((n, DIM)).astype(np.float32)
    records = [
        Record(f"text {k}", Place(f"s{k % 3}", k + 1), "t", f"i{k}", (0, k), f"h{k}", {"k": k, "x": 1e300, "l": [1.0]})
        for k in range(n)
    ]
    store.put([f"i{k:03}" for k in range(n)], vectors, records, sources={"s0": "a", "s1": "b"})
    return store


def content(store: Store) -> list[Any]:
    ids = store.ids()
    return [ids, store.get(ids), store.vectors(ids).tobytes(), dict(store.sources())]


class Watched:
    """A store that counts what is put into it, and can fail at a given put or lose something of it."""

    def __init__(self, inner: Store, *, fails_at: int = -1, loses: bool = False) -> None:
        self.inner, self.fails_at, self.loses = inner, fails_at, loses
        self.puts: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def put(self, ids: Any, vectors: Any, records: Any, **options: Any) -> None:
        if len(self.puts) == self.fails_at:
            raise StoreError("the connection was lost")
        self.puts.append(len(ids))
        self.inner.put(ids, vectors * 2 if self.loses else vectors, records, **options)


@pytest.mark.parametrize("way", [("local", "local"), ("local", "postgres"), ("postgres", "local")])
def test_a_copy_is_equal(make: Callable[..., Store], way: tuple[str, str]) -> None:
    source, target = fill(make(way[0])), make(way[1])
    report = copy(source, target, batch=7)
    assert content(target) == content(source)
    assert (report.items, report.sent, report.kept, report.sources, report.checked) == (50, 50, 0, 2, 50)
    query = source.vectors(["i007"])
    assert target.search(query, 5)[0].ids == source.search(query, 5)[0].ids
    assert target.search(query, 5)[0].scores == source.search(query, 5)[0].scores


def test_a_copy_goes_on_where_it_was_cut_off(make: Callable[..., Store]) -> None:
    source, target = fill(make()), make()
    with pytest.raises(StoreError, match="lost"):
        copy(source, Watched(target, fails_at=3), batch=10)
    assert (target.count(), dict(target.sources())) == (30, {})  # no source is said to be complete
    watched = Watched(target)
    report = copy(source, watched, batch=20)
    assert (report.sent, report.kept) == (20, 30)
    assert watched.puts == [10, 10, 0]
    assert content(target) == content(source)
    again = Watched(target)
    assert copy(source, again).kept == 50
    assert again.puts == []


def test_what_differs_is_sent_again(make: Callable[..., Store]) -> None:
    source, target = fill(make()), fill(make())
    record = source.get(["i001"])[0]
    assert record is not None
    source.put(["i000"], -source.vectors(["i000"]), [source.get(["i000"])[0] or record])
    source.put(["i001"], source.vectors(["i001"]), [replace(record, meta={**record.meta, "k": True})])
    source.put([], source.vectors([]), [], sources={"s1": "newer"})
    report = copy(source, target)
    assert (report.sent, report.kept) == (2, 48)
    assert [one.meta["k"] for one in target.get(["i001"]) if one] == [True]
    assert repr(target.get(["i001"])) == repr(source.get(["i001"]))
    assert content(target) == content(source)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"dim": 9}, "different widths"),
        ({"manifest": {"encoder": {"name": "letters", "fingerprint": "f2"}}}, "different encoders"),
        ({"manifest": {"encoder": "letters"}}, "different encoders"),
        ({"manifest": {}}, "different encoders"),
    ],
)
def test_two_spaces_are_not_mixed(make: Callable[..., Store], other: dict[str, Any], said: str) -> None:
    source, target = fill(make()), make(**other)
    with pytest.raises(MismatchError, match=said):
        copy(source, target)
    assert target.count() == 0


def test_a_target_that_holds_something_else_is_refused(make: Callable[..., Store]) -> None:
    source, target, stamped = fill(make()), make(), make()
    target.put(["other"], np.ones((1, DIM), np.float32), [Record("other", Place("o"))])
    stamped.put([], np.ones((0, DIM), np.float32), [], sources={"other": "h"})
    for one in (target, stamped):
        before = content(one)
        with pytest.raises(StoreError, match="what the source does not"):
            copy(source, one)
        assert content(one) == before


def test_a_copy_that_went_wrong_is_found_out(make: Callable[..., Store]) -> None:
    with pytest.raises(StoreError, match="50 of 50 items"):
        copy(fill(make()), Watched(make(), loses=True), batch=7)
    source, target = fill(make()), make()
    busy = Watched(target)
    busy.ids = lambda: target.ids()[1:]
    with pytest.raises(StoreError, match="not what the source is"):
        copy(source, busy)
    with pytest.raises(UsageError):
        copy(source, target, batch=0)
    assert copy(make(), make()).items == 0
