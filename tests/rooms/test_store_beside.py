"""Two sets of vectors for the rows of one store: filled beside, exchanged in one commit, whole at every moment."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sememe.errors import DamagedError, ReplacedError, StoreError
from sememe.shapes import Place, Record
from sememe.store.local import beside, vector_file
from sememe.store.local.beside import Beside
from sememe.store.local.store import LocalStore, create_store, open_store

OLD, NEW = 3, 2


def old_vector(text: str) -> list[float]:
    return [len(text), text.count("a"), 1]


def new_vector(text: str) -> list[float]:
    return [text.count("b") + 1, len(text)]


def put(store: LocalStore, texts: dict[str, str]) -> None:
    kept = [Record(text, Place("s"), item=id, hash=text) for id, text in texts.items()]
    store.put(list(texts), np.array([old_vector(text) for text in texts.values()], np.float32), kept)


def fill(one: Beside, most: int | None = None) -> int:
    found = one.versions(one.missing()[:most].tolist())
    one.put(found, np.array([new_vector(version.record.text) for version in found], np.float32).reshape(-1, NEW))
    return len(found)


def seen(store: LocalStore) -> dict[str, Any]:
    ids = store.ids()
    kept = zip(store.get(ids), store.vectors(ids).tolist(), strict=True)
    return {id: (record.text if record else None, vector) for id, (record, vector) in zip(ids, kept, strict=True)}


def wanted(texts: dict[str, str], made: Any = new_vector) -> dict[str, Any]:
    return {id: (text, [float(x) for x in made(text)]) for id, text in sorted(texts.items())}


TEXTS = {f"i{n}": "a" * n + "b" * (10 - n) for n in range(10)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with create_store(tmp_path / "s", dim=OLD, manifest={"encoder": "old"}) as store:
        put(store, {"i3": "replaced", "i5": "replaced"})
        put(store, TEXTS)
        store.delete(["gone"])
    return tmp_path / "s"


@pytest.fixture
def store(folder: Path) -> Iterator[LocalStore]:
    with open_store(folder) as store:
        yield store


def begun(store: LocalStore) -> Beside:
    return beside.begun(store, {"encoder": "new", "dim": NEW})


def test_an_exchange_changes_vectors_and_nothing_else(folder: Path, store: LocalStore) -> None:
    (before,) = store.search(None, 5, words=["aaabbbbbbb"], mode="words")
    noted = (folder / "words" / "synced.json").read_bytes()
    with beside.locked(store), begun(store) as one:
        assert fill(one) == 10
        assert len(one.missing()) == 0
        one.exchange()
    with open_store(folder) as store:
        assert (store.dim, store.manifest["encoder"]) == (NEW, "new")
        assert seen(store) == wanted(TEXTS)
        assert store.verify().ok
        (after,) = store.search(None, 5, words=["aaabbbbbbb"], mode="words")
        assert (after.ids, after.scores) == (before.ids, before.scores)
        # The word index was not made anew, for the numbers of the rows are what they were.
        assert (folder / "words" / "synced.json").read_bytes() == noted
        assert sorted(file.name for file in folder.glob("*.f32")) == ["vectors-1.f32"]
        store.put(["i1"], np.array([[1, 2]], np.float32), [Record("other", Place("s"))])
        assert store.verify().ok


def test_back_and_forth(folder: Path, store: LocalStore) -> None:
    with begun(store) as one:
        fill(one)
        one.exchange()
    for turn in range(4):
        with open_store(folder) as store:
            (kept,) = beside.sets(store)
            with kept:
                assert kept.kept is not None
                assert kept.kept[0] == turn + 1
                assert kept.dim == (OLD, NEW)[turn % 2]
                assert len(kept.missing()) == 0
                kept.exchange()
        with open_store(folder) as store:
            assert seen(store) == wanted(TEXTS, (old_vector, new_vector)[turn % 2])
            assert store.verify().ok


def test_changes_of_others_are_caught_up_with(folder: Path, store: LocalStore) -> None:
    texts = dict(TEXTS)
    with begun(store) as one:
        assert fill(one, 4) == 4
        with open_store(folder) as other:
            put(other, {"i0": "another text", "new": "b b b"})
            other.delete(["i1", "i9"])
            other.compact()
        texts |= {"i0": "another text", "new": "b b b"}
        del texts["i1"], texts["i9"]
        with pytest.raises(StoreError, match="7 rows have no vector"):
            one.exchange()
        assert seen(store) == wanted(texts, old_vector)
        assert fill(one) == 7
        one.exchange()
    with open_store(folder) as store:
        assert seen(store) == wanted(texts)
        health = store.verify()
        assert health.ok, health
        assert [record.text for record in store.search(np.ones((1, NEW)), 20)[0].records]
        # Rolled back, what came after the exchange is missing, and only that.
        store.put(["late"], np.ones((1, NEW)), [Record("late", Place("s"))])
        (kept,) = beside.sets(store)
        with kept:
            assert [one.id for one in kept.versions(kept.missing().tolist())] == ["late"]


def test_who_has_it_open_is_told(folder: Path, store: LocalStore) -> None:
    with open_store(folder) as other:
        other.search(np.ones((1, OLD)), 1)
        with begun(store) as one:
            fill(one)
            one.exchange()
        before = open_store(folder)
        for use in (
            lambda: other.search(np.ones((1, OLD)), 1),
            lambda: other.vectors(["i1"]),
            lambda: put(other, {"x": "y"}),
            lambda: other.delete(["i1"]),
            lambda: other.compact(),
            lambda: other.verify(),
            lambda: other.repair(),
        ):
            with pytest.raises(ReplacedError, match="migrated or rebuilt by another process"):
                use()
        assert other.count() == 10
        with before:
            assert seen(before) == wanted(TEXTS)


def test_a_stale_writer_cannot_mix_vectors_after_a_rebuild(folder: Path, tmp_path: Path, store: LocalStore) -> None:
    with create_store(tmp_path / "t", dim=OLD, manifest={"encoder": "same width"}) as fresh:
        put(fresh, {"n": "boat"})
    with open_store(folder) as other:
        other.adopt(tmp_path / "t")
        with pytest.raises(ReplacedError):
            put(store, {"x": "y"})
        assert other.ids() == ["n"]


def test_a_rebuild_ends_all_sets(folder: Path, tmp_path: Path, store: LocalStore) -> None:
    with create_store(tmp_path / "t", dim=OLD) as fresh:
        put(fresh, TEXTS)
    with begun(store) as one:
        fill(one)
        store.adopt(tmp_path / "t")
        assert not one.counts
        assert beside.sets(store) == []
        with pytest.raises(ReplacedError, match="rebuilt"):
            one.missing()
        with pytest.raises(ReplacedError, match="rebuilt"):
            one.exchange()


STEPS = ["_made", "_linked", "_linked#2", "_take_over", "sweep", "remove"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_exchange_that_is_cut_off(
    folder: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    """By an exception that nothing catches, so that nothing is tidied up either."""
    name, _, turn = step.partition("#")
    calls = {"n": 0}

    def cut(real: Any) -> Any:
        def stopped(*args: Any, **rest: Any) -> Any:
            calls["n"] += 1
            mine = calls["n"] == int(turn or 1)
            if mine and when == "before":
                raise KeyboardInterrupt
            out = real(*args, **rest)
            if mine:
                raise KeyboardInterrupt
            return out

        return stopped

    with begun(store) as one:
        fill(one)
        if name == "_take_over":
            monkeypatch.setattr(Beside, name, cut(Beside._take_over))
        elif name == "remove":
            monkeypatch.setattr(vector_file, "remove_others", cut(vector_file.remove_others))
        else:
            monkeypatch.setattr(beside, name, cut(getattr(beside, name)))
        with pytest.raises(KeyboardInterrupt):
            one.exchange()
    monkeypatch.undo()
    done = step in ("sweep", "remove")
    with open_store(folder) as store:
        assert seen(store) == wanted(TEXTS, new_vector if done else old_vector)
        assert store.verify().ok
        found = beside.sets(store)
        assert [bool(one.kept) for one in found] == [done]
        # Whoever writes in between appends to the file of the set in use, which has two names perhaps.
        late = np.ones((1, store.dim), np.float32)
        store.put(["late"], late, [Record("late", Place("s"))])
        store.compact()
        with found[0] as one:
            assert one.prove() == 0
            assert [version.id for version in one.versions(one.missing().tolist())] == ["late"]
            made = np.full((1, one.dim), 7, np.float32)
            one.put(one.versions(one.missing().tolist()), made)
            one.exchange()
    with open_store(folder) as store:
        assert store.verify().ok
        assert {k: v for k, v in seen(store).items() if k != "late"} == wanted(
            TEXTS, old_vector if done else new_vector
        )
        assert len(beside.sets(store)) == 1
        assert len([one for one in folder.iterdir() if one.is_dir()]) == 2  # that set, and the words
        assert len(list(folder.glob("*.f32"))) == 1


def test_cut_off_again_and_again(folder: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*args: Any, **rest: Any) -> None:
        raise KeyboardInterrupt

    with begun(store) as one:
        fill(one)
        for _ in range(2):
            with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
                patch.setattr(Beside, "_take_over", stop)
                one.exchange()
        assert len(list(folder.glob("*.f32"))) == 2  # the file in use, and a name that the next exchange takes
        one.exchange()
    with open_store(folder) as store, beside.begun(store, {"encoder": "third", "dim": NEW}) as one:
        fill(one)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(beside, "sweep", stop)
            one.exchange()
    with open_store(folder) as store:
        assert store.manifest["encoder"] == "third"
        (kept,) = beside.sets(store)
        with kept:
            assert kept.manifest["encoder"] == "new"  # the older one is still there, and does not count


def test_damage_beside_is_found_and_made_good(folder: Path, store: LocalStore) -> None:
    with begun(store) as one:
        fill(one)
        one.exchange()
    with open_store(folder) as store:
        (kept,) = beside.sets(store)
        data = bytearray(kept.file.read_bytes())
        data[5 * OLD * 4] ^= 1
        kept.file.write_bytes(data[: -OLD * 4])
        with kept:
            assert kept.prove() == 2
            assert len(kept.missing()) == 2
            rows = kept.versions(kept.missing().tolist())
            kept.put(rows, np.array([old_vector(one.record.text) for one in rows], np.float32))
            kept.exchange()
    with open_store(folder) as store:
        assert seen(store) == wanted(TEXTS, old_vector)
        assert store.verify().ok


def test_a_lost_file_beside_is_made_good(folder: Path, store: LocalStore) -> None:
    with begun(store) as one:
        fill(one)
        one.file.unlink()
        assert one.prove() == 10
        fill(one)
        one.exchange()
    with open_store(folder) as store:
        assert seen(store) == wanted(TEXTS)


def test_a_set_that_cannot_be_read_is_named_and_can_be_let_go(folder: Path, store: LocalStore) -> None:
    with begun(store) as one:
        fill(one)
        (one.folder / "rows.sqlite").write_bytes(b"SQLite format 3\0" + bytes(500))
    with pytest.raises(DamagedError, match="the collection itself is not touched") as caught:
        beside.sets(store)
    assert "sememe collections settle s" in str(caught.value)
    assert seen(store) == wanted(TEXTS, old_vector)
    assert beside.sweep(store) > 500
    assert beside.sets(store) == []


def test_without_hard_links_it_is_copied(folder: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    with begun(store) as one:
        fill(one)
        one.exchange()
    with open_store(folder) as store:
        assert seen(store) == wanted(TEXTS)
        (kept,) = beside.sets(store)
        with kept:
            assert kept.prove() == 0


def test_a_row_that_a_repair_numbered_anew_is_missing(folder: Path, store: LocalStore) -> None:
    with begun(store) as one:
        fill(one)
        with store._database.writing() as connection:
            # As after a repair that lost the last rows and their numbers: another text under a known number.
            (number,) = connection.execute("SELECT max(number) FROM rows").fetchone()
            connection.execute("UPDATE records SET seal = seal + 1 WHERE number = ?", [number])
        assert one.missing().tolist() == [number]


def test_an_empty_store_and_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with create_store(tmp_path / "e", dim=OLD) as store, begun(store) as one:
        one.exchange()
    with open_store(tmp_path / "e") as store:
        assert (store.count(), store.dim, store.verify().ok) == (0, NEW, True)
        store.put(["x"], np.ones((1, NEW)), [Record("x", Place("s"))])
        with begun(store) as one:

            def full(*args: object) -> None:
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(vector_file, "append", full)
            with pytest.raises(StoreError, match="nothing was changed") as caught:
                fill(one)
            assert "the disk is full" in str(caught.value)
            monkeypatch.undo()
            fill(one)
            monkeypatch.setattr(os, "link", full)
            with pytest.raises(StoreError, match="nothing was changed"):
                one.exchange()
            monkeypatch.undo()
            assert store.vectors(["x"]).tolist() == [[1, 1]]
            one.exchange()
    shutil.rmtree(tmp_path / "e")


def test_a_smaller_type_stays_and_so_does_what_it_cost(tmp_path: Path) -> None:
    with create_store(tmp_path / "t", dim=OLD, vectors="int8") as store:
        put(store, TEXTS)
        cost = store.loss
        with begun(store) as one:
            fill(one)
            one.exchange()
    with open_store(tmp_path / "t") as store:
        assert store.vector_type == "int8"
        assert store.loss is not None
        assert (store.loss.rows, store.loss != cost) == (10, True)
        assert (
            store.vectors(list(TEXTS)).tolist()
            == store.as_kept(np.array([new_vector(text) for text in TEXTS.values()], np.float32)).tolist()
        )
        assert store.verify().ok
        store.convert("float32")
        (kept,) = beside.sets(store)
        with kept:
            kept.exchange()
    with open_store(tmp_path / "t") as store:
        assert (store.vector_type, store.loss) == ("int8", cost)
        assert store.verify().ok
