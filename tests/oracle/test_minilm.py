"""all-MiniLM-L6-v2 against sentence-transformers, and how far bf16 may go. Skipped where the model is not on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sememe.encoders.load import load_encoder
from sememe.models.pull import here
from sememe.ops.openvino import has_bf16
from tests.oracle.stored import MINILM_TEXTS, arrays

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def model(models_folder: Path) -> Path:
    found = here("all-MiniLM-L6-v2", home=models_folder.parent)
    assert found is not None
    return found


def _open(model: Path, precision: str) -> Any:
    if precision == "bf16" and not has_bf16():
        pytest.skip("this processor does not multiply bfloat16 in hardware")
    return load_encoder(model, precision=precision, threads=2, home=model.parent.parent, offline=True)


@pytest.mark.parametrize(("precision", "least", "mean"), [("f32", 0.999999, 0.999999), ("bf16", 0.9998, 0.9999)])
def test_the_stored_vectors(model: Path, precision: str, least: float, mean: float) -> None:
    expected = arrays("minilm.npz")["vectors"]
    report = _open(model, precision).encode_report(MINILM_TEXTS, on_long="cut")
    assert report.vectors.shape == expected.shape == (16, 384)
    assert (report.dropped > 0).tolist() == [False] * 15 + [True]
    cosine = (report.vectors.astype(np.float64) * expected).sum(axis=1) / np.linalg.norm(expected, axis=1)
    assert cosine.min() >= least
    assert cosine.mean() >= mean
    if precision == "f32":
        np.testing.assert_allclose(report.vectors, expected, atol=1e-5)


@pytest.mark.parametrize(("precision", "greatest", "mean"), [("f32", 1e-5, 1e-6), ("bf16", 0.01, 0.001)])
def test_company_moves_a_vector_by_no_more_than_is_promised(
    model: Path, precision: str, greatest: float, mean: float
) -> None:
    """The tolerance that `TransformerEncoder` states, with a trained network and texts of 3 to 200 tokens."""
    encoder = _open(model, precision)
    words = " ".join(MINILM_TEXTS[1:14]).split()
    random = np.random.default_rng(4)
    texts = [" ".join(random.choice(words, size=size)) for size in random.integers(1, 60, size=64)]
    texts += [text for text in MINILM_TEXTS if len(text) < 300]
    together = encoder.encode(texts)
    off = []
    for size in (1, 7, 32):
        order = random.permutation(len(texts))
        for at in range(0, len(texts), size):
            rows = order[at : at + size]
            part = encoder.encode([texts[row] for row in rows])
            off += np.linalg.norm(part - together[rows], axis=1).tolist()
    assert max(off) <= greatest
    assert sum(off) / len(off) <= mean
