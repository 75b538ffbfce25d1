"""migrate, rollback and settle as processes, between two encoders of a few kilobytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny_bert
from tests.doors.conftest import Run, environment


@pytest.fixture
def desk(tmp_path: Path, empty_home: Path, run: Run) -> Path:
    """A working directory with two models, and a home with the collection `notes` by the first."""
    desk = tmp_path / "cwd"
    tiny_bert.write(desk / "one", limit=40, seed=1)
    tiny_bert.write(desk / "two", limit=40, seed=2)
    rows = [{"id": f"i{n:02}", "text": f"{text} {n}"} for n, text in enumerate(tiny_bert.texts(40, longest=8))]
    (desk / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    ran = run("index", "texts.jsonl", "-c", "notes", "-m", "./one", "--id", "id")
    assert ran.code == 0, ran.err
    return desk


def dense(run: Run, model: str) -> list[tuple[str, float]]:
    ran = run("search", "river boat", "-c", "notes", "--mode", "dense", "-m", model, "--jsonl")
    assert ran.code == 0, ran.err
    return [(hit["id"], hit["score"]) for hit in map(json.loads, ran.out.splitlines())]


def test_there_and_back(desk: Path, run: Run) -> None:
    before = dense(run, "./one")
    ran = run("search", "q", "-c", "notes", "-m", "./two")
    assert ran.code == 2
    assert "  → or move it over:              sememe collections migrate notes --to ./two  [exit 2]\n" in ran.err

    ran = run("collections", "migrate", "notes", "--to", "./two", "--dry-run", "--json")
    assert ran.code == 0, ran.err
    price = json.loads(ran.out)
    assert (price["collection"], price["from"], price["encoder"]) == ("notes", "one", "two")
    assert (price["chunks"], price["done"], price["sampled"], price["long"]) == (40, 0, 40, 0)
    assert price["bytes"] == 40 * (32 * 4 + 32)
    assert "judged by 40 chunks; nothing was written\n" in ran.err

    ran = run("collections", "migrate", "notes", "--to", "./two")
    assert (ran.code, ran.out) == (2, "")
    assert "encoder  one → two (32 dims)\nchunks   40 to encode, about " in ran.err
    assert "There is nobody to answer" in ran.err
    assert dense(run, "./one") == before

    ran = run("collections", "migrate", "notes", "--to", "./two", "--yes")
    assert (ran.code, ran.out) == (0, "")
    assert "✔ notes: 40 chunks by two, 40 encoded now; " in ran.err
    assert "go back with  sememe collections rollback notes\n" in ran.err
    after = dense(run, "./two")
    assert [score for _, score in after] != [score for _, score in before]
    info = json.loads(run("collections", "info", "notes", "--json").out)
    assert info["encoder"] == "two"
    (kept,) = info["beside"]
    assert (kept["encoder"], kept["chunks"]) == ("one", 40)
    assert "beside         kept: 40 chunks by one, 32 dims, " in run("collections", "info", "notes").out

    ran = run("collections", "rollback", "notes", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["encoder"] == "one"
    assert dense(run, "./one") == before

    ran = run("collections", "settle", "notes")
    assert ran.code == 2
    assert "kept: 40 chunks by two, 32 dims, " in ran.err
    ran = run("collections", "settle", "notes", "--yes")
    assert (ran.code, ran.out) == (0, "")
    assert " are free\n" in ran.err
    assert run("collections", "settle", "notes").code == 0
    ran = run("collections", "rollback", "notes")
    assert ran.code == 2
    assert "error: there is nothing that notes could go back to\n" in ran.err
    assert dense(run, "./one") == before
    assert run("collections", "verify", "notes").code == 0


INTERRUPTED = """
    import signal
    from sememe.collection import indexing
    from sememe.store.local.beside import Beside
    indexing.BATCH = 16
    put, turns = Beside.put, []
    def stopped(self, *args):
        put(self, *args)
        turns.append(1)
        if len(turns) == 2:
            signal.raise_signal(signal.SIGINT)
    Beside.put = stopped
    from sememe.cli.main import main
    main()
"""


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(desk: Path, run: Run) -> None:
    before = dense(run, "./one")
    code = "\n".join(line[4:] for line in INTERRUPTED.splitlines())
    arguments = [sys.executable, "-c", code, "collections", "migrate", "notes", "--to", "./two", "--yes"]
    ran = subprocess.run(
        arguments, capture_output=True, cwd=desk, env=environment(), text=True, timeout=120, check=False
    )
    assert ran.returncode == 130, ran.stderr
    assert "32 of 40 chunks are encoded; the old vectors answer\n" in ran.stderr
    assert "go on with  sememe collections migrate notes --to ./two --yes\n" in ran.stderr
    assert "[exit 130]" in ran.stderr
    assert dense(run, "./one") == before
    done = run("collections", "migrate", "notes", "--to", "./two", "--yes")
    assert "chunks   8 to encode of 40, 32 are done already, about " in done.err
    assert "✔ notes: 40 chunks by two, 8 encoded now; " in done.err


READER = """
    import sys
    from sememe.collection.collection import Collection
    from sememe.encoders.load import load_encoder
    import sememe.encoders.load as load
    real = load.load_encoder
    load.load_encoder = lambda name, **rest: real("./" + name, **rest)  # the models have no names here, only folders
    free, bound = Collection("notes"), Collection("notes", encoder=real("./one"))
    for line in sys.stdin:
        hits = free.search("river boat", mode="dense")
        found = [f"{id}:{score:.6f}" for id, score in zip(hits.ids, hits.scores)]
        print(free.binding.encoder, ",".join(found), flush=True)
        try:
            print(len(bound.search("river boat", mode="dense")), flush=True)
        except Exception as error:
            print(type(error).__name__, flush=True)
"""


def test_a_process_that_has_it_open_never_mixes_two_encoders(desk: Path, run: Run) -> None:
    code = "\n".join(line[4:] for line in READER.splitlines())
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=desk,
        env=environment(),
    ) as reader:  # fmt: skip
        assert reader.stdin is not None
        assert reader.stdout is not None

        def asked() -> tuple[str, list[str], str]:
            assert reader.stdin is not None
            assert reader.stdout is not None
            reader.stdin.write("go\n")
            reader.stdin.flush()
            name, _, found = reader.stdout.readline().strip().partition(" ")
            return name, found.split(","), reader.stdout.readline().strip()

        def wanted(model: str) -> list[str]:
            return [f"{id}:{score:.6f}" for id, score in dense(run, model)]

        assert asked() == ("one", wanted("./one"), "10")
        assert run("collections", "migrate", "notes", "--to", "./two", "--yes").code == 0
        assert asked() == ("two", wanted("./two"), "MismatchError")
        assert run("collections", "rollback", "notes").code == 0
        assert asked() == ("one", wanted("./one"), "10")
        reader.stdin.close()
    assert reader.returncode == 0


def test_mistakes(desk: Path, run: Run) -> None:
    tiny_bert.write(desk / "short", limit=8, seed=3)
    ran = run("collections", "migrate", "notes", "--to", "./short", "--yes")
    assert ran.code == 2
    assert "long     about " in ran.err
    assert " chunks of notes are longer than short takes\n  it takes         8 tokens\n" in ran.err
    ran = run("collections", "migrate", "notes", "--to", "./short", "--yes", "--long", "mean")
    assert ran.code == 0, ran.err
    assert run("collections", "migrate", "notes", "--to", "./short").code == 2
    assert run("collections", "migrate", "nothing", "--to", "./short").code == 2
    assert run("collections", "migrate", "notes", "--to", "no-such-model").code == 3
