"""Corpora: what is read, in which order, and what is refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from sememe.errors import DataError, UsageError
from sememe.train import corpus as module
from sememe.train.corpus import corpus, sentences

zstandard = pytest.importorskip("zstandard")


def test_words_are_letters_or_digits_in_lower_case(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The cat's 3 lives — all_of them.\n\n  \nÜber ALLES\n", "utf-8")
    assert list(corpus(tmp_path / "a.txt")) == [["the", "cat's", "3", "lives", "all", "of", "them"], ["über", "alles"]]


def test_words_by_spaces_keep_everything(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("New_York , 3.5 !\n", "utf-8")
    assert list(corpus(tmp_path / "a.txt", words="spaces", lower=False)) == [["New_York", ",", "3.5", "!"]]


def test_a_folder_is_read_in_the_order_of_names_packed_or_not(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.txt").write_text("one", "utf-8")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"two"))
    (tmp_path / "c.txt.zst").write_bytes(zstandard.compress(b"three"))
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(b'{"text": "four"}\n\n"five"\n'))
    (tmp_path / "deep" / "e.md").write_text("six", "utf-8")
    (tmp_path / "f.png").write_bytes(b"\x89PNG")
    given = corpus(tmp_path)
    assert list(given) == [["one"], ["two"], ["three"], ["four"], ["five"], ["six"]]
    assert list(given) == list(given)  # from the start each time


def test_a_text_without_line_ends_is_cut_at_spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_LINE", 50)
    monkeypatch.setattr(module, "_BLOCK", 64)
    words = [f"w{n}" for n in range(200)]
    (tmp_path / "a.txt").write_text(" ".join(words), "utf-8")
    lines = list(corpus(tmp_path / "a.txt", words="spaces"))
    assert [word for line in lines for word in line] == words
    assert len(lines) > 10


def test_blocks_do_not_cut_letters_or_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 3)
    (tmp_path / "a.txt").write_text("äöü ßé\r\nñ 日本語\n", "utf-8")
    assert list(corpus(tmp_path / "a.txt")) == [["äöü", "ßé"], ["ñ", "日本語"]]


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.txt", b"good\n\xff\xfe bad", "no UTF-8"),
        ("a.txt.gz", gzip.compress(b"words " * 1000, mtime=0)[:-9], "damaged"),
        ("a.txt.gz", b"no gzip at all", "damaged"),
        ("a.txt.zst", b"no zstandard at all", "damaged"),
        ("a.jsonl", b'{"text": "x"}\n{broken\n', "a.jsonl:2 is no JSON"),
        ("a.jsonl", b'{"body": "x"}\n', 'no text in "text"'),
        ("a.jsonl", b'{"text": 3}\n', 'no text in "text"'),
        ("a.jsonl", b"[" * 100_000, "is no JSON"),
    ],
)
def test_what_is_broken_is_named(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError) as caught:
        list(corpus(tmp_path / name))
    assert says in caught.value.what and name in caught.value.what


def test_another_field(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"body": "x y"}), "utf-8")
    assert list(corpus(tmp_path / "a.jsonl", field="body")) == [["x", "y"]]


def test_what_cannot_be_a_corpus(tmp_path: Path) -> None:
    for ask in (
        lambda: corpus(),
        lambda: list(corpus(tmp_path / "nothing.txt")),
        lambda: list(corpus(tmp_path)),
        lambda: corpus(tmp_path, words="letters"),
        lambda: list(sentences("a text alone")),
    ):
        with pytest.raises(UsageError):
            ask()


def test_texts_and_lists_of_words_are_a_corpus() -> None:
    assert list(sentences(["A b.", "C"])) == [["a", "b"], ["c"]]
    assert list(sentences([["A", "b."]])) == [["A", "b."]]
