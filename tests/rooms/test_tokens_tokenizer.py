"""Ids, pieces and offsets against the `tokenizers` library itself; what is cut and what windows cover."""

from __future__ import annotations

import os
import subprocess
import sys
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokens_tiny import KINDS, LINES, backend, tiny, write

from sememe.errors import DataError, UsageError
from sememe.tokens.tokenizer import BATCH_TEXTS

AWKWARD = [
    "",
    " ",
    "\n\t ",
    "\x00",
    "a\x00b",
    "\ud83d",
    "\ud83d\ude00 not a pair here",
    "ﬁne ﬂow Ⅳ",
    "e\u0301te\u0301 a\u0308",
    "👩‍👩‍👧‍👦 family 👍🏽",
    "שלום עולם",
    "مرحبا بالعالم",
    "日本語の文です。",
    "नमस्ते दुनिया",
    "\u202eabc\u202c",
    "the bank [SEP] </s> <s> <pad>",
    "\ufeffstart",
    "﷽",
]
texts = st.text(max_size=60) | st.text(alphabet="the bank of \n.,\ud800é́日👩\u200d", max_size=60)


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_those_of_the_library(kind: str) -> None:
    known = [text for text in LINES + AWKWARD if not any("\ud800" <= character <= "\udfff" for character in text)]
    library, ours = backend(kind), tiny(kind)
    for specials in (True, False):
        expected = [encoding.ids for encoding in library.encode_batch(known, add_special_tokens=specials)]
        assert ours.ids(known, specials=specials) == expected
        assert ours.count(known, specials=specials).tolist() == [len(ids) for ids in expected]
        assert [tokens.ids.tolist() for tokens in ours.encode(known, specials=specials)] == expected


def test_nothing_to_do() -> None:
    ours = tiny("wordpiece")
    assert ours.ids([]) == [] and ours.encode([]) == []
    assert ours.count([]).shape == (0,) and ours.count([]).dtype == np.int32
    (empty,) = ours.encode([""], specials=False)
    assert empty.ids.shape == (0,) and empty.offsets.shape == (0, 2) and empty.special.shape == (0,)


@pytest.mark.parametrize(
    ("kind", "prefix", "suffix"),
    [
        ("wordpiece", ("[CLS]",), ("[SEP]",)),
        ("bytes", ("<s>",), ("</s>",)),
        ("unigram", (), ("</s>",)),
        ("plain", (), ()),
        ("metaspace", ("<s>",), ()),
    ],
)
def test_specials_around_a_text(kind: str, prefix: tuple[str, ...], suffix: tuple[str, ...]) -> None:
    ours = tiny(kind)
    assert tuple(map(ours.piece, ours.prefix)) == prefix
    assert tuple(map(ours.piece, ours.suffix)) == suffix
    assert ours.specials == len(prefix + suffix)
    (tokens,) = ours.encode(["bank"])
    assert tokens.special.tolist() == [
        *[True] * len(prefix),
        *[False] * (len(tokens) - ours.specials),
        *[True] * len(suffix),
    ]


def test_more_texts_than_one_batch_keep_their_order() -> None:
    ours = tiny("wordpiece")
    many = [LINES[i % 7][: i % 50] for i in range(2 * BATCH_TEXTS + 3)]
    assert ours.ids(many) == [ours.ids([text])[0] for text in many]


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(text=texts)
def test_offsets_count_characters_of_the_string(kind: str, text: str) -> None:
    (tokens,) = tiny(kind).encode([text])
    starts, ends = tokens.offsets[~tokens.special].T
    assert (starts >= 0).all() and (starts <= ends).all() and (ends <= len(text)).all()
    assert (np.diff(starts) >= 0).all() and (np.diff(ends) >= 0).all()
    if kind == "bytes":  # loses nothing
        covered = {i for start, end in zip(starts, ends, strict=True) for i in range(start, end)}
        assert {i for i, character in enumerate(text) if not character.isspace()} <= covered


def _bare(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text.lower())
    return "".join(character for character in decomposed if unicodedata.category(character) != "Mn")


def test_a_piece_stands_for_its_characters() -> None:
    text = "\ud800 👩‍👩 Die HÄUSER, das Cafe\u0301 (東京)\x00 internationalization!"
    (tokens,) = tiny("wordpiece").encode([text])
    known = [
        (piece.removeprefix("##"), text[start:end])
        for piece, (start, end), special in zip(tokens.pieces, tokens.offsets.tolist(), tokens.special, strict=True)
        if not special and piece != "[UNK]"
    ]
    assert len(known) > 15
    assert [piece for piece, _ in known] == [_bare(surface) for _, surface in known]


def test_a_character_of_several_tokens_stands_in_each() -> None:
    (tokens,) = tiny("bytes").encode(["a👍b"], specials=False)
    assert tokens.offsets.tolist() == [[0, 1], [1, 2], [1, 2], [1, 2], [1, 2], [2, 3]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_lone_surrogate_is_read_as_the_replacement_character(kind: str) -> None:
    ours = tiny(kind)
    broken, mended = ["fine", "a \ud83d\ude00 b", "\udfff"], ["fine", "a \ufffd\ufffd b", "\ufffd"]
    assert ours.ids(broken) == ours.ids(mended)
    for one, other in zip(ours.encode(broken), ours.encode(mended), strict=True):
        assert one.offsets.tolist() == other.offsets.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_a_million_characters_without_a_space(kind: str) -> None:
    (count,) = tiny(kind).count(["ab" * 500_000])
    assert count >= 1


def test_what_is_no_list_of_strings_is_refused() -> None:
    ours = tiny("wordpiece")
    with pytest.raises(UsageError, match="not one string"):
        ours.ids("text")
    for wrong in (5, None, b"bytes", ("a", "pair"), ["a", "b"], float("nan")):
        with pytest.raises(DataError, match="text 1 is no string"):
            ours.count(["fine", wrong])


@pytest.mark.parametrize("kind", ["wordpiece", "bytes", "unigram", "metaspace"])
def test_decoding(kind: str) -> None:
    ours, text = tiny(kind), "the river bank"
    (ids,) = ours.ids([text])
    assert ours.decode(ids) == text
    assert len(ours.decode(ids, skip_special=False)) > len(ours.decode(ids))


def test_pieces_and_ids_outside_the_vocabulary() -> None:
    ours = tiny("wordpiece")
    assert ours.piece(ours.id("[SEP]")) == "[SEP]"
    for number in (-1, ours.vocab_size, 2**40):
        with pytest.raises(UsageError, match=f"ids go from 0 to {ours.vocab_size - 1}"):
            ours.piece(number)
        with pytest.raises(UsageError, match="is no id"):
            ours.decode([0, number])
    for piece in ("no such piece", "\ud800"):
        with pytest.raises(UsageError, match="has no piece"):
            ours.id(piece)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(text=texts, limit=st.integers(3, 20))
def test_cut_is_the_truncation_of_the_library(kind: str, text: str, limit: int) -> None:
    ours, theirs = tiny(kind), backend(kind)
    theirs.enable_truncation(limit)
    (ids,) = ours.ids([text])
    cut = ours.cut(ids, limit)
    assert cut == theirs.encode("".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)).ids
    assert len(ids) - len(cut) == ours.dropped(len(ids), limit)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(text=texts, limit=st.integers(3, 20), overlap=st.integers(0, 10))
def test_windows_cover_all_tokens_once_and_share_the_overlap(kind: str, text: str, limit: int, overlap: int) -> None:
    ours = tiny(kind)
    overlap = min(overlap, limit - ours.specials - 1)
    (ids,) = ours.ids([text])
    windows = ours.windows(ids, limit, overlap)
    bare = []
    for window in windows:
        assert len(window) <= limit
        assert tuple(window[: len(ours.prefix)]) == ours.prefix
        assert tuple(window[len(window) - len(ours.suffix) :]) == ours.suffix
        bare.append(window[len(ours.prefix) : len(window) - len(ours.suffix)])
    joined = list(bare[0])
    for before, after in pairwise(bare):
        assert before[len(before) - overlap :] == after[:overlap]
        assert len(before) == limit - ours.specials
        assert len(after) > overlap
        joined += after[overlap:]
    assert joined == ids[len(ours.prefix) : len(ids) - len(ours.suffix)]


def test_limits_that_leave_no_room() -> None:
    ours = tiny("wordpiece")
    (ids,) = ours.ids(["the river bank"])
    assert ours.cut(ids, 2) == [*ours.prefix, *ours.suffix]
    with pytest.raises(UsageError, match="limit of 1 tokens is too small"):
        ours.cut(ids, 1)
    for limit, overlap in ((2, 0), (4, 2), (4, -1)):
        with pytest.raises(UsageError, match="cannot overlap"):
            ours.windows(ids, limit, overlap)
    for method in (ours.cut, ours.windows):
        with pytest.raises(UsageError, match="no special tokens"):
            method(ids[1:], 3)


def test_threads_may_share_a_tokenizer() -> None:
    ours = tiny("unigram")
    expected = ours.ids(LINES)
    with ThreadPoolExecutor(4) as pool:
        assert all(ids == expected for ids in pool.map(lambda _: ours.ids(LINES), range(40)))


_FORK = """
import os, sys
from pathlib import Path
from sememe.tokens.tokenizer import Tokenizer
before = dict(os.environ)
tokenizer = Tokenizer.load(Path(sys.argv[1]))
texts = ["the bank of the river"] * 2000
expected = tokenizer.ids(texts)
child = os.fork()
if not child:
    os._exit(0 if tokenizer.ids(texts) == expected and dict(os.environ) == before else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_goes_on_without_a_word(tmp_path: Path) -> None:
    write(tmp_path, backend("wordpiece").to_str())
    quiet = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    run = subprocess.run([sys.executable, "-c", _FORK, str(tmp_path)], capture_output=True, timeout=60, env=quiet)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")


def test_importing_the_room_imports_no_tokenizers_library() -> None:
    code = "import sys, sememe.tokens.tokenizer, sememe.tokens.chunks; sys.exit('tokenizers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_it_shows_itself() -> None:
    assert "260 ids, 2 specials" in repr(tiny("wordpiece"))
