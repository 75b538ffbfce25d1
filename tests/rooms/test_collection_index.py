"""How a collection finds its vectors: chosen when it is made, kept through a rebuild, changed on purpose only."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from letters import Letters

from sememe.collection.collection import Collection
from sememe.errors import MissingExtraError, UsageError
from sememe.settings import load

pytest.importorskip("faiss", reason="FAISS is not installed")


def made(folder: Path, **options: Any) -> Collection:
    return Collection("notes", **{"encoder": Letters(), "home": folder, **options})


def test_a_new_one_has_the_index_that_is_asked_for_or_set(tmp_path: Path) -> None:
    with made(tmp_path / "a") as plain, made(tmp_path / "b", index="hnsw") as asked:
        assert plain.add(["zebra"]).info().index == "codes"
        assert asked.add(["zebra"]).info().index == "hnsw"
    now = replace(load(folder=tmp_path), index="ivf")
    with made(tmp_path / "c", settings=now) as one:
        assert one.add(["zebra"]).info().index == "ivf"
        assert one.search("zebra").ids


def test_another_one_than_there_is_is_refused_and_not_made_in_passing(tmp_path: Path) -> None:
    with made(tmp_path, index="hnsw") as one:
        one.add(["zebra"])
    with made(tmp_path, index="codes") as other, pytest.raises(UsageError) as refused:
        other.count()
    assert refused.value.do == (("change it", "sememe collections reindex notes --index codes"),)
    now = replace(load(folder=tmp_path), index="ivf")
    with made(tmp_path, settings=now) as one:  # what is set is for new ones
        assert one.info().index == "hnsw"
        one.store.reindex("codes")
    with made(tmp_path, index="codes") as one:
        assert one.count() == 1


@pytest.mark.parametrize(("asked", "then"), [(None, "hnsw"), ("ivf", "ivf")])
def test_a_rebuild_keeps_it_unless_another_is_asked_for(tmp_path: Path, asked: str | None, then: str) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("zebras are striped")
    with made(tmp_path / "home", index="hnsw") as one:
        one.index(notes)
    with made(tmp_path / "home", index=asked) as one:
        one.index(notes, rebuild=True)
        assert one.info().index == then


def test_without_faiss_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    one = made(tmp_path, index="hnsw")
    with pytest.raises(MissingExtraError):
        one.add(["zebra"])
    assert not one.exists
