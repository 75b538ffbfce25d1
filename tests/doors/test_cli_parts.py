"""The parts of the command line that can be tried without a process: sources, hits, output, progress lines."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sememe import settings
from sememe.cli import failures, hits, output, sources, talk
from sememe.collection import binding
from sememe.collection.context import Context
from sememe.collection.explain import Explained, Matched, Step
from sememe.errors import DataError, SememeError, UsageError
from sememe.shapes import Hits, Place, Record


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> settings.Settings:
    monkeypatch.chdir(tmp_path)
    for name in ("notes", "tickets"):
        folder = tmp_path / "home" / "collections" / name
        folder.mkdir(parents=True)
        (folder / binding.MARK).touch()
    return settings.load({"home": str(tmp_path / "home")})


def test_a_word_is_a_collection_or_a_path(here: settings.Settings, tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir()
    (tmp_path / "a.txt").write_text("x")
    assert sources.where_to_search(["notes"], None, here) == "notes"
    assert sources.where_to_search(["mail"], None, here) == ["mail"]
    assert sources.where_to_search(["a.txt", "mail"], None, here) == ["a.txt", "mail"]
    assert sources.where_to_search([], "tickets", here) == "tickets"
    assert sources.where_to_search(["-"], None, here) == ["-"]


def test_a_word_that_is_both_is_not_guessed(here: settings.Settings, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    with pytest.raises(UsageError) as caught:
        sources.where_to_search(["notes"], None, here)
    assert str(caught.value) == (
        '"notes" is a collection and a file or folder here\n  → the collection:  -c notes\n  → the files:       ./notes'
    )
    assert sources.where_to_search(["./notes"], None, here) == ["./notes"]
    assert sources.where_to_search([], "notes", here) == "notes"


@pytest.mark.parametrize(
    ("words", "collection", "kind", "message"),
    [
        ([], None, UsageError, "where to search is missing"),
        (["a"], "notes", UsageError, "not into both at once"),
        (["ntes"], None, DataError, '"ntes" is neither a collection nor a file or folder here'),
        ([], "ntes", DataError, 'there is no collection "ntes"'),
        (["no/such"], None, DataError, 'there is no file or folder "no/such"'),
    ],
)
def test_sources_that_cannot_be(
    here: settings.Settings, words: list[str], collection: str | None, kind: type[SememeError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        sources.where_to_search(words, collection, here)


def test_the_nearest_collection_is_named(here: settings.Settings) -> None:
    with pytest.raises(DataError) as caught:
        sources.where_to_search([], "ntes", here)
    assert caught.value.do[0] == ("did you mean", "-c notes")
    assert ("there are", "notes, tickets") in caught.value.why


def some_hits() -> Hits:
    records = (
        Record("Rotate the signing key every 90 days.", Place("runbooks/secrets.md", 41, 58), title="Key rotation"),
        Record("short", Place("a.csv", 7, 7, "row")),
    )
    parts = ({"cosine": 0.79, "bm25": 11.2}, {"cosine": 0.66})
    return Hits(("a", "b"), (0.9, 0.3), "hybrid", records, parts, searched=8412, seconds=0.0091)


def test_hits_say_their_kinds_and_stand_in_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert hits.lines(some_hits(), query="rotate keys") == [
        "0.79 cos · 11.2 bm25   runbooks/secrets.md:41-58   Key rotation",
        "  Rotate the signing key every 90 days.",
        "0.66 cos ·    – bm25   a.csv row 7",
        "  short",
    ]
    assert hits.footer(some_hits(), "hybrid") == "2 hits of 8 412 chunks, hybrid, 9 ms"
    assert hits.footer(some_hits()[:1], "hybrid").startswith("1 hit of")


def test_what_stands_around_a_hit_and_why_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    around = [Context(("the line before \x1b[0m", "x" * 80), ("after",)), Context()]
    steps = (Step("cosine", 0.79, 0.29, 0.79, 0.5, 0.5), Step("bm25", 11.2, 0.0, 14.0, 0.5, 0.4))
    words = (Matched("rotate", 2, ("rotate", "rotation")), Matched("keys", 1, ("keys",)))
    explained = [
        Explained("a", 0.9, "hybrid", {}, words, ("api",), steps),
        Explained("b", 1.5, "rerank", {}, (), ()),
    ]
    shown = hits.lines(some_hits(), query="rotate keys", contexts=around, explained=explained)
    assert shown[1:] == [
        "  │ the line before �[0m",
        "  │ " + "x" * 54 + " …",
        "  Rotate the signing key every 90 days.",
        "  │ after",
        "  words: rotate ×2 (rotate, rotation) · keys ×1 · without api",
        "  score: 0.5 × (0.790 − 0.290) / (0.790 − 0.290) + 0.5 × 11.20 / 14.00 = 0.500 + 0.400 = 0.900 hybrid",
        "0.66 cos ·    – bm25   a.csv row 7",
        "  short",
        "  words: none to look for",
        "  order: 1.50 rerank",
    ]


def test_verbose_adds_the_score_that_ranks() -> None:
    assert hits.lines(some_hits(), query="", verbose=True)[0].startswith("0.79 cos · 11.2 bm25 · 0.900 hybrid   ")


def test_one_kind_only() -> None:
    record = Record("x", Place("a.txt"))
    for kind, shown in (("cosine", "0.50 cos"), ("bm25", " 0.5 bm25"), ("rerank", "0.50 rerank")):
        only = Hits(("a",), (0.5,), kind, (record,), ({kind: 0.5},))
        assert hits.lines(only, query="")[0] == f"{shown}   a.txt"


@given(st.text(max_size=2000), st.text(max_size=60), st.integers(20, 120))
def test_a_snippet_is_two_lines_of_the_text(text: str, query: str, width: int) -> None:
    got = hits.snippet(text, query, width=width)
    assert len(got) <= 2
    assert all(len(line) <= width for line in got)
    assert all(line.isprintable() for line in got)
    flat = output.printable(text)
    if len(flat) <= width:
        assert got == ([flat] if flat else [])
    for line in got:
        assert line.removeprefix("… ").removesuffix(" …") in flat


def test_a_snippet_shows_the_best_words() -> None:
    text = "filler words go on " * 40 + "rotate the signing key every ninety days " + "and more filler " * 40
    got = " ".join(hits.snippet(text, "when are signing keys rotated", width=80))
    assert "rotate the signing key" in got
    assert got.startswith("… ")
    assert got.endswith(" …")


def test_escape_sequences_of_a_file_do_not_reach_the_terminal() -> None:
    bad = Record("evil \x1b[2J\x07 text\u202e", Place("a\x1b]0;x\x07.md"), title="t\x9b31m\r\n")
    only = Hits(("a",), (0.5,), "cosine", (bad,), ({"cosine": 0.5},))
    shown = "\n".join(hits.lines(only, query="text"))
    assert not set(shown) & set("\x1b\x07\x9b\r\u202e")


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_forms_for_programs_round_trip(form: str) -> None:
    stream = io.BytesIO()
    hits.write(output.Output(stream), hits.Found({"query": "q"}, some_hits()), form)
    text = stream.getvalue().decode("utf-8")
    if form == "json":
        value = json.loads(text)
        assert (value["query"], value["searched"], value["kind"]) == ("q", 8412, "hybrid")
        assert value["hits"] == [hit.as_dict() for hit in some_hits()]
    elif form == "jsonl":
        assert [json.loads(line) for line in text.splitlines()] == [hit.as_dict() for hit in some_hits()]
    else:
        import csv

        rows = list(csv.DictReader(io.StringIO(text)))
        assert [row["id"] for row in rows] == ["a", "b"]
        assert float(rows[0]["score"]) == 0.9
        assert json.loads(rows[0]["scores"]) == {"cosine": 0.79, "bm25": 11.2}


def test_json_has_no_nan_and_survives_lone_surrogates() -> None:
    stream = io.BytesIO()
    with pytest.raises(ValueError, match="not JSON compliant"):
        output.Output(stream).json(float("nan"))
    output.Output(stream).json("a\ud800b")
    assert json.loads(stream.getvalue()) == "a\ud800b"


def test_undecodable_names_come_out_as_their_bytes() -> None:
    stream = io.BytesIO()
    output.Output(stream).line(os.fsdecode(b"caf\xe9.txt"))
    output.Output(stream).line("\ud800")
    assert stream.getvalue() == b"caf\xe9.txt\n?\n"


def test_an_output_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), output.opened(str(target)) as out:
        out.line("half")
        raise ZeroDivisionError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
    with output.opened(str(target)) as out:
        out.line("whole")
    assert target.read_text() == "whole\n"
    assert list(tmp_path.iterdir()) == [target]


def test_a_reader_that_left_is_known_as_such() -> None:
    class Gone(io.BytesIO):
        def write(self, data: object) -> int:
            raise BrokenPipeError

    with pytest.raises(failures.ReaderLeft):
        output.Output(Gone()).line("x")
    assert failures.report(failures.ReaderLeft()) == 0


def test_lines_for_logs_are_few(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    monkeypatch.setattr(talk.time, "monotonic", lambda: now[0])
    with talk.LineProgress().phase("encode", total=1000, unit="chunks") as phase:
        for _ in range(1000):
            now[0] += 0.01
            phase.advance()
    lines = capsys.readouterr().err.splitlines()
    assert 5 <= len(lines) <= 10
    assert lines[0] == "encode     100 of 1 000 chunks  100 chunks/s"

    now[0] = 0.0
    with talk.LineProgress().phase("read", total=None, unit="files") as phase:
        for _ in range(100):
            now[0] += 1
            phase.advance()
    assert len(capsys.readouterr().err.splitlines()) == 10

    with talk.LineProgress().phase("quick", total=10, unit="files") as phase:
        for _ in range(10):
            now[0] += 0.01
            phase.advance()
    assert capsys.readouterr().err == ""


def test_quiet_says_only_what_was_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = talk.Talk(quiet=True)
    quiet.say("no")
    quiet.detail("no")
    quiet.warn("3 rows skipped")
    with quiet.progress().phase("x", total=1, unit="x") as phase:
        phase.advance()
    assert capsys.readouterr().err == "note: 3 rows skipped\n"


def test_warnings_of_the_library_become_notes(capsys: pytest.CaptureFixture[str]) -> None:
    import warnings

    with talk.warnings_as_notes(talk.Talk()):
        warnings.warn("2 items were cut", UserWarning, stacklevel=1)
        warnings.warn("internal", DeprecationWarning, stacklevel=1)
    assert capsys.readouterr().err == "note: 2 items were cut\n"
