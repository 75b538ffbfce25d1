"""``sememe train`` as a process: files in, vectors out, the same ones each time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from sememe.space.formats.files import read_space
from tests.doors.conftest import Run
from tests.rooms.train_texts import texts


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(texts()), "utf-8")
    return path


def test_word2vec_learns_repeats_and_goes_on(run: Run, empty_home: Path, corpus: Path, tmp_path: Path) -> None:
    common = ["--dim", "16", "--min-count", "1", "--epochs", "3", "--threads", "2", "--deterministic"]
    ran = run("train", "word2vec", str(corpus), "-o", "a.npz", *common, "--journal", "journal.jsonl")
    assert (ran.code, ran.out) == (0, "")
    assert "22 words of 16 dims, 2400 running, 0 too rare" in ran.err
    work = tmp_path / "cwd"
    assert [json.loads(line)["epoch"] for line in (work / "journal.jsonl").read_text("utf-8").splitlines()] == [1, 2, 3]
    run("train", "word2vec", str(corpus), "-o", "b.npz", *common, "--checkpoint", "kept")
    first, second = read_space(work / "a.npz"), read_space(work / "b.npz")
    assert first.labels == second.labels and np.array_equal(first.matrix, second.matrix)
    ran = run("train", "word2vec", str(corpus), "-o", "c.npz", *common, "--on", "kept", "-q")
    assert (ran.code, ran.err) == (0, "")
    assert not np.array_equal(read_space(work / "c.npz").matrix, first.matrix)


@pytest.mark.parametrize("model", ["fasttext", "glove", "ppmi"])
def test_other_models(run: Run, empty_home: Path, corpus: Path, tmp_path: Path, model: str) -> None:
    more = [] if model == "ppmi" else ["--epochs", "2", "--threads", "1"]
    more += ["--buckets", "100"] if model == "fasttext" else []
    ran = run("train", model, str(corpus), "-o", "made/a.txt", "--dim", "8", "--min-count", "1", *more)
    assert ran.code == 0, ran.err
    assert ("parts of words are not in the file" in ran.err) == (model == "fasttext")
    space = read_space(tmp_path / "cwd" / "made" / "a.txt")
    assert (len(space), space.dim) == (22, 8)


def test_what_is_refused_before_anything_is_read(run: Run, empty_home: Path, corpus: Path, tmp_path: Path) -> None:
    ran = run("train", "word2vec", str(corpus), "-o", "a.odd")
    assert ran.code == 2 and "no format is known for a.odd" in ran.err
    ran = run("train", "word2vec", str(tmp_path / "nothing.txt"), "-o", "a.npz")
    assert ran.code == 2 and "does not exist" in ran.err
    assert not (tmp_path / "cwd" / "a.npz").exists()
