"""A table of vectors beside model2vec: the same texts, the same vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sememe.encoders.load import load_encoder
from tests import tiny_static

GOLDEN = Path(__file__).parent / "golden" / "static.npz"


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("kind", tiny_static.KINDS)
def test_vectors_are_those_of_model2vec(kind: str, normalize: bool, tmp_path: Path) -> None:
    with np.load(GOLDEN) as golden:
        texts, want = golden["texts"].tolist(), golden[f"{kind}.{normalize}"]
    encoder = load_encoder(
        tiny_static.write(tmp_path / "m", kind, normalize=normalize, limit=512), home=tmp_path, offline=True
    )
    np.testing.assert_allclose(encoder.encode(texts, on_long="cut"), want, rtol=0, atol=1e-6)
