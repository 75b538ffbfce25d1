"""One file, whatever it is and whatever happens to it: items, or a reason."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sememe.errors import DataError
from sememe.readers.formats import BY_SUFFIX, format_of
from sememe.readers.read import ReadOptions, file_hash, read
from sememe.readers.source import Reading, Source
from sememe.readers.walk import walk
from sememe.shapes import Place, Skipped


def reading(folder: Path, name: str, data: bytes | str, options: ReadOptions | None = None) -> Reading:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read(walk([path]).files[0], options or ReadOptions())


def test_a_text_file_is_one_item(tmp_path: Path) -> None:
    found = reading(tmp_path, "a.txt", "\n\nFirst line.\r\n  second\n\n")
    (item,) = found.items
    assert (item.text, item.id, item.title) == ("First line.\n  second", "a.txt", "a")
    assert item.place == Place("a.txt", 3, 4)
    assert str(item.where(13, 20)) == "a.txt:4"
    assert found.hash == hashlib.sha256((tmp_path / "a.txt").read_bytes()).hexdigest()
    assert (found.skipped, found.notes) == ((), ())


def test_source_code_keeps_its_indentation_and_its_file_name_as_title(tmp_path: Path) -> None:
    (item,) = reading(tmp_path, "m.py", "\n    x = 1\ny = 2\n").items
    assert (item.text, item.title, item.place) == ("    x = 1\ny = 2", "m.py", Place("m.py", 2, 3))


def test_unknown_suffixes_are_read_when_they_hold_text(tmp_path: Path) -> None:
    assert reading(tmp_path, "Makefile", "all:\n\ttrue\n").items[0].text == "all:\n\ttrue"
    assert reading(tmp_path, "a.xyz", "words").items[0].id == "a.xyz"
    assert reading(tmp_path, "b.docx", b"PK\x03\x04\0\0").skipped == (
        Skipped("b.docx", "not text (no reader for .docx)"),
    )


def test_random_bytes_called_txt_are_not_text(tmp_path: Path) -> None:
    found = reading(tmp_path, "r.txt", random.Random(0).randbytes(2000))
    assert found.skipped == (Skipped("r.txt", "not text"),)
    assert found.items == ()


@pytest.mark.parametrize(
    "suffix", sorted({".txt", ".md", ".rst", ".html", ".pdf", ".csv", ".jsonl", ".json", ".parquet", ".py", ""})
)
def test_an_empty_file_is_called_empty_whatever_its_suffix(tmp_path: Path, suffix: str) -> None:
    assert reading(tmp_path, f"e{suffix}", b"").skipped == (Skipped(f"e{suffix}", "empty"),)


@pytest.mark.parametrize("suffix", [".txt", ".md", ".rst", ".html", ".csv", ".jsonl", ".py"])
def test_white_space_is_nothing_to_read(tmp_path: Path, suffix: str) -> None:
    found = reading(tmp_path, f"w{suffix}", " \n\t\n ")
    assert not found.items
    assert len(found.skipped) == 1


def test_a_file_over_the_limit_is_named_with_the_option_that_lifts_it(tmp_path: Path) -> None:
    found = reading(tmp_path, "big.txt", "x" * 2000, ReadOptions(max_bytes=1999))
    assert found.skipped == (Skipped("big.txt", "2.0 kB, over the limit of 2.0 kB (the option max_bytes lifts it)"),)
    assert reading(tmp_path, "big.txt", "x" * 2000, ReadOptions(max_bytes=2000)).items


def test_two_gigabytes_in_one_line_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    with path.open("wb") as stream:
        stream.truncate(2_000_000_000)  # sparse: takes no room on disk
    assert "over the limit of 64.0 MB" in read(walk([path]).files[0]).skipped[0].reason


def test_a_file_that_vanishes_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("here")
    (source,) = walk([tmp_path / "a.txt"]).files
    source.path.unlink()
    assert read(source).skipped == (Skipped("a.txt", "it is no longer there"),)
    assert file_hash(source) == ""


def test_a_file_that_is_a_folder_or_a_pipe_now_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("here")
    (source,) = walk([tmp_path / "a.txt"]).files
    source.path.unlink()
    source.path.mkdir()
    assert read(source).skipped[0].reason in ("is a directory", "not a file but a folder")
    source.path.rmdir()
    os.mkfifo(source.path)
    assert read(source).skipped == (Skipped("a.txt", "not a file but a pipe"),)


def test_a_file_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("here")
    (source,) = walk([tmp_path / "a.txt"]).files

    def refusing(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refusing)
    assert read(source).skipped == (Skipped("a.txt", "permission denied"),)


def test_a_disk_that_fails_in_the_middle_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("here")
    (source,) = walk([tmp_path / "a.txt"]).files

    def failing(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("sememe.readers.read.survey", failing)
    assert read(source).skipped == (Skipped("a.txt", "input/output error"),)


def test_unclear_columns_are_an_error_for_a_given_file_and_a_reason_for_a_found_one(tmp_path: Path) -> None:
    table = "a,b\nsome words in here,some words in there\n"
    with pytest.raises(DataError, match=r"not clear which column of t\.csv"):
        reading(tmp_path, "t.csv", table)
    (source,) = walk([tmp_path]).files
    found = read(source)
    assert not found.items
    assert found.skipped[0].reason.startswith("it is not clear which column of")


def test_the_hash_alone_is_that_of_the_reading(tmp_path: Path) -> None:
    found = reading(tmp_path, "a.md", "# Title\nwith a few words below it\n")
    assert file_hash(found.source) == found.hash != ""


def test_a_name_that_climbs_is_only_a_name(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("inside")
    found = read(Source(tmp_path / "a.txt", "../../etc/x.txt", 6, 0))
    assert found.items[0].id == "../../etc/x.txt"
    assert found.items[0].text == "inside"


SUFFIXES = [*sorted(BY_SUFFIX), "", ".unknown", ".TXT"]
JUNK = st.one_of(
    st.binary(max_size=400),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(
        st.sampled_from(
            b', \n " { } [ ] : text # --- < > 1e999 NaN ``` = %PDF- PAR1 \r \t <!-- <h1> null id'.split(b" ")
        ),
        max_size=40,
    ).map(b"".join),
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SUFFIXES), JUNK, st.booleans())
@example(".pdf", b"%PDF-1.4\n%%EOF", False)
@example(".json", b"[" * 100_000, False)
@example(".jsonl", b'{"a":' * 50_000, False)
@example(".html", b"<![foo[<!x", False)
@example(".json", b"1" * 10_000, False)
@example(".jsonl", b'{"text": ' + b"1" * 10_000 + b"}", False)
@example(".parquet", b"PAR1" + b"\xff" * 50 + b"PAR1", False)
def test_junk_under_any_suffix_gives_items_or_reasons(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, data: bytes, named: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / f"junk{suffix}"
    path.write_bytes(data)
    try:
        found = read(Source(path, path.name, len(data), 0, named))
    except DataError:
        assert named
        return
    assert found.items or found.skipped
    ids = [item.id for item in found.items]
    assert len(set(ids)) == len(ids)
    for item in found.items:
        assert item.text.strip()
        assert item.text.encode("utf-8")
        assert item.place.start >= 1
        assert item.place.end >= item.place.start
        where = item.where(0, len(item.text))
        assert (where.start, where.end) == (item.place.start, item.place.end)


def test_a_suffix_counts_whatever_its_case_and_a_dot_alone_is_none() -> None:
    assert format_of("a/B.MD") is format_of("b.md") is not None
    assert format_of("a.b/c") is None
    assert format_of(".md") is None
