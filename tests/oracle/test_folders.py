"""Model folders in our layout give the vectors that sentence-transformers gives for the same folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sememe.encoders.load import load_encoder
from sememe.encoders.reranker import load_reranker
from sememe.encoders.sparse import load_sparse
from tests import tiny_bert
from tests.oracle import tiny_folders
from tests.oracle.stored import FOLDERS, arrays


@pytest.mark.parametrize("name", FOLDERS)
def test_the_same_vectors(name: str, tmp_path: Path) -> None:
    folder = tiny_bert.write(tmp_path / "m", **FOLDERS[name])
    encoder = load_encoder(folder, precision="f32", threads=1, home=tmp_path, offline=True)
    texts, expected = tiny_bert.texts(12, seed=5, longest=12), arrays("folders.npz")
    for role in ("query", "document"):
        report = encoder.encode_report(texts, role=role, on_long="cut")
        np.testing.assert_allclose(report.vectors, expected[f"{name}/{role}"], atol=1e-4, err_msg=role)
        if name == "short limit":
            assert (report.dropped > 0).sum() > 3


@pytest.mark.parametrize("kind", tiny_folders.families())
def test_the_same_vectors_from_every_family(kind: str, tmp_path: Path) -> None:
    folder = tiny_folders.write(tmp_path / "m", kind)
    encoder = load_encoder(folder, precision="f32", threads=1, home=tmp_path, offline=True)
    texts, expected = tiny_bert.texts(8, seed=6, longest=10), arrays("families.npz")
    for role in ("query", "document"):
        vectors = encoder.encode(texts, role=role, on_long="cut")
        np.testing.assert_allclose(vectors, expected[f"{kind}/{role}"], atol=1e-4, err_msg=role)
        alone = np.concatenate([encoder.encode([text], role=role, on_long="cut") for text in texts])
        np.testing.assert_allclose(alone, vectors, atol=1e-5)


@pytest.mark.parametrize("kind", tiny_folders.RERANKERS)
def test_the_same_scores_from_rerankers(kind: str, tmp_path: Path) -> None:
    folder = tiny_folders.write_reranker(tmp_path / "m", kind)
    reranker = load_reranker(folder, precision="f32", threads=1, home=tmp_path, offline=True)
    texts, expected = tiny_bert.texts(9, seed=7, longest=6), arrays("rerankers.npz")
    raw = reranker.score(tiny_folders.QUERY, texts, raw=True)
    np.testing.assert_allclose(raw, expected[f"{kind}/raw"], atol=1e-4)
    np.testing.assert_allclose(reranker(tiny_folders.QUERY, texts), expected[kind], atol=1e-5)
    alone = [reranker.score(tiny_folders.QUERY, [text], raw=True)[0] for text in texts]
    np.testing.assert_allclose(alone, raw, atol=1e-5)


@pytest.mark.parametrize("kind", tiny_folders.SPARSE)
def test_the_same_sparse_vectors(kind: str, tmp_path: Path) -> None:
    texts, expected = tiny_bert.texts(6, seed=8, longest=9), arrays("sparse.npz")
    ways: dict[str, dict[str, str]] = {"max": {"pooling_strategy": "max"}, "sum": tiny_folders.SUM}
    for name, pooling in ways.items():
        folder = tiny_folders.write_sparse(tmp_path / name, kind, **pooling)
        encoder = load_sparse(folder, precision="f32", threads=1, home=tmp_path, offline=True)
        found = encoder.encode(texts).dense()
        np.testing.assert_allclose(found, expected[f"{kind}/{name}"], atol=2e-4, err_msg=name)
        alone = np.concatenate([encoder.encode([text]).dense() for text in texts])
        np.testing.assert_allclose(alone, found, atol=1e-4)
    assert np.abs(expected[f"{kind}/max"] - expected[f"{kind}/sum"]).max() > 0.1


def test_the_stored_variants_differ() -> None:
    """A golden file in which prompts, case and pooling change nothing would hold nothing."""
    expected = arrays("folders.npz")
    alike = {
        (one, other)
        for at, one in enumerate(FOLDERS)
        for other in list(FOLDERS)[:at]
        if expected[f"{one}/document"].shape == expected[f"{other}/document"].shape
        and np.abs(expected[f"{one}/document"] - expected[f"{other}/document"]).max() < 1e-3
    }
    # Who lowers the case, the tokenizer or what stands before it, is all the same.
    assert alike == {("lower case before the tokenizer", "prompts")}
    assert np.abs(expected["prompts/query"] - expected["prompts/document"]).max() > 1e-2
