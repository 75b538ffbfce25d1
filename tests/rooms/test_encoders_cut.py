"""Vectors cut to their first numbers: which numbers, what a fingerprint says, what it costs, and who keeps to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from letters import Letters

from sememe import settings
from sememe.collection.collection import Collection
from sememe.encoders.cut import CutEncoder, cut_rows, measure_cut, shortened
from sememe.encoders.load import load_encoder
from sememe.errors import MismatchError, UsageError
from sememe.models.catalogue import entries, find
from sememe.settings import Settings
from tests import tiny_bert

TEXTS = ["abc", "aabbccd", "dddd", "abcdabcd", "ab", "bc", "cd", "", "aaab"]


def test_the_first_numbers_at_unit_length() -> None:
    given = np.array([[3, 4, 12], [0, 0, 5], [1e-30, 0, 1]], np.float32)
    kept = given.copy()
    assert cut_rows(given, 2).tolist() == [[np.float32(0.6), np.float32(0.8)], [0, 0], [1, 0]]
    assert cut_rows(given, 3)[0].tolist() == pytest.approx([3 / 13, 4 / 13, 12 / 13])
    assert cut_rows(np.empty((0, 3), np.float32), 2).shape == (0, 2)
    assert given.tolist() == kept.tolist()


def test_the_mean_of_all_numbers_is_subtracted_before_where_it_is_said() -> None:
    (row,) = cut_rows(np.array([[1, 3, 8]], np.float32), 2, centred=True)
    assert row.tolist() == pytest.approx([-3 / 10**0.5, -1 / 10**0.5])


def test_a_cut_encoder_is_the_whole_one_cut() -> None:
    whole = Letters(letters="abcd")
    cut = CutEncoder(whole, 2)
    expected = whole.encode(TEXTS)[:, :2].astype(np.float64)
    lengths = np.linalg.norm(expected, axis=1, keepdims=True)
    expected = np.divide(expected, lengths, out=np.zeros_like(expected), where=lengths > 0)
    assert cut.encode(TEXTS) == pytest.approx(expected, abs=1e-6)
    assert cut.encode_report(TEXTS).used.tolist() == whole.encode_report(TEXTS).used.tolist()
    assert (cut.dim, cut.name, cut.max_tokens, cut.tokenizer) == (2, whole.name, whole.max_tokens, whole.tokenizer)
    assert cut.describe()["cut"] == "2 of 4 dims, not trained for it, unit length"


def test_the_fingerprint_tells_every_cut_apart() -> None:
    whole = Letters(letters="abcd")
    cuts = [CutEncoder(whole, 2), CutEncoder(whole, 3), CutEncoder(whole, 3, centred=True)]
    assert len({one.fingerprint for one in [whole, *cuts]}) == 4
    assert CutEncoder(whole, 2).fingerprint == cuts[0].fingerprint
    assert shortened(whole, 0) is shortened(whole, 4) is whole


@pytest.mark.parametrize("dims", [-1, 5, 100])
def test_a_width_that_it_has_not_is_refused(dims: int) -> None:
    with pytest.raises(UsageError, match="of 4 numbers, which cannot be cut to"):
        shortened(Letters(letters="abcd"), dims)


def test_the_catalogue_says_who_was_trained_for_it() -> None:
    nomic = find("nomic-embed-text-v1.5")
    assert nomic.matryoshka == (512, 256, 128, 64)
    cut = shortened(Letters(nomic.name, letters="abcd" * 16), 63)
    assert isinstance(cut, CutEncoder)
    assert (cut.trained, cut.centred) == (False, True)
    wide = Letters(nomic.name)
    wide.letters, wide.dim = "abcd" * 200, 800
    trained = shortened(wide, 256)
    assert isinstance(trained, CutEncoder)
    assert trained.trained
    assert "256 of 800 dims, trained for it" in trained.describe()["cut"]
    for entry in entries():
        assert all(0 < dims < entry.dim for dims in entry.matryoshka)


def test_what_a_cut_costs() -> None:
    whole = Letters(letters="abcd")
    nothing = measure_cut(CutEncoder(Letters(letters="abcd"), 4), TEXTS)
    assert (nothing.recall, nothing.dims, nothing.width, nothing.texts) == (1.0, 4, 4, 9)
    texts = ["".join(np.random.default_rng(n).choice(list("abcd"), 9)) for n in range(60)]
    units = whole.encode(texts).astype(np.float64)
    cut = units[:, :2] / np.maximum(np.linalg.norm(units[:, :2], axis=1, keepdims=True), 1e-12)
    same = 0
    for at in range(60):
        best = []
        for rows in (units, cut):
            scores = (rows.astype(np.float32) @ rows.astype(np.float32).T)[at]
            scores[at] = -2
            best.append(set(np.argsort(-scores, kind="stable")[:10].tolist()))
        same += len(best[0] & best[1])
    found = measure_cut(CutEncoder(whole, 2), [*texts, texts[0]])
    assert found.texts == 60
    assert found.recall == pytest.approx(same / 600, abs=0.03)  # texts of the same letters are equally near
    assert found.recall < 0.9
    with pytest.raises(UsageError, match="two texts"):
        measure_cut(CutEncoder(whole, 2), ["a", "a"])


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return tiny_bert.write(tmp_path / "models" / "tiny", limit=48)


@pytest.fixture
def now(tmp_path: Path) -> Settings:
    return replace(settings.load(), home=tmp_path, offline=True, precision="f32")


def test_a_collection_keeps_to_its_cut(tiny: Path, now: Settings) -> None:
    short = replace(now, dims=5)
    with Collection("c", encoder=str(tiny), settings=short) as made:
        made.add(["bank moon", "bread"])
        assert (made.store.dim, made.binding.cut) == (5, 5)
        assert np.linalg.norm(made.store.vectors(made.store.ids()), axis=1) == pytest.approx(1)
    with Collection("c", encoder=str(tiny), settings=now) as again:
        assert again.search("bread", mode="dense")[0].text == "bread"
        assert again.encoder().dim == 5
    flagged = replace(now, dims=6, origins={**now.origins, "dims": "flag"})
    other = Collection("c", encoder=str(tiny), settings=flagged)
    with pytest.raises(UsageError, match="keeps 5 numbers of each vector"):
        other.count()
    whole = Collection("c", encoder=load_encoder(tiny, home=now.home, offline=True), settings=now)
    with pytest.raises(MismatchError, match="another encoder"):
        whole.count()


def test_a_collection_that_is_not_cut_stays_whole_whatever_is_set(tiny: Path, now: Settings) -> None:
    with Collection("c", encoder=str(tiny), settings=now) as made:
        width = made.add(["bank moon", "bread"]).store.dim
        assert made.binding.cut == 0
    with Collection("c", encoder=str(tiny), settings=replace(now, dims=5)) as again:
        assert len(again.search("moon", mode="dense")) == 2
        assert again.encoder().dim == width


def test_a_rebuild_keeps_the_cut_unless_another_is_asked_for(tiny: Path, now: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("bank moon")
    paths = [tmp_path / "a.txt"]
    with Collection("c", encoder=str(tiny), settings=replace(now, dims=5)) as made:
        made.index(paths)
    # Nobody names the model: its own is loaded, by its name.
    with Collection("c", settings=now) as plain:
        plain.index(paths, rebuild=True)
        assert (plain.store.dim, plain.binding.cut) == (5, 5)
    flagged = replace(now, dims=7, origins={**now.origins, "dims": "flag"})
    with Collection("c", encoder=str(tiny), settings=flagged) as asked:
        asked.index(paths, rebuild=True)
        assert asked.store.dim == 7
