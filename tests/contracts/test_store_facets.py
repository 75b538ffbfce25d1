"""The contract of stores, held against every adaptor: what a facet counts, in which order, and of which items."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_drill import DIM, record

from sememe.errors import UsageError
from sememe.shapes import Place, Record
from sememe.store.contract import Store
from sememe.store.facets import Facet, counted
from sememe.store.filters import matches, parse

ODD_NAMES = ('a"b', "a.b", "a\\b", "$", "[0]", "ключ", "title")


def fill(store: Store, *records: Record) -> None:
    ids = [f"i{n}" for n in range(len(records))]
    store.put(ids, np.ones((len(ids), DIM), np.float32), records)


@pytest.fixture
def counting(store: Store) -> Store:
    """A store that has facets; of one that has none, asking for them raises and changes nothing."""
    if "facets" not in store.capabilities:
        fill(store, record(lang="en"))
        with pytest.raises(UsageError, match="facets"):
            store.facets("lang")
        assert store.count() == 1
        pytest.skip("this store has no facets, and says so")
    return store


def kinds(facet: Facet) -> list[tuple[Any, ...]]:
    """Counts in which 1, 1.0 and True are three different things."""
    return [(type(value), value, items) for value, items in facet.counts]


def test_the_most_frequent_value_comes_first_and_ties_are_ordered(counting: Store) -> None:
    fill(
        counting,
        *(record(v=v) for v in ["b", "ä", "B", "b", 10, 9.5, -3, False, True, True, 9.5, "", "Z"]),
        record(),
    )
    facet = counting.facets("v")
    assert facet.counts == (
        (9.5, 2), ("b", 2), (True, 2), (-3, 1), (10, 1), ("", 1), ("B", 1), ("Z", 1), ("ä", 1), (False, 1)
    )  # fmt: skip
    assert (facet.field, facet.values, facet.items, facet.without) == ("v", 10, 14, 1)


def test_numbers_texts_and_truths_are_told_apart_and_equal_numbers_are_one(counting: Store) -> None:
    fill(counting, *(record(v=v) for v in [1, 1.0, True, "1", "true", -0.0, 0, False, 2**53, 1e15, 10**15]))
    assert kinds(counting.facets("v")) == [
        (int, 0, 2), (int, 1, 2), (int, 10**15, 2), (int, 2**53, 1),
        (str, "1", 1), (str, "true", 1), (bool, False, 1), (bool, True, 1),
    ]  # fmt: skip


def test_a_list_counts_each_of_its_members_once(counting: Store) -> None:
    fill(
        counting,
        record(tag=["a", "b", "a", "a"]),
        record(tag="a"),
        record(tag=["b", None, 1, 1.0, True]),
        record(tag=[]),
        record(tag=[None]),
        record(tag=None),
        record(other=1),
    )
    facet = counting.facets("tag")
    assert kinds(facet) == [(str, "a", 2), (str, "b", 2), (int, 1, 1), (bool, True, 1)]
    assert (facet.values, facet.items, facet.without) == (4, 7, 4)


def test_a_limit_cuts_the_list_and_not_the_totals(counting: Store) -> None:
    fill(counting, *(record(n=n % 7) for n in range(30)))
    everything = counting.facets("n", limit=None)
    assert everything.counts == ((0, 5), (1, 5), (2, 4), (3, 4), (4, 4), (5, 4), (6, 4))
    for limit in (0, 1, 3, 7, 100):
        facet = counting.facets("n", limit=limit)
        assert facet.counts == everything.counts[:limit]
        assert (facet.values, facet.items, facet.without) == (7, 30, 0)
    many = [record(n=n) for n in range(25)]
    fill(counting, *many)
    assert len(counting.facets("n").counts) == 20


def test_a_filter_chooses_what_is_counted(counting: Store) -> None:
    fill(counting, record(lang="en", year=1), record(lang="en", year=2), record(lang="de", year=2), record(year=3))
    assert counting.facets("lang", "year >= 2").counts == (("de", 1), ("en", 1))
    assert counting.facets("lang", {"year": 2, "id": ["i1", "i3"]}) == Facet("lang", (("en", 1),), 1, 1, 0)
    assert counting.facets("lang", "year > 2") == Facet("lang", (), 0, 1, 1)
    assert counting.facets("lang", 'lang = "fr"') == Facet("lang", (), 0, 0, 0)
    assert counting.facets("year", 'source = "a.txt" and text = "" and not title like "x%"').items == 4


def test_the_fields_of_the_record_itself_are_counted_too(counting: Store) -> None:
    fill(
        counting,
        record("same", source="x", title="T"),
        record("same", source="y", title="T"),
        Record("other", Place("x"), meta={"title": 7}),
    )
    assert counting.facets("source").counts == (("x", 2), ("y", 1))
    assert counting.facets("title").counts == (("T", 2), ("", 1))
    assert counting.facets("meta.title").counts == ((7, 1),)
    assert counting.facets("text", limit=1) == Facet("text", (("same", 2),), 2, 3, 0)
    assert counting.facets("id").counts == (("i0", 1), ("i1", 1), ("i2", 1))


def test_what_left_is_not_counted_and_what_was_replaced_counts_as_it_is_now(counting: Store) -> None:
    fill(counting, record(v="a"), record(v="b"), record(v="b"))
    counting.delete(["i0"])
    counting.put(["i1"], np.ones((1, DIM), np.float32), [record(v="c")])
    assert counting.facets("v").counts == (("b", 1), ("c", 1))
    counting.delete(["i1", "i2"])
    assert counting.facets("v") == Facet("v", (), 0, 0, 0)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_field_may_have_any_name(counting: Store, name: str) -> None:
    field = f"meta.{name}" if name == "title" else name
    fill(counting, Record("", record().place, meta={name: ["x", "y"]}), Record("", record().place, meta={name: "x"}))
    assert counting.facets(field).counts == (("x", 2), ("y", 1))


@pytest.mark.parametrize(
    "question",
    [("langg",), ("",), (7,), ("lang", None, -1), ("lang", None, 1.5), ("lang", None, True), ("lang", "lang =")],
    ids=str,
)
def test_a_facet_that_makes_no_sense_is_refused(counting: Store, question: tuple[Any, ...]) -> None:
    fill(counting, record(lang="en"))
    field, where, limit = (*question, None, None)[:3]
    with pytest.raises(UsageError):
        counting.facets(field, where, limit=limit)


def test_a_facet_of_an_empty_store(counting: Store) -> None:
    assert counting.facets("source") == Facet("source", (), 0, 0, 0)
    with pytest.raises(UsageError, match="lang"):
        counting.facets("lang")


SCALARS = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "A", "é", "1"])
    | st.sampled_from([0.0, -0.0, 0.5, 1.0, -2.5, 1e20, 1e-5])
)  # fmt: skip
METAS = st.fixed_dictionaries({}, optional={"v": SCALARS | st.lists(SCALARS, max_size=4), "w": st.integers(0, 2)})


@settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None, derandomize=True, database=None)
@given(metas=st.lists(METAS, max_size=8), limit=st.none() | st.integers(0, 5), where=st.sampled_from([None, "w > 0"]))
def test_facets_are_what_plain_python_counts(
    counting: Store, metas: list[dict[str, Any]], limit: int | None, where: str | None
) -> None:
    known = record(v=None, w=0)  # so that the fields are known
    records = [known, *(record(**meta) for meta in metas)]
    counting.delete(counting.ids())
    fill(counting, *records)
    expr = parse(where)
    kept = [(f"i{n}", one) for n, one in enumerate(records) if matches(expr, f"i{n}", one)]
    facet, twin = counting.facets("v", where, limit=limit), counted("v", kept, limit=limit)
    assert facet == twin
    assert kinds(facet) == kinds(twin)
    assert all(not isinstance(value, float) or math.isfinite(value) for value, _ in facet.counts)
