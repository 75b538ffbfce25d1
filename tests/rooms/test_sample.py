"""The bundled sample is what its README says: fields, counts, marks, and judgments that refer to real items."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sememe import sample

TOPICS = {
    "cooking", "gardening", "health", "money", "music",
    "rivers", "software", "space", "transport", "wildlife",
}  # fmt: skip
SENSES = {
    "bank/money", "bank/river", "crane/bird", "crane/machine",
    "jaguar/car", "jaguar/cat", "seal/animal", "seal/closure",
}  # fmt: skip
NEEDED = {"id": str, "title": str, "text": str, "topic": str, "kind": str, "year": int, "place": str}
OPTIONAL = {"sense": str, "duplicate_of": str, "outlier": bool}
STOPS = (
    "a about after all an and are as at be been being by for from in into is it its my not of on or that the to too "
    "wants was were while with"
)
STOP_WORDS = frozenset(STOPS.split())
ENDINGS = ("ations", "ation", "ings", "ing", "ers", "ies", "ed", "es", "er", "s", "e", "y")


def stem(word: str) -> str:
    """Cuts one ending and a doubled letter: coarse, and rather joins two words too many than one too few."""
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word


def content_words(text: str) -> set[str]:
    return {stem(word) for word in re.findall(r"[^\W_]+", text.lower()) if word not in STOP_WORDS}


def body(item: dict[str, Any]) -> str:
    return f"{item['title']} {item['text']}"


@pytest.fixture(scope="module")
def items() -> list[dict[str, Any]]:
    return sample.items()


@pytest.fixture(scope="module")
def queries() -> list[dict[str, Any]]:
    return sample.queries()


@pytest.fixture(scope="module")
def by_id(items: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {item["id"]: item for item in items}


def shared_with_best(query: dict[str, Any], by_id: dict[str, dict[str, Any]]) -> set[str]:
    best = [by_id[item] for item, grade in query["relevant"].items() if grade == 3]
    assert best, query["id"]
    return {word for item in best for word in content_words(query["text"]) & content_words(body(item))}


def test_every_item_has_the_fields_and_no_others(items: list[dict[str, Any]]) -> None:
    for item in items:
        assert NEEDED.keys() <= item.keys() <= NEEDED.keys() | OPTIONAL.keys(), item["id"]
        for field, value in item.items():
            assert type(value) is (NEEDED | OPTIONAL)[field], (item["id"], field)
            assert value != "" and (not isinstance(value, str) or value == value.strip()), (item["id"], field)
        assert 1980 <= item["year"] <= 2025, item["id"]
        assert len(body(item).split()) >= 12 and len(item["text"].split()) <= 80, item["id"]


def test_ids_titles_and_texts_are_unique(items: list[dict[str, Any]]) -> None:
    for field in ("id", "title", "text"):
        twice = [value for value, n in Counter(item[field] for item in items).items() if n > 1]
        assert not twice, field


def test_ten_topics_of_about_sixty_and_ten_outliers(items: list[dict[str, Any]]) -> None:
    assert 600 <= len(items) <= 700
    topics = Counter(item["topic"] for item in items)
    assert topics.pop("other") == 10
    assert topics.keys() == TOPICS
    assert all(55 <= n <= 65 for n in topics.values()), topics
    assert {item["id"] for item in items if item["topic"] == "other"} == {i["id"] for i in items if "outlier" in i}
    assert all(item["outlier"] for item in items if "outlier" in item)


def test_topics_are_mixed_so_that_the_first_hundred_hold_all(items: list[dict[str, Any]]) -> None:
    assert {item["topic"] for item in items[:100]} >= TOPICS


def test_thirty_duplicates_paraphrase_an_original_of_their_topic(
    items: list[dict[str, Any]], by_id: dict[str, dict[str, Any]]
) -> None:
    duplicates = [item for item in items if "duplicate_of" in item]
    assert len(duplicates) == 30
    assert len({item["duplicate_of"] for item in duplicates}) == 30
    for item in duplicates:
        original = by_id[item["duplicate_of"]]
        assert "duplicate_of" not in original and item["topic"] == original["topic"], item["id"]
        assert content_words(body(item)) & content_words(body(original)), item["id"]
        assert content_words(item["text"]) != content_words(original["text"]), item["id"]


def test_homographs_stand_in_both_senses_and_all_are_marked(items: list[dict[str, Any]]) -> None:
    senses = Counter(item["sense"] for item in items if "sense" in item)
    assert senses.keys() == SENSES
    assert min(senses.values()) >= 4, senses
    for item in items:
        found = set(re.findall(r"\b(bank|crane|jaguar|seal)s?\b", body(item).lower()))
        assert found == ({item["sense"].split("/")[0]} if "sense" in item else set()), item["id"]


def test_queries_are_judged_on_items_that_exist(
    queries: list[dict[str, Any]], by_id: dict[str, dict[str, Any]]
) -> None:
    assert len(queries) >= 25
    assert len({query["id"] for query in queries}) == len({query["text"] for query in queries}) == len(queries)
    for query in queries:
        assert {"id", "text", "relevant"} <= query.keys() <= {"id", "text", "relevant", "demo", "no_shared_words"}
        assert query["relevant"].keys() <= by_id.keys(), query["id"]
        assert set(query["relevant"].values()) <= {1, 2, 3} and 3 in query["relevant"].values(), query["id"]


def test_a_duplicate_is_judged_like_its_original(queries: list[dict[str, Any]], items: list[dict[str, Any]]) -> None:
    pairs = [(item["id"], item["duplicate_of"]) for item in items if "duplicate_of" in item]
    for query in queries:
        for duplicate, original in pairs:
            assert query["relevant"].get(duplicate) == query["relevant"].get(original), (query["id"], duplicate)


def test_marked_queries_share_no_content_word_with_their_best_items(
    queries: list[dict[str, Any]], by_id: dict[str, dict[str, Any]]
) -> None:
    marked = [query["id"] for query in queries if query.get("no_shared_words")]
    assert marked == [query["id"] for query in queries if not shared_with_best(query, by_id)]
    assert len(marked) >= 12


def test_three_demo_queries_whose_content_words_occur_nowhere(
    queries: list[dict[str, Any]], items: list[dict[str, Any]]
) -> None:
    demo = [query for query in queries if query.get("demo")]
    assert len(demo) == 3 and all(query["no_shared_words"] for query in demo)
    vocabulary = {word for item in items for word in content_words(body(item))}
    for query in demo:
        # Then the words half of a hybrid search has nothing to say, and the meaning alone decides.
        assert not content_words(query["text"]) & vocabulary, query["text"]


def test_files_are_small_plain_utf8_lines_of_json() -> None:
    folder = sample.path().parent
    assert sample.path() == folder / "items.jsonl"
    names = ["__init__.py", "README.md", "items.jsonl", "queries.jsonl"]
    assert sum((folder / name).stat().st_size for name in names) < 400_000
    for name in ("items.jsonl", "queries.jsonl"):
        raw = (folder / name).read_bytes()
        assert not raw.startswith(b"\xef\xbb\xbf") and b"\r" not in raw and raw.endswith(b"\n")
        lines = raw.decode("utf-8").split("\n")[:-1]
        assert all(isinstance(json.loads(line), dict) for line in lines)


def test_the_readme_states_the_counts_of_the_files(items: list[dict[str, Any]], queries: list[dict[str, Any]]) -> None:
    readme = Path(sample.path().parent, "README.md").read_text(encoding="utf-8")
    assert f"{len(items)} items" in readme and f"{len(queries)} queries" in readme
    for topic, n in Counter(item["topic"] for item in items).items():
        assert f"| {topic} | {n} |" in readme
    for sense, n in Counter(item["sense"] for item in items if "sense" in item).items():
        assert f"| {sense} | {n} |" in readme
    assert f"{sum('no_shared_words' in query for query in queries)} share no content word" in readme
