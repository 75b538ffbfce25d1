"""The transformer encoder's numbers: each vector against the NumPy twin and pooling written out by hand."""

from __future__ import annotations

import json
import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sememe.encoders import transformer
from sememe.encoders.load import load_encoder
from sememe.encoders.threads import Line
from sememe.errors import DataError
from sememe.ops.contract import Inputs
from sememe.ops.numpy import run
from tests import tiny_bert
from tests.rooms.tokens_tiny import backend

LIMIT = 24
TEXTS = ["", "bank", "the boat at the river", "Bank 日本 x1!", "stone " * 22, *tiny_bert.texts(20, longest=6)]
PROMPTS = {"query": "the house: ", "document": "cat "}


def _open(folder: Path, **options: Any) -> Any:
    return load_encoder(folder, precision="f32", home=folder.parent, offline=True, **{"threads": 2, **options})


def _twin(encoder: Any, ids: list[int], *, pooling: str, normalize: bool, skip: int = 0) -> Any:
    """One text alone through the network in NumPy, then pooled token by token in float64."""
    row = np.array([ids], np.int32)
    ones = np.ones(row.shape, np.float32)
    hidden = run(encoder.architecture.run, Inputs(row, ones, ones))[0][0].astype(np.float64)
    kept, places = hidden[skip:], np.arange(skip + 1, len(hidden) + 1)[:, None]
    vector = {
        "mean": kept.mean(axis=0),
        "mean_sqrt_len": kept.sum(axis=0) / math.sqrt(len(kept)),
        "cls": kept[0],
        "last": kept[-1],
        "max": kept.max(axis=0),
        "weighted_mean": (kept * places).sum(axis=0) / places.sum(),
    }[pooling]
    return vector / np.linalg.norm(vector) if normalize else vector


@pytest.mark.parametrize("pooling", tiny_bert.POOLING)
@pytest.mark.parametrize("normalize", [True, False])
def test_vectors_are_the_twins(tmp_path: Path, pooling: str, normalize: bool) -> None:
    encoder = _open(tiny_bert.write(tmp_path / "m", pooling=pooling, normalize=normalize))
    vectors = encoder.encode(TEXTS)
    for text, vector, ids in zip(TEXTS, vectors, encoder.tokenizer.ids(TEXTS), strict=True):
        expected = _twin(encoder, ids, pooling=pooling, normalize=normalize)
        np.testing.assert_allclose(vector, expected, atol=2e-5, err_msg=text)


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("pooling", ["mean", "cls", "weighted_mean", "max"])
def test_prompts_are_put_before_and_counted_only_if_the_recipe_says_so(
    tmp_path: Path, pooling: str, include: bool
) -> None:
    folder = tiny_bert.write(tmp_path / "m", pooling=pooling, prompts=PROMPTS, include_prompt=include)
    encoder = _open(folder)
    texts = [text for text in TEXTS if text and len(text) < 80]
    for role, prompt in PROMPTS.items():
        # [CLS] and the prompt's words stand before the text's own.
        skip = 0 if include else 1 + len(encoder.tokenizer.ids([prompt], specials=False)[0])
        vectors = encoder.encode(texts, role=role)
        for text, vector, ids in zip(texts, vectors, encoder.tokenizer.ids([prompt + t for t in texts]), strict=True):
            expected = _twin(encoder, ids, pooling=pooling, normalize=True, skip=skip)
            np.testing.assert_allclose(vector, expected, atol=2e-5, err_msg=text)


def test_lower_case_is_for_prompt_and_text(tmp_path: Path) -> None:
    prompts = {"query": "The House: "}
    cased = tiny_bert.write(tmp_path / "cased", lowercase=False, prompts=prompts)
    lowered = tiny_bert.write(tmp_path / "lowered", lowercase=False, do_lower_case=True, prompts=prompts)
    one, other = _open(cased), _open(lowered)
    np.testing.assert_allclose(other.encode(["Bank A"], role="query"), other.encode(["bank a"], role="query"))
    low = tiny_bert.write(tmp_path / "low", lowercase=False, prompts={"query": "the house: "})
    np.testing.assert_allclose(
        other.encode(["Bank A"], role="query"), _open(low).encode(["bank a"], role="query"), atol=1e-6
    )
    assert np.abs(one.encode(["Bank A"]) - one.encode(["bank a"])).max() > 1e-3


# --- long texts


@pytest.mark.parametrize("normalize", [True, False])
def test_mean_is_the_mean_of_the_windows_by_their_tokens(tmp_path: Path, normalize: bool) -> None:
    encoder = _open(tiny_bert.write(tmp_path / "m", normalize=normalize, limit=LIMIT))
    words = np.random.default_rng(2).choice(tiny_bert.WORDS, size=50)
    report = encoder.encode_report([" ".join(words)], on_long="mean")
    parts = [" ".join(words[at : at + LIMIT - 2]) for at in range(0, 50, LIMIT - 2)]  # two special tokens a window
    lengths = [len(part.split()) + 2 for part in parts]
    expected = np.average(encoder.encode(parts), axis=0, weights=lengths)
    if normalize:
        expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(report.vectors[0], expected, atol=1e-5)
    assert report.used.tolist() == [sum(lengths)]
    assert report.dropped.tolist() == [0]


def test_mean_puts_the_prompt_before_every_window(tmp_path: Path) -> None:
    folder = tiny_bert.write(tmp_path / "m", limit=LIMIT, prompts=PROMPTS, include_prompt=False, normalize=False)
    encoder = _open(folder)
    words = np.random.default_rng(2).choice(tiny_bert.WORDS, size=50)
    room = LIMIT - len(encoder.tokenizer.ids([PROMPTS["query"]])[0])
    parts = [" ".join(words[at : at + room]) for at in range(0, 50, room)]
    lengths = [len(part.split()) + LIMIT - room for part in parts]
    expected = np.average(encoder.encode(parts, role="query"), axis=0, weights=lengths)
    report = encoder.encode_report([" ".join(words)], role="query", on_long="mean")
    np.testing.assert_allclose(report.vectors[0], expected, atol=1e-5)
    assert report.used.tolist() == [sum(lengths)]


# --- windows of the input


def test_results_do_not_depend_on_how_many_are_tokenised_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = _open(tiny_bert.write(tmp_path / "m"))
    texts = [*TEXTS, "bank " * 60, "", *TEXTS]
    expected = encoder.encode_report(texts, on_long="mean")
    for window in (1, 2, 7, len(texts) - 1, len(texts)):
        monkeypatch.setattr(transformer, "WINDOW", window)
        found = encoder.encode_report(texts, on_long="mean")
        np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-5)
        assert found.used.tolist() == expected.used.tolist()


def test_an_item_is_named_by_its_place_in_the_whole_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformer, "WINDOW", 4)
    encoder = _open(tiny_bert.write(tmp_path / "m"))
    with pytest.raises(DataError, match="item 9 "):
        encoder.encode(["bank"] * 9 + ["bank " * 30], on_long="error")
    with pytest.warns(UserWarning, match="item 9 lost 8 of 32 tokens"):
        encoder.encode(["bank"] * 9 + ["bank " * 30])


def _gated(encoder: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, list[Any]]:
    """Batches that wait for an event, and what becomes of them."""
    gate, submitted = threading.Event(), []
    run_, submit = encoder._run, Line.submit
    monkeypatch.setattr(encoder, "_run", lambda inputs: run_(inputs) if gate.wait(30) else None)
    monkeypatch.setattr(Line, "submit", lambda *given: submitted.append(submit(*given)) or submitted[-1])
    return gate, submitted


def test_after_an_error_in_a_later_window_nothing_is_left_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformer, "WINDOW", 40)
    monkeypatch.setattr(transformer, "BUDGET", 8)  # one text a batch
    encoder = _open(tiny_bert.write(tmp_path / "m"))
    gate, submitted = _gated(encoder, monkeypatch)
    with pytest.raises(DataError):
        encoder.encode(["bank"] * 40 + ["bank " * 30], on_long="error")
    gate.set()
    encoder.close()
    # at most two were in the hands of the two threads
    assert len(submitted) == 40
    assert sum(future.cancelled() for future in submitted) >= 38


# --- tokenizers without special tokens


def test_a_text_without_tokens_has_the_zero_vector(tmp_path: Path) -> None:
    folder = tiny_bert.write(tmp_path / "m", settings=tiny_bert.config(vocab_size=400))
    (folder / "tokenizer.json").write_text(backend("plain").to_str(), "utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({}))
    encoder = _open(folder)
    report = encoder.encode_report(["", "the bank", "€€"])
    assert report.used.tolist()[::2] == [0, 0]
    assert (report.vectors[::2] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(report.vectors[1]), 1, atol=1e-5)
