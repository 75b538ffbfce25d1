"""What a collection can be asked: pages, ranges, groups, second opinions, neighbours, several queries at once."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from letters import Letters

from sememe.collection import answer
from sememe.collection.answer import Page, Question, answers
from sememe.collection.collection import Collection
from sememe.collection.fusion import fused
from sememe.collection.refine import Refine
from sememe.errors import DataError, StoreError, UsageError
from sememe.shapes import Hits, Place, Record
from sememe.space.diversity import diverse
from sememe.store.contract import Store
from sememe.store.local.store import create_store

TEXTS = {
    "zoo": "zebra zebra lion", "ark": "zebra and dove and lion", "farm": "horse and dove", "sea": "whale and shark",
    "air": "dove and hawk and zebra", "den": "lion lion lion", "lake": "swan and duck", "zebra": "zebra",
}  # fmt: skip


ROWS = [{"id": id, "text": text, "legs": len(text) % 3} for id, text in TEXTS.items()]


@pytest.fixture
def animals(tmp_path: Path) -> Iterator[Collection]:
    with Collection("animals", encoder=Letters(), home=tmp_path) as made:
        yield made.add(ROWS, text="text", id="id")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    """The same, for tests that only read it."""
    with Collection("animals", encoder=Letters(), home=tmp_path_factory.mktemp("kept")) as made:
        yield made.add(ROWS, text="text", id="id")


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Collection]:
    """Items of many chunks: some sentences of three kinds, in three files."""
    folder = tmp_path / "books"
    folder.mkdir()
    words = ("zebra", "lion", "dove")
    for name in range(3):
        lines = [f"The {words[(n * (name + 1)) % 3]} number {n} of book {name} is here." for n in range(30)]
        (folder / f"b{name}.txt").write_text("\n\n".join(lines), "utf-8")
    with Collection("books", encoder=Letters(), home=tmp_path) as made:
        yield made.add(folder)


def judge(query: str, texts: Any) -> list[float]:
    """A second opinion: the shortest is the best."""
    return [-float(len(text)) for text in texts]


def pages(collection: Collection, query: Any, sizes: list[int], **how: Any) -> list[Hits]:
    """All pages of a search, of these sizes in turn."""
    out: list[Hits] = []
    after = None
    while after is not None or not out:
        out.append(collection.search(query, sizes[len(out) % len(sizes)], after=after, **how))
        after = out[-1].cursor
    return out


def joined(found: list[Hits]) -> list[tuple[str, float]]:
    return [pair for hits in found for pair in zip(hits.ids, hits.scores, strict=True)]


# --- pages -----------------------------------------------------------------------------------------------------------

WAYS = [
    {"mode": "dense"},
    {"mode": "words"},
    {"mode": "hybrid"},
    {"mode": "hybrid", "refine": Refine(fusion="ranks")},
    {"mode": "hybrid", "refine": Refine(rerank=judge)},
    {"mode": "dense", "refine": Refine(diversity=0.4)},
    {"mode": "hybrid", "refine": Refine(group="item")},
    {"mode": "hybrid", "refine": Refine(group="source", diversity=0.2, fusion="ranks")},
    {"mode": "dense", "where": "legs > 0", "min_score": 0.2},
]


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("sizes", [[1], [2], [3, 1], [7], [8], [100]], ids=str)
def test_pages_joined_are_the_whole_list(kept: Collection, way: dict[str, Any], sizes: list[int]) -> None:
    whole = kept.search("zebra and lion", 100, **way)
    assert whole.cursor is None
    found = pages(kept, "zebra and lion", sizes, **way)
    assert joined(found) == joined([whole])
    assert all(len(hits) == sizes[turn % len(sizes)] for turn, hits in enumerate(found[:-1]))
    assert len(found[-1]) > 0


VALUES = st.sampled_from([-1.0, 0.0, 0.5, 1.0])


@settings(max_examples=30, suppress_health_check=list(HealthCheck), deadline=None, derandomize=True, database=None)
@given(
    rows=st.lists(st.tuples(VALUES, VALUES), max_size=25),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    mode=st.sampled_from(["dense", "words", "hybrid"]),
    refine=st.builds(
        Refine,
        fusion=st.just("scores"),
        group=st.sampled_from([None, "item", "source"]),
        diversity=st.sampled_from([0.0, 0.0, 0.5]),
    ),
)
def test_pages_neither_repeat_nor_skip_whatever_ties_there_are(
    empty: Store, rows: list[tuple[float, float]], sizes: list[int], mode: str, refine: Refine
) -> None:
    empty.delete(empty.ids())
    records = [
        Record(("river " * (n % 3)).strip(), Place(f"s{n % 4}"), item=f"i{n % 5}" if n % 7 else "")
        for n in range(len(rows))
    ]
    empty.put([f"c{n:02}" for n in range(len(rows))], np.array(rows, np.float32).reshape(-1, 2), records)
    question = Question(np.array([[1, 0.5]], np.float32), ["river"], mode)

    def ask(k: int, after: str | None = None) -> Hits:
        (hits,) = answers(empty, question, Page(k, after=after), refine)
        return hits

    whole, found, after = ask(99), [], None
    for turn in range(99):
        found.append(ask(sizes[turn % len(sizes)], after))
        after = found[-1].cursor
        if after is None:
            break
    assert joined(found) == joined([whole])


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Store]:
    with create_store(tmp_path / "store", dim=2) as store:
        yield store


def test_a_page_after_what_changed_behind_it_goes_on(animals: Collection) -> None:
    first = animals.search("zebra", 2, mode="dense")
    assert first.ids == ("zebra", "zoo")
    animals.add([{"id": "last", "text": "uuuu", "legs": 1}], text="text", id="id")
    animals.delete(["den"])
    second = animals.search("zebra", 20, mode="dense", after=first.cursor)
    assert {*first.ids, *second.ids} == {*TEXTS, "last"} - {"den"}


@pytest.mark.parametrize("change", ["add", "delete", "replace"])
def test_a_page_after_what_changed_before_it_is_refused(animals: Collection, change: str) -> None:
    first = animals.search("zebra", 2, mode="dense")
    if change == "delete":
        animals.delete(["zoo"])
    else:
        row = {
            "id": "zoo" if change == "replace" else "new",
            "text": "zebra zebra" if change == "add" else "uu",
            "legs": 1,
        }
        animals.add([row], text="text", id="id")
    with pytest.raises(StoreError, match="has changed since"):
        animals.search("zebra", 2, mode="dense", after=first.cursor)


@pytest.mark.parametrize(
    "other",
    [
        {"query": "lion"},
        {"mode": "hybrid"},
        {"where": "legs > 0"},
        {"min_score": 0.01},
        {"refine": Refine(group="item")},
        {"refine": Refine(diversity=0.1)},
    ],
    ids=str,
)
def test_a_cursor_belongs_to_its_question(kept: Collection, other: dict[str, Any]) -> None:
    cursor = kept.search("zebra", 2, mode="dense").cursor
    with pytest.raises(UsageError, match="another question"):
        kept.search(**{"query": "zebra", "k": 2, "mode": "dense", "after": cursor, **other})


def test_a_cursor_belongs_to_its_collection(animals: Collection, tmp_path: Path) -> None:
    with Collection("others", encoder=Letters(), home=tmp_path) as others:
        others.add(["zebra", "lion", "dove"])
        with pytest.raises(UsageError, match="another question"):
            animals.search("zebra", 1, mode="dense", after=others.search("zebra", 1, mode="dense").cursor)


def _cursor(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    ["", "x", "ü", "!!!!", _cursor(1), _cursor([1, 2]), _cursor([2, "a", 1, 0, "b"]), _cursor([1, "a", -1, 0, "b"]),
     _cursor([1, "a", 1.5, 0, "b"]), _cursor([1, "a", True, 0, "b"]), _cursor([1, "a", 2**70, 0, "b"]),
     _cursor([1, {}, 1, 0, "b"]), "W" * 100_000, _cursor([1, "a", 1, 0, []])],
)  # fmt: skip
def test_what_is_no_cursor_is_refused(kept: Collection, text: str) -> None:
    with pytest.raises(UsageError, match="cursor"):
        kept.search("zebra", 2, mode="dense", after=text)


def test_a_cursor_that_lies_finds_no_wrong_page(kept: Collection) -> None:
    cursor = kept.search("zebra", 2, mode="dense").cursor
    assert cursor is not None
    version, question, seen, depth, ids = json.loads(base64.urlsafe_b64decode(cursor + "=="))
    for lie in ([version, question, seen + 1, depth, ids], [version, question, 1000, depth, ids]):
        with pytest.raises(StoreError, match="has changed since"):
            kept.search("zebra", 2, mode="dense", after=_cursor(lie))


# --- ranges ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["dense", "words", "hybrid"])
def test_a_range_has_all_that_score_so_high(kept: Collection, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "FIRST", 1)
    everything = kept.search("zebra and lion", 100, mode=mode)
    assert joined([kept.search("zebra and lion", None, mode=mode)]) == joined([everything])
    for least in sorted({*everything.scores, 0.0, -1.0, 99.0}):
        ranged = kept.search("zebra and lion", None, mode=mode, min_score=least)
        assert joined([ranged]) == [pair for pair in joined([everything]) if pair[1] >= least]
        assert ranged.cursor is None
        some = kept.search("zebra and lion", 3, mode=mode, min_score=least)
        assert joined([some]) == joined([ranged])[:3]
        assert (some.cursor is None) == (len(ranged) <= 3)


# --- several queries, vectors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_many_queries_are_answered_as_one_by_one(kept: Collection, way: dict[str, Any]) -> None:
    queries = ["zebra", "lion and dove", "zebra"]
    many = kept.search_many(queries, 3, **way)
    for query, hits in zip(queries, many, strict=True):
        alone = kept.search(query, 3, **way)
        assert hits == alone
    assert kept.search_many([], 3, **way) == []


def test_a_vector_is_a_query(kept: Collection) -> None:
    vector = Letters().encode(["zebra"], role="query")[0]
    hits = kept.search(vector, 3, mode="dense")
    assert (hits.ids, hits.scores) == ((by_text := kept.search("zebra", 3, mode="dense")).ids, by_text.scores)
    assert kept.search(vector, 3, mode="dense", after=hits.cursor).ids != hits.ids


@pytest.mark.parametrize(
    "question",
    [
        {"query": 7},
        {"query": ["zebra"]},
        {"query": np.ones(3), "mode": "dense"},
        {"query": np.ones((1, 26)), "mode": "dense"},
        {"query": np.ones(26)},
        {"query": "zebra", "k": -1},
        {"query": "zebra", "k": 2.5},
        {"query": "zebra", "k": True},
        {"query": "zebra", "mode": "magic"},
        {"query": np.ones(26), "mode": "dense", "refine": Refine(rerank=judge)},
        {"query": "zebra", "mode": "dense", "refine": Refine(fusion="ranks")},
        {"query": "zebra", "k": 20, "refine": Refine(diversity=0.5, depth=10)},
        {"query": "zebra", "k": None, "refine": Refine(diversity=0.5)},
    ],
    ids=str,
)
def test_a_question_that_makes_no_sense_is_refused(kept: Collection, question: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        kept.search(**question)


def test_one_text_is_no_list_of_queries(kept: Collection) -> None:
    with pytest.raises(UsageError, match="list of queries"):
        kept.search_many("zebra")
    with pytest.raises(UsageError):
        kept.search_many(["zebra", 7])  # type: ignore[list-item]


# --- refining --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"fusion": "sum"}, {"group": "page"}, {"rerank": 3}, {"diversity": 2}, {"diversity": -0.1},
        {"diversity": float("nan")}, {"diversity": "much"}, {"depth": 0}, {"depth": 1.5},
    ],
    ids=str,
)  # fmt: skip
def test_a_way_to_refine_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Refine(**wrong)


def test_ranks_are_those_of_both_sides(kept: Collection) -> None:
    hits = kept.search("zebra and lion", 5, refine=Refine(fusion="ranks"))
    sides = [kept.search("zebra and lion", 100, mode=mode) for mode in ("dense", "words")]
    assert hits.kind == "rrf"
    assert joined([hits]) == joined([fused(sides)[:5]])
    assert hits.parts == fused(sides).parts[:5]


def test_a_second_opinion_has_the_last_word(kept: Collection) -> None:
    seen: list[tuple[str, list[str]]] = []

    def rerank(query: str, texts: Any) -> list[float]:
        seen.append((query, list(texts)))
        return judge(query, texts)

    before = kept.search("zebra and lion", 4)
    hits = kept.search("zebra and lion", 2, refine=Refine(rerank=rerank, depth=4))
    ((query, texts),) = seen
    assert query == "zebra and lion"
    assert len(texts) == 4
    assert all(text.endswith(record.text) for text, record in zip(texts, before.records, strict=True))
    assert hits.kind == "rerank"
    assert hits.scores == tuple(sorted(judge(query, texts), reverse=True)[:2])
    place = before.ids.index(hits.ids[0])
    assert hits.parts[0] == {**before.parts[place], "hybrid": before.scores[place], "rerank": hits.scores[0]}
    least = hits.scores[0]
    assert kept.search("zebra and lion", 4, min_score=least, refine=Refine(rerank=rerank, depth=4)).ids == hits.ids[:1]


def test_equal_opinions_are_ordered_by_id(kept: Collection) -> None:
    hits = kept.search("zebra", 8, refine=Refine(rerank=lambda query, texts: np.zeros(len(texts))))
    assert list(hits.ids) == sorted(TEXTS)


@pytest.mark.parametrize("answer", [[], [1.0], [float("nan")] * 8, [1.0] * 9], ids=str)
def test_an_opinion_that_is_none_is_refused(kept: Collection, answer: list[float]) -> None:
    with pytest.raises(DataError, match="reranker"):
        kept.search("zebra", 8, refine=Refine(rerank=lambda query, texts: answer))


def test_nobody_is_asked_about_nothing(kept: Collection) -> None:
    def rerank(query: str, texts: Any) -> list[float]:
        raise AssertionError("there is nothing to judge")

    assert len(kept.search("zyx", 5, mode="words", refine=Refine(rerank=rerank))) == 0


def test_diversity_keeps_the_best_and_holds_back_what_is_like_it(animals: Collection) -> None:
    animals.add([{"id": "zebra2", "text": "zebra", "legs": 0}], text="text", id="id")
    plain = animals.search("zebra", 20, mode="dense")
    assert plain.ids[:2] == ("zebra", "zebra2")
    spread = animals.search("zebra", 20, mode="dense", refine=Refine(diversity=0.5))
    assert spread.ids[0] == "zebra"
    assert spread.ids.index("zebra2") > 1
    assert sorted(joined([spread])) == sorted(joined([plain]))
    low, high = min(plain.scores), max(plain.scores)
    scaled = [(score - low) / (high - low) for score in plain.scores]
    order = diverse(animals.store.vectors(plain.ids), scaled, 0.5)
    assert spread.ids == tuple(plain.ids[place] for place in order)


def test_depth_says_how_many_candidates_there_are(kept: Collection) -> None:
    best = kept.search("zebra", 3, mode="dense").ids
    spread = kept.search("zebra", 3, mode="dense", refine=Refine(diversity=0.9, depth=3))
    assert sorted(spread.ids) == sorted(best)
    assert spread.cursor is None


def test_later_pages_come_of_the_candidates_of_the_first(kept: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "DEPTH", 4)
    spread = Refine(diversity=0.5)
    whole = kept.search("zebra", 4, mode="dense", refine=spread)
    first = kept.search("zebra", 2, mode="dense", refine=spread)
    rest = kept.search("zebra", 7, mode="dense", refine=spread, after=first.cursor)
    assert joined([first, rest]) == joined([whole])
    assert rest.cursor is None


# --- groups ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["item", "source"])
def test_each_group_has_its_best_hit_and_the_others(
    books: Collection, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer, "DEPTH", 1)  # so that it has to look further
    everything = books.search("the zebra is here", 500)
    chunks: dict[str, list[str]] = {}
    for hit in everything:
        chunks.setdefault(hit.record.item if by == "item" else hit.place.source, []).append(hit.id)
    assert len(chunks) == 3
    assert max(map(len, chunks.values())) > 5
    hits = books.search("the zebra is here", 3, refine=Refine(group=by))  # type: ignore[arg-type]
    assert list(hits.ids) == [ids[0] for ids in chunks.values()]
    assert hits.kind == "hybrid"
    assert hits.cursor is None
    for hit, (key, ids) in zip(hits, chunks.items(), strict=True):
        assert hit.group is not None
        assert (hit.group.by, hit.group.key) == (by, key)
        assert list(hit.group.others.ids) == ids[1 : hit.group.count]
        start, end = hit.record.span
        assert end > start
        assert hit.as_dict()["group"]["count"] == hit.group.count
    whole = books.search("the zebra is here", None, refine=Refine(group=by))  # type: ignore[arg-type]
    assert [hit.group.count for hit in whole if hit.group] == [len(ids) for ids in chunks.values()]


def test_a_hit_without_an_item_is_a_group_of_its_own(empty: Store) -> None:
    records = [Record("x", Place("s"), item=item) for item in ("p", "", "", "p", "b")]
    empty.put(list("abcde"), np.array([[1, 0], [1, 0.1], [1, 0.2], [1, 0.3], [1, 0.4]]), records)
    question = Question(np.array([[1, 0]], np.float32), None, "dense")
    (hits,) = answers(empty, question, Page(10), Refine(group="item"))
    assert [(hit.id, hit.group.key, hit.group.others.ids) for hit in hits if hit.group] == [
        ("a", "p", ("d",)), ("b", "b", ()), ("c", "c", ()), ("e", "b", ())
    ]  # fmt: skip


def test_slices_of_grouped_hits_keep_their_groups(books: Collection) -> None:
    hits = books.search("zebra", 3, refine=Refine(group="item"))
    assert [hit.group for hit in hits[1:]] == [hits[1].group, hits[2].group]
    assert hits[0].group is not hits[1].group
    assert hits.take([2, 0]).ids == (hits.ids[2], hits.ids[0])


# --- neighbours ------------------------------------------------------------------------------------------------------


def test_neighbours_are_found_by_what_is_kept(animals: Collection) -> None:
    animals.asked = animals._encoder = None  # nothing is encoded
    hits = animals.similar("zebra", 2)
    vector = animals.store.vectors(["zebra"])
    (plain,) = animals.store.search(vector, 3)
    assert hits.ids == plain.ids[1:]
    assert hits.scores == pytest.approx(plain.scores[1:], abs=1e-6)
    assert "zebra" not in animals.similar(["zebra", "zoo"], 100).ids
    assert len(animals.similar(["zebra", "zoo"], 100)) == len(TEXTS) - 2


def test_unlike_keeps_away(kept: Collection) -> None:
    near = kept.similar("ark", 100)
    away = kept.similar("ark", 100, unlike="den")
    assert set(near.ids) == {*away.ids, "den"}
    scores = dict(zip(away.ids, away.scores, strict=True))
    units = {id: row / np.linalg.norm(row) for id, row in zip(TEXTS, kept.store.vectors(list(TEXTS)), strict=True)}
    towards = units["ark"] - 0.25 * units["den"]
    for id, score in scores.items():
        assert score == pytest.approx(float(units[id] @ towards / np.linalg.norm(towards)), abs=1e-5)
    first = kept.similar("ark", 2, unlike="den")
    assert joined([first, kept.similar("ark", 99, unlike="den", after=first.cursor)]) == joined([away])
    with pytest.raises(UsageError, match="another question"):
        kept.similar("ark", 2, after=first.cursor)


def test_an_item_stands_for_all_of_its_chunks(books: Collection) -> None:
    item = books.store.get(books.store.ids())[0]
    assert item is not None
    ids = books.store.ids(items=[item.item])
    assert len(ids) > 5
    hits = books.similar(item.item, 1000)
    assert set(hits.ids) == set(books.store.ids()) - set(ids)
    one = books.similar(ids[0], 1000, refine=Refine(group="item"))
    assert len(one) == 3


def test_neighbours_of_nobody_are_refused(kept: Collection) -> None:
    with pytest.raises(UsageError, match="nobody"):
        kept.similar(["zebra", "nobody"])
    with pytest.raises(UsageError, match="at least one"):
        kept.similar([], unlike="zoo")


def test_facets_of_a_collection(kept: Collection) -> None:
    facet = kept.facets("legs", 'id != "zoo"', limit=2)
    assert facet.items == len(TEXTS) - 1
    assert facet.counts == kept.store.facets("legs", 'id != "zoo"').counts[:2]
