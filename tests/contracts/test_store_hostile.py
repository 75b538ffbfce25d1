"""The contract of stores, held against every adaptor: what comes from outside is refused in words and changes nothing,
or it is kept as it is. What numbers, widths and ids may be, test_stores.py says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from store_drill import DIM, record, vectors

from sememe.errors import DataError, SememeError, UsageError
from sememe.shapes import Place, Record
from sememe.store import batch
from sememe.store.contract import Store
from sememe.store.filters import matches, parse

ONE = vectors((1, 2, 3, 4))
PLACE = Place("a.txt", 1, 2)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.fixture
def held(store: Store) -> Store:
    rows = [record("river", lang="en", source="x"), record("bank", lang="de", source="y")]
    store.put(["a", "b"], vectors((1, 0, 0, 0), (0, 1, 0, 0)), rows, sources={"x": "h"})
    return store


def state(store: Store) -> tuple[Any, ...]:
    ids = store.ids()
    return (ids, store.get(ids), store.vectors(ids).tolist(), dict(store.sources()), store.count())


REFUSED_RECORDS: dict[str, Any] = {
    "no record": 5,
    "no place": Record("x", None),  # type: ignore[arg-type]
    "a text of None": Record(None, PLACE),  # type: ignore[arg-type]
    "a text of bytes": Record(b"x", PLACE),  # type: ignore[arg-type]
    "a title of None": Record("x", PLACE, None),  # type: ignore[arg-type]
    "a hash of None": Record("x", PLACE, hash=None),  # type: ignore[arg-type]
    "a source of 7": Record("x", Place(7)),  # type: ignore[arg-type]
    "a place beyond 64 bits": Record("x", Place("s", 10**30)),
    "a place of text": Record("x", Place("s", 1, "2")),  # type: ignore[arg-type]
    "a place of NaN": Record("x", Place("s", float("nan"))),  # type: ignore[arg-type]
    "a span of one": Record("x", PLACE, span=(1,)),  # type: ignore[arg-type]
    "a span of None": Record("x", PLACE, span=None),  # type: ignore[arg-type]
    "a span beyond 64 bits": Record("x", PLACE, span=(0, 10**30)),
    "a meta of None": Record("x", PLACE, meta=None),  # type: ignore[arg-type]
    "a meta that is a list": Record("x", PLACE, meta=[1]),  # type: ignore[arg-type]
    "lists in lists": record(y=[[1]]),
    "lists 100,000 deep": record(y=nested(100_000)),
    "a mapping in the meta": record(y={"a": {"b": 1}}),
    "a number of 5,000 digits": record(y=10**5000),
    "a number beyond all floats": record(y=10**308),
    "a name with a NUL": record(**{"a\0b": 1}),
    "a name with half a pair": record(**{"\ud800": 1}),
}


def test_a_record_that_is_none_is_refused(held: Store) -> None:
    before = state(held)
    for what, bad in REFUSED_RECORDS.items():
        with pytest.raises(DataError):
            held.put(["x", "y"], np.concatenate([ONE, ONE]), [record("good"), bad], drop=["a"])
        assert state(held) == before, what


def test_what_is_no_list_or_no_matrix_is_refused(held: Store) -> None:
    before = state(held)
    refused: list[tuple[Any, Any, Any, type[SememeError]]] = [
        ("xy", np.ones((2, DIM)), [record(), record()], UsageError),
        (None, ONE, [record()], UsageError),
        (iter("x"), ONE, [record()], UsageError),
        (["x"], ONE, None, UsageError),
        (["x", "y"], [[1, 2, 3, 4], [1]], [record(), record()], DataError),
        (["x"], None, [record()], DataError),
        (["x"], "abcd", [record()], DataError),
        (["x"], [[object()] * DIM], [record()], DataError),
        (["x"], np.ones((1, DIM), complex), [record()], DataError),
        (["x"], np.ma.masked_array(np.ones((1, DIM)), mask=[[1, 0, 0, 0]]), [record()], DataError),
        (["x"], np.ones((1, DIM, 1)), [record()], DataError),
        (["x"], np.ones((1, 0)), [record()], DataError),
    ]
    for ids, rows, records, kind in refused:
        with pytest.raises(kind):
            held.put(ids, rows, records)
        assert state(held) == before, (ids, rows)


def test_a_record_that_is_too_large_is_refused(held: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "LARGEST", 1000)
    before = state(held)
    for one in (record("x" * 1001), record(title="x" * 1001), record(y="x" * 1001)):
        with pytest.raises(DataError, match="1,000 characters"):
            held.put(["x"], ONE, [one])
    assert state(held) == before


#: names that mean something in SQL, JSON, paths of JSON, Python or our own tables
NAMES = ["id", "text", "source", "title", "meta", "rowid", "number", "seal", "slot", "vector", "record", "_id", "dim",
         "meta.id", "a.b", "a b", 'a"b', "a'b", "a`b", "a\\b", "$", "$.x", "[0]", "%", "--", "; DROP TABLE rows",
         "__class__", "ключ", "\x1f", " "]  # fmt: skip


def test_fields_are_called_what_they_are_called(held: Store) -> None:
    kept = Record("odd", PLACE, meta={name: name for name in NAMES})
    held.put(["odd"], ONE, [kept])
    assert held.get(["odd"]) == [kept]
    if "where" not in held.capabilities:
        return
    for name in NAMES:
        where = {f"meta.{name}": name}
        assert matches(parse(where), "odd", kept)
        assert held.count(where) == 1, name


def test_an_id_is_only_a_name(held: Store) -> None:
    ids = ["../../x", "/etc/passwd", "a/b\\c", "'; DROP TABLE rows; --", "%", "*", "x" * 1000, "🏦", "\x1f", " ", "\n"]
    held.put(ids, np.repeat(ONE, len(ids), axis=0), [record(f"river {n}") for n in range(len(ids))])
    assert held.get(ids) == [record(f"river {n}") for n in range(len(ids))]
    assert set(held.search(ONE, 100)[0].ids) == {"a", "b", *ids}
    for id in ids:
        if "where" in held.capabilities:
            assert held.count({"id": id}) == 1
        assert held.delete([id]) == 1
    assert held.ids() == ["a", "b"]


def test_a_text_of_a_million_letters_is_kept_or_refused(held: Store) -> None:
    kept = record("river 🏦 " * 120_000)
    if "long" not in held.capabilities:
        before = state(held)
        with pytest.raises(DataError, match='"long" is too large'):
            held.put(["long"], ONE, [kept], drop=["a"])
        assert state(held) == before
        return
    held.put(["long"], ONE, [kept])
    assert held.get(["long"]) == [kept]
    assert kept in held.search(ONE, 3)[0].records


def test_what_cannot_be_there_is_unknown(held: Store) -> None:
    before = state(held)
    odd = ["\ud800", "\0", "a\0", "b\udfff"]
    assert held.get(odd) == [None] * 4
    assert held.delete(odd, sources=odd) == 0
    assert [held.ids(one) for one in odd] == [[], [], [], []]
    assert held.ids(items=odd) == []
    assert dict(held.known(odd)) == {}
    held.put([], vectors(), [], drop=odd)
    assert state(held) == before


def test_a_filter_that_is_too_deep_is_refused(held: Store) -> None:
    for depth in (101, 100_000):
        deep: Any = {"lang": "en"}
        for _ in range(depth):
            deep = {"not": deep}
        for where in (deep, "(" * depth + 'lang = "en"' + ")" * depth, "not " * depth + 'lang = "en"'):
            with pytest.raises(UsageError):
                held.count(where)


def test_a_filter_with_a_number_of_any_length_means_what_it_says(held: Store) -> None:
    held.put(["n"], ONE, [record("n", year=5)])
    assert held.count("year < " + "9" * 5000) == 1
    assert held.count("year > " + "9" * 5000) == 0


def test_k_may_be_any_number(held: Store) -> None:
    for mode in ("dense", "words", "hybrid"):
        if mode in held.capabilities:
            (hits,) = held.search(ONE, 10**30, words=["river"], mode=mode)
            assert set(hits.ids) == ({"a"} if mode == "words" else {"a", "b"})


def test_a_query_text_is_a_text(held: Store) -> None:
    for text in (None, 7, b"river", ["river"]):
        for mode in ("words", "hybrid"):
            if mode in held.capabilities:
                with pytest.raises(UsageError):
                    held.search(ONE, 3, words=[text], mode=mode)  # type: ignore[list-item]
