"""Token ids and offsets against the fast tokenizers of transformers, whole and cut."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sememe.tokens.tokenizer import Tokenizer
from tests import tiny_bert
from tests.oracle.stored import NASTY, tokens


@pytest.fixture(params=["tiny", "tiny cased", "all-MiniLM-L6-v2"])
def tokenizer(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Tokenizer]:
    if request.param == "all-MiniLM-L6-v2":
        folder = request.getfixturevalue("models_folder") / request.param
        return request.param, Tokenizer.load(folder / "tokenizer.json")
    described = tiny_bert.tokenizer(lowercase=request.param == "tiny")
    (tmp_path / "tokenizer.json").write_text(json.dumps(described), "utf-8")
    return request.param, Tokenizer.load(tmp_path / "tokenizer.json")


def test_ids_and_offsets(tokenizer: tuple[str, Tokenizer]) -> None:
    name, ours = tokenizer
    for text, row, found in zip(NASTY, tokens()[name], ours.encode(NASTY), strict=True):
        assert found.ids.tolist() == row["ids"], text
        assert found.offsets.tolist() == row["offsets"], text
    assert ours.ids(NASTY) == [row["ids"] for row in tokens()[name]]


@pytest.mark.parametrize("limit", [16, 256])
def test_cut(tokenizer: tuple[str, Tokenizer], limit: int) -> None:
    name, ours = tokenizer
    for text, row, ids in zip(NASTY, tokens()[name], ours.ids(NASTY), strict=True):
        assert ours.cut(ids, limit) == row[f"cut{limit}"], text
        assert ours.dropped(len(ids), limit) == len(row["ids"]) - len(row[f"cut{limit}"])


def test_some_texts_are_cut_and_some_are_not() -> None:
    for rows in tokens().values():
        for limit in (16, 256):
            assert {len(row["ids"]) > limit for row in rows} == {True, False}
