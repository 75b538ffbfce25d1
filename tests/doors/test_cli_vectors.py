"""How vectors are kept, and cut, from the command line: what is asked for is done, what it costs is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Run

TEXTS = ["Bread wants flour, water and salt.", "A river bank after rain.", "A savings bank pays interest.",
         "Yeast makes the dough rise.", "The boat lies at the river.", "A loan costs interest."]  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, models_folder: Path, empty_home: Path) -> Path:
    """A home with the default model; the working directory of `run` has a folder ``notes``."""
    empty_home.mkdir()
    (empty_home / "models").symlink_to(models_folder)
    (tmp_path / "cwd" / "notes").mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(TEXTS):
        (tmp_path / "cwd" / "notes" / f"{number}.txt").write_text(text)
    return empty_home


def info(run: Run, name: str) -> dict[str, object]:
    facts: dict[str, object] = json.loads(run("collections", "info", name, "--json").out)
    return facts


def test_vectors_are_kept_smaller_and_converted_when_that_is_said(run: Run, home: Path) -> None:
    ran = run("index", "notes", "-c", "n", "--vectors", "int8")
    assert (ran.code, "2.3 kB of vectors by all-MiniLM-L6-v2, kept as int8" in ran.err) == (0, True), ran.err
    ran = run("index", "notes", "-c", "n", "--vectors", "float16")
    assert (ran.code, "n keeps its vectors as int8" in ran.err) == (2, True)
    facts = info(run, "n")
    assert facts["vectors"] == "int8"
    assert facts["loss"]["rows"] == 6  # type: ignore[index]
    assert "loss           int8 against float32: cosine 0.9999" in run("collections", "info", "n").out

    ran = run("collections", "convert", "n", "--vectors", "binary", "--dry-run")
    assert ran.code == 0
    assert ran.out.startswith("binary against int8: recall@10 1.0000 (6 chunks asked), cosine 0.")
    assert ran.out.endswith("48 bytes a vector instead of 388\n")
    assert "nothing was changed" in ran.err
    ran = run("collections", "convert", "n", "--vectors", "binary")
    assert (ran.code, "--yes" in ran.err) == (2, True)
    assert info(run, "n") == facts

    ran = run("collections", "convert", "n", "--vectors", "binary", "-y", "--json")
    assert ran.code == 0
    told = json.loads(ran.out)
    assert (told["vectors"], told["against"], told["rows"], told["converted"]) == ("binary", "int8", 6, True)
    assert info(run, "n")["loss"] == {key: value for key, value in told.items() if key != "converted"}
    ran = run("collections", "convert", "n", "--vectors", "binary", "-y")
    assert (ran.code, "already" in ran.err) == (2, True)
    assert run("collections", "verify", "n").code == 0
    assert "notes/1.txt" in run("search", "river bank", "-c", "n", "-k", "1").out

    ran = run("index", "notes", "-c", "n", "--rebuild", "--vectors", "float16")
    assert (ran.code, info(run, "n")["vectors"]) == (0, "float16")


def test_a_cut_is_kept_to_and_its_cost_is_said(run: Run, home: Path) -> None:
    cost = "was not trained to be cut to 96 of 384 dims: recall@10 0."
    ran = run("embed", "a text", "--dims", "96")
    assert (ran.code, cost in ran.err) == (0, True), ran.err
    vector = json.loads(ran.out)["vector"]
    assert (len(vector), sum(x * x for x in vector)) == (96, pytest.approx(1, abs=1e-5))
    ran = run("index", "notes", "-c", "n", "--dims", "96")
    assert (ran.code, cost in ran.err) == (0, True), ran.err
    assert cost not in run("index", "notes", "-c", "n").err
    assert "notes/1.txt" in run("search", "river bank", "-c", "n", "-k", "1").out
    ran = run("search", "river bank", "-c", "n", "--dims", "64")
    assert ran.code == 2
    ran = run("index", "notes", "-c", "n", "--dims", "64")
    assert (ran.code, "n keeps 96 numbers of each vector" in ran.err) == (2, True)
    assert run("embed", "a text", "--dims", "500").code == 2
    assert run("embed", "a text", "--dims", "-1").code == 2
    assert "recall" not in run("embed", "a text").err
