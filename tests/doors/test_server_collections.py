"""Collections over a socket: items in and out, searches in pages, by likeness, with filters and counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sememe.collection.collection import Collection
from tests import tiny_bert
from tests.doors.served import Served, serving, write_models

TEXTS = tiny_bert.texts(30, seed=3, longest=8)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("collections")
    write_models(folder / "models")
    with serving(folder / "models", folder / "home") as running:
        items = [
            {"id": f"i{at}", "text": text, "meta": {"n": at, "even": at % 2 == 0}} for at, text in enumerate(TEXTS)
        ]
        said = running.ask("/v1/collections/notes/items", {"items": items})
        assert said.json == {"added": 30, "updated": 0, "skipped": []}
        yield running


def search(served: Served, **how: Any) -> Any:
    return served.ask("/v1/collections/notes/search", how)


def open_notes(served: Served) -> Collection:
    return Collection("notes", encoder=served.desk.encoders[0].encoder, settings=served.desk.settings)


def test_a_search_finds_what_the_library_finds(served: Served) -> None:
    with open_notes(served) as notes:
        for mode in ("hybrid", "dense", "words"):
            said = search(served, query="boat at river", mode=mode, k=5).json
            hits = notes.search("boat at river", 5, mode=mode)
            assert [one["id"] for one in said["hits"]] == list(hits.ids)
            np.testing.assert_allclose([one["score"] for one in said["hits"]], hits.scores, atol=1e-6)
            assert said["mode"] == mode
            first = said["hits"][0]
            assert first["text"] == hits[0].text
            assert first["meta"] == dict(hits[0].meta)
            assert first["span"] == [0, len(first["text"])]
            assert first["scores"][hits.kind] == first["score"]


def test_pages_neither_repeat_nor_skip(served: Served) -> None:
    whole = [one["id"] for one in search(served, query="cat", mode="dense", k=30).json["hits"]]
    seen: list[str] = []
    cursor = None
    while True:
        page = search(served, query="cat", mode="dense", k=7, cursor=cursor).json
        seen += [one["id"] for one in page["hits"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == whole
    assert len(seen) == 30
    assert search(served, query="dog", mode="dense", cursor="nonsense").status == 400


def test_by_vector_and_by_likeness(served: Served) -> None:
    vector = served.desk.encoders[0].encoder.encode(["the moon"], role="query")[0]
    by_text = search(served, query="the moon", mode="dense").json["hits"]
    assert [one["id"] for one in search(served, vector=vector.tolist()).json["hits"]] == [one["id"] for one in by_text]
    said = search(served, like=["i3", "i5"], unlike="i7", k=30).json
    found = [one["id"] for one in said["hits"]]
    assert len(found) == 27
    assert not {"i3", "i5", "i7"} & set(found)
    with open_notes(served) as notes:
        assert found == list(notes.similar(["i3", "i5"], 30, unlike=["i7"]).ids)
    assert search(served, like=["nobody"]).status == 400


def test_filters_counts_and_a_second_opinion(served: Served) -> None:
    said = search(served, query="boat", mode="dense", k=30, filter={"even": True}, facets=["even", "n"]).json
    assert {one["meta"]["even"] for one in said["hits"]} == {True}
    assert len(said["hits"]) == 15
    assert said["facets"][0]["counts"] == [{"value": True, "items": 15}]
    assert len(search(served, query="boat", mode="dense", k=30, filter="n >= 20").json["hits"]) == 10
    said = search(served, query="boat", mode="dense", rerank=True, k=5).json["hits"]
    texts = [one["text"] for one in said]
    scores = served.desk.rerankers[0].reranker.score("boat", texts, on_long="cut")
    np.testing.assert_allclose([one["score"] for one in said], scores, atol=1e-6)


def test_items_come_change_and_go(served: Served) -> None:
    path = "/v1/collections/more/items"
    bad = [{"text": " "}, {"image": "x"}, {"text": "a", "meta": {"x": {"y": 1}}}, {"text": "a", "id": ""}, 7,
           {"text": "a", "title": 3}, {"text": "a", "meta": {"x": 2**63}}]  # fmt: skip
    said = served.ask(path, {"items": [{"id": "a/b", "text": "cat " * 700}, *bad, {"text": "the moon"}]}).json
    assert (said["added"], said["updated"]) == (2, 0)
    assert [one["index"] for one in said["skipped"]] == [1, 2, 3, 4, 5, 6, 7]
    chunks = served.ask(f"{path}/a/b").json["chunks"]
    assert len(chunks) > 2
    assert chunks[1]["item"] == "a/b"
    said = served.ask(path, {"items": [{"id": "a/b", "text": "dog"}, {"text": "the moon"}, {"text": "stone"}]}).json
    assert (said["added"], said["updated"]) == (1, 2)
    assert [one["text"] for one in served.ask(f"{path}/a/b").json["chunks"]] == ["dog"]
    assert served.ask(f"{path}/a/b", method="DELETE").json == {"id": "a/b", "deleted": True, "chunks": 1}
    for method in ("GET", "DELETE"):
        assert served.ask(f"{path}/a/b", method=method).status == 404
    listed = {one["name"]: one for one in served.ask("/v1/collections").json["data"]}
    assert (listed["more"]["count"], listed["notes"]["count"]) == (2, 30)
    assert (listed["notes"]["encoder"], listed["notes"]["dim"]) == ("tiny", 32)


@pytest.mark.parametrize(
    "how",
    [
        {}, {"query": ""}, {"query": "a", "like": ["i1"]}, {"query": "a", "k": 0}, {"query": "a", "k": 1001},
        {"query": "a", "mode": "best"}, {"vector": [1, 2]}, {"vector": ["a"] * 32}, {"vector": [1e39] * 32},
        {"vector": [0.1] * 32, "mode": "words"}, {"like": ["i1"], "rerank": True}, {"query": "a", "filter": 3},
        {"query": "a", "filter": {"n": {"~": 3}}}, {"query": "a", "facets": ["nothing"]}, {"query": 3},
        {"query": "a", "min_score": "high"},
    ],
)  # fmt: skip
def test_a_wrong_question_is_refused(served: Served, how: Any) -> None:
    answer = search(served, **how)
    assert answer.status == 400, answer.body
    assert answer.json["error"]["message"]


def test_no_name_leads_out_of_the_home(served: Served, tmp_path: Path) -> None:
    for name in ("..", "%2e%2e", "..%2f..", "A", "%00", "nope", "x" * 200, "notes%2fx"):
        for path in (f"/v1/collections/{name}/search", f"/v1/collections/{name}/items/x"):
            answer = served.ask(path, {"query": "a"} if path.endswith("search") else None)
            assert answer.status in (404, 405), (path, answer.body)
    assert served.ask("/v1/collections/%2e%2e/items", {"items": [{"text": "a"}]}).status == 404


def test_no_request_makes_a_model_load(served: Served) -> None:
    """A collection of an encoder that is not served answers by words only."""
    from sememe.encoders.load import load_encoder

    folder = tiny_bert.write(served.desk.settings.home / "stranger", seed=9)
    encoder = load_encoder(folder, precision="f32", threads=1, home=served.desk.settings.home, offline=True)
    with Collection("strange", encoder=encoder, settings=served.desk.settings) as strange:
        strange.add(["the boat", "the cat"])
    path = "/v1/collections/strange/search"
    answer = served.ask(path, {"query": "boat"})
    assert (answer.status, answer.json["error"]["code"]) == (409, "encoder_not_served")
    assert len(served.ask(path, {"query": "boat", "mode": "words"}).json["hits"]) == 1
    assert served.ask("/v1/collections/strange/items", {"items": [{"text": "dog"}]}).status == 409
