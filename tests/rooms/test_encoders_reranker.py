"""Rerankers: what they refuse, what they say, and that a search can use one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sememe.encoders.contract import LongItemWarning
from sememe.encoders.reranker import load_reranker
from sememe.errors import DataError, ModelError, UsageError
from tests.oracle import tiny_folders


def _open(folder: Path) -> Any:
    return load_reranker(folder, precision="f32", threads=2, home=folder.parent, offline=True)


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return _open(tiny_folders.write_reranker(tmp_path_factory.mktemp("reranker") / "m", "bert"))


def test_many_texts_keep_their_places(reranker: Any) -> None:
    words = [*tiny_folders.WORDS, "stone bread", "the cat at bank"]
    texts = [words[at % len(words)] for at in range(500)]
    together = reranker.score("river", texts, raw=True)
    alone = {text: reranker.score("river", [text], raw=True)[0] for text in set(texts)}
    np.testing.assert_allclose(together, [alone[text] for text in texts], atol=1e-5)
    assert reranker.score("river", []).shape == (0,)
    assert reranker.score("", [""]).shape == (1,)


def test_between_zero_and_one_and_in_the_same_order(reranker: Any) -> None:
    raw, scores = (reranker.score("boat", tiny_folders.WORDS, raw=raw) for raw in (True, False))
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-raw)), atol=1e-6)
    assert np.argsort(raw).tolist() == np.argsort(scores).tolist()


def test_the_end_of_a_text_is_cut_and_that_is_said(reranker: Any) -> None:
    long, kept = "the boat " * 20, "the boat " * 5 + "the"
    with pytest.warns(LongItemWarning, match=r"1 of 2 texts do not fit .* in 16 tokens; text 1 loses 29"):
        scores = reranker.score("at bank", ["cat", long], raw=True)
    assert scores[1] == pytest.approx(reranker.score("at bank", [kept], raw=True)[0], abs=1e-5)
    np.testing.assert_allclose(reranker.score("at bank", ["cat", long], raw=True, on_long="cut"), scores, atol=1e-5)
    with pytest.raises(DataError, match="text 0 loses 29"):
        reranker.score("at bank", [long], on_long="error")
    with pytest.raises(DataError, match="leaves no room for the second"):
        reranker.score("the boat " * 8, ["cat"])
    with pytest.raises(UsageError, match="on_long"):
        reranker.score("a", ["b"], on_long="mean")


def test_what_is_no_text_is_refused(reranker: Any) -> None:
    for query, texts in (("a", "b"), ("a", [1]), (None, ["a"])):
        with pytest.raises((UsageError, DataError)):
            reranker.score(query, texts)


def test_a_model_of_several_labels_or_without_a_head_is_no_reranker(tmp_path: Path) -> None:
    folder = tiny_folders.write_reranker(tmp_path / "three", "bert")
    with pytest.raises(ModelError, match="no such head"):
        _open(tiny_folders.write(tmp_path / "none", "mpnet"))
    with pytest.raises(ModelError, match="head of a classifier for the architecture t5"):
        _open(tiny_folders.write(tmp_path / "t5", "t5"))
    from tests.rooms.model_folders import safetensors

    stored = tiny_folders.Stored("classifier.bert", folder="heads")
    (folder / "model.safetensors").write_bytes(safetensors({name: stored(name) for name in stored.shapes}))
    with pytest.raises(ModelError, match="scores for 3 labels"):
        _open(folder)


def test_a_head_that_does_not_fit(tmp_path: Path) -> None:
    from tests.rooms.model_folders import safetensors

    folder = tiny_folders.write_reranker(tmp_path / "m", "bert")
    stored = tiny_folders.Stored("classifier.bert", folder="heads")
    weights = {name: stored(name) for name in stored.shapes}
    weights["classifier.weight"] = weights["classifier.weight"][:1, :-1]
    (folder / "model.safetensors").write_bytes(safetensors(weights))
    with pytest.raises(ModelError, match="does not fit its network"):
        _open(folder)
    assert json.loads((folder / "config.json").read_text())["num_labels"] == 1
