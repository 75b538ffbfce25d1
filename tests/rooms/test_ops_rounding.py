"""Weights in eight bits: how far they may move, and whose encoder an int8 one is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sememe import settings
from sememe.collection.collection import Collection
from sememe.encoders.load import load_encoder
from sememe.encoders.transformer import item_vectors
from sememe.errors import MismatchError, UsageError
from sememe.models.registry import add
from sememe.ops.contract import Inputs
from sememe.ops.numpy import run
from sememe.ops.rounding import restored, rounded
from tests import tiny_bert

matrices = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9),
    elements=st.floats(-1e4, 1e4, width=32).map(lambda x: 0.0 if abs(x) < 1e-20 else x),
)


@given(matrices)
def test_no_number_moves_by_more_than_half_a_step(weight: Any) -> None:
    whole, factors = rounded(weight)
    assert whole.dtype == np.int8
    assert factors.shape == (len(weight), 1)
    largest = np.abs(weight).max(axis=1, keepdims=True)
    assert (np.abs(restored(weight) - weight) <= largest * (0.5001 / 127)).all()
    again = restored(weight)
    np.testing.assert_allclose(restored(again), again, rtol=1e-6)


def test_a_row_of_zeros_stays_one() -> None:
    assert (restored(np.zeros((2, 3), np.float32)) == 0).all()


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return tiny_bert.write(tmp_path / "tiny", prompts={"query": "moon "})


def opened(folder: Path, precision: str) -> Any:
    return load_encoder(folder, precision=precision, threads=2, home=folder.parent, offline=True)


def test_the_whole_encoder_is_its_twin_and_near_f32(tiny: Path) -> None:
    encoder, exact = opened(tiny, "int8"), opened(tiny, "f32")
    texts = tiny_bert.texts(20, seed=3, longest=4)
    vectors = encoder.encode(texts)
    ones = np.ones
    for text, vector in zip(texts[:6], vectors, strict=False):
        ids = np.array(encoder.tokenizer.ids([text]), np.int32)
        inputs = Inputs(ids, ones(ids.shape, np.float32), ones(ids.shape, np.float32) / np.float32(ids.size))
        twin, _ = run(
            lambda ops, given: item_vectors(encoder.architecture, encoder.recipe, encoder.steps, ops, given),
            inputs,
            int8=True,
        )
        # where the processor rounds what flows through as well, a vector stands that much apart
        assert np.linalg.norm(vector - twin[0]) < 0.03
    cosines = (vectors * exact.encode(texts)).sum(axis=1)
    assert 0.99 < cosines.min() < 0.99999


def test_it_is_chosen_by_name_and_says_so(tiny: Path) -> None:
    encoder, exact = opened(tiny, "int8"), opened(tiny, "f32")
    assert encoder.describe()["precision"] == "int8"
    assert "8 bits" in encoder.describe()["rounding"]
    assert "rounding" not in exact.describe()
    assert opened(tiny, "auto").describe()["precision"] in ("f32", "bf16")
    assert encoder.fingerprint != exact.fingerprint == opened(tiny, "auto").fingerprint


@pytest.mark.parametrize(("made", "asked"), [("int8", "f32"), ("f32", "int8"), ("int8", "auto"), ("auto", "int8")])
def test_a_collection_keeps_to_what_it_was_made_in(tiny: Path, made: str, asked: str) -> None:
    home = tiny.parent / "home"
    add(tiny, "tiny", home)

    def now(precision: str, origin: str) -> Any:
        base = settings.load({"home": home, "model": "tiny", "offline": True})
        return replace(base, precision=precision, origins={**base.origins, "precision": origin})

    with Collection("notes", settings=now(made, "flag")) as notes:
        notes.add(["the boat", "the bank of the river"])
    with Collection("notes", settings=now(asked, "user file")) as notes:
        own = notes.encoder()
        assert (own.describe()["precision"] == "int8") == (made == "int8")
        assert notes.search("the boat", mode="dense")[0].text == "the boat"
    with Collection("notes", settings=now(asked, "flag")) as notes, pytest.raises(UsageError, match="int8"):
        notes.search("the boat")
    with (
        pytest.raises(MismatchError),
        Collection("notes", encoder=opened(tiny, asked), settings=now(made, "")) as notes,
    ):
        notes.search("the boat")
