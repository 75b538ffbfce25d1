"""Paragraph vectors: texts of one field come together, new ones find their place."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("numba")

from sememe.errors import UsageError
from sememe.train.documents import Documents, doc2vec
from sememe.train.options import Options, Parts
from tests.rooms.train_texts import FIELDS, texts

SMALL = Options(dim=16, window=4, epochs=40, min_count=1, sample=0, rate=0.05, architecture="dbow")


def _field(text: str) -> str:
    return max(FIELDS, key=lambda name: sum(word in FIELDS[name] for word in text.split()))


@pytest.fixture(scope="module", params=["dbow", "dm"])
def learned(request: pytest.FixtureRequest) -> Documents:
    # with one word on either side, so that a text still has something to add to them
    return doc2vec(texts(), dataclasses.replace(SMALL, architecture=request.param, window=1))


def test_texts_of_one_field_are_near(learned: Documents) -> None:
    fields = np.array([_field(text) for text in texts()])
    near = learned.documents.units @ learned.documents.units.T
    np.fill_diagonal(near, -1)
    assert (fields[near.argmax(axis=1)] == fields).mean() > 0.9
    assert len(learned.documents) == 300 and len(learned.words) == 22


def test_new_texts_find_their_place(learned: Documents) -> None:
    new = texts(30, seed=9)
    fields = np.array([_field(text) for text in texts()])
    vectors = learned.infer(new)
    nearest = (learned.documents.units @ vectors.T).argmax(axis=0)
    assert np.mean([fields[row] == _field(text) for row, text in zip(nearest, new, strict=True)]) > 0.9


def test_a_new_text_gets_the_same_vector_in_any_company(learned: Documents) -> None:
    new = texts(5, seed=9)
    together = learned.infer(new)
    assert np.array_equal(together[3], learned.infer([new[3]])[0])
    assert (learned.infer(["unheard words"]) == 0).all()
    assert learned.infer([]).shape == (0, 16)


def test_what_doc2vec_refuses() -> None:
    for change in ({"architecture": "cbow"}, {"negatives": 0}, {"parts": Parts()}):
        with pytest.raises(UsageError):
            doc2vec(texts(), dataclasses.replace(SMALL, **change))
