"""Files that a process leaves when it is killed, and those that are derived, cut off and with flipped bits: never a
crash or a wrong hit. The files that hold the truth are damaged in tests/slow."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sememe.errors import DamagedError
from sememe.shapes import Place, Record
from sememe.store.local.store import LocalStore, create_store

ROOT = Path(__file__).resolve().parents[2]
TURNS = 4

PUTS = """
    import os, sys
    import numpy as np
    from pathlib import Path
    from sememe.shapes import Place, Record
    from sememe.store.local import database
    from sememe.store.local.store import create_store
    if sys.argv[3] == "kept":
        database._bound_journal = lambda connection: connection.execute("PRAGMA wal_autocheckpoint = 0")
    store = create_store(Path(sys.argv[1]), dim=4)
    for turn in range(1, int(sys.argv[2]) + 1):
        names = [f"i{n}" for n in range(10 * turn)]
        store.put(names, np.full((len(names), 4), turn, np.float32), [Record(f"turn {turn}", Place("s"))] * len(names))
    os._exit(0)
"""


def damages(data: bytes, seed: int, flips: int) -> Iterator[bytes]:
    """``data`` cut off at ten places, and with a bit flipped at some."""
    chance = random.Random(seed)
    for turn in range(10):
        yield data[: len(data) * turn // 10]
    for _ in range(flips):
        place = chance.randrange(len(data))
        yield data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]


@pytest.fixture(scope="module", params=["kept", "bounded"])
def killed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose last changes stand in SQLite's journal: turn after turn, ten rows more, and all replaced. All of
    them are there alone, or they have been copied over every now and then, as they are."""
    folder = tmp_path_factory.mktemp("killed") / "s"
    subprocess.run([sys.executable, "-c", textwrap.dedent(PUTS), str(folder), str(TURNS), request.param], check=True,
                   env={"PYTHONPATH": str(ROOT)})  # fmt: skip
    assert (folder / "records.sqlite-wal").stat().st_size > 0
    return folder


def turn_of(folder: Path) -> int:
    """Which turn's state it is, whole to whoever asks; what `verify` finds, `repair` mends."""
    with LocalStore(folder, timeout=10, read_only=None) as store:
        ids = store.ids()
        if not ids:
            return 0
        turn = len(ids) // 10
        assert sorted(ids) == sorted(f"i{n}" for n in range(10 * turn))
        assert {record.text for record in store.get(ids) if record} == {f"turn {turn}"}
        assert (store.vectors(ids) == turn).all()
        assert len(store.search(np.ones((1, 4)), 100)[0]) == 10 * turn
        (hits,) = store.search(None, 100, words=[f"{turn}"], mode="words")
        assert len(hits) == 10 * turn
        if not store.verify().ok:
            store.repair()
            assert store.verify().ok
            assert store.ids() == ids
    return turn


def test_a_damaged_journal_gives_a_whole_state(killed: Path, tmp_path: Path) -> None:
    whole = (killed / "records.sqlite-wal").read_bytes()
    turns = set()
    for number, data in enumerate(damages(whole, 1, 15)):
        folder = Path(shutil.copytree(killed, tmp_path / str(number)))
        (folder / "records.sqlite-wal").write_bytes(data)
        with suppress(DamagedError):
            turns.add(turn_of(folder))
    assert turns <= set(range(TURNS + 1))
    assert turn_of(Path(shutil.copytree(killed, tmp_path / "whole"))) == TURNS


def test_a_damaged_memory_of_the_journal_is_made_anew(killed: Path, tmp_path: Path) -> None:
    for number, data in enumerate(damages((killed / "records.sqlite-shm").read_bytes(), 2, 5)):
        folder = Path(shutil.copytree(killed, tmp_path / str(number)))
        (folder / "records.sqlite-shm").write_bytes(data)
        assert turn_of(folder) == TURNS


def test_damaged_codes_change_no_answer(tmp_path: Path) -> None:
    rows = np.random.default_rng(3).standard_normal((400, 8)).astype(np.float32)
    create_store(tmp_path / "s", dim=8).close()

    def ask(folder: Path) -> Any:
        with LocalStore(folder, timeout=10, read_only=None, coded=0) as store:
            return [(hits.ids, hits.scores) for hits in store.search(rows[:5] + 0.1, 20)]

    with LocalStore(tmp_path / "s", timeout=10, read_only=None, coded=0) as store:
        store.put([f"i{n:03}" for n in range(400)], rows, [Record(str(n), Place("s")) for n in range(400)])
    right = ask(tmp_path / "s")
    whole = (tmp_path / "s" / "codes.tv").read_bytes()
    for data in damages(whole, 4, 30):
        (tmp_path / "s" / "codes.tv").write_bytes(data)
        assert ask(tmp_path / "s") == right
