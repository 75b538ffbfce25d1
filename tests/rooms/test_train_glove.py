"""GloVe: counting within a bound, the step against its twin, and what is learned."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from sememe.errors import UsageError
from sememe.train import cooccurrence, glove_kernel, twins
from sememe.train.cooccurrence import count
from sememe.train.glove import Batch, GloveOptions, batches, glove, start
from sememe.train.options import Running
from sememe.train.stream import Stream
from tests.rooms.train_texts import FIELDS, texts

SMALL = GloveOptions(dim=16, window=5, epochs=25, min_count=1)


def _stream(words: int, length: int) -> Stream:
    chance = np.random.default_rng(1)
    ids = (chance.integers(0, words, length) ** 2 // words).astype(np.int32)
    ids[chance.integers(0, length, length // 15)] = -1
    ids[-1] = -1
    return Stream(ids, 0, int((ids == -1).sum()), int((ids >= 0).sum()))


@pytest.mark.parametrize(("memory", "spilled"), [(1 << 24, False), (1 << 15, True)])
@pytest.mark.parametrize("frequent", [0, 30, 1024])
def test_pairs_are_counted_as_the_twin_does(
    memory: int, spilled: bool, frequent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cooccurrence, "FREQUENT", frequent)
    stream = _stream(300, 4000)
    counted = count(stream, window=4, memory=memory)
    expected = twins.count(stream.ids.tolist(), 4)
    keys = counted.pairs["key"].tolist()
    assert [(key >> 32, key & 0xFFFFFFFF) for key in keys] == sorted(expected)
    assert np.allclose(counted.pairs["weight"], [expected[pair] for pair in sorted(expected)])
    assert frequent == 1024 or (counted.runs > 0) == spilled


def _batch(words: int, pairs: int) -> Batch:
    chance = np.random.default_rng(2)
    logs, shares = chance.normal(size=pairs).astype(np.float32), chance.random(pairs).astype(np.float32)
    return Batch(chance.integers(0, words, pairs), chance.integers(0, words, pairs), logs, shares)


def test_the_step_agrees_with_its_twin() -> None:
    fast, slow, batch = start(20, 24, 3), start(20, 24, 3), _batch(20, 500)
    loss = glove_kernel.fit(fast.matrices, fast.biases, *batch, 0.05)
    assert loss == pytest.approx(twins.fit(slow.matrices, slow.biases, batch, 0.05), rel=1e-5)
    for one, other in zip((*fast.matrices, *fast.biases), (*slow.matrices, *slow.biases), strict=True):
        assert np.allclose(one, other, atol=1e-5, rtol=1e-5)


def test_a_batch_holds_every_pair_in_both_directions() -> None:
    pairs = count(_stream(60, 4000), window=4).pairs
    seen = {}
    for batch in batches(pairs, SMALL, (1, 0)):
        for i, j, log, share in zip(*(column.tolist() for column in batch), strict=True):
            assert (i, j) not in seen
            seen[i, j] = log, share
    expected = twins.count(_stream(60, 4000).ids.tolist(), 4)
    assert set(seen) == set(expected) | {(j, i) for i, j in expected}
    for (i, j), weight in expected.items():
        assert seen[i, j] == seen[j, i] == pytest.approx((np.log(weight), min((weight / 10) ** 0.75, 1)), rel=1e-5)


def _apart(space: object, fields: list[list[str]]) -> float:
    rows = [[space.place(word) for word in field] for field in fields]  # type: ignore[attr-defined]
    rest = space.matrix - space.matrix.mean(axis=0)  # type: ignore[attr-defined]  # what all words share is large
    units = rest / np.linalg.norm(rest, axis=1, keepdims=True)
    near = units @ units.T
    inside = np.mean([near[np.ix_(row, row)].mean() for row in rows])
    return float(inside - near[np.ix_(rows[0], rows[1])].mean())


@pytest.mark.parametrize("threads", [1, 3])
def test_fields_come_apart_and_the_same_seed_gives_the_same_bits(threads: int, tmp_path: Path) -> None:
    running = Running(threads=threads, journal=tmp_path / "journal.jsonl")
    space = glove(texts(), SMALL, running)
    assert space.dim == 16 and space.provenance["model"] == "GloVe"
    assert _apart(space, list(FIELDS.values())) > 0.5
    assert np.array_equal(space.matrix, glove(texts(), SMALL, dataclasses.replace(running, journal=None)).matrix)
    lines = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text("utf-8").splitlines()]
    assert len(lines) == 25 and lines[-1]["loss"] < lines[0]["loss"] / 3


def test_what_glove_refuses(tmp_path: Path) -> None:
    for ask in (
        lambda: GloveOptions(dim=0),
        lambda: GloveOptions(full=0),
        lambda: glove(texts(), SMALL, Running(checkpoint=tmp_path)),
    ):
        with pytest.raises(UsageError):
            ask()
