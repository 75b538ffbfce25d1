"""Vectors of tokens, late chunking and late interaction."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sememe import settings
from sememe.cli.session import Session
from sememe.cli.talk import Talk
from sememe.encoders.load import load_encoder
from sememe.encoders.tokens import LateReranker, TokenEncoder, maxsim
from sememe.errors import DataError, UsageError
from tests import tiny_bert

TEXT = "the boat at the bank of the river stone bread the cat"


def _open(folder: Path, **how: Any) -> Any:
    return load_encoder(tiny_bert.write(folder, **how), precision="f32", threads=2, home=folder.parent, offline=True)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return _open(tmp_path_factory.mktemp("tokens") / "m", normalize=False, prompts={"query": "The House: "})


def test_the_mean_over_all_tokens_is_the_item(encoder: Any) -> None:
    texts = ["", "Bank", *tiny_bert.texts(40, seed=1, longest=8)]
    for role in ("document", "query"):
        found = TokenEncoder(encoder).encode(texts, role=role, on_long="cut")
        means = np.stack([one.vectors.mean(axis=0) for one in found])
        np.testing.assert_allclose(means, encoder.encode(texts, role=role, on_long="cut"), atol=1e-5)
        assert [len(one) for one in found] == [len(one.vectors) for one in found]


def test_pieces_and_places(encoder: Any) -> None:
    document, query = (TokenEncoder(encoder).encode([TEXT], role=role)[0] for role in ("document", "query"))
    assert document.pieces == ("[CLS]", *TEXT.split(), "[SEP]")
    assert [TEXT[start:end] for start, end in document.offsets[~document.added]] == TEXT.split()
    assert np.flatnonzero(document.added).tolist() == [0, len(document) - 1]
    # the prompt's tokens are there, and count as added
    assert query.pieces == ("[CLS]", "the", "house", ":", *TEXT.split(), "[SEP]")
    assert [TEXT[start:end] for start, end in query.offsets[~query.added]] == TEXT.split()
    assert not query.offsets[query.added].any()


def test_a_long_item_is_refused_or_cut_by_name(encoder: Any) -> None:
    long = "the boat " * 20
    with pytest.raises(DataError, match=r"item 1 is longer") as caught:
        TokenEncoder(encoder).encode(["cat", long])
    assert "42 tokens, the limit is 24" in str(caught.value)
    (found,) = TokenEncoder(encoder).encode([long], on_long="cut")
    assert (len(found), found.dropped, found.pieces[-1]) == (24, 18, "[SEP]")
    with pytest.raises(UsageError, match="on_long"):
        TokenEncoder(encoder).encode(["cat"], on_long="mean")
    assert TokenEncoder(encoder).encode([]) == []


def test_late_chunks_are_means_of_tokens_that_saw_everything(encoder: Any) -> None:
    tokens = TokenEncoder(encoder)
    spans = [(0, 8), (9, 20), (0, len(TEXT)), (3, 3)]
    vectors = tokens.encode_chunks(TEXT, spans)
    (whole,) = tokens.encode([TEXT])
    words = [TEXT[start:end] for start, end in whole.offsets]
    for row, (start, end) in enumerate(spans[:3]):
        inside = [at for at, (a, b) in enumerate(whole.offsets) if b > a and a < end and b > start]
        assert " ".join(words[at] for at in inside) == TEXT[start:end].strip()
        np.testing.assert_allclose(vectors[row], whole.vectors[inside].mean(axis=0), atol=1e-5)
    assert not vectors[3].any()  # nothing stands between a place and itself
    alone = encoder.encode([TEXT[9:20]])
    assert np.abs(alone[0] - vectors[1]).max() > 0.05  # what is around it was seen


def test_late_chunks_of_a_text_of_several_windows(encoder: Any) -> None:
    """Each token's vector is that of the window in which it stands furthest from a cut, looked for by hand."""
    words = tiny_bert.WORDS * 5
    text = " ".join(words)
    starts = np.cumsum([0, *(len(word) + 1 for word in words)])[:-1]
    spans = [(int(start), int(start) + len(word)) for start, word in zip(starts, words, strict=True)]
    tokens = TokenEncoder(encoder)
    vectors = tokens.encode_chunks(text, spans)
    room = encoder.max_tokens - 2
    begins = list(range(0, len(words) - room // 2, room - room // 2))
    windows = tokens.encode([" ".join(words[begin : begin + room]) for begin in begins])
    for at in range(len(words)):
        best: tuple[int, Any] = (-1, None)
        for begin, window in zip(begins, windows, strict=True):
            if begin <= at < begin + len(window) - 2:
                before = at - begin if begin else 10**6
                after = begin + len(window) - 3 - at if begin != begins[-1] else 10**6
                if min(before, after) > best[0]:
                    best = (min(before, after), window.vectors[1 + at - begin])
        np.testing.assert_allclose(vectors[at], best[1], atol=1e-5, err_msg=str(at))


def test_late_chunks_go_the_whole_way(tmp_path: Path) -> None:
    dense = {"in_features": 32, "out_features": 8, "activation_function": "torch.nn.modules.activation.Tanh"}
    encoder = _open(tmp_path / "m", after=[("Dense", dense)])
    vectors = TokenEncoder(encoder).encode_chunks(TEXT, [(0, 8), (0, len(TEXT))])
    assert vectors.shape == (2, 8)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    with pytest.raises(UsageError, match="does not pool by the mean"):
        TokenEncoder(_open(tmp_path / "cls", pooling="cls")).encode_chunks(TEXT, [(0, 8)])
    for span in ((-1, 3), (3, 2), (0, 99)):
        with pytest.raises(UsageError, match="not within"):
            TokenEncoder(encoder).encode_chunks(TEXT, [span])


def test_maxsim_is_the_sum_of_the_best_cosines() -> None:
    random = np.random.default_rng(1)
    query, text = random.normal(size=(3, 5)).astype(np.float32), random.normal(size=(7, 5)).astype(np.float32)
    expected = 0.0
    for q in query:
        expected += max(float(q @ t / (np.linalg.norm(q) * np.linalg.norm(t))) for t in text)
    assert maxsim(query, text) == pytest.approx(expected, abs=1e-5)
    assert maxsim(query[:0], text) == maxsim(query, text[:0]) == 0.0


def test_late_interaction_puts_a_text_with_the_same_words_first(encoder: Any) -> None:
    texts = ["stone bread", "", "the boat at the bank", "money"]
    scores = LateReranker(encoder)("boat bank", texts)
    assert max(range(4), key=scores.__getitem__) == 2
    assert scores[1] == 0.0
    assert all(-1 <= score <= 1 for score in scores)
    (asked,) = TokenEncoder(encoder).encode(["boat bank"], role="query")
    (found,) = TokenEncoder(encoder).encode([texts[3]])
    assert scores[3] == pytest.approx(maxsim(asked.vectors[~asked.added], found.vectors[~found.added]) / 2, abs=1e-6)


def test_the_command_line_finds_the_tokens_under_a_cut(tmp_path: Path) -> None:
    folder = tiny_bert.write(tmp_path / "m")
    cut = load_encoder(folder, precision="f32", home=tmp_path, offline=True, dims=8)
    session = Session(settings.load({"home": tmp_path}), Talk(quiet=True))
    rerank = session.reranker("late", SimpleNamespace(name="c", encoder=lambda progress: cut))  # type: ignore[arg-type]
    whole = load_encoder(folder, precision="f32", home=tmp_path, offline=True)
    assert rerank is not None
    assert rerank("boat bank", [TEXT]) == pytest.approx(LateReranker(whole)("boat bank", [TEXT]), abs=1e-6)
    none = SimpleNamespace(name="c", encoder=lambda progress: SimpleNamespace(name="table"))
    with pytest.raises(UsageError, match="encoder of c gives no vectors of tokens"):
        session.reranker("late", none)  # type: ignore[arg-type]
