"""An export put into a collection that is there: nothing collides in silence, no encoders mix, all or nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from letters import Letters

from sememe import settings
from sememe.collection.collection import Collection
from sememe.collection.joining import import_into
from sememe.collection.transfer import export_collection, import_collection
from sememe.errors import DataError, MismatchError, SememeError, StoreError, UsageError
from sememe.settings import Settings
from sememe.store.exchange import snapshot
from sememe.store.local.store import LocalStore

ABC, OTHER = Letters(letters="abcd"), Letters("other", "dcba")


@pytest.fixture
def now(tmp_path: Path) -> Settings:
    return replace(settings.load(), home=tmp_path / "home")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "here"
    with Collection(folder, encoder=ABC) as made:
        made.add([{"id": f"n{i}", "text": f"a bad cab {i}", "n": i} for i in range(20)], id="id")
    return folder


@pytest.fixture
def here(now: Settings, template: Path) -> Iterator[Collection]:
    """Twenty chunks, ``n0`` to ``n19``."""
    shutil.copytree(template, now.collections_dir / "here")
    with Collection("here", encoder=ABC, settings=now) as made:
        yield made


def file_of(folder: Path, rows: dict[str, str], encoder: Letters = ABC) -> Path:
    """An export of a collection with these texts by id."""
    with Collection(folder / "elsewhere", encoder=encoder) as other:
        other.add([{"id": id, "text": text, "n": int(id[1:])} for id, text in rows.items()], id="id")
        export_collection(other, folder / "in.jsonl", "jsonl")
    path = folder / "in.jsonl"
    head, *lines = path.read_text("utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    placed = [row | dict.fromkeys(("start", "end"), row["meta"]["n"] + 1) for row in found]  # as they stand in `here`
    path.write_text("\n".join([head, *map(json.dumps, placed)]), "utf-8")
    return path


def seen(collection: Collection) -> dict[str, tuple[str, list[float]]]:
    ids = collection.store.ids()
    texts = [one.text for one in collection.get(ids) if one]
    assert collection.verify().ok
    return dict(zip(ids, zip(texts, collection.store.vectors(ids).tolist(), strict=True), strict=True))


def whole(text: str, encoder: Letters = ABC) -> tuple[str, list[float]]:
    return text, encoder.encode([text])[0].tolist()


def refused(kind: type[SememeError], here: Collection, call: Callable[[], object]) -> str:
    """What it says; nothing was changed."""
    before = seen(here)
    with pytest.raises(kind) as caught:
        call()
    assert seen(here) == before
    return str(caught.value)


THREE = {"n3": "a bad cab 3", "n4": "something else", "n77": "quite new"}


def test_ids_that_collide_are_refused_by_name_and_all_others_with_them(here: Collection, tmp_path: Path) -> None:
    path = file_of(tmp_path, {**THREE, "n5": "something else, too"})
    said = refused(StoreError, here, lambda: import_into(path, here))
    assert "2 ids of in.jsonl stand for something else in here; nothing was changed\n  n4, n5\n" in said
    assert "--existing keep" in said
    assert "--existing replace" in said


@pytest.mark.parametrize("existing", ["keep", "replace"])
def test_what_becomes_of_them_is_chosen_counted_and_named(here: Collection, tmp_path: Path, existing: str) -> None:
    before = seen(here)
    done = import_into(file_of(tmp_path, THREE), here, existing=existing)
    kept = existing == "keep"
    assert (done.added, done.same, done.replaced, done.kept, done.encoded) == (1, 1, 1 - kept, int(kept), 0)
    assert (done.rows, done.colliding) == (3, ["n4"])
    assert seen(here) == before | {"n77": whole("quite new")} | ({} if kept else {"n4": whole("something else")})
    assert here.search("quite new", 1, mode="words").ids == ("n77",)
    again = import_into(tmp_path / "in.jsonl", here, existing=existing)
    assert (again.added, again.replaced, again.same + again.kept) == (0, 0, 3)


def test_without_a_word_nothing_is_put_into_a_collection_that_is_there(here: Collection, tmp_path: Path) -> None:
    path = file_of(tmp_path, {"n77": "quite new"})
    with pytest.raises(StoreError, match="--existing"):
        import_collection(path, "here", settings=here.settings)
    with pytest.raises(UsageError, match="is not known"):
        import_into(path, here, existing="overwrite")


def test_vectors_of_another_encoder_are_refused_or_made_anew(here: Collection, tmp_path: Path) -> None:
    path = file_of(tmp_path, THREE, OTHER)
    said = refused(MismatchError, here, lambda: import_into(path, here, existing="replace"))
    assert "here      letters  4 dims" in said
    assert "the file  other  4 dims  (same width, another space)" in said
    assert "--encode" in said
    ABC.encoded.clear()
    before = seen(here)
    done = import_into(path, here, existing="replace", encode=True)
    assert (done.added, done.same, done.replaced, done.encoded) == (1, 1, 1, 2)
    assert ABC.encoded[-2:] == ["something else", "quite new"]  # before these one is asked for its tokens
    assert seen(here) == before | {"n4": whole("something else"), "n77": whole("quite new")}


def test_texts_that_cannot_be_encoded_are_refused_before_anything_is_written(here: Collection, tmp_path: Path) -> None:
    path = file_of(tmp_path, {"n77": "ab " * 20, "n78": "ab"}, Letters("other", "dcba", max_tokens=500))
    small = Letters(letters="abcd", max_tokens=58)
    with Collection("here", encoder=small, settings=here.settings) as narrow:
        said = refused(DataError, here, lambda: import_into(path, narrow, encode=True))
    assert "1 texts of in.jsonl are longer than letters takes" in said
    assert "it takes         58 tokens\n  the longest has  59 tokens: n77" in said
    lines = path.read_text("utf-8").splitlines()
    lines[2] = json.dumps(json.loads(lines[2]) | {"text": "  "})
    path.write_text("\n".join(lines), "utf-8")
    assert "1 rows of in.jsonl have no text" in refused(DataError, here, lambda: import_into(path, here, encode=True))


def broken(path: Path, line: int, **values: Any) -> Path:
    lines = path.read_text("utf-8").splitlines()
    lines[line] = json.dumps(json.loads(lines[line]) | values)
    path.write_text("\n".join(lines), "utf-8")
    return path


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"vector": [1, 2, 3]}, "line 4: the vector has 3 numbers, not 4"),
        ({"id": "n100"}, 'line 4: the id "n100" was there before'),
        ({"id": ""}, "line 4: the id is empty"),
        ({"meta": {"a": {"b": 1}}}, "holds a dict"),
    ],
)
def test_a_file_with_anything_wrong_in_it_changes_nothing(
    here: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], told: str
) -> None:
    monkeypatch.setattr(snapshot, "ROWS", 1)
    path = broken(file_of(tmp_path, {f"n{i}": f"text {i}" for i in range(100, 104)}), 3, **values)
    assert told in refused(DataError, here, lambda: import_into(path, here))


def test_a_file_that_is_cut_off_changes_nothing(here: Collection, tmp_path: Path) -> None:
    path = file_of(tmp_path, {"n100": "x", "n101": "y"})
    path.write_text("\n".join(path.read_text("utf-8").splitlines()[:-1]), "utf-8")
    assert "cut off" in refused(DataError, here, lambda: import_into(path, here))


def test_one_that_was_cut_short_goes_on_and_each_batch_is_whole(
    here: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "ROWS", 2)
    before = seen(here)
    texts = {f"n{i}": f"text {i}" for i in range(100, 107)}
    path = file_of(tmp_path, texts)
    real, calls = LocalStore.put, []

    def put(self: LocalStore, *arguments: Any, **options: Any) -> None:
        calls.append(arguments[0])
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(self, *arguments, **options)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(LocalStore, "put", put)
        import_into(path, here)
    there = seen(here)
    assert set(there) - set(before) == {"n100", "n101", "n102", "n103"}
    done = import_into(path, here)
    assert (done.added, done.same) == (3, 4)
    assert seen(here) == before | {id: whole(text) for id, text in texts.items()}


def test_exports_of_others_say_whose_vectors_they_hold_or_bring_none(here: Collection, tmp_path: Path) -> None:
    path = tmp_path / "chroma.json"
    rows = {"ids": ["x"], "embeddings": [[1, 2, 3, 4]], "documents": ["a dab"], "metadatas": [None]}
    path.write_text(json.dumps(rows), "utf-8")
    assert "does not say which encoder" in refused(UsageError, here, lambda: import_into(path, here))
    assert "unknown" in refused(MismatchError, here, lambda: import_into(path, here, encoder="unknown"))
    refused(MismatchError, here, lambda: import_into(path, here, encoder=OTHER))
    done = import_into(path, here, encode=True)
    assert (done.added, done.encoded) == (1, 1)
    assert np.array_equal(here.store.vectors(["x"]), ABC.encode(["a dab"]))
    here.delete(["x"])
    assert import_into(path, here, encoder=ABC).added == 1
    assert here.store.vectors(["x"]).tolist() == [[1, 2, 3, 4]]


def test_a_smaller_type_of_vectors_is_compared_as_it_is_kept(now: Settings, here: Collection, tmp_path: Path) -> None:
    path = file_of(tmp_path, {"n0": "a bad cab 0", "n2": "abbcccd"})
    with Collection("small", encoder=ABC, settings=now, vectors="int8") as small:
        small.add([{"id": "n0", "text": "a bad cab 0", "n": 0}], id="id")
        assert import_into(path, small).added == 1
        assert import_into(path, small).same == 2
