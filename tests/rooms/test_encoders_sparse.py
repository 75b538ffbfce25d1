"""Sparse vectors: their form, what they refuse, and products against dense ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sememe.encoders.load import load_encoder
from sememe.encoders.sparse import SparseVectors, load_sparse
from sememe.errors import DataError, ModelError, UsageError
from tests import tiny_bert
from tests.oracle import tiny_folders


def _open(folder: Path) -> Any:
    return load_sparse(folder, precision="f32", threads=2, home=folder.parent, offline=True)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return _open(tiny_folders.write_sparse(tmp_path_factory.mktemp("sparse") / "m", "bert"))


def test_many_texts_keep_their_places(encoder: Any) -> None:
    words = [*tiny_folders.WORDS, "stone bread", ""]
    texts = [words[at % len(words)] for at in range(300)]
    together = encoder.encode(texts)
    alone = {text: encoder.encode([text]).dense()[0] for text in words}
    np.testing.assert_allclose(together.dense(), [alone[text] for text in texts], atol=1e-5)
    assert (together.weights > 0).all()
    assert all(
        (np.diff(together.ids[a:b]) > 0).all() for a, b in zip(together.starts, together.starts[1:], strict=False)
    )


def test_no_texts(encoder: Any) -> None:
    none = encoder.encode([])
    assert len(none) == 0
    assert none.dense().shape == (0, none.width) == (0, 40)
    assert none.dot(encoder.encode(["a"])).shape == (0, 1)
    assert encoder.encode(["a"]).dot(none).shape == (1, 0)


def test_rows_can_be_read(encoder: Any) -> None:
    vectors = encoder.encode(["the boat", "cat"])
    said = encoder.explain(vectors, 0, top=3)
    row = vectors[0]
    assert [weight for _, weight in said] == sorted(row.values(), reverse=True)[:3]
    assert all(row[encoder.tokenizer.id(piece)] == weight for piece, weight in said)
    assert vectors[-1] == vectors[1]
    with pytest.raises(IndexError):
        vectors[2]


def _random(rows: int, width: int, seed: int) -> tuple[SparseVectors, Any]:
    random = np.random.default_rng(seed)
    dense = np.where(random.random((rows, width)) < 0.2, random.random((rows, width)), 0).astype(np.float32)
    dense[::3] = 0  # empty rows, the first and perhaps the last among them
    at, ids = np.nonzero(dense)
    starts = np.searchsorted(at, np.arange(rows + 1)).astype(np.int64)
    return SparseVectors(starts, ids.astype(np.int32), dense[at, ids], width), dense


@pytest.mark.parametrize("rows", [1, 4, 9])
def test_products_are_those_of_dense_vectors(rows: int) -> None:
    one, dense = _random(rows, 30, 1)
    other, wide = _random(7, 30, 2)
    np.testing.assert_array_equal(one.dense(), dense)
    np.testing.assert_allclose(one.dot(other), dense @ wide.T, atol=1e-6)
    with pytest.raises(UsageError, match="30 and of 31"):
        one.dot(_random(2, 31, 3)[0])


def test_a_long_item_is_refused_or_cut_by_name(encoder: Any) -> None:
    long = "the boat " * 20
    with pytest.raises(DataError, match="item 1 is longer"):
        encoder.encode(["cat", long])
    cut = encoder.encode([long], on_long="cut")
    np.testing.assert_allclose(cut.dense(), encoder.encode(["the boat " * 6]).dense(), atol=1e-5)
    for wrong in ("mean", "warn", "x"):
        with pytest.raises(UsageError, match="on_long"):
            encoder.encode(["cat"], on_long=wrong)


def test_what_it_cannot_load(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such head"):
        _open(tiny_bert.write(tmp_path / "none"))
    with pytest.raises(ModelError, match="masked language model for the architecture llama"):
        _open(tiny_folders.write(tmp_path / "llama", "llama"))
    with pytest.raises(ModelError, match="pools in a way"):
        _open(tiny_folders.write_sparse(tmp_path / "odd", "bert", pooling_strategy="mean"))
    folder = tiny_folders.write_sparse(tmp_path / "sparse", "bert", pooling_strategy="max")
    with pytest.raises(ModelError, match="makes sparse vectors"):
        load_encoder(folder, home=tmp_path, offline=True)
