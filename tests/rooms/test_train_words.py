"""Word2Vec and fastText from texts to spaces: what is learned, repeated, interrupted, and gone on with."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from sememe.errors import DataError, UsageError
from sememe.space.space import Space
from sememe.train import checkpoint, kernel
from sememe.train.options import Options, Parts, Running
from sememe.train.words import fasttext, word2vec
from tests.rooms.train_texts import FIELDS, texts

SMALL = Options(dim=20, window=4, epochs=8, min_count=1, sample=0, rate=0.05)
PARTS = Parts(buckets=500)


def _apart(space: Space) -> float:
    """How much nearer words of one field are to each other than to those of another."""
    near = space.units @ space.units.T
    field = {word: name for name, words in FIELDS.items() for word in words}
    rows = [row for row, label in enumerate(space.labels) if label in field]
    same = np.array([[field[space.labels[a]] == field[space.labels[b]] for a in rows] for b in rows])
    between = near[np.ix_(rows, rows)]
    return float(between[same & ~np.eye(len(rows), dtype=bool)].mean() - between[~same].mean())


@pytest.mark.parametrize("negatives", [5, 0])
@pytest.mark.parametrize("architecture", ["skip-gram", "cbow"])
@pytest.mark.parametrize("learn", [word2vec, fasttext])
def test_fields_come_apart(learn: object, architecture: str, negatives: int) -> None:
    options = dataclasses.replace(SMALL, epochs=20, architecture=architecture, negatives=negatives)
    if learn is fasttext:
        options = dataclasses.replace(options, parts=PARTS)
    space = learn(texts(), options)  # type: ignore[operator]
    assert (len(space), space.dim) == (22, 20)
    assert _apart(space) > 0.5
    assert architecture in space.provenance["model"]


@pytest.mark.parametrize("running", [Running(), Running(threads=3, deterministic=True)])
def test_the_same_seed_gives_the_same_bits(running: Running) -> None:
    first, again = word2vec(texts(900), SMALL, running), word2vec(texts(900), SMALL, running)
    assert np.array_equal(first.matrix, again.matrix)
    other = word2vec(texts(900), SMALL, dataclasses.replace(running, seed=2))
    assert not np.array_equal(first.matrix, other.matrix)


def test_threads_learn_the_same_things() -> None:
    options = dataclasses.replace(SMALL, epochs=20)
    for running in (Running(threads=2), Running(threads=2, deterministic=True)):
        assert _apart(word2vec(texts(900), options, running)) > 0.5


def test_an_interrupted_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = word2vec(texts(), SMALL)
    kept = Running(checkpoint=tmp_path / "kept", journal=tmp_path / "journal.jsonl")
    part = word2vec(texts(), SMALL, dataclasses.replace(kept, stop_after=3))
    assert part.provenance["epochs"] == "3 of 8"
    rest = word2vec(texts(), SMALL, kept)
    assert np.array_equal(rest.matrix, whole.matrix)
    lines = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text("utf-8").splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, 9))
    assert lines[-1]["loss"] < lines[0]["loss"] and lines[0]["words"] == 2400
    assert sorted(p.name for p in (tmp_path / "kept").iterdir()) == ["inputs-8.npy", "outputs-8.npy", "state.json"]


def test_the_first_loss_is_that_of_knowing_nothing(tmp_path: Path) -> None:
    running = Running(journal=tmp_path / "journal.jsonl")
    word2vec(texts(), dataclasses.replace(SMALL, epochs=1, rate=1e-9, last_rate=1e-9), running)
    line = json.loads((tmp_path / "journal.jsonl").read_text("utf-8"))
    assert line["loss"] == pytest.approx(6 * np.log(2), rel=1e-4)  # of the right word and five others


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    running = Running(checkpoint=tmp_path, stop_after=1)
    word2vec(texts(), SMALL, running)
    for given, options, how, says in (
        (texts(seed=1), SMALL, running, "CRC-32"),
        (texts(), dataclasses.replace(SMALL, window=2), running, "window"),
        (texts(), SMALL, dataclasses.replace(running, seed=9), "seed"),
    ):
        with pytest.raises(UsageError, match="another run") as caught:
            word2vec(given, options, how)
        assert says in str(caught.value)


@pytest.mark.parametrize("damage", ["state.json", "inputs-1.npy", "gone"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, damage: str) -> None:
    word2vec(texts(), SMALL, Running(checkpoint=tmp_path, stop_after=1))
    if damage == "gone":
        (tmp_path / "outputs-1.npy").unlink()
    else:
        (tmp_path / damage).write_bytes((tmp_path / damage).read_bytes()[:-40])
    with pytest.raises(DataError, match="damaged"):
        checkpoint.load(tmp_path)


def test_learning_goes_on_with_new_texts_and_words(tmp_path: Path) -> None:
    options = dataclasses.replace(SMALL, parts=PARTS)
    older = fasttext(texts(), options, Running(checkpoint=tmp_path / "a"))
    new = [text.replace("sailor", "skipper") for text in texts(seed=5)]
    space = fasttext(new, options, on=tmp_path / "a")
    assert space.labels == (*older.labels, "skipper")
    assert _apart(space) > 0.5
    ship = space.units[space.place("ship")]
    assert ship @ space.units[space.place("skipper")] > ship @ space.units[space.place("jury")]
    with pytest.raises(UsageError, match="older model has dim"):
        fasttext(new, dataclasses.replace(options, dim=10), on=tmp_path / "a")


def test_an_unseen_word_is_like_its_relatives() -> None:
    space = fasttext(texts(), dataclasses.replace(SMALL, epochs=20, parts=PARTS))
    unseen = space["sailors"]
    near = space.units @ (unseen / np.linalg.norm(unseen))
    assert space.labels[int(near.argmax())] in FIELDS["sea"]


def test_a_word_is_the_mean_of_its_parts() -> None:
    options = dataclasses.replace(SMALL, epochs=1, parts=PARTS, rate=1e-9, last_rate=1e-9)
    space = fasttext(texts(), options)
    assert space.subwords is not None
    chance = np.random.default_rng(1)
    rows = (chance.random((22 + 500, 20), np.float32) - 0.5) / 10
    word = space.place("anchor")
    parts = [rows[22 + row] for row in space.subwords.rows("anchor")]
    assert np.allclose(space["anchor"], np.mean([rows[word], *parts], axis=0), atol=1e-6)


def test_what_cannot_be_learned() -> None:
    for ask in (
        lambda: word2vec(texts(), dataclasses.replace(SMALL, parts=PARTS)),
        lambda: fasttext(texts(), dataclasses.replace(SMALL, architecture="dbow")),
        lambda: Options(architecture="transformer"),
        lambda: Options(dim=0),
        lambda: Options(rate=0.01, last_rate=0.02),
        lambda: Parts(shortest=4, longest=3),
        lambda: Running(threads=0),
    ):
        with pytest.raises(UsageError):
            ask()


def test_the_seed_of_a_run_reaches_every_stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    learn = kernel.learn

    def watched(model: object, tables: object, plan: object, desk: object, stretch: kernel.Stretch) -> object:
        seeds.append(stretch.seed)
        return learn(model, tables, plan, desk, stretch)

    monkeypatch.setattr(kernel, "learn", watched)
    for seed in (1, 2):
        word2vec(texts(900), dataclasses.replace(SMALL, epochs=2), Running(seed=seed))
    assert len(seeds) >= 8 and len(set(seeds)) == len(seeds)


def test_the_rate_falls_along_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    learn = kernel.learn

    def watched(model: object, tables: object, plan: object, desk: object, stretch: kernel.Stretch) -> object:
        rates.extend((stretch.first_rate, stretch.last_rate))
        return learn(model, tables, plan, desk, stretch)

    monkeypatch.setattr(kernel, "learn", watched)
    word2vec(texts(900), dataclasses.replace(SMALL, epochs=2))
    assert rates[0] == 0.05 and rates[-1] == pytest.approx(0.0001)
    assert rates[1:-1:2] == pytest.approx(rates[2::2]) and rates == sorted(rates, reverse=True)
