"""``collections reindex`` as a process: what it says, and that it changes nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.doors.conftest import Run

pytestmark = pytest.mark.model


def test_the_index_is_another_and_the_answers_are_the_same(run: Run, home: Path, tmp_path: Path) -> None:
    pytest.importorskip("faiss", reason="FAISS is not installed")
    (tmp_path / "cwd").mkdir(exist_ok=True)
    (tmp_path / "cwd" / "a.txt").write_text("The ferry crosses the strait twice a day.")
    run("index", "a.txt", "-c", "sea", "--index", "hnsw")
    assert "index          hnsw" in run("collections", "info", "sea").out
    before = run("search", "boats", "-c", "sea", "--json").out
    ran = run("collections", "reindex", "sea", "--index", "codes")
    assert ran.code == 0
    assert "sea: 1 vector, making codes, was hnsw\n" in ran.err
    assert "✔ sea finds its vectors by codes (" in ran.err
    told = json.loads(run("collections", "reindex", "sea", "--json").out)
    assert (told["index"], told["before"], told["chunks"]) == ("codes", "codes", 1)
    after = run("search", "boats", "-c", "sea", "--json").out
    assert [hit["score"] for hit in json.loads(after)["hits"]] == [hit["score"] for hit in json.loads(before)["hits"]]
    refused = run("index", "a.txt", "-c", "sea", "--index", "hnsw")
    assert refused.code == 2
    assert "sememe collections reindex sea --index hnsw" in refused.err
