"""export, import, backup and restore as processes; none of them needs a model."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from tests.doors.conftest import Run

CHROMA = {
    "ids": ["1", "2"],
    "embeddings": [[1, 0, 0], [0, 0.5, 0]],
    "documents": ["a zebra at the river", "money in the bank"],
    "metadatas": [{"lang": "en"}, None],
}


@pytest.fixture
def desk(tmp_path: Path, empty_home: Path, run: Run) -> Path:
    """A working directory, and a home with the collection `animals`."""
    desk = tmp_path / "cwd"
    (desk / "chroma.json").write_text(json.dumps(CHROMA), "utf-8")
    ran = run("collections", "import", "chroma.json", "animals", "-m", "unknown")
    assert (ran.code, ran.out) == (0, "")
    assert "✔ animals: 2 chunks from Chroma, 3 dims by unknown; " in ran.err
    return desk


@pytest.mark.parametrize("to", ["parquet", "jsonl", "npy"])
def test_out_and_in_again(desk: Path, run: Run, to: str) -> None:
    ran = run("collections", "export", "animals", "--to", to, "-o", f"out.{to}")
    assert (ran.code, ran.out) == (0, ""), ran.err
    assert f"✔ out.{to}: 2 chunks, " in ran.err
    ran = run("collections", "import", f"out.{to}", "again")
    assert (ran.code, ran.out) == (0, "")
    ran = run("search", "zebra", "-c", "again", "--mode", "words", "--jsonl")
    assert [json.loads(line)["id"] for line in ran.out.splitlines()] == ["1"]
    assert not [name for name in os.listdir(desk) if "partial" in name]  # noqa: PTH208


def test_packed_and_quiet(desk: Path, run: Run) -> None:
    ran = run("collections", "export", "animals", "--to", "jsonl", "--packed", "-o", "out.jsonl", "-q")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert isinstance(json.loads((desk / "out.jsonl").read_text("utf-8").splitlines()[1])["vector"], str)


def test_backup_and_restore(desk: Path, run: Run) -> None:
    ran = run("collections", "backup", "animals", "-o", "animals.backup")
    assert (ran.code, ran.out) == (0, "")
    assert "✔ animals.backup: 2 chunks, " in ran.err
    ran = run("collections", "restore", "animals.backup")
    assert (ran.code, ran.out) == (2, "")
    assert 'error: there is something called "animals" already\n' in ran.err
    ran = run("collections", "restore", "animals.backup", "--name", "second")
    assert (ran.code, ran.out) == (0, "")
    assert "✔ second is back: 2 chunks by unknown, verified; " in ran.err
    assert run("collections", "verify", "second").code == 0
    run("collections", "rm", "animals", "-y")
    ran = run("collections", "restore", "animals.backup")
    assert (ran.code, "✔ animals is back: " in ran.err) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("export", "animls", "--to", "npy", "-o", "x"), 'error: there is no collection "animls"\n'),
        (("export", "animals", "--to", "csv", "-o", "x"), "error: Invalid value for '--to': 'csv'"),
        (("export", "animals", "--to", "npy"), "error: Missing option '-o'"),
        (("export", "animals", "--to", "npy", "-o", "x", "--packed"), "error: packed vectors are an option of jsonl"),
        (("export", "animals", "--to", "jsonl", "-o", "no/such/x"), "error: there is no folder "),
        (("export", "animals", "--to", "jsonl", "-o", "chroma.json"), "chroma.json exists already\n"),
        (("backup", "animals", "-o", "chroma.json"), "chroma.json exists already\n"),
        (("backup", "animls", "-o", "x"), 'error: there is no collection "animls"\n'),
        (("import", "nothing.json", "new"), 'error: there is no file or folder "nothing.json"'),
        (("import", "chroma.json", "new"), "error: chroma.json does not say which encoder its vectors come from\n"),
        (
            ("import", "chroma.json", "animals", "-m", "unknown"),
            'error: the collection "animals" is there already',
        ),
        (("import", "chroma.json", "New Name", "-m", "unknown"), 'error: "New Name" is no name for a collection\n'),
        (("import", "chroma.json", "new", "-m", "unknown", "--text", "x"), 'error: chroma.json has no column "x"\n'),
        (("restore", "chroma.json"), "error: chroma.json is no backup that can be read\n"),
        (("restore", "nothing.backup"), "error: nothing.backup is no backup that can be read\n"),
    ],
)
def test_mistakes_say_what_and_end_with_2(desk: Path, run: Run, arguments: tuple[str, ...], message: str) -> None:
    before = sorted(os.listdir(desk))  # noqa: PTH208
    ran = run("collections", *arguments)
    assert (ran.code, ran.out) == (2, ""), ran.err
    assert message in ran.err
    assert ran.err.endswith("[exit 2]\n")
    assert "Traceback" not in ran.err
    assert sorted(os.listdir(desk)) == before  # noqa: PTH208


def test_an_unknown_encoder_is_not_asked_by_meaning(desk: Path, run: Run) -> None:
    ran = run("search", "zebra", "-c", "animals")
    assert (ran.code, ran.out) == (2, "")
    assert "nobody said which encoder the vectors of animals come from" in ran.err
    assert re.search(r'→ search by words: +sememe search "…" -c animals --mode words\n', ran.err)


def test_overwrite_replaces(desk: Path, run: Run) -> None:
    for _ in range(2):
        assert run("collections", "export", "animals", "--to", "npy", "-o", "out", "--overwrite").code == 0
    assert np.load(desk / "out" / "vectors.npy").tolist() == CHROMA["embeddings"]


def test_into_a_collection_that_is_there(desk: Path, run: Run) -> None:
    run("collections", "export", "animals", "--to", "jsonl", "-o", "out.jsonl")
    ran = run("collections", "import", "out.jsonl", "animals")
    assert (ran.code, ran.out) == (2, "")
    assert "--existing refuse|keep|replace" in ran.err
    ran = run("collections", "import", "out.jsonl", "animals", "--existing", "refuse")
    assert (ran.code, ran.out) == (0, "")
    assert "✔ animals: 2 chunks from jsonl: 2 here already; " in ran.err
    lines = (desk / "out.jsonl").read_text("utf-8").splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | {"text": "a horse at the river"})
    (desk / "out.jsonl").write_text("\n".join(lines), "utf-8")
    ran = run("collections", "import", "out.jsonl", "animals", "--existing", "refuse")
    assert (ran.code, ran.out) == (2, "")
    assert "error: 1 ids of out.jsonl stand for something else in animals; nothing was changed\n  1\n" in ran.err
    ran = run("collections", "import", "out.jsonl", "animals", "--existing", "replace")
    assert (ran.code, ran.out) == (0, "")
    assert "✔ animals: 2 chunks from jsonl: 1 replaced, 1 here already; " in ran.err
    assert "\n  ids that were here: 1\n" in ran.err
    ran = run("collections", "import", "out.jsonl", "animals", "--existing", "keep", "--encode")
    assert ran.code == 2
    assert "nobody said which encoder" in ran.err
    ran = run("collections", "import", "out.jsonl", "new", "--encode")
    assert ran.code == 2
    assert "--encode is for a collection that is there" in ran.err
    ran = run("collections", "import", "out.jsonl", "new", "--existing", "keep")
    assert (ran.code, "✔ new: 2 chunks from jsonl" in ran.err) == (0, True)
