"""Why a hit is a hit, and what stands around it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from letters import Letters

from sememe.collection.collection import Collection
from sememe.collection.refine import Refine
from sememe.errors import UsageError

LINES = [f"Line {n} tells of the {('river', 'bank', 'money')[n % 3]}." for n in range(60)]
ROWS = [
    {"id": "a", "title": "Rivers", "text": "A river runs; two rivers run."},
    {"id": "b", "title": "", "text": "Money in the bank."},
    {"id": "c", "title": "", "text": "Nothing of all that."},
    {"id": "d", "title": "", "text": "The river bank."},
]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    with Collection("rows", encoder=Letters(), home=tmp_path_factory.mktemp("rows")) as made:
        yield made.add(ROWS, text="text", id="id")


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    """One text in many chunks, each beginning with a part of the one before."""
    folder = tmp_path_factory.mktemp("book")
    (folder / "book.txt").write_text("\n".join(LINES), "utf-8")
    (folder / "other.txt").write_text("Line 1 of another text tells of the river.\n", "utf-8")
    with Collection("book", encoder=Letters(max_tokens=400), home=folder) as made:
        yield made.add([folder / "book.txt", folder / "other.txt"])


def test_words_are_counted_in_title_and_text_and_spelt_as_they_stand(rows: Collection) -> None:
    hits = rows.search("the river of MONEY", mode="words")
    by_id = dict(zip(hits.ids, rows.explain("the river of MONEY", hits), strict=True))
    assert set(by_id) == {"a", "b", "d"}
    (one,) = by_id["a"].words
    assert (one.word, one.times, sorted(one.spelt)) == ("river", 3, ["river", "rivers"])
    assert by_id["a"].missing == ("MONEY",)
    assert [(one.word, one.times, one.spelt) for one in by_id["b"].words] == [("MONEY", 1, ("money",))]
    assert all(one.steps == () and one.kind == "bm25" for one in by_id.values())


@pytest.mark.parametrize("where", [None, 'id in ("b", "c", "d")'])
@pytest.mark.parametrize("query", ["a river runs, two rivers run", "river bank", "nothing", "qqq", "money, money"])
def test_the_steps_of_a_hybrid_score_add_up_to_it(rows: Collection, query: str, where: str | None) -> None:
    hits = rows.search(query, where=where)
    assert len(hits) == (4 if where is None else 3)
    for hit, one in zip(hits, rows.explain(query, hits, where), strict=True):
        assert [step.part for step in one.steps] == ["cosine", "bm25"]
        assert sum(step.share for step in one.steps) == pytest.approx(hit.score, abs=1e-6)
        for step in one.steps:
            span = step.one - step.zero
            share = max(0.0, step.weight * (step.score - step.zero) / span) if span > 1e-6 else 0.0
            assert step.share == pytest.approx(share)
            assert step.score == hit.scores.get(step.part, 0.0)
    json.dumps([one.as_dict() for one in rows.explain(query, hits, where)])


def test_of_a_second_opinion_the_sum_is_that_of_the_score_before(rows: Collection) -> None:
    hits = rows.search("river", refine=Refine(rerank=lambda _query, texts: [-len(text) for text in texts]))
    for hit, one in zip(hits, rows.explain("river", hits), strict=True):
        assert one.kind == "rerank"
        assert sum(step.share for step in one.steps) == pytest.approx(hit.scores["hybrid"], abs=1e-6)


def test_dense_hits_have_no_sum(rows: Collection) -> None:
    hits = rows.search("river", mode="dense")
    assert [one.steps for one in rows.explain("river", hits)] == [()] * 4


@pytest.mark.parametrize("lines", [1, 3, 100])
def test_around_a_hit_stand_the_lines_of_its_source_in_their_order(book: Collection, lines: int) -> None:
    hits = book.search("line", None, mode="words", where='source like "%book.txt"')
    assert len(hits) > 3
    for hit, around in zip(hits, book.context(hits, lines), strict=True):
        whole = "\n".join(LINES)
        start, end = hit.record.span
        before, after = whole[:start].rstrip().splitlines(), whole[end:].lstrip().splitlines()
        assert around.before == tuple(line.strip() for line in before[-lines:])
        assert around.after == tuple(line.strip() for line in after[:lines])


def test_nothing_stands_around_rows_and_none_of_another_source(rows: Collection, book: Collection) -> None:
    assert all(one.before == one.after == () for one in rows.context(rows.search("river"), 5))
    hits = book.search("another", 1, mode="words")
    (one,) = book.context(hits, 5)
    assert one.as_dict() == {"before": [], "after": []}
    assert book.context(hits, 0) == [one]
    with pytest.raises(UsageError, match="number of lines"):
        book.context(hits, -1)
