"""`sememe.embed`: the encoder in one call."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sememe
from sememe.encoders import embed as room
from sememe.errors import MissingModelError, UsageError

pytestmark = pytest.mark.model


@pytest.fixture(autouse=True)
def _no_encoder_from_another_test() -> None:
    room._kept.cache_clear()


def test_it_is_the_encoders_own_answer(home: Path) -> None:
    texts = ["a river bank", "a savings bank", ""]
    got = sememe.embed(texts)
    assert (got.shape, got.dtype, got.flags["C_CONTIGUOUS"]) == ((3, 384), np.float32, True)
    assert np.allclose(got, sememe.load_encoder("all-MiniLM-L6-v2").encode(texts), atol=1e-6)
    assert -1 <= sememe.similarity(got[0], got[1]) < 0.9


def test_no_texts_are_no_rows_and_a_tuple_is_as_good_as_a_list(home: Path) -> None:
    assert sememe.embed([]).shape == (0, 384)
    assert sememe.embed(("x",)).shape == (1, 384)


def test_one_text_is_refused_because_it_would_be_read_letter_by_letter(home: Path) -> None:
    with pytest.raises(UsageError, match="takes a list of texts"):
        sememe.embed("one text")
    with pytest.raises(UsageError, match='role="passage" is not known'):
        sememe.embed(["x"], role="passage")


def test_the_encoder_is_loaded_once_and_again_when_a_setting_changes(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sememe.embed(["x"])
    sememe.embed(["y"])
    assert (room._kept.cache_info().misses, room._kept.cache_info().hits) == (1, 1)
    monkeypatch.setenv("SEMEME_PRECISION", "f32")
    sememe.embed(["y"])
    assert room._kept.cache_info().misses == 2


def test_a_missing_model_is_an_error_and_no_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMEME_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("SEMEME_OFFLINE", "1")
    with pytest.raises(MissingModelError, match="forbids fetching it"):
        sememe.embed(["x"])
