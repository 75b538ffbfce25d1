"""The encoder over a table: what it says of unknown tokens, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sememe.encoders import static as room
from sememe.encoders.load import load_encoder
from sememe.encoders.static import StaticEncoder
from sememe.errors import ModelError
from tests import tiny_bert, tiny_static
from tests.rooms.model_folders import safetensors


def opened(folder: Path, **how: object) -> StaticEncoder:
    encoder = load_encoder(tiny_static.write(folder / "m", **how), home=folder, offline=True)  # type: ignore[arg-type]
    assert isinstance(encoder, StaticEncoder)
    return encoder


def test_a_mean_by_hand(tmp_path: Path) -> None:
    encoder = opened(tmp_path, normalize=False)
    table = tiny_static.tensors("plain")["embeddings"]
    rows = [tiny_bert.VOCABULARY.index(word) for word in ("boat", "moon", "boat")]
    report = encoder.encode_report(["boat moon boat", "Ω Ω boat"])
    np.testing.assert_allclose(report.vectors[0], table[rows].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(report.vectors[1], table[rows[0]], atol=1e-6)
    assert report.used.tolist() == [3, 3]
    assert encoder.unknown(["boat moon boat", "Ω Ω boat"]).tolist() == [0, 2]
    assert encoder.describe()["pooling"] == "mean of a table's rows, length kept"


def test_a_text_of_no_known_token_is_zero(tmp_path: Path) -> None:
    report = opened(tmp_path).encode_report(["", "Ω", "boat"])
    assert (report.vectors[:2] == 0).all()
    assert np.linalg.norm(report.vectors[2]) == pytest.approx(1)


def test_blocks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = opened(tmp_path, kind="mapping")
    texts = ["", *tiny_bert.texts(60), "", "日本語"]
    whole = encoder.encode(texts, on_long="mean")
    for rows, window in ((1, 7), (13, 1), (100, 64)):
        monkeypatch.setattr(room, "ROWS", rows)
        monkeypatch.setattr(room, "WINDOW", window)
        np.testing.assert_allclose(encoder.encode(texts, on_long="mean"), whole, atol=1e-6)


def test_all_of_a_long_text_or_its_start(tmp_path: Path) -> None:
    encoder = opened(tmp_path, limit=4, normalize=False)
    cut = encoder.encode_report(["boat moon bank of river"], on_long="cut")
    assert (cut.used.tolist(), cut.dropped.tolist()) == ([4], [1])
    np.testing.assert_allclose(cut.vectors, encoder.encode(["boat moon bank of"]))
    mean = encoder.encode_report(["boat moon bank of river"], on_long="mean")
    assert (mean.used.tolist(), mean.dropped.tolist()) == ([5], [0])


def test_sentence_transformers_averages_the_unknown_too(tmp_path: Path) -> None:
    folder = tiny_static.write(tmp_path / "m")
    (folder / "config.json").write_text("{}")
    (folder / "modules.json").write_text(
        json.dumps([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.StaticEmbedding"}])
    )
    table = tiny_static.tensors("plain")["embeddings"]
    (folder / "model.safetensors").write_bytes(safetensors({"embedding.weight": table}))
    encoder = load_encoder(folder, home=tmp_path, offline=True)
    rows = [tiny_bert.VOCABULARY.index(word) for word in ("boat", "[UNK]")]
    np.testing.assert_allclose(encoder.encode(["boat Ω"]), table[rows].mean(axis=0)[None], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"embeddings": np.ones((3, 4), np.float32)}, "is not the one of its table"),
        ({"mapping": np.array([999] * 300)}, "names rows that its table does not have"),
        ({"weights": np.ones(3)}, "do not fit its table"),
        ({"embeddings": np.full((60, 4), np.nan, np.float32)}, "NaN or infinity"),
        ({"embeddings": np.ones(60, np.float32)}, "holds no table of vectors"),
        ({"embeddings": np.ones((60, 4), np.uint8)}, "of the type U8"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(change: dict[str, np.ndarray], said: str, tmp_path: Path) -> None:
    folder = tiny_static.write(tmp_path / "m")
    (folder / "model.safetensors").write_bytes(safetensors({**tiny_static.tensors("plain"), **change}))
    with pytest.raises(ModelError, match=said):
        load_encoder(folder, home=tmp_path, offline=True)


def test_a_fingerprint_tells_tables_apart(tmp_path: Path) -> None:
    made = [opened(tmp_path / kind, kind=kind).fingerprint for kind in tiny_static.KINDS]
    made.append(opened(tmp_path / "kept", normalize=False).fingerprint)
    assert len(set(made)) == 4
