"""Streams of word numbers, the vocabulary, the noise and the tree."""

from __future__ import annotations

import heapq
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sememe.errors import DataError, UsageError
from sememe.train import stream as module
from sememe.train.stream import BREAK, END, read_stream
from sememe.train.tree import huffman
from sememe.train.vocabulary import Vocabulary, choose

TEXTS = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=12), min_size=1, max_size=30)


@given(TEXTS, st.integers(1, 4))
def test_a_stream_holds_the_frequent_words_in_order(texts: list[list[str]], least: int) -> None:
    counts = Counter(word for text in texts for word in text)
    frequent = {word for word, count in counts.items() if count >= least}
    if len(frequent) < 2:
        with pytest.raises(DataError):
            read_stream(texts, min_count=least)
        return
    vocabulary, stream = read_stream(texts, min_count=least)
    assert dict(zip(vocabulary.words, vocabulary.counts.tolist(), strict=True)) == {w: counts[w] for w in frequent}
    assert list(vocabulary.counts) == sorted(vocabulary.counts, reverse=True)
    assert vocabulary.dropped == sum(counts.values()) - vocabulary.total
    assert vocabulary.dropped_kinds == len(counts) - len(frequent)
    expected: list[int] = []
    for text in texts:
        expected += [vocabulary.places[word] for word in text if word in frequent]
        expected += [END] if text else []
    assert stream.ids.tolist() == expected
    assert stream.words == vocabulary.total


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [[f"w{n * n % 17}" for n in range(m)] for m in range(1, 60)]
    whole = read_stream(texts, min_count=3)[1]
    monkeypatch.setattr(module, "_TOGETHER", 7)
    parts = read_stream(texts, min_count=3)[1]
    assert parts.ids.tolist() == whole.ids.tolist()
    assert (parts.checksum, parts.texts) == (whole.checksum, whole.texts) == (parts.checksum, 59)


def test_a_long_text_is_broken_but_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST", 4)
    _, stream = read_stream([["a", "b"] * 5, ["a"]], min_count=1)
    assert stream.ids.tolist() == [0, 1, 0, 1, BREAK, 0, 1, 0, 1, BREAK, 0, 1, END, 0, END]
    assert stream.texts == 2


@given(TEXTS, st.integers(1, 40))
def test_segments_cover_the_stream_and_end_with_texts(texts: list[list[str]], size: int) -> None:
    _, stream = read_stream([*texts, ["a", "b"]], min_count=1)
    segments = stream.segments(size)
    assert [place for first, last in segments for place in range(first, last)] == list(range(len(stream.ids)))
    assert all(stream.ids[last - 1] < 0 for _, last in segments)


def test_an_older_vocabulary_stays_in_front() -> None:
    older, _ = read_stream([["a", "b", "a"]], min_count=1)
    vocabulary, stream = read_stream([["c", "b", "c"], ["d"]], min_count=2, older=older)
    assert vocabulary.words == ("a", "b", "c")
    assert vocabulary.counts.tolist() == [2, 2, 2]
    assert (vocabulary.dropped, vocabulary.dropped_kinds) == (1, 1)
    assert stream.ids.tolist() == [2, 1, 2, END, END]


def test_at_most_so_many_words() -> None:
    vocabulary = choose({"a": 3, "b": 5, "c": 4}, min_count=1, max_words=2)
    assert vocabulary.words == ("b", "c") and vocabulary.dropped == 3


def test_frequent_words_are_thinned_by_the_formula() -> None:
    vocabulary = Vocabulary(("a", "b"), np.array([999_000, 1000]))
    chance = vocabulary.keep(1e-3) / 2**32
    share = 1e-3 / 0.999
    assert chance[0] == pytest.approx(share**0.5 + share, rel=1e-6)
    assert chance[1] == pytest.approx(1, rel=1e-6)
    assert (vocabulary.keep(0) == 2**32 - 1).all()
    with pytest.raises(UsageError):
        vocabulary.keep(-1)


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=50))
def test_the_noise_table_has_the_wanted_chances(counts: list[int]) -> None:
    vocabulary = Vocabulary(tuple(map(str, range(len(counts)))), np.array(counts))
    chance, other = vocabulary.noise(0.75)
    drawn = chance / (2**32 - 1)
    total = drawn.copy()
    np.add.at(total, other, 1 - drawn)
    wanted = np.array(counts) ** 0.75
    assert np.allclose(total / len(counts), wanted / wanted.sum(), atol=1e-6)


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=40))
def test_the_tree_is_the_shortest(counts: list[int]) -> None:
    tree = huffman(np.array(counts))
    lengths = np.diff(tree.ends)
    heap = list(counts)
    heapq.heapify(heap)
    cost = 0
    while len(heap) > 1:
        both = heapq.heappop(heap) + heapq.heappop(heap)
        cost += both
        heapq.heappush(heap, both)
    assert int((lengths * counts).sum()) == cost
    ways = {
        tuple(zip(tree.nodes[a:b].tolist(), tree.signs[a:b].tolist(), strict=True))
        for a, b in zip(tree.ends[:-1], tree.ends[1:], strict=True)
    }
    assert set(tree.nodes[tree.ends[:-1]].tolist()) == {len(counts) - 2}  # every way begins at the root
    assert len(ways) == len(counts) and set(tree.nodes.tolist()) == set(range(len(counts) - 1))


def test_nothing_to_learn_is_said() -> None:
    with pytest.raises(DataError, match="words are left"):
        read_stream([], min_count=1)
    older, _ = read_stream([["a", "b"]], min_count=1)
    with pytest.raises(DataError, match="no words"):
        read_stream([["x"]], min_count=5, older=older)
