"""index, search and collections as processes: what they print, how they end, and what they leave behind."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.doors.conftest import Ran, Run, environment

pytestmark = pytest.mark.model

NOTES = {
    "keys.md": "# Key rotation\n\nRotate the signing key every ninety days, and revoke the old one at once.\n",
    "bread.md": "# Sourdough\n\nFeed the starter, let the dough rise overnight, bake it in a hot oven.\n",
    "sea.txt": "The ferry crosses the strait twice a day when the wind allows it.\n",
    "tickets.csv": "id,subject,body,lang\n1,refund,My money for the broken kettle never came back to me,en\n"
    "2,login,I cannot sign in since the update of last week,en\n",
}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, models_folder: Path) -> Path:
    """A folder with `notes/`, and a home that has them as the collection `notes`; only read by the tests."""
    folder = tmp_path_factory.mktemp("shelf")
    (folder / "notes").mkdir()
    for name, text in NOTES.items():
        (folder / "notes" / name).write_text(text)
    (folder / "home").mkdir()
    (folder / "home" / "models").symlink_to(models_folder)
    command = [sys.executable, "-m", "sememe", "index", "notes", "-c", "notes", "--text", "body", "-d", "home"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=environment())
    return folder


@pytest.fixture
def on_shelf(shelf: Path, run: Run) -> Run:
    def go(*arguments: str, **more: object) -> Ran:
        env = {"SEMEME_HOME": str(shelf / "home"), "SEMEME_OFFLINE": "1"}
        return run(*arguments, **{"cwd": shelf, "env": env, **more})

    return go


# --- index -----------------------------------------------------------------------------------------------------------


def test_index_says_what_it_did_and_a_second_run_does_nothing(run: Run, home: Path, tmp_path: Path) -> None:
    desk = tmp_path / "cwd"
    for name, text in list(NOTES.items())[:3]:
        (desk / "notes").mkdir(exist_ok=True)
        (desk / "notes" / name).write_text(text)
    ran = run("index", "notes/", "-c", "notes")
    assert (ran.code, ran.out) == (0, "")
    assert re.sub(r"\d+\.\d s", "T s", ran.err).splitlines() == [
        "notes/: 3 files",
        "encoder  all-MiniLM-L6-v2 (384 dims, bf16)   chunks 256 tokens / 32 overlap".replace(
            "bf16", "bf16" if "bf16" in ran.err else "f32"
        ),
        "✔ notes: 3 chunks, 3 files, 4.6 kB of vectors by all-MiniLM-L6-v2",
        "  3 encoded, 0 known already, 0 gone; 0 files unchanged, 0 removed; T s",
        'try  sememe search "…" -c notes',
    ]
    (desk / "notes" / "bread.md").unlink()
    (desk / "notes" / "sea.txt").write_text("The harbour freezes in January.\n")
    ran = run("index", "notes/", "-c", "notes", "--json", "-q")
    report = json.loads(ran.out)
    assert (ran.code, ran.err) == (0, "")
    assert (report["encoded"], report["unchanged"], report["removed"], report["total"]["chunks"]) == (1, 1, 1, 2)


def test_bad_files_are_named_and_the_code_is_4(run: Run, home: Path, tmp_path: Path) -> None:
    notes = tmp_path / "cwd" / "mixed"
    notes.mkdir()
    (notes / "good.md").write_text("# Good\n\nA text that can be read.\n")
    (notes / "zero.txt").write_bytes(b"")
    (notes / "noise.txt").write_bytes(bytes(range(256)) * 20)
    (notes / "ragged.csv").write_text("id,text\n1,a whole row of text\n2\n3,another,with,too,many\n")
    (notes / "scan.pdf").write_bytes(b"%PDF-1.4\n%%EOF\n")
    ran = run("index", "mixed", "-c", "mixed")
    assert ran.code == 4
    rows = list(csv.DictReader(io.StringIO((tmp_path / "cwd" / "mixed.skipped.csv").read_text("utf-8"))))
    named = {row["source"].split()[0].partition(":")[0] for row in rows}
    assert {"mixed/zero.txt", "mixed/noise.txt", "mixed/scan.pdf"} <= named
    assert f"note: {len(rows)} skipped (" in ran.err
    assert "; the list is in mixed.skipped.csv\n" in ran.err
    assert run("search", "a text that can be read", "-c", "mixed", "-k", "1").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("index", "notes"), "error: a collection needs a name\n  → for example:  sememe index notes -c notes  [exit"),
        (("index", "-c", "x"), "error: what to index is missing\n  → for example:  sememe index notes/ -c x  [exit 2]"),
        (("index", "-", "notes", "-c", "x"), "error: stdin (-) and files are not indexed together\n"),
        (("index", "no/such", "-c", "x"), 'error: there is no file or folder "no/such"'),
        (("index", "notes", "-c", "My Notes"), 'error: "My Notes" is no name for a collection\n'),
        (("index", "notes", "-c", "x", "--chunk", "256-32"), 'error: Invalid value for \'--chunk\': "256-32" is'),
        (("index", "notes", "-c", "x", "--chunk", "32/32"), "error: chunk.overlap must be smaller than chunk.size\n"),
        (("index", "notes", "-c", "notes", "--chunk", "64/8"), "error: notes is cut into chunks of 256 tokens with"),
        (("search", "q"), "error: where to search is missing\n  collections  notes\n"),
        (("search", " ", "-c", "notes"), "error: the query is empty\n"),
        (("search", "q", "-c", "ntes"), 'error: there is no collection "ntes"\n'),
        (("search", "q", "-c", "notes", "--where", "lang ="), "error: "),
        (("search", "q", "-c", "notes", "-k", "0"), "error: Invalid value for '-k'"),
        (("search", "q", "notes"), 'error: "notes" is a collection and a file or folder here\n'),
        (("collections", "info", "ntes"), 'error: there is no collection "ntes"\n'),
        (("collections", "rm", "notes"), "error: delete the collection notes in "),
        (("collections", "rename", "notes", "../x"), "error: "),
    ],
)  # fmt: skip
def test_mistakes_have_what_why_and_do(on_shelf: Run, arguments: tuple[str, ...], message: str) -> None:
    ran = on_shelf(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert f"\n{message}" in f"\n{ran.err}"
    assert ran.err.endswith("[exit 2]\n")
    assert ran.err.count("\n  → ") >= 1, ran.err
    assert "Traceback" not in ran.err


def test_another_encoder_is_refused_with_both_names_and_widths(on_shelf: Run) -> None:
    ran = on_shelf("search", "q", "-c", "notes", "-m", "bge-small-en-v1.5")
    assert (ran.code, ran.out) == (2, "")
    lines = ran.err.splitlines()
    assert lines[0] == "error: this collection was built with another encoder"
    assert re.fullmatch(r"  collection  notes  all-MiniLM-L6-v2 +384 dims  \(\d{4}-\d\d-\d\d\)", lines[1])
    assert re.fullmatch(r"  you asked +bge-small-en-v1\.5 +384 dims  \(same width, another space\)", lines[2])
    assert lines[3] == '  → search with its own encoder:  sememe search "…" -c notes'
    assert lines[4].startswith("  → or move it over:  ")
    assert lines[4].endswith("sememe collections migrate notes --to bge-small-en-v1.5  [exit 2]")


def test_a_rebuild_takes_another_encoder_and_other_chunks(
    run: Run, home: Path, shelf: Path, models_folder: Path, tmp_path: Path
) -> None:
    # The same weights with a prompt are another encoder: its vectors must not be mixed with the plain ones.
    (home / "models").unlink()
    shutil.copytree(models_folder / "all-MiniLM-L6-v2", home / "models" / "all-MiniLM-L6-v2")
    other = tmp_path / "other"
    shutil.copytree(models_folder / "all-MiniLM-L6-v2", other)
    prompts = {"prompts": {"query": "query: ", "document": ""}, "default_prompt_name": None}
    (other / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    assert run("models", "add", str(other), "--name", "other").code == 0
    shutil.copytree(shelf / "home" / "collections", home / "collections")
    index = ("index", "notes", "-c", "notes", "--text", "body", "-m", "other", "--chunk", "64/8")
    assert run(*index, cwd=shelf).code == 2
    ran = run(*index, "--rebuild", "--dry-run", "--json", cwd=shelf)
    assert json.loads(ran.out)["chunks"] == 5
    ran = run(*index, "--rebuild", cwd=shelf)
    assert ran.code == 0, ran.err
    assert "✔ notes: 5 chunks, 4 files, 7.7 kB of vectors by other\n" in ran.err
    facts = json.loads(run("collections", "info", "notes", "--json").out)
    assert (facts["encoder"], facts["chunk size"], facts["chunk overlap"]) == ("other", 64, 8)
    assert run("search", "baking", "-c", "notes", "-k", "1").out.count("notes/bread.md") == 1


def test_a_missing_column_is_answered_with_the_ones_that_are_there(run: Run, home: Path, shelf: Path) -> None:
    ran = run("index", "notes/tickets.csv", "-c", "t", "--text", "txt", cwd=shelf)
    assert (ran.code, ran.out) == (2, "")
    assert 'tickets.csv has no column "txt"' in ran.err
    for column in ("id", "subject", "body", "lang"):
        assert column in ran.err
    assert not (home / "collections" / "t").exists()


def test_an_empty_folder_is_an_error_and_leaves_nothing(run: Run, home: Path, tmp_path: Path) -> None:
    (tmp_path / "cwd" / "empty").mkdir()
    ran = run("index", "empty", "-c", "e")
    assert (ran.code, ran.out) == (2, "")
    assert "error: there is nothing to index in empty\n  no file was found\n" in ran.err
    (tmp_path / "cwd" / "empty" / "zero.txt").touch()
    ran = run("index", "empty", "-c", "e")
    assert ran.code == 2
    assert "error: there is nothing to index in empty\n  empty/zero.txt  empty\n" in ran.err
    assert run("collections", "list", "--json").out == "[]\n"


def test_a_dry_run_writes_nothing(run: Run, home: Path, shelf: Path) -> None:
    ran = run("index", "notes", "-c", "dry", "--text", "body", "--dry-run", "--json", cwd=shelf)
    assert ran.code == 0
    estimate = json.loads(ran.out)
    assert (estimate["files"], estimate["chunks"]) == (4, 5)
    ran = run("index", "notes", "-c", "dry", "--text", "body", "--dry-run", cwd=shelf)
    assert [line.split()[0] for line in ran.out.splitlines()] == ["files", "chunks", "time", "disk"]
    assert not (home / "collections").exists()


def test_stdin_is_a_source(run: Run, home: Path) -> None:
    lines = "rotate the key\n\nbake the bread\nrotate the key\n"
    ran = run("index", "-", "-c", "piped", stdin=lines)
    assert ran.code == 0
    assert "✔ piped: 2 chunks" in ran.err
    ran = run("search", "oven", "-c", "piped", "-k", "1", "--jsonl")
    assert json.loads(ran.out)["text"] == "bake the bread"
    ran = run("search", "oven", "-", "-k", "1", "--jsonl", stdin=lines)
    assert (json.loads(ran.out)["source"], json.loads(ran.out)["start"]) == ("stdin", 3)
    ran = run("search", "oven", "-", stdin=b"\xff\xfe")
    assert (ran.code, ran.err.splitlines()[0]) == (2, "error: stdin line 1 is not UTF-8")


# --- search ----------------------------------------------------------------------------------------------------------


def test_search_shows_scores_with_their_kinds_and_says_how_long(on_shelf: Run) -> None:
    ran = on_shelf("search", "how often are credentials rotated", "-c", "notes", "-k", "2")
    assert ran.code == 0
    first = ran.out.splitlines()[0]
    assert re.fullmatch(r"0\.\d\d cos · +(–|\d+\.\d) bm25   notes/keys\.md:1-3 +Key rotation", first)
    assert re.fullmatch(r"2 hits of 5 chunks, hybrid, \S+ \S*ms\n", ran.err.replace("under 1", "under_1"))


@pytest.mark.parametrize("mode", ["dense", "words", "hybrid"])
def test_modes(on_shelf: Run, mode: str) -> None:
    ran = on_shelf("search", "signing key", "-c", "notes", "--mode", mode, "--json")
    value = json.loads(ran.out)
    assert value["kind"] == {"dense": "cosine", "words": "bm25", "hybrid": "hybrid"}[mode]
    assert value["hits"][0]["source"] == "notes/keys.md"


def test_hits_below_a_score_are_left_out(on_shelf: Run) -> None:
    ask = ("search", "signing key", "-c", "notes", "--mode", "dense", "--jsonl")
    scores = [json.loads(line)["score"] for line in on_shelf(*ask).out.splitlines()]
    ran = on_shelf(*ask, "--min-score", str(scores[1]))
    assert [json.loads(line)["score"] for line in ran.out.splitlines()] == scores[:2] != scores
    assert on_shelf(*ask, "--min-score", "1.5").code == 1


def test_filters_and_forms(on_shelf: Run, tmp_path: Path) -> None:
    where = ("--where", "subject = 'refund'")
    ran = on_shelf("search", "money", "-c", "notes", *where, "--jsonl")
    (hit,) = [json.loads(line) for line in ran.out.splitlines()]
    assert (hit["meta"]["subject"], hit["unit"]) == ("refund", "row")
    out = tmp_path / "hits.csv"
    ran = on_shelf("search", "money", "-c", "notes", *where, "--csv", "-o", str(out))
    assert (ran.code, ran.out) == (0, "")
    (row,) = csv.DictReader(io.StringIO(out.read_text("utf-8")))
    assert row["id"] == hit["id"]


def test_no_hits_is_1_and_valid_json(on_shelf: Run) -> None:
    ran = on_shelf("search", "zyxwvut", "-c", "notes", "--mode", "words")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("0 hits of 5 chunks, words")
    ran = on_shelf("search", "zyxwvut", "-c", "notes", "--mode", "words", "--json")
    assert (ran.code, json.loads(ran.out)["hits"]) == (1, [])


def test_files_are_searched_without_an_index_and_nothing_is_left(
    run: Run, home: Path, shelf: Path, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    ran = run("search", "baking", "./notes", "-k", "1", "--text", "body", cwd=shelf, env={"TMPDIR": str(scratch)})
    assert ran.code == 0
    assert "notes/bread.md:1-3" in ran.out
    assert list(scratch.iterdir()) == []
    assert not (home / "collections").exists()


def test_a_long_search_without_an_index_is_not_begun(run: Run, home: Path, tmp_path: Path) -> None:
    text = "\n\n".join("some words of no importance " * 30 for _ in range(1000))
    big = tmp_path / "cwd" / "big"
    big.mkdir()
    for n in range(24):
        (big / f"{n}.txt").write_text(text)
    ran = run("search", "anything", "big", "-q")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: to search these files without an index would take about ")
    assert "  → index them once:  sememe index big -c NAME\n" in ran.err


def test_nothing_coloured_reaches_a_pipe_and_no_color_is_honoured(on_shelf: Run, shelf: Path) -> None:
    ran = on_shelf("search", "keys", "-c", "notes")
    assert "\x1b" not in ran.out + ran.err
    pty = pytest.importorskip("pty", reason="no pseudo terminals on this system")
    for no_color, styled in (("", True), ("1", False)):
        ours, theirs = pty.openpty()
        env = environment({"SEMEME_HOME": str(shelf / "home"), "TERM": "xterm", "NO_COLOR": no_color})
        command = [sys.executable, "-m", "sememe", "search", "keys", "-c", "notes", "-k", "1"]
        subprocess.run(command, stdout=theirs, stderr=subprocess.DEVNULL, env=env, cwd=shelf, check=True)
        os.close(theirs)
        shown = os.read(ours, 100_000).decode()
        os.close(ours)
        assert "Key rotation" in shown
        assert ("\x1b[1m" in shown) is styled


def test_a_terminal_gets_a_bar_and_a_pipe_does_not(run: Run, home: Path, shelf: Path) -> None:
    pty = pytest.importorskip("pty", reason="no pseudo terminals on this system")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "sememe", "index", "notes", "-c", "barred", "--text", "body"]
    env = environment({"TERM": "xterm", "NO_COLOR": "1"})
    subprocess.run(command, stderr=theirs, env=env, cwd=shelf, check=True)
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert re.search(r"index +━+", shown)
    assert "\x1b[3" not in shown  # no colours, as NO_COLOR asks
    assert "━" not in run("index", "notes", "-c", "piped", "--text", "body", cwd=shelf).err


# --- collections -----------------------------------------------------------------------------------------------------


def test_every_json_is_valid(on_shelf: Run) -> None:
    for arguments in (["collections", "list"], ["collections", "info", "notes"], ["collections", "verify", "notes"],
                      ["models", "list"], ["models", "info"], ["config", "list"], ["doctor"]):  # fmt: skip
        ran = on_shelf(*arguments, "--json")
        assert ran.code == 0, ran.err
        json.loads(ran.out)


def test_list_info_path_verify(on_shelf: Run, shelf: Path) -> None:
    (row,) = json.loads(on_shelf("collections", "list", "--json").out)
    assert (row["name"], row["encoder"], row["dim"], row["chunks"], row["files"]) == (
        "notes", "all-MiniLM-L6-v2", 384, 5, 4,
    )  # fmt: skip
    folder = on_shelf("collections", "path", "notes").out.strip()
    assert Path(folder) == shelf / "home" / "collections" / "notes"
    info = on_shelf("collections", "info", "notes").out
    assert re.search(r"^chunk size +256$", info, re.M)
    ran = on_shelf("collections", "verify", "notes")
    assert ran.code == 0
    assert ran.err == "✔ notes is whole\n"


def test_rename_remove_and_a_copied_folder_opens(run: Run, home: Path, shelf: Path) -> None:
    shutil.copytree(shelf / "home" / "collections" / "notes", home / "collections" / "copied")
    assert run("search", "baking", "-c", "copied", "-k", "1").code == 0
    assert run("collections", "rename", "copied", "other").code == 0
    assert run("collections", "rename", "other", "other").code == 2
    assert run("collections", "rm", "other").code == 2
    assert run("collections", "rm", "other", "--yes").code == 0
    ran = run("collections", "list")
    assert (ran.code, ran.out) == (0, "")
    assert "no collections yet" in ran.err


def test_a_damaged_collection_is_named_and_does_not_hide_the_others(run: Run, home: Path, shelf: Path) -> None:
    for name in ("good", "bad"):
        shutil.copytree(shelf / "home" / "collections" / "notes", home / "collections" / name)
    (home / "collections" / "bad" / "records.sqlite").write_bytes(b"junk" * 1000)
    rows = {row["name"]: row for row in json.loads(run("collections", "list", "--json").out)}
    assert rows["good"]["chunks"] == 5
    assert rows["bad"]["problem"]
    ran = run("search", "q", "-c", "bad")
    assert ran.code == 2
    assert ran.err.startswith("error: ")
    assert "Traceback" not in ran.err


def test_a_cut_vector_file_is_found_by_verify(run: Run, home: Path, shelf: Path) -> None:
    shutil.copytree(shelf / "home" / "collections" / "notes", home / "collections" / "cut")
    vectors = max((home / "collections" / "cut").rglob("*.f32"), key=lambda path: path.stat().st_size)
    os.truncate(vectors, vectors.stat().st_size // 2)
    ran = run("collections", "verify", "cut")
    assert ran.code == 2
    assert "sememe collections verify cut --repair" in ran.err


def test_what_repair_sets_aside_is_listed_read_in_again_and_forgotten(
    run: Run, home: Path, shelf: Path, tmp_path: Path
) -> None:
    shutil.copytree(shelf / "home" / "collections" / "notes", home / "collections" / "torn")
    vectors = max((home / "collections" / "torn").rglob("*.f32"), key=lambda path: path.stat().st_size)
    data = bytearray(vectors.read_bytes())
    data[5] ^= 8
    vectors.write_bytes(data)
    before = run("collections", "quarantine", "torn")
    assert (before.code, before.out, before.err) == (0, "", "nothing is set aside in torn\n")
    ran = run("collections", "verify", "torn", "--repair")
    assert ran.code == 0
    assert "sememe collections quarantine torn" in ran.err
    (one,) = json.loads(run("collections", "quarantine", "torn", "--json").out)
    assert one["text"]
    assert one["id"] in run("collections", "quarantine", "torn").out
    assert run("collections", "quarantine", "torn", "--jsonl", "-o", "aside.jsonl").code == 0
    assert json.loads((tmp_path / "cwd" / "aside.jsonl").read_text()) == one
    assert run("index", "aside.jsonl", "-c", "torn", "--text", "text", "--id", "id").code == 0
    (hit,) = json.loads(run("search", one["text"], "-c", "torn", "-k", "1", "--json").out)["hits"]
    assert hit["text"] == one["text"]
    assert run("collections", "quarantine", "torn", "--clear").code == 2  # nobody there to say yes
    ran = run("collections", "quarantine", "torn", "--clear", "--yes")
    assert (ran.code, ran.err) == (0, "✔ 1 text forgotten\n")
    assert json.loads(run("collections", "quarantine", "torn", "--json").out) == []
    assert run("collections", "verify", "torn").code == 0


# --- interruption, other processes, disks ----------------------------------------------------------------------------


def _many(folder: Path, files: int) -> None:
    folder.mkdir(parents=True)
    for n in range(files):
        (folder / f"{n}.txt").write_text(f"Note number {n} is about the matter {n * 7919 % 104729}.\n")


def _kept(home: Path, name: str) -> int:
    try:
        with sqlite3.connect(f"file:{home}/collections/{name}/records.sqlite?mode=ro", uri=True) as connection:
            return int(connection.execute("SELECT count(*) FROM sources").fetchone()[0])
    except sqlite3.Error:
        return 0


#: the program, which waits for ever once some files are kept
STOPS = """
import sys, threading
from sememe.store.local.store import LocalStore

put = LocalStore.put

def put_and_wait(self, *arguments, sources=None, **options):
    put(self, *arguments, sources=sources, **options)
    if sources:
        print("kept", flush=True)
        threading.Event().wait()

LocalStore.put = put_and_wait
sys.argv = ["sememe", "index", "many", "-c", "many"]
from sememe.cli.main import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT is another thing there")
def test_ctrl_c_keeps_what_is_finished_and_the_next_run_goes_on(run: Run, home: Path, tmp_path: Path) -> None:
    _many(tmp_path / "cwd" / "many", 2600)
    process = subprocess.Popen(
        [sys.executable, "-c", STOPS], cwd=tmp_path / "cwd", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment(),
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "kept\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.rstrip().endswith(
        "interrupted: finished work is kept; the same command again goes on from there  [exit 130]"
    )
    assert "Traceback" not in err
    kept = _kept(home, "many")
    assert 0 < kept < 2600
    report = json.loads(run("index", "many", "-c", "many", "--json", "-q").out)
    assert report["unchanged"] >= kept
    assert report["total"]["chunks"] == 2600


def test_two_runs_at_once_do_not_harm_each_other(run: Run, home: Path, tmp_path: Path) -> None:
    _many(tmp_path / "cwd" / "many", 300)
    command = [sys.executable, "-m", "sememe", "index", "many", "-c", "twice"]
    both = [
        subprocess.Popen(command, cwd=tmp_path / "cwd", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         env=environment())
        for _ in range(2)
    ]  # fmt: skip
    ends = [(process.communicate(timeout=120)[1], process.returncode) for process in both]
    for err, code in ends:
        # Whoever comes second waits for the first, or says that another process is writing.
        assert code == 0 or (code == 2 and "writing" in err), err
    assert 0 in [code for _, code in ends]
    assert run("collections", "verify", "twice").code == 0
    assert json.loads(run("collections", "info", "twice", "--json").out)["chunks"] == 300


def _on_small_disk(size: str, script: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run ``script`` with a disk of its own at ``$DISK``, in a mount namespace that ends with it."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root and unshare, to mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir(exist_ok=True)
    whole = f'mount -t tmpfs -o size={size} none "$DISK" && {script}'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", whole], capture_output=True, text=True, check=False, cwd=tmp_path / "cwd",
        env=environment({"DISK": str(disk), "PY": sys.executable}),
    )  # fmt: skip
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"this machine mounts nothing: {done.stderr.strip()[:100]}")
    return done


def test_a_full_disk_is_said_and_what_was_there_stays(home: Path, tmp_path: Path, run: Run) -> None:
    _many(tmp_path / "cwd" / "many", 1500)
    (tmp_path / "cwd" / "few").mkdir()
    (tmp_path / "cwd" / "few" / "a.txt").write_text("A text about the sea.\n")
    script = (
        f'mkdir "$DISK/home" && ln -s "{home}/models" "$DISK/home/models" && export SEMEME_HOME="$DISK/home" && '
        '"$PY" -m sememe index few -c notes -q && '
        '{ "$PY" -m sememe index many -c notes -q; echo "code $?"; } && '
        '"$PY" -m sememe search sea -c notes -k 1 -q && "$PY" -m sememe collections verify notes -q'
    )
    done = _on_small_disk("2m", script, tmp_path)
    assert "code 2\n" in done.stdout, done.stderr
    assert "Traceback" not in done.stderr
    assert re.search(r"error: .*\n(.*\n)*.*(space|full)", done.stderr), done.stderr
    assert "few/a.txt" in done.stdout, done.stderr
    assert done.returncode == 0, done.stderr


def test_a_read_only_target_is_said(home: Path, tmp_path: Path) -> None:
    _many(tmp_path / "cwd" / "few", 3)
    script = (
        f'mkdir "$DISK/home" && ln -s "{home}/models" "$DISK/home/models" && mount -o remount,ro "$DISK" && '
        '"$PY" -m sememe index few -c notes -d "$DISK/home" -q'
    )
    done = _on_small_disk("2m", script, tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    assert "ead-only" in done.stderr


def test_a_read_only_collection_can_be_searched(home: Path, tmp_path: Path, shelf: Path) -> None:
    (tmp_path / "cwd").mkdir(exist_ok=True)
    script = (
        f'cp -rL "{shelf}/home/collections" "$DISK/collections" && ln -s "{home}/models" "$DISK/models" && '
        'mount -o remount,ro "$DISK" && "$PY" -m sememe search baking -c notes -k 1 -d "$DISK"'
    )
    done = _on_small_disk("4m", script, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "notes/bread.md" in done.stdout


def test_skipped_list_where_the_working_directory_cannot_be_written(home: Path, tmp_path: Path) -> None:
    (tmp_path / "cwd").mkdir(exist_ok=True)
    script = (
        'mkdir "$DISK/n" && echo "some text" > "$DISK/n/a.txt" && : > "$DISK/n/zero.txt" && cd "$DISK" && '
        'mount -o remount,ro "$DISK" && "$PY" -m sememe index n -c skips -q'
    )
    done = _on_small_disk("2m", script, tmp_path)
    assert done.returncode == 4, done.stderr
    assert "skips.skipped.csv cannot be written (Read-only file system), so here they all are:" in done.stderr
    assert "note: skipped n/zero.txt: empty" in done.stderr
