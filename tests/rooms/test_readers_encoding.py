"""Which encoding, and whether it is text at all."""

from __future__ import annotations

import codecs
import hashlib
import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sememe.readers import encoding
from sememe.readers.encoding import decode, storable, survey


def of(data: bytes) -> encoding.Survey:
    return survey(io.BytesIO(data))


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"])))
def test_utf8_is_read_as_it_is_without_a_note(text: str) -> None:
    found = of(text.encode())
    assert (found.encoding, found.note, found.refused) == (found.encoding, "", "")
    assert found.encoding in ("utf-8", "utf-8-sig")
    assert decode(text.encode(), found.encoding) == text.removeprefix("\ufeff")


@pytest.mark.parametrize("codec", ["utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-32-be"])
def test_marks_of_utf16_and_utf32(codec: str) -> None:
    mark = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE, "utf-32-be": codecs.BOM_UTF32_BE}
    data = mark.get(codec, b"") + "Grüße, 世界\r\nzwei".encode(codec)
    found = of(data)
    assert decode(data, found.encoding) == "Grüße, 世界\nzwei"
    assert found.note.startswith("read as UTF-")


def test_cp1252_is_read_with_a_note_that_names_the_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    data = "one\ntwo – “Grüße”\n".encode("cp1252")
    found = of(data)
    assert found.encoding == "cp1252"
    assert found.note == "read as cp1252: line 2 is not UTF-8"
    assert decode(data, found.encoding) == "one\ntwo – “Grüße”\n"
    monkeypatch.setattr(encoding, "BLOCK", 3)
    assert of(data) == found
    assert of(b"caf\xe9 \x81 and more").encoding == "latin-1"


def test_damaged_utf8_stays_utf8_and_says_how_much_is_damaged() -> None:
    data = ("ä" * 40 + "\n").encode() + "ö ü ".encode() + b"\xff broken\n"
    found = of(data)
    assert found.encoding == "utf-8"
    assert found.note == "read as UTF-8; 1 broken characters shown as \ufffd, the first in line 2"


def test_a_replacement_character_that_stands_in_the_file_is_no_damage() -> None:
    assert of("a \ufffd stands here".encode()).note == ""


@pytest.mark.parametrize("size", [30, 100, 1000, 3_000_000])
def test_random_bytes_are_not_text(size: int) -> None:
    for seed in range(20 if size < 1_000_000 else 1):
        data = random.Random(seed).randbytes(size)
        assert of(data).refused.startswith("not text"), seed


@pytest.mark.parametrize("mark", [codecs.BOM_UTF16_LE, codecs.BOM_UTF32_LE, codecs.BOM_UTF8])
def test_random_bytes_behind_a_mark_are_not_text(mark: bytes) -> None:
    assert of(mark + random.Random(1).randbytes(4000)).refused.startswith("not text")


def test_a_zero_byte_or_many_control_characters_are_not_text() -> None:
    assert of(b"text\0text" + b" more" * 1000).refused == "not text"
    assert of(b"ab\x01\x02 " * 100).refused == "not text"
    assert of(b"\x1b[31mred\x1b[0m\n" * 100).refused == ""  # a log with colours


def test_other_single_byte_encodings_are_refused_instead_of_misread() -> None:
    found = of("Привет, как дела у вас сегодня".encode("cp1251"))
    assert found.refused.startswith("not text in UTF-8")
    assert "save it as UTF-8" in found.refused


def test_the_hash_is_that_of_the_bytes_and_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    data = ("x" + "é世" * 1000).encode()
    whole = of(data)
    monkeypatch.setattr(encoding, "BLOCK", 7)
    assert of(data) == whole
    assert whole.hash == hashlib.sha256(data).hexdigest()


def test_line_ends() -> None:
    assert decode(b"a\r\nb\rc\n", "utf-8") == "a\nb\rc\n"
    assert decode(b"a\rb\r", "utf-8") == "a\nb\n"


@given(st.text())
def test_storable_text_can_be_stored_and_good_text_is_left_alone(text: str) -> None:
    assert storable(text).encode("utf-8").decode("utf-8") == text


@given(st.text(alphabet=st.sampled_from("a\ud800\udc00é")))
def test_halves_of_characters_become_whole_ones(text: str) -> None:
    assert storable(text).encode("utf-8") is not None
