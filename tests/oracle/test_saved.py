"""What sememe saves, sentence-transformers opens: its vectors are stored, and the folder that it opened is this one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sememe.encoders.load import load_encoder
from tests import tiny_bert
from tests.oracle import saved
from tests.oracle.stored import arrays


@pytest.mark.parametrize("case", saved.CASES)
def test_a_saved_folder_gives_the_same_vectors_there_and_here(case: str, tmp_path: Path) -> None:
    folder = saved.save(case, tmp_path)
    expected = arrays("saved.npz")
    assert saved.digest(folder) == str(expected[f"{case}/folder"]), "the golden vectors are of another folder"
    again = load_encoder(folder, precision="f32", threads=1, home=tmp_path, offline=True)
    original = saved.opened(case, tmp_path)
    texts = tiny_bert.texts(8, seed=6, longest=10)
    for role in ("query", "document"):
        for encoder in (original, again):
            vectors = encoder.encode(texts, role=role, on_long="cut")
            np.testing.assert_allclose(vectors, expected[f"{case}/{role}"], atol=1e-4, err_msg=role)
    assert (again.dim, again.max_tokens) == (original.dim, original.max_tokens)
