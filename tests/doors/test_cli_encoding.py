"""embed, models, demo and doctor as processes."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sememe.cli import demo
from tests.doors.conftest import Run, environment
from tests.rooms.hub_double import HubDouble, serving


def _vectors(jsonl: str) -> np.ndarray:
    return np.array([json.loads(line)["vector"] for line in jsonl.splitlines()], np.float32)


# --- embed -----------------------------------------------------------------------------------------------------------


@pytest.mark.model
def test_every_way_in_and_every_form_out_gives_the_same_vectors(run: Run, home: Path, tmp_path: Path) -> None:
    texts = ["a river bank", "", "a savings bank"]
    by_argument = run("embed", "--precision", "f32", "--", *texts)
    assert by_argument.code == 0
    assert by_argument.err.startswith("3 vectors of 384 dims, all-MiniLM-L6-v2 f32, ")
    expected = _vectors(by_argument.out)
    assert expected.shape == (3, 384)
    assert np.allclose(np.linalg.norm(expected, axis=1), 1, atol=1e-5)
    assert [json.loads(line)["text"] for line in by_argument.out.splitlines()] == texts

    lines = "\r\n".join(texts) + "\n"
    (tmp_path / "texts.txt").write_bytes(b"\xef\xbb\xbf" + lines.encode())
    for source, stdin in ((["-i", str(tmp_path / "texts.txt")], ""), (["-"], lines), (["-i", "-"], lines)):
        ran = run("embed", "--precision", "f32", "-q", *source, stdin=stdin)
        assert ran.err == ""
        assert np.array_equal(_vectors(ran.out), expected)

    for form, decode in (("base64", base64.b64decode), ("hex", bytes.fromhex)):
        ran = run("embed", "--precision", "f32", "--format", form, "--", *texts)
        assert np.array_equal([np.frombuffer(decode(line), "<f4") for line in ran.out.splitlines()], expected)
    out = tmp_path / "v.npy"
    assert run("embed", "--precision", "f32", "--format", "npy", "-o", str(out), "--", *texts).code == 0
    assert np.array_equal(np.load(out), expected)


@pytest.mark.model
def test_no_texts_on_stdin_are_no_vectors(run: Run, home: Path) -> None:
    assert run("embed", "-").out == ""
    env = environment()
    done = subprocess.run([sys.executable, "-m", "sememe", "embed", "-", "--format", "npy", "-q"], input=b"",
                          capture_output=True, env=env, check=True)  # fmt: skip
    assert np.load(io.BytesIO(done.stdout)).shape == (0, 384)


@pytest.mark.model
def test_a_text_that_is_too_long_is_a_note_or_an_error(run: Run, home: Path) -> None:
    long = "word " * 600
    ran = run("embed", long)
    assert ran.code == 0
    assert re.search(r"^note: .*\n", ran.err)
    assert ".py" not in ran.err
    ran = run("embed", long, "--long", "error")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert run("embed", long, "--long", "cut").err.count("note:") == 0


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        ((), b"", "error: there is nothing to embed\n  → one text:  "),
        (("a", "-i", "f"), b"", "error: texts come from the arguments or from -i FILE, not from both\n"),
        (("-i", "no.txt"), b"", "error: no.txt: No such file or directory\n"),
        (("-i", "."), b"", "error: .: Is a directory\n"),
        (("x", "--as", "passage"), b"", "error: Invalid value for '--as': 'passage' is not one of"),
        (("x", "--format", "npz"), b"", "error: Invalid value for '--format'"),
    ],
)
def test_mistakes_of_embed(run: Run, home: Path, arguments: tuple[str, ...], stdin: bytes, message: str) -> None:
    ran = run("embed", *arguments, stdin=stdin)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(message)


@pytest.mark.model
def test_bytes_that_are_no_text_are_named_by_line(run: Run, home: Path) -> None:
    ran = run("embed", "-", stdin=b"good\nb\xff\xfe\n")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "error: stdin line 2 is not UTF-8\n  byte 0xff at column 2\n"
        "  → convert it:  iconv -f latin1 -t utf-8 stdin  [exit 2]\n"
    )


@pytest.mark.model
def test_binary_is_not_written_to_a_terminal(home: Path) -> None:
    pty = pytest.importorskip("pty", reason="no pseudo terminals on this system")
    ours, theirs = pty.openpty()
    done = subprocess.run([sys.executable, "-m", "sememe", "embed", "x", "--format", "npy"], stdout=theirs,
                          stderr=subprocess.PIPE, text=True, env=environment(), check=False)  # fmt: skip
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 2
    assert done.stderr.startswith("error: npy is binary and would be written to the terminal\n")


# --- models ----------------------------------------------------------------------------------------------------------


def test_a_missing_model_with_the_network_forbidden(run: Run, empty_home: Path) -> None:
    for arguments in (("embed", "x"), ("models", "pull"), ("demo",)):
        ran = run(*arguments, "--offline")
        assert (ran.code, ran.out) == (3, "")
        lines = ran.err.splitlines()
        assert lines[0] == 'error: encoder "all-MiniLM-L6-v2" is not on disk, and --offline forbids fetching it'
        assert lines[1].startswith("  looked in  ")
        assert str(empty_home / "models") in lines[1]
        assert re.fullmatch(
            r"  → with a network, once:  sememe models pull all-MiniLM-L6-v2 +\(\d+\.\d MB, SHA-256 checked\)", lines[2]
        )
        assert lines[3].startswith("  → from a copied folder:  sememe models add /path/to/all-MiniLM-L6-v2")
        assert lines[3].endswith("[exit 3]")


def test_a_model_that_nobody_knows(run: Run, empty_home: Path) -> None:
    ran = run("embed", "x", "-m", "all-MiniLM-L6-v3")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith('error: there is no model "all-MiniLM-L6-v3" in the catalogue or among the added ones\n')
    assert "all-MiniLM-L6-v2" in ran.err


def test_models_list_and_info_without_any_on_disk(run: Run, empty_home: Path) -> None:
    rows = json.loads(run("models", "list", "--json").out)
    assert rows[0]["name"] == "all-MiniLM-L6-v2"
    assert [row for row in rows if row["on_disk"]] == []
    ran = run("models", "list")
    assert ran.out.splitlines()[0].split() == ["model", "dims", "tokens", "size", "licence", "where"]
    assert "all-MiniLM-L6-v2 *" in ran.out
    assert json.loads(run("models", "info", "e5-small-v2", "--json").out)["prompts"]["query"] == "query: "
    assert run("models", "verify").code == 0


@pytest.mark.model
def test_models_add_use_verify_and_remove(run: Run, empty_home: Path, models_folder: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(models_folder / "all-MiniLM-L6-v2", copied)
    ran = run("models", "add", str(copied), "--name", "mine")
    assert ran.code == 0
    assert ran.out == f"{empty_home / 'models' / 'mine'}\n"
    assert run("embed", "x", "-m", "mine", "-q").code == 0
    assert "mine" in [row["name"] for row in json.loads(run("models", "list", "--json").out)]
    weights = empty_home / "models" / "mine" / "model.safetensors"
    with weights.open("r+b") as stream:
        stream.seek(-4, 2)
        stream.write(b"\0\0\0\1")
    ran = run("models", "verify", "mine")
    assert ran.code == 3
    assert "error: 1 of " in ran.err
    assert "mine/model.safetensors  changed" in ran.err
    ran = run("models", "rm", "mine")
    assert (ran.code, "say it beforehand:  --yes" in ran.err) == (2, True)
    assert run("models", "rm", "mine", "-y").code == 0
    assert not weights.exists()


@pytest.mark.model
def test_a_tampered_model_is_named_and_not_loaded(run: Run, empty_home: Path, models_folder: Path) -> None:
    folder = empty_home / "models" / "all-MiniLM-L6-v2"
    shutil.copytree(models_folder / "all-MiniLM-L6-v2", folder)
    with (folder / "model.safetensors").open("r+b") as stream:
        stream.seek(-4, 2)
        stream.write(b"\0\0\0\1")
    ran = run("embed", "x")
    assert (ran.code, ran.out) == (3, "")
    assert "model.safetensors" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.model
def test_a_download_that_is_not_the_expected_file_is_not_kept(
    run: Run, empty_home: Path, models_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = models_folder / "all-MiniLM-L6-v2"
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    files["model.safetensors"] = files["model.safetensors"][:-1] + b"\1"
    monkeypatch.delenv("SEMEME_OFFLINE")
    with serving(HubDouble(files)) as hub:
        ran = run("models", "pull", env={"HF_ENDPOINT": hub.url, "HF_TOKEN": "secret-token"})
    assert (ran.code, ran.out) == (3, "")
    assert re.search(r"^error: all-MiniLM-L6-v2: .*SHA-256.*not kept", ran.err, re.M), ran.err
    assert re.search(r"^  expected +[0-9a-f…]+", ran.err, re.M)
    assert re.search(r"^  got +[0-9a-f…]+", ran.err, re.M)
    assert "sememe models pull all-MiniLM-L6-v2" in ran.err
    assert "sememe models add /path/to/all-MiniLM-L6-v2" in ran.err
    assert "secret-token" not in ran.err
    assert not (empty_home / "models" / "all-MiniLM-L6-v2").exists()
    assert run("embed", "x", "--offline").code == 3


# --- demo and doctor -------------------------------------------------------------------------------------------------


@pytest.mark.model
def test_demo_finds_by_meaning_and_its_claim_is_true(run: Run, home: Path) -> None:
    ran = run("demo", "--json")
    assert ran.code == 0, ran.err
    searches = json.loads(ran.out)
    assert len(searches) == 3
    judged = {row["text"]: row["relevant"] for row in demo.sample("queries")}
    for search in searches:
        best = search["hits"][0]
        assert search["words_shared_with_the_best_hit"] == []
        assert not set(demo.content_words(search["query"])) & set(
            re.findall(r"\w+", f"{best['title']} {best['text']}".lower())
        )
        assert best["id"] in judged[search["query"]]
    again = run("demo")
    assert again.code == 0
    assert "all known already" in again.err
    assert again.out.count("→ the best hit has none of the words: ") == 3
    assert run("search", "kettle", "-c", "sememe-sample", "-q").code == 0


def test_content_words_and_what_counts_as_shared() -> None:
    assert demo.content_words("How do we restore the old cars of the town") == ["restore", "old", "cars", "town"]
    assert demo.shared_words("restoring cars", "A car was RESTORED.") == ["restoring", "cars"]
    assert demo.shared_words("spacecraft in trouble", "the capsule in danger") == []


def test_doctor_without_a_model_says_what_to_do(run: Run, empty_home: Path) -> None:
    ran = run("doctor")
    assert (ran.code, ran.err) == (0, "")
    assert "skipped: all-MiniLM-L6-v2 is not on disk  → sememe models pull all-MiniLM-L6-v2" in ran.out
    assert "SEMEME_OFFLINE in the environment" in ran.out
    assert not empty_home.exists()


@pytest.mark.model
def test_doctor_really_encodes(run: Run, home: Path) -> None:
    facts = json.loads(run("doctor", "--json").out)
    assert facts["self-test"]["state"] == "ok"
    assert 0.2 < facts["self-test"]["cosine"] < 1
    assert facts["extras"]["pandas"]["install"] == 'pip install "sememe[pandas]"'
    assert "all-MiniLM-L6-v2" in [model["name"] for model in facts["disk"]["models"]]
    assert "✔ all-MiniLM-L6-v2" in run("doctor").out


@pytest.mark.model
def test_doctor_notices_a_broken_model(run: Run, empty_home: Path, models_folder: Path) -> None:
    folder = empty_home / "models" / "all-MiniLM-L6-v2"
    shutil.copytree(models_folder / "all-MiniLM-L6-v2", folder)
    os.truncate(folder / "model.safetensors", 1000)
    ran = run("doctor")
    assert ran.code == 3
    assert "self-test   failed: " in ran.out
