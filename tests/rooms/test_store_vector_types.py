"""Vectors that are kept smaller: what comes back, what that costs, damage, and the ways from one type to another."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn
from letters import Letters

from sememe import settings
from sememe.collection.collection import Collection
from sememe.collection.transfer import (
    FORMS,
    backup_collection,
    export_collection,
    import_collection,
    restore_collection,
)
from sememe.errors import DamagedError, DataError, StoreError, UsageError
from sememe.settings import Settings
from sememe.shapes import Place, Record, Vectors
from sememe.store import open as stores
from sememe.store import scan
from sememe.store import vector_type as kinds
from sememe.store.copy import copy
from sememe.store.local import database, salvage, vector_file
from sememe.store.local.store import LocalStore, create_store, open_store
from tests.contracts.vector_twins import kept_by

SMALLER = ["float16", "int8", "binary"]
DIM = 12

matrices = hn.arrays(
    np.float32,
    hn.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


def rows(n: int, dim: int = DIM, seed: int = 0) -> Vectors:
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def records(n: int) -> list[Record]:
    return [Record(f"river bank {i}", Place(f"s{i % 3}", i + 1, i + 1), hash=str(i)) for i in range(n)]


def ids(n: int, start: int = 0) -> list[str]:
    return [f"i{number:03}" for number in range(start, start + n)]


def seen(store: LocalStore) -> tuple[Any, ...]:
    there = store.ids()
    return there, store.get(there), store.vectors(there).tolist(), store.vector_type, store.loss, store.count()


@pytest.fixture(params=SMALLER)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(tmp_path: Path, kind: str) -> Path:
    """A store of ten items and one that is gone, closed."""
    with create_store(tmp_path / "s", dim=DIM, vectors=kind) as store:
        store.put([*ids(10), "gone"], rows(11), records(11), sources={f"s{i}": "h" for i in range(3)})
        store.delete(["gone"])
    return tmp_path / "s"


# --- what comes back -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", kinds.TYPES)
@example(given=np.array([[1.9999, 3 * 2.0**-24]], np.float32))  # the largest rounds up to the next power of two
@given(given=matrices)
def test_keeping_what_came_back_changes_nothing_more(name: str, given: Vectors) -> None:
    one = kinds.find(name)
    raw = one.encode(given)
    back = one.decode(raw, given.shape[1])
    assert raw.shape == (len(given), one.width(given.shape[1]))
    assert (back.shape, back.dtype) == (given.shape, np.float32)
    assert np.isfinite(back).all()
    assert one.encode(back).tobytes() == raw.tobytes()
    assert one.kept(back).tobytes() == back.tobytes()


@pytest.mark.parametrize("name", kinds.TYPES)
@example(given=np.array([[1.9999, 3 * 2.0**-24]], np.float32))
@given(given=matrices.filter(lambda m: not ((m != 0) & (np.abs(m) < 1e-30)).any()))
def test_what_comes_back_is_what_the_twin_says(name: str, given: Vectors) -> None:
    if name == "float16":
        given = given[np.abs(given).max(axis=1) < 3e38]  # beyond, it rounds down where the twin would reach 2 ** 128
    assert kinds.find(name).kept(given).tolist() == kept_by(f"local-{name}", given).tolist()


def test_the_largest_and_the_smallest_numbers_come_back_finite(kind: str) -> None:
    top = np.finfo(np.float32).max
    given = np.array([[top, -top, 1], [1e-45, -1e-45, 0], [0, 0, 0], [-0.0, 1, -1]], np.float32)
    back = kinds.find(kind).kept(given)
    assert np.isfinite(back).all()
    if kind != "binary":
        assert back[0].tolist() == pytest.approx([top, -top, 0], rel=2e-3)
        assert back[2].tolist() == [0, 0, 0]
    else:
        assert back.tolist() == [[1, -1, 1], [1, -1, 1], [1, 1, 1], [1, 1, -1]]


@pytest.mark.parametrize(("kind", "bytes_each"), [("float32", 48), ("float16", 26), ("int8", 16), ("binary", 2)])
def test_the_file_is_as_small_as_is_said(tmp_path: Path, kind: str, bytes_each: int) -> None:
    with create_store(tmp_path / "s", dim=DIM, vectors=kind) as store:
        store.put(ids(10), rows(10), records(10))
    (file,) = vector_file.files(tmp_path / "s")
    assert file.stat().st_size == 10 * bytes_each
    assert file.suffix == "." + kinds.find(kind).suffix


def test_what_is_kept_survives_everything(folder: Path, kind: str) -> None:
    kept = kept_by(f"local-{kind}", rows(10)).tolist()
    with open_store(folder) as store:
        assert store.vectors(ids(10)).tolist() == store.as_kept(rows(10)).tolist() == kept
        store.compact()
        store.put(["more"], rows(1, seed=3), records(1))
    with open_store(folder) as store, create_store(folder.parent / "other", dim=DIM) as other:
        assert store.vectors(ids(10)).tolist() == kept
        assert store.verify().ok
        assert [file.suffix for file in vector_file.files(folder)] == ["." + kinds.find(kind).suffix]
        other.adopt(folder)
        assert (other.vector_type, other.vectors(ids(10)).tolist()) == (kind, kept)
        assert other.loss == store.loss
        assert other.verify().ok


@pytest.mark.parametrize("name", ["float8", "", "F32"])
def test_a_type_that_nobody_knows_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="use one of: float32, float16, int8, binary"):
        create_store(tmp_path / "s", dim=DIM, vectors=name)
    assert not (tmp_path / "s").exists()
    with create_store(tmp_path / "t", dim=DIM) as store, pytest.raises(UsageError, match="is not known"):
        store.convert(name)


def test_a_server_keeps_float32_only() -> None:
    with pytest.raises(UsageError, match="as float32, not as int8"):
        stores.create_store("postgresql://a:b@localhost/c?collection=d", dim=3, vectors="int8")


def test_a_scan_decodes_block_by_block(kind: str) -> None:
    one = kinds.find(kind)
    packed = kinds.Packed(one.encode(rows(100_000, 64)), one, 64)
    tracemalloc.start()
    try:
        lengths = scan.norms(packed)
        (found,) = scan.shortlists(packed, lengths, None, scan.unit(rows(1, 64, seed=1)), 10)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found) >= 10
    assert peak < 100_000 * 64 * 4 / 2, "less than half of what all of them take as float32"


# --- what it costs ---------------------------------------------------------------------------------------------------


def test_the_loss_is_what_a_plain_computation_says(tmp_path: Path, kind: str) -> None:
    given = rows(300) + 2 * rows(30, seed=5).repeat(10, axis=0)
    with create_store(tmp_path / "s", dim=DIM) as store:
        store.put(ids(300), given, records(300))
        store.delete(ids(50, 100))
        loss = store.measure_loss(kind)
        assert store.vector_type == "float32"
        assert store.loss is None
        told = store.convert(kind)
        assert told == loss == store.loss
        assert store.verify().ok
    there = np.delete(given, slice(100, 150), axis=0).astype(np.float64)
    kept = kept_by(f"local-{kind}", there.astype(np.float32)).astype(np.float64)
    a, b = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in (there, kept))
    cosine = (a * b).sum(axis=1)
    asked = np.sort(np.random.default_rng(0).choice(250, 200, replace=False))
    same = 0
    for query in asked:
        nearest = []
        for matrix in (a, b):
            scores = matrix @ a[query]
            scores[query] = -9
            nearest.append(set(np.argsort(-scores)[:10].tolist()))
        same += len(nearest[0] & nearest[1])
    assert (loss.vectors, loss.against, loss.rows, loss.asked) == (kind, "float32", 250, 200)
    assert (loss.cosine, loss.least) == pytest.approx((cosine.mean(), cosine.min()), abs=1e-6)
    # Two rows that are equally near to float32 may be either way round.
    assert loss.recall == pytest.approx(same / 2000, abs=0.02 if kind == "binary" else 0.002)
    assert (loss.before, loss.after) == (48, kinds.find(kind).width(DIM))


def test_what_was_put_is_compared_with_what_is_kept(tmp_path: Path, kind: str) -> None:
    with create_store(tmp_path / "s", dim=DIM, vectors=kind) as store:
        assert store.loss is None
        given = np.concatenate([rows(10), np.ones((10, DIM), np.float32)])  # the second ten lose nothing
        for start in (0, 10):
            store.put(ids(10, start), given[start : start + 10], records(10))
        found = store.loss
    a, b = given.astype(np.float64), kept_by(f"local-{kind}", given).astype(np.float64)
    cosine = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert found is not None
    assert (found.rows, found.recall, found.against) == (20, None, "float32")
    assert (found.cosine, found.least) == pytest.approx((cosine.mean(), cosine.min()), abs=1e-7)


@pytest.mark.parametrize("n", [0, 1, 2, 11])
def test_the_loss_of_few(tmp_path: Path, n: int) -> None:
    with create_store(tmp_path / "s", dim=DIM) as store:
        store.put(ids(n), rows(n), records(n))
        loss = store.convert("binary")
        assert (loss.rows, loss.asked) == (n, n if n > 1 else 0)
        assert loss.recall == {0: None, 1: None, 2: 1.0, 11: 1.0}[n]
        assert store.vector_type == "binary"
        assert store.verify().ok


# --- from one type to another ----------------------------------------------------------------------------------------


def test_conversions_keep_what_is_there_and_say_what_was_before(folder: Path, kind: str) -> None:
    with open_store(folder) as store, open_store(folder) as beside:
        before = beside.search(rows(1, seed=9), 10)[0]
        loss = store.convert("float32")
        assert (loss.against, loss.rows) == (kind, 10)
        assert (loss.cosine, loss.recall) == (pytest.approx(1), 1.0)
        assert store.loss == loss
        assert store.vectors(ids(10)).tolist() == kept_by(f"local-{kind}", rows(10)).tolist()
        after = beside.search(rows(1, seed=9), 10)[0]
        assert (after.ids, after.scores) == (before.ids, before.scores)
        assert beside.vector_type == "float32"
        assert store.convert(kind).vectors == kind
        assert store.vectors(ids(10)).tolist() == kept_by(f"local-{kind}", rows(10)).tolist()
        assert [file.name for file in vector_file.files(folder)] == [f"vectors-2.{kinds.find(kind).suffix}"]
        assert (store.verify().ok, store.count(), len(store.sources())) == (True, 10, 3)


def test_a_conversion_that_fails_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(folder) as store:
        before = seen(store)

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(vector_file, "sync_folder", full)
            with pytest.raises(StoreError, match="nothing was changed"):
                store.convert("float32")
        assert seen(store) == before
        assert store.verify().ok
        assert store.convert("float32").rows == 10
        assert len(vector_file.files(folder)) == 1


def test_damage_is_not_converted(folder: Path) -> None:
    (file,) = vector_file.files(folder)
    with open_store(folder) as store:
        loss = store.measure_loss("float32")
        flip(file, 3)
        assert loss.rows == 10
        with pytest.raises(DamagedError, match="not what was written"):
            store.convert("float32")
        assert vector_file.files(folder) == [file]
        assert store.verify().affected == ("i003",)


def flip(file: Path, row: int) -> None:
    data = bytearray(file.read_bytes())
    data[row * (len(data) // 11) + 1] ^= 4
    file.write_bytes(data)


# --- damage ----------------------------------------------------------------------------------------------------------


def test_a_flipped_bit_is_found_and_set_aside(folder: Path, kind: str) -> None:
    flip(*vector_file.files(folder), 3)
    with open_store(folder) as store:
        with pytest.raises(DamagedError, match="not what was written"):
            store.search(rows(1), 10)
        assert store.verify().affected == ("i003",)
        assert store.repair().affected == ("i003",)
        rest = [id for id in ids(10) if id != "i003"]
        assert store.ids() == rest
        assert store.vectors(rest).tolist() == kept_by(f"local-{kind}", np.delete(rows(10), 3, axis=0)).tolist()
        assert (store.verify().ok, store.vector_type) == (True, kind)


def test_a_cut_file_repairs_to_the_rest(folder: Path, kind: str) -> None:
    (file,) = vector_file.files(folder)
    os.truncate(file, 6 * kinds.find(kind).width(DIM) + 1)
    with open_store(folder) as store:
        with pytest.raises(DamagedError, match="cut off"):
            store.search(rows(1), 3)
        assert store.repair().affected == tuple(ids(4, 6))
        assert store.vectors(ids(6)).tolist() == kept_by(f"local-{kind}", rows(6)).tolist()
        store.put(["x"], rows(1, seed=5), records(1))
        assert store.verify().ok


def test_records_that_are_made_anew_keep_type_and_loss(folder: Path, kind: str) -> None:
    with open_store(folder) as store:
        before = seen(store)
    connection = sqlite3.connect(folder / database.FILE)
    connection.execute("UPDATE records SET text = 'something else' WHERE id = 'i004'")
    connection.commit()
    connection.close()
    assert salvage.salvage(folder).affected == ("i004",)
    with open_store(folder) as store:
        assert (store.vector_type, store.loss) == (kind, before[4])
        assert store.vectors(["i005"]).tolist() == [before[2][5]]
        assert (store.verify().ok, store.count()) == (True, 9)


@pytest.mark.parametrize("name", ["vectors.f33", "vectors.f3", "vectors", "xectors.f32", "vectors-x.i8"])
def test_a_name_that_tells_no_type_is_damage(folder: Path, name: str) -> None:
    connection = sqlite3.connect(folder / database.FILE)
    connection.execute("UPDATE state SET vectors = ?", [name])
    connection.commit()
    connection.close()
    with open_store(folder) as store:
        with pytest.raises(DamagedError):
            store.search(rows(1), 3)
        assert not store.verify().ok
        store.repair()
        assert store.verify().ok


# --- from one store to another ---------------------------------------------------------------------------------------


def test_a_copy_into_a_smaller_type_is_whole(tmp_path: Path, kind: str) -> None:
    with create_store(tmp_path / "a", dim=DIM) as source, create_store(tmp_path / "b", dim=DIM, vectors=kind) as target:
        source.put(ids(20), rows(20), records(20), sources={"s0": "h"})
        assert copy(source, target, batch=7).sent == 20
        assert target.vectors(ids(20)).tolist() == kept_by(f"local-{kind}", rows(20)).tolist()
        target.delete(["i003"])
        again = copy(source, target)
        assert (again.sent, again.kept) == (1, 19)
        with create_store(tmp_path / "c", dim=DIM) as back:
            assert copy(target, back).sent == 20
            assert back.vectors(ids(20)).tolist() == target.vectors(ids(20)).tolist()


ABC = Letters(letters="abcd")


@pytest.fixture
def now(tmp_path: Path) -> Settings:
    return replace(settings.load(), home=tmp_path / "home")


@pytest.fixture
def notes(now: Settings, kind: str) -> Collection:
    made = Collection("notes", encoder=ABC, settings=now, vectors=kind)
    return made.add([{"id": f"n{i}", "text": f"a bad cab {i}" + i * " c"} for i in range(9)])


@pytest.mark.parametrize("form", FORMS)
def test_an_export_comes_back_as_it_was(notes: Collection, now: Settings, kind: str, tmp_path: Path, form: str) -> None:
    export_collection(notes, tmp_path / "out", to=form)
    with import_collection(tmp_path / "out", "again", encoder=ABC, settings=now).collection as again:
        assert again.store.vector_type == kind
        there = again.store.ids()
        assert again.store.vectors(there).tolist() == notes.store.vectors(there).tolist()
    flagged = replace(now, vectors="float32", origins={**now.origins, "vectors": "flag"})
    with import_collection(tmp_path / "out", "large", encoder=ABC, settings=flagged).collection as large:
        assert large.store.vector_type == "float32"
        assert large.store.vectors(there).tolist() == notes.store.vectors(there).tolist()
    notes.close()


def test_an_export_of_an_unknown_type_is_refused(notes: Collection, now: Settings, tmp_path: Path) -> None:
    export_collection(notes, tmp_path / "out", to="jsonl")
    text = (tmp_path / "out").read_text()
    for bad in ('"float8"', "[1]", "null"):
        (tmp_path / "bad").write_text(text.replace(f'"vectors": "{notes.store.vector_type}"', f'"vectors": {bad}'))
        with pytest.raises(DataError, match="no type that is known"):
            import_collection(tmp_path / "bad", "bad", encoder=ABC, settings=now)
    notes.close()


def test_a_backup_comes_back_as_it_was(notes: Collection, now: Settings, kind: str, tmp_path: Path) -> None:
    backup_collection(notes, tmp_path / "b")
    with restore_collection(tmp_path / "b", "again", settings=now) as again:
        assert again.store.vector_type == kind
        assert seen(again.store) == seen(notes.store)
        assert again.verify().ok
    notes.close()


def test_another_type_is_refused_and_a_rebuild_keeps_the_one_it_has(now: Settings, kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a bad cab")
    with Collection("c", encoder=ABC, settings=now, vectors=kind) as made:
        made.index([tmp_path / "a.txt"])
        assert (made.info().vectors, made.info().loss) == (kind, made.store.loss)
    other = "float32"
    asked = Collection("c", encoder=ABC, settings=now, vectors=other)
    with pytest.raises(UsageError, match=f"keeps its vectors as {kind}"):
        asked.count()
    with Collection("c", encoder=ABC, settings=now) as plain:
        plain.index([tmp_path / "a.txt"], rebuild=True)
        assert plain.store.vector_type == kind
    with Collection("c", encoder=ABC, settings=now, vectors=other) as asked:
        asked.index([tmp_path / "a.txt"], rebuild=True)
        assert asked.store.vector_type == other


def test_a_collection_of_an_unknown_type_is_refused(now: Settings) -> None:
    with pytest.raises(UsageError, match="is not known"):
        Collection("c", encoder=ABC, settings=now, vectors="float8").add(["a"])
    shutil.rmtree(now.home, ignore_errors=True)
