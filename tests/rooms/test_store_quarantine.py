"""What repair has set aside can be read, whole or not, and forgotten."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from sememe.errors import DamagedError, LockedError, StoreError
from sememe.shapes import Place, Record
from sememe.store.local import quarantine
from sememe.store.local.quarantine import SetAside
from sememe.store.local.store import create_store, open_store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of three, the second of which was damaged and set aside."""
    with create_store(tmp_path / "s", dim=4) as store:
        store.put(
            ["a", "b", "c"],
            np.eye(3, 4),
            [Record(f"text {n}", Place(f"{n}.txt"), f"title {n}", meta={"year": n, "id": "x"}) for n in range(3)],
        )
    vectors = tmp_path / "s" / "vectors.f32"
    data = bytearray(vectors.read_bytes())
    data[20] ^= 1
    vectors.write_bytes(data)
    with open_store(tmp_path / "s") as store:
        assert store.repair().affected == ("b",)
    return tmp_path / "s"


def test_it_lists_what_left(folder: Path) -> None:
    (one,) = quarantine.listed(folder)
    assert one == SetAside("b", "1.txt", "title 1", "text 1", {"year": 1, "id": "x"})
    assert one.as_row() == {"id": "b", "source": "1.txt", "title": "title 1", "text": "text 1",
                            "year": 1, "meta.id": "x"}  # fmt: skip


@pytest.mark.parametrize("meta", ["not json", "[1]", "[" * 100_000])
def test_what_is_no_meta_any_more_is_shown_as_it_is(folder: Path, meta: str) -> None:
    with sqlite3.connect(folder / "records.sqlite") as connection:
        connection.execute("UPDATE quarantine SET meta = ?, title = 7", [meta])
    connection.close()
    (one,) = quarantine.listed(folder)
    assert (one.meta, one.title) == (meta, "7")
    assert one.as_row()["meta"] == meta


def test_it_is_read_where_the_store_cannot_be_opened(folder: Path) -> None:
    with sqlite3.connect(folder / "records.sqlite") as connection:
        connection.execute("UPDATE manifest SET value = '5' WHERE key = 'dim'")
    connection.close()
    with pytest.raises(DamagedError):
        open_store(folder)
    assert len(quarantine.listed(folder)) == 1
    (folder / "records.sqlite").write_bytes(b"junk" * 5000)
    with pytest.raises(DamagedError):
        quarantine.listed(folder)


def test_clearing_forgets_it_and_nothing_else(folder: Path) -> None:
    with open_store(folder) as store:
        with store.writing(), pytest.raises(LockedError):
            quarantine.clear(folder, timeout=0)
        assert quarantine.clear(folder) == 1
        assert quarantine.listed(folder) == []
        assert (store.ids(), store.verify().ok) == (["a", "c"], True)
        assert quarantine.clear(folder) == 0


def test_a_folder_without_a_store_has_none(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        quarantine.listed(tmp_path)


def test_damaged_records_are_kept_beside(folder: Path) -> None:
    assert quarantine.damaged_copies(folder) == []
    (folder / "damaged-20261122-1").mkdir()
    assert [copy.name for copy in quarantine.damaged_copies(folder)] == ["damaged-20261122-1"]
