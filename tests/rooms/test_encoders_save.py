"""Saving an encoder: whole or not at all, over nothing, and the same again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sememe.encoders import save
from sememe.encoders.load import load_encoder
from sememe.encoders.save import REFERENCE, save_encoder
from sememe.errors import ModelError, UsageError
from sememe.models.tensors import copy_weights, write_tensors
from sememe.models.weights import Weights
from tests import tiny_bert


def opened(folder: Path, **how: Any) -> Any:
    given = {"precision": "f32", "threads": 1, "home": folder.parent, "offline": True, "dims": 0, **how}
    return load_encoder(folder, **given)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_other_precisions_become_float32(tmp_path: Path, kind: Any) -> None:
    weights = {name: array.astype(kind) for name, array in tiny_bert.tensors(tiny_bert.config()).items()}
    source = opened(tiny_bert.write(tmp_path / "half", weights=weights))
    saved = save_encoder(source, tmp_path / "out" / "saved")
    assert names(tmp_path / "out") == ["saved"]
    with Weights.open(saved) as found:
        assert {found.dtype(name) for name in found} == {"F32"}
        assert set(found) == set(weights)
    texts = tiny_bert.texts(9, longest=5)
    np.testing.assert_allclose(opened(saved).encode(texts), source.encode(texts), atol=1e-6)


def test_numbers_of_other_kinds_are_kept_and_all_lie_aligned(tmp_path: Path) -> None:
    arrays = {"a": np.arange(3), "b": np.array([True, False, True]), "c": np.ones((2, 3), np.float16), "d": np.zeros(0)}
    write_tensors(tmp_path / "model.safetensors", arrays)
    with Weights.open(tmp_path) as first:
        copy_weights(first, tmp_path / "again.safetensors")
    assert (tmp_path / "model.safetensors").read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    with Weights.open(tmp_path / "again.safetensors") as again:
        assert [again.dtype(name) for name in again] == ["I64", "BOOL", "F32", "F32"]
        for name, array in arrays.items():
            np.testing.assert_array_equal(again(name), array)
    assert int.from_bytes((tmp_path / "again.safetensors").read_bytes()[:8], "little") % 64 == 56


def test_nothing_is_overwritten_and_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = opened(tiny_bert.write(tmp_path / "m"))
    there = tmp_path / "there"
    there.mkdir()
    with pytest.raises(UsageError, match="exists"):
        save_encoder(encoder, there)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="exists"):
        save_encoder(encoder, tmp_path / "link")
    before = names(tmp_path)
    monkeypatch.setattr(save, "_pooling", lambda whole: {"pooling_mode_max_tokens": True})
    with pytest.raises(ModelError, match="was not saved"):
        save_encoder(encoder, tmp_path / "new")
    assert names(tmp_path) == before


def test_the_reference_is_what_the_folder_gives(tmp_path: Path) -> None:
    encoder = opened(tiny_bert.write(tmp_path / "m", prompts={"document": "moon "}), precision="int8")
    saved = save_encoder(encoder, tmp_path / "saved")
    told = json.loads((saved / REFERENCE).read_text("utf-8"))
    vectors = opened(saved).encode(told["texts"], role=told["role"], on_long="cut")
    np.testing.assert_allclose(vectors, told["vectors"], atol=1e-5)


def test_a_saved_folder_can_be_saved_again_and_a_cut_one_is_no_cut_any_more(tmp_path: Path) -> None:
    cut = opened(tiny_bert.write(tmp_path / "m", normalize=False), dims=7)
    first = opened(save_encoder(cut, tmp_path / "first"))
    second = opened(save_encoder(first, tmp_path / "second"))
    texts = tiny_bert.texts(9, longest=5)
    for encoder in (first, second):
        assert encoder.dim == 7
        np.testing.assert_allclose(encoder.encode(texts), cut.encode(texts), atol=1e-6)
    assert first.fingerprint == second.fingerprint != cut.fingerprint


def test_a_centred_cut_is_the_same_too(tmp_path: Path) -> None:
    cut = save.CutEncoder(opened(tiny_bert.write(tmp_path / "m")), 7, centred=True)
    texts = tiny_bert.texts(9, longest=5)
    np.testing.assert_allclose(opened(save_encoder(cut, tmp_path / "s")).encode(texts), cut.encode(texts), atol=1e-6)


def test_an_encoder_without_weights_is_refused(tmp_path: Path) -> None:
    class Far:
        name = "far"

    with pytest.raises(UsageError, match="far has no weights"):
        save_encoder(Far(), tmp_path / "x")  # type: ignore[arg-type]
