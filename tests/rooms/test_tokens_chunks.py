"""Chunks: what holds for every text and every kind of tokenizer, and examples that a reader can check by eye."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokens_tiny import KINDS, LINES, backend, tiny, write

from sememe.errors import DataError, UsageError
from sememe.shapes import Chunk
from sememe.tokens import chunks as room
from sememe.tokens.chunks import chunk, chunk_many
from sememe.tokens.tokenizer import Tokenizer

words = st.sampled_from(["the", "bank", "river.", "internationalization", "houses,", "e.g.", "3.5", "Häuser", "No!"])
odd = st.sampled_from(
    [
        "日本語の文です。",
        "東京",
        "👩‍👩‍👧‍👦",
        "e\u0301\u0323",
        "\x00",
        "\ud83d",
        "שלום",
        "नमस्ते।",
        "x" * 130,
        "ab" * 30,
        "ﬁ",
        "\u200b",
        "\ufffd",
    ]
)
gaps = st.sampled_from(
    [" ", " ", " ", "", "\n", "\n\n", "\r\n\r\n", "   ", "\t", "\u00a0", "\u3000", "\n" * 40, "\x1c"]
)
prose = st.lists(st.tuples(words | words | odd | st.text(max_size=4), gaps), max_size=90).map(
    lambda parts: "".join(word + gap for word, gap in parts)
)


def _one(text: str, tokenizer: Tokenizer) -> int:
    return int(tokenizer.count([text], specials=False)[0])


def _check_spans(text: str, found: Sequence[Chunk]) -> None:
    covered = bytearray(len(text))
    for part in found:
        assert text[part.start : part.end] == part.text == part.text.strip() != ""
        covered[part.start : part.end] = b"\x01" * (part.end - part.start)
    assert [i for i, character in enumerate(text) if not covered[i] and not character.isspace()] == []
    for before, after in pairwise(found):
        assert before.start < after.start and before.end < after.end


def _check_tokens(text: str, found: Sequence[Chunk], tokenizer: Tokenizer, size: int, overlap: int) -> None:
    for part in found:
        assert part.tokens == _one(part.text, tokenizer) <= size
    for before, after in pairwise(found):
        if after.start < before.end:
            assert _one(text[after.start : before.end], tokenizer) <= overlap


def _check_boundaries(text: str, found: Sequence[Chunk], tokenizer: Tokenizer) -> None:
    stripped = text.strip()
    indent = text.index(stripped)
    (offsets,) = tokenizer.offsets([stripped])
    inside = bytearray(len(text) + 1)
    for start, end in offsets:
        surface = stripped[start:end]
        start, end = end - len(surface.lstrip()), start + len(surface.rstrip())
        inside[indent + start + 1 : indent + end] = b"\x01" * max(0, end - start - 1)
    assert [part for part in found if inside[part.start] or inside[part.end]] == []


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(text=prose, size=st.integers(8, 40), share=st.floats(0, 0.99))
def test_what_holds_for_every_text(kind: str, text: str, size: int, share: float) -> None:
    tokenizer, overlap = tiny(kind), int(size * share)
    found = chunk(text, tokenizer, size=size, overlap=overlap)
    _check_spans(text, found)
    _check_tokens(text, found, tokenizer, size, overlap)
    _check_boundaries(text, found, tokenizer)
    stripped = text.strip()
    fits = _one(stripped, tokenizer) <= size
    assert (len(found) <= 1) == (not stripped or fits)
    if stripped and fits:
        assert [part.text for part in found] == [stripped]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(texts=st.lists(prose, max_size=5))
def test_many_texts_are_cut_like_each_alone(kind: str, texts: list[str]) -> None:
    tokenizer = tiny(kind)
    together = chunk_many(texts, tokenizer, size=12, overlap=3)
    assert together == [chunk(text, tokenizer, size=12, overlap=3) for text in texts]


def _parts(text: str, *, size: int = 8, overlap: int = 0) -> list[str]:
    return [part.text for part in chunk(text, tiny("words"), size=size, overlap=overlap)]


def test_no_chunk_of_nothing_and_one_of_a_short_text() -> None:
    tokenizer = tiny("words")
    assert chunk("", tokenizer) == chunk(" \n\t\u3000", tokenizer) == []
    assert chunk("\n  a short text \n", tokenizer) == [Chunk("a short text", 3, 15, 3)]


def test_a_chunk_ends_at_the_last_paragraph_of_its_second_half() -> None:
    text = "a b. c d\n\nE f. g h i. J k l m n"  # a full stop counts as a token
    assert _parts(text, size=9) == ["a b. c d", "E f. g h i.", "J k l m n"]


def test_a_paragraph_that_ends_in_the_first_half_does_not_count() -> None:
    assert _parts("a b c\n\nd e f g h i j") == ["a b c\n\nd e f g h", "i j"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b c d e. F\ng h i j k l", ["a b c d e.", "F\ng h i j k l"]),
        ("a b c d e\nf g h i j", ["a b c d e", "f g h i j"]),
        ("a b c d e, f g, h i", ["a b c d e, f", "g, h i"]),
        ("a b c d e f-g h i j", ["a b c d e f-g", "h i j"]),
        ("a b c d e f g h! i", ["a b c d e f g", "h! i"]),
        ("a-b-c-d-e-f", ["a-b-c-d-", "e-f"]),
    ],
)
def test_else_at_a_sentence_a_line_a_word_a_token(text: str, expected: list[str]) -> None:
    assert _parts(text) == expected


def test_a_word_is_kept_whole_where_it_can_be() -> None:
    text = "the bank of the river internationalizationing the bank"
    parts = [part.text for part in chunk(text, tiny("bytes"), size=12, overlap=0)]
    assert parts == ["the bank of the river", "internationalizationing the bank"]


def test_an_overlap_starts_at_a_sentence_else_at_a_word() -> None:
    text = "a b c. D e. F g h i. J k l m n."
    assert _parts(text, size=9, overlap=4) == ["a b c. D e.", "D e. F g h i.", "g h i. J k l m", "J k l m n."]
    river = chunk("the bank of the river internationalizationing the bank", tiny("bytes"), size=12, overlap=5)
    assert river[1].text.startswith("of the river")


def test_an_overlap_is_at_most_what_was_asked_for() -> None:
    text = " ".join("abcdefghijklmnopqrstuvwxyz")
    assert _parts(text, size=10, overlap=3) == [
        "a b c d e f g h i j",
        "h i j k l m n o p q",
        "o p q r s t u v w x",
        "v w x y z",
    ]


def test_white_space_between_chunks_belongs_to_none() -> None:
    text = "a b c d e f g h" + "\n" * 500 + "i j k l m n o p"
    found = chunk(text, tiny("bytes"), size=9, overlap=0)
    assert "".join(part.text for part in found).count("\n") == 0


def test_a_text_longer_than_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n\n".join(LINES)
    whole = chunk(text, tiny("wordpiece"), size=16, overlap=4)
    monkeypatch.setattr(room, "_PIECE", 60)
    assert chunk(text, tiny("wordpiece"), size=16, overlap=4) == whole
    for kind in KINDS:
        found = chunk(text, tiny(kind), size=16, overlap=4)
        _check_spans(text, found)
        _check_tokens(text, found, tiny(kind), 16, 4)


def test_a_character_that_does_not_fit_is_named(tmp_path: Path) -> None:
    described = {**json.loads(backend("bytes").to_str()), "normalizer": {"type": "NFKC"}}
    tokenizer = Tokenizer.load(write(tmp_path, json.dumps(described)))
    text = "the bank \ufdfa of the river and the houses"  # one character that NFKC makes eighteen of
    with pytest.raises(DataError, match="cannot be cut into chunks of 8 tokens") as raised:
        chunk(text, tokenizer, size=8, overlap=0)
    assert "(1 characters) has 33 tokens" in str(raised.value)
    found = chunk(text, tokenizer, size=40, overlap=0)
    _check_spans(text, found)
    _check_tokens(text, found, tokenizer, 40, 0)


def test_a_token_that_is_several_by_itself_is_cut_again() -> None:
    # A tokenizer that sees one token in a text, and twenty in the same characters alone.
    class Splitting(_Counting):
        def offsets(self, texts: Sequence[str]) -> Iterator[list[tuple[int, int]]]:
            for text in texts:
                if text == "x" * 20:
                    yield [(i, i + 1) for i in range(20)]
                else:
                    yield [(at, at + len(word)) for word in text.split() for at in [text.index(word)]]

        def count(self, texts: Sequence[str], *, specials: bool = True):
            return np.array([len(text) if set(text) == {"x"} else 20 * text.count("x" * 20) + 1 for text in texts])

    text = "one " + "x" * 20 + " two"
    found = chunk(text, Splitting(tiny("words")), size=8, overlap=2)  # type: ignore[arg-type]
    assert [part.text for part in found] == ["one", "x" * 8, "x" * 8, "x" * 4, "two"]
    _check_spans(text, found)


@pytest.mark.parametrize(("size", "overlap"), [(7, 0), (0, 0), (-5, 0), (16, 16), (16, 99), (16, -1)])
def test_sizes_that_make_no_sense(size: int, overlap: int) -> None:
    with pytest.raises(UsageError) as raised:
        chunk("text", tiny("words"), size=size, overlap=overlap)
    assert str(size) in str(raised.value) and raised.value.do


def test_what_is_no_list_of_strings_is_refused() -> None:
    with pytest.raises(UsageError, match="not one string"):
        chunk_many("text", tiny("words"))
    with pytest.raises(DataError, match="text 1 is no string"):
        chunk_many(["fine", None], tiny("words"))  # type: ignore[list-item]


class _Counting:
    """A tokenizer that counts the characters it is given and the calls."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer, self.characters, self.calls = tokenizer, 0, 0

    def _note(self, texts: Sequence[str]) -> None:
        self.calls += 1
        self.characters += sum(map(len, texts))

    def count(self, texts: Sequence[str], *, specials: bool = True):
        self._note(texts)
        return self.tokenizer.count(texts, specials=specials)

    def offsets(self, texts: Sequence[str]) -> Iterator[list[tuple[int, int]]]:
        self._note(texts)
        return self.tokenizer.offsets(texts)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "text",
    [
        "\n\n".join(LINES * 4),
        "ab" * 6000,
        "日本語です。" * 1200,
        "word" + "\n" * 20000 + "next",
        "a " * 6000,
        "👩‍👩‍👧" * 2000,
    ],
)
def test_the_work_grows_with_the_text_and_not_faster(kind: str, text: str) -> None:
    counting = _Counting(tiny(kind))
    chunk(text, counting, size=64, overlap=8)  # type: ignore[arg-type]
    assert counting.characters <= 6 * len(text)


def test_short_texts_are_counted_in_one_call() -> None:
    counting = _Counting(tiny("wordpiece"))
    chunk_many(LINES, counting)  # type: ignore[arg-type]
    assert (counting.calls, counting.characters) == (1, sum(map(len, LINES)))
