"""The local store where the contract does not look: locks, full disks, damage, the word index, read-only folders."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sememe.errors import DamagedError, LockedError, StoreError, UsageError
from sememe.shapes import Place, Record
from sememe.store import scan
from sememe.store.local import database, salvage, soundness, writing
from sememe.store.local.store import LocalStore, create_store, open_store
from sememe.store.record_rows import row_of

ROOT = Path(__file__).resolve().parents[2]
DIM = 4


def records(n: int, text: str = "river bank") -> list[Record]:
    return [Record(f"{text} {i}", Place(f"s{i % 3}", i + 1, i + 1), f"title {i}", hash=str(i)) for i in range(n)]


def rows(n: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)


def ids(n: int, start: int = 0) -> list[str]:
    return [f"i{number:03}" for number in range(start, start + n)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of ten items, closed."""
    with create_store(tmp_path / "s", dim=DIM, manifest={"encoder": "e"}) as store:
        store.put(ids(10), rows(10), records(10), sources={f"s{i}": "h" for i in range(3)})
    return tmp_path / "s"


def seen(store: LocalStore) -> tuple[Any, ...]:
    there = store.ids()
    return there, store.get(there), store.vectors(there).tolist(), dict(store.sources()), store.count()


def run(code: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True, text=True, timeout=60, env={"PYTHONPATH": str(ROOT)}, cwd="/", **options,
    )  # fmt: skip


# --- making and opening ----------------------------------------------------------------------------------------------


def test_the_manifest_is_kept(folder: Path) -> None:
    with open_store(folder) as store:
        assert store.dim == DIM
        assert store.manifest["encoder"] == "e"
        assert {"created", "store", "dim"} <= set(store.manifest)


def test_a_store_is_made_once(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds a collection already"):
        create_store(folder, dim=DIM)
    with pytest.raises(StoreError, match="there is no collection"):
        open_store(tmp_path / "nothing")
    with pytest.raises(UsageError):
        create_store(tmp_path / "t", dim=0)


def test_a_half_made_store_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "records.sqlite.new").write_bytes(b"half of a file")
    with pytest.raises(StoreError, match="there is no collection"):
        open_store(tmp_path / "s")
    with create_store(tmp_path / "s", dim=DIM) as store:
        assert store.verify().ok


def test_other_files_are_refused(folder: Path) -> None:
    file = folder / "records.sqlite"
    sqlite3.connect(file).execute("PRAGMA user_version = 99").connection.close()
    with pytest.raises(StoreError, match="later version"):
        open_store(folder)
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA application_id = 1")
    connection.close()
    with pytest.raises(DamagedError, match="not a file of a sememe collection"):
        open_store(folder)
    file.write_bytes(b"no database at all, but long enough to be looked at" * 50)
    with pytest.raises(DamagedError, match="is damaged"):
        open_store(folder)
    file.write_bytes(b"")
    with pytest.raises(DamagedError):
        open_store(folder)


def test_a_closed_store_says_so(folder: Path) -> None:
    store = open_store(folder)
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.count()


def test_opening_reads_no_records(folder: Path) -> None:
    with open_store(folder) as store:
        with store._database.connection() as connection:
            said: list[str] = []
            connection.set_trace_callback(said.append)
        store.search(rows(1), 2)
        assert said
        assert not [sql for sql in said if "records" in sql and "WHERE" not in sql]


# --- one writer ------------------------------------------------------------------------------------------------------

HOLD = """
    import sys, time
    from sememe.store.local.store import open_store
    store = open_store(sys.argv[1])
    with store.writing():
        print("held", flush=True)
        time.sleep(60)
"""


def test_a_second_writer_is_told_who_is_first(folder: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(HOLD), str(folder)], stdout=subprocess.PIPE,
                             env={"PYTHONPATH": str(ROOT)}, text=True)  # fmt: skip
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with open_store(folder, timeout=0.05) as store:
            before = seen(store)
            with pytest.raises(LockedError) as caught:
                store.put(["x"], rows(1), records(1))
            assert f"process {child.pid} on " in str(caught.value)
            assert ", since 2" in str(caught.value)
            assert "0.05 s" in str(caught.value)
            assert seen(store) == before
            child.kill()
            child.wait()
            # The lock died with its process.
            store.put(["x"], rows(1), records(1))
            assert store.count() == 11


def test_two_stores_of_one_process_exclude_each_other(folder: Path) -> None:
    with open_store(folder) as one, open_store(folder, timeout=0.01) as two:
        with one.writing(), one.writing():
            one.put(["x"], rows(1), records(1))
            with pytest.raises(LockedError):
                two.delete(["x"])
        assert two.delete(["x"]) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_has_neither_lock_nor_connection(folder: Path) -> None:
    done = run(
        """
        import os, sys
        from sememe.store.local.store import open_store
        store = open_store(sys.argv[1], timeout=0)
        store.count()
        told, tell = os.pipe()
        with store.writing():
            pid = os.fork()
            if not pid:
                os.close(tell)
                os.read(told, 1)  # the parent has let go of the lock
                print("child", store.count(), store.delete(["i000"]), flush=True)
                os._exit(0)
        # The child is still there, and does not hold the lock for us.
        print("parent", store.delete(["i001"]), flush=True)
        os.write(tell, b"x")
        os.waitpid(pid, 0)
        print("parent", store.count(), store.verify().ok)
        """,
        folder,
    )
    assert (done.stdout, done.stderr) == ("parent 1\nchild 9 1\nparent 8 True\n", "")


# --- a full disk -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_full_disk_under_the_vectors_changes_nothing(
    folder: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(folder) as store:
        before = seen(store)
        real, calls = os.write, 0

        def full(file: int, data: Any) -> int:
            nonlocal calls
            if Path(f"/proc/self/fd/{file}").readlink().suffix == ".f32":
                calls += 1
                if calls > after:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return real(file, bytes(data)[:10])  # a short write, as before the end of a disk
            return real(file, data)

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(StoreError, match="nothing was changed") as caught:
            store.put(ids(5), rows(5, 1), records(5, "new"), drop=["i007"], sources={"s1": "new"})
        assert "disk is full" in str(caught.value)
        monkeypatch.undo()
        assert seen(store) == before
        assert store.verify().ok
        store.put(ids(5), rows(5, 1), records(5, "new"))
        assert store.vectors(ids(5)).tolist() == rows(5, 1).tolist()
        assert store.verify().ok


def test_a_failed_fsync_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(folder) as store:
        before = seen(store)

        def broken(file: int) -> None:
            raise OSError(errno.EIO, "input/output error")

        monkeypatch.setattr(os, "fsync", broken)
        with pytest.raises(StoreError, match="nothing was changed"):
            store.put(ids(2), rows(2, 1), records(2, "new"))
        monkeypatch.undo()
        assert seen(store) == before


@pytest.mark.skipif(sys.platform == "win32", reason="limits of processes are Unix's")
@pytest.mark.parametrize("room", [0, 3_000, 60_000, 130_000])
def test_a_full_disk_anywhere_changes_nothing(folder: Path, room: int) -> None:
    """Files that may not grow beyond a limit stand in for a full disk: whichever file meets it first."""
    done = run(
        """
        import resource, sys
        import numpy as np
        from sememe.errors import StoreError
        from sememe.shapes import Place, Record
        from sememe.store.local.store import open_store
        store = open_store(sys.argv[1])
        store.search(np.ones((1, 4)), 1)  # everything that opening makes is there
        before = store.ids(), store.vectors(store.ids()).tolist(), dict(store.sources())
        limit = int(sys.argv[2])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        many = [f"n{i}" for i in range(3000)]
        text = "long text " * 40
        failed = False
        try:
            store.put(many, np.ones((3000, 4)), [Record(text, Place("n"))] * 3000, drop=["i001"], sources={"s0": "x"})
        except StoreError as error:
            failed = "nothing was changed" in str(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(failed, (store.ids(), store.vectors(store.ids()).tolist(), dict(store.sources())) == before)
        print(store.verify().problems)
        store.put(many, np.ones((3000, 4)), [Record(text, Place("n"))] * 3000)
        print(store.count(), store.verify().ok)
        """,
        folder,
        room,
    )
    assert done.stdout == "True True\n()\n3010 True\n", done.stderr


# --- damage ----------------------------------------------------------------------------------------------------------


def test_a_torn_tail_is_not_seen_and_written_over(folder: Path) -> None:
    with (folder / "vectors.f32").open("ab") as file:
        file.write(b"\xff" * 1001)
    with open_store(folder) as store:
        assert len(store.search(rows(1), 100)[0]) == 10
        assert store.verify().ok
        store.put(["x"], rows(1, 5), records(1))
        assert store.vectors(["x"]).tolist() == rows(1, 5).tolist()
        assert store.verify().ok


def test_a_flipped_bit_is_found_and_set_aside(folder: Path) -> None:
    data = bytearray((folder / "vectors.f32").read_bytes())
    data[3 * DIM * 4 + 5] ^= 4
    (folder / "vectors.f32").write_bytes(data)
    with open_store(folder) as store:
        kept = store.get(["i003"])[0]
        assert kept is not None
        health = store.verify()
        assert (health.ok, health.affected) == (False, ("i003",))
        mended = store.repair()
        assert mended.affected == ("i003",)
        assert store.verify().ok
        assert store.count() == 9
        assert store.get(["i003"]) == [None]
        # Its text is set aside, and its source counts as unread, so that the next run encodes it again.
        assert kept.place.source not in store.sources()
        assert len(store.sources()) == 2
        with sqlite3.connect(folder / "records.sqlite") as connection:
            assert connection.execute("SELECT id, text FROM quarantine").fetchall() == [("i003", "river bank 3")]
        connection.close()


def test_a_cut_vector_file_is_an_error_and_repairs_to_the_rest(folder: Path) -> None:
    os.truncate(folder / "vectors.f32", 6 * DIM * 4 + 7)
    with open_store(folder) as store:
        with pytest.raises(DamagedError, match="cut off"):
            store.search(rows(1), 3)
        assert store.verify().affected == tuple(ids(4, 6))
        assert store.repair().affected == tuple(ids(4, 6))
        assert store.ids() == ids(6)
        assert store.vectors(ids(6)).tolist() == rows(10)[:6].tolist()
        store.put(["x"], rows(1, 5), records(1))
        assert store.verify().ok
        assert len(store.search(rows(1), 100)[0]) == 7


def test_a_lost_vector_file_is_an_error(folder: Path) -> None:
    (folder / "vectors.f32").unlink()
    with open_store(folder) as store:
        with pytest.raises(DamagedError, match="is missing"):
            store.search(rows(1), 3)
        assert len(store.repair().affected) == 10
        assert (store.count(), store.verify().ok) == (0, True)


def test_numbers_that_are_none_are_an_error(folder: Path) -> None:
    data = np.fromfile(folder / "vectors.f32", "<f4")
    data[9] = np.nan
    data.tofile(folder / "vectors.f32")
    with open_store(folder) as store:
        with pytest.raises(DamagedError, match="not what was written"):
            store.search(rows(1), 3)
        assert store.repair().affected == ("i002",)
        assert len(store.search(rows(1), 10)[0]) == 9


def test_records_that_are_damaged_are_set_aside(folder: Path) -> None:
    with sqlite3.connect(folder / "records.sqlite") as connection:
        connection.execute("UPDATE records SET text = 'river of another' WHERE id = 'i004'")
    connection.close()
    with open_store(folder) as store:
        kept = [id for id in ids(10) if id != "i004"]
        for ask in (lambda: store.get(["i004"]), lambda: store.search(rows(1), 10), lambda: found(store)):
            with pytest.raises(DamagedError, match="not what was written"):
                ask()
        assert store.get(kept) == [one for id, one in zip(ids(10), records(10), strict=True) if id != "i004"]
        assert store.verify().affected == ("i004",)
        assert store.repair().affected == ("i004",)
        assert store.ids() == kept
        assert (store.vectors(kept) == np.delete(rows(10), 4, axis=0)).all()
        assert found(store) == set(kept)
        assert store.verify().ok
        assert store.sources() == {}  # all will be read again
    with sqlite3.connect(folder / "records.sqlite") as connection:
        assert connection.execute("SELECT id, text FROM quarantine").fetchall() == [("i004", "river of another")]
    connection.close()
    assert len([*folder.glob("damaged-*/records.sqlite")]) == 1


def test_a_records_file_that_is_cut_off_gives_back_the_rest(folder: Path) -> None:
    with open_store(folder) as store:
        store.put(ids(500, 100), rows(500, 3), records(500))
    os.truncate(folder / "records.sqlite", (folder / "records.sqlite").stat().st_size * 2 // 3)
    with pytest.raises(DamagedError, match="damaged"):
        open_store(folder)
    health = salvage.salvage(folder)
    with open_store(folder) as store:
        assert store.verify().ok
        assert store.count() > 0
        assert set(store.ids()) | set(health.affected) == {*ids(10), *ids(500, 100)}
        assert not set(store.ids()) & set(health.affected)
        assert len(store.search(rows(1), 1000, mode="dense")[0]) == store.count()


def test_a_store_from_before_the_checksums_gets_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MIGRATIONS", database.MIGRATIONS[:1])
    path = tmp_path / "s" / "records.sqlite"
    path.parent.mkdir()
    manifest = {"dim": "4", "store": '"x"'}
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA application_id = {database.APPLICATION_ID}")
    database.migrate(connection)
    connection.executemany("INSERT INTO manifest VALUES (?, ?)", manifest.items())
    connection.execute("INSERT INTO state VALUES (1, 1, 1, 'vectors.f32', 0)")
    rows(1).tofile(path.with_name("vectors.f32"))
    connection.execute("INSERT INTO rows VALUES (1, 'i', 0, ?)", [zlib.crc32(rows(1).data)])
    marks = ", ".join("?" * 11)
    connection.execute(f"INSERT INTO records VALUES (1, 'i', {marks})", row_of(records(1)[0]))
    connection.close()
    monkeypatch.undo()
    with open_store(tmp_path / "s") as store:
        assert store.verify().ok
        assert store.get(["i"]) == records(1)
        store.put(["j"], rows(1), records(1))
        assert store.verify().ok


@pytest.mark.parametrize("sql", ["state SET live = live + 1", "manifest SET value = '5' WHERE key = 'dim'"])
def test_numbers_of_the_whole_are_sealed(folder: Path, sql: str) -> None:
    with sqlite3.connect(folder / "records.sqlite") as connection:
        connection.execute("DROP TRIGGER state_changed")
        connection.execute(f"UPDATE {sql}")
    connection.close()
    with pytest.raises(DamagedError, match="not what was written"), open_store(folder) as store:
        store.search(rows(1), 1)


@pytest.mark.parametrize("suffix", [".idx", ".term", ".fieldnorm", "meta.json"])
def test_a_flipped_bit_in_the_word_index_is_mended(folder: Path, suffix: str) -> None:
    with open_store(folder) as store:
        right = store.search(None, 10, words=["river"], mode="words")[0]
    (file,) = (path for path in (folder / "words").iterdir() if path.name.endswith(suffix))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    # Not in place: Tantivy's threads may look at what they have mapped for a while yet.
    (folder / "fresh").write_bytes(data)
    (folder / "fresh").replace(file)
    with open_store(folder) as store:
        assert not store.verify().ok
        again = store.search(None, 10, words=["river"], mode="words")[0]
        assert (again.ids, again.scores) == (right.ids, right.scores)
        assert store.verify().ok


# --- the word index --------------------------------------------------------------------------------------------------


def found(store: LocalStore, text: str = "river") -> set[str]:
    return set(store.search(None, 1000, words=[text], mode="words")[0].ids)


def test_closing_brings_the_words_up_to_date(folder: Path) -> None:
    with open_store(folder) as store:
        state = json.loads((folder / "words" / "synced.json").read_text())
        assert "until" not in state
        store.delete(["i001"])
        store.put(["x"], rows(1), records(1, "boat"))
    later = json.loads((folder / "words" / "synced.json").read_text())
    assert later["change"] > state["change"]
    with open_store(folder) as store:
        assert store.verify().checked["words"] == 10


def test_only_what_is_new_is_indexed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sememe.store.local import words

    seen_texts: list[str] = []
    real = words.prepared
    monkeypatch.setattr(words, "prepared", lambda text: seen_texts.append(text) or real(text))
    with open_store(folder) as store:
        store.put(["x"], rows(1), records(1, "boat"))
        store.catch_up()
        assert seen_texts == ["title 0\ntitle 0\nboat 0"]


@pytest.mark.parametrize(
    "harm", ["missing", "empty", "no state", "bad state", "other form", "other store", "torn", "cut"]
)
def test_a_word_index_that_cannot_be_used_is_made_anew(folder: Path, harm: str) -> None:
    index = folder / "words"
    state = index / "synced.json"
    noted = json.loads(state.read_text())
    if harm == "missing":
        shutil.rmtree(index)
    elif harm == "empty":
        for file in index.iterdir():
            file.unlink()
    elif harm == "no state":
        state.unlink()
    elif harm == "bad state":
        state.write_text("{")
    elif harm in ("other form", "other store"):
        key = "form" if harm == "other form" else "store"
        state.write_text(json.dumps({**noted, key: "another"}))
    elif harm == "torn":
        for file in index.glob("*.*"):
            if file != state:
                file.write_bytes(file.read_bytes()[:20])
    else:
        (index / "meta.json").write_text("{}")
    with open_store(folder) as store:
        assert found(store) == set(ids(10))
        assert store.verify().ok
        assert store.verify().checked["words"] == 10


def test_damaged_words_inside_are_made_anew_or_right(folder: Path) -> None:
    chance = np.random.default_rng(3)
    clean = {file: file.read_bytes() for file in (folder / "words").iterdir() if file.is_file()}
    for file in sorted(clean):
        if file.name == "synced.json" or len(clean[file]) < 8:
            continue
        data = bytearray(clean[file])
        for at in chance.integers(0, len(data), 4):
            data[at] ^= 1 << int(chance.integers(8))
        file.write_bytes(data)
        with open_store(folder) as store:
            # A flipped bit inside of a posting may cost a hit until the index is rebuilt, but never gives a wrong one.
            assert found(store) <= set(ids(10))
            store.repair()
            assert found(store) == set(ids(10))
            assert store.verify().ok
        shutil.rmtree(folder / "words")
        (folder / "words").mkdir()
        for name, content in clean.items():
            name.write_bytes(content)
        (folder / "words" / "synced.json").unlink()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_dying_while_the_words_catch_up(folder: Path, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from sememe.store.local import words

    with open_store(folder) as store:
        store.delete(ids(3))
        store.put(["x", "i005"], rows(2), records(2, "boat"))

        class Died(Exception):
            pass

        real = words._note
        notes: list[dict[str, Any]] = []

        def note(where: Path, state: dict[str, Any]) -> None:
            notes.append(state)
            if ("until" in state) == (moment == "before"):
                if moment == "before":
                    real(where, state)
                raise Died
            real(where, state)

        monkeypatch.setattr(words, "_note", note)
        with pytest.raises(Died):
            store.catch_up()
        monkeypatch.undo()
        store._wrote = False
    with open_store(folder) as store:
        store.catch_up()
        assert store.verify().checked["words"] == 8  # before any search could find it wanting and make it anew
        assert found(store) == {"i003", "i004", "i006", "i007", "i008", "i009"}
        assert found(store, "boats") == {"x", "i005"}
        assert store.verify().ok


@pytest.mark.parametrize("moment", ["before", "while opening"])
def test_a_reader_that_was_overtaken_asks_again(folder: Path, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from sememe.store.local import words

    def move_on() -> None:
        monkeypatch.undo()
        with open_store(folder) as writer:
            writer.delete(ids(5))  # and the index follows when it is closed

    with open_store(folder) as reader, reader._database.reading() as connection:
        assert reader._view(connection).state.live == 10
        if moment == "before":
            move_on()
        else:
            real = words._opened

            def opened(where: Path) -> Any:
                move_on()
                return real(where)

            monkeypatch.setattr(words, "_opened", opened)
        with pytest.raises(words.Ahead):
            words.open_words(folder / "words", reader._words_lock, connection, writable=True)
        assert found(reader) == set(ids(5, 5))


def test_words_of_a_row_that_is_not_there_are_never_believed(folder: Path) -> None:
    import tantivy

    from sememe.store.local import words

    index = words._opened(folder / "words")
    writer = index.writer(20_000_000, 1)
    document = tantivy.Document()
    document.add_unsigned("number", 4711)
    document.add_text("text", "river river river")
    writer.add_document(document)
    writer.commit()
    writer.wait_merging_threads()
    with open_store(folder) as store:
        assert not store.verify().ok
        assert found(store) == set(ids(10))
        assert store.verify().ok


def test_a_long_log_of_removals_is_cut(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "LOG", 5)
    with open_store(folder) as store:
        for turn in range(12):
            store.put(ids(10), rows(10, turn), records(10, f"boat{turn}"))
        store._wrote = False
    with sqlite3.connect(folder / "records.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM removed").fetchone()[0] <= 30
    connection.close()
    with open_store(folder) as store:
        assert found(store, "boat11") == set(ids(10))
        assert found(store, "boat10") == set()
        assert store.verify().checked["words"] == 10


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Café crème", "cafe creme"),
        ("Cafe\u0301", "café"),
        ("Ｆｕｌｌ width", "full"),
        ("東京は大きい都市です", "東京"),
        ("running dogs", "the dog runs"),
        ("ERR_4711 happened", "err_4711"),
        ("to be or not to be", "to be"),
    ],
)
def test_words_are_found_however_they_are_spelt(tmp_path: Path, text: str, query: str) -> None:
    with create_store(tmp_path / "s", dim=DIM) as store:
        store.put(["a", "b"], rows(2), [Record(text, Place("x")), Record("something else", Place("x"))])
        assert found(store, query) == {"a"}


def test_a_title_counts_twice(tmp_path: Path) -> None:
    with create_store(tmp_path / "s", dim=DIM) as store:
        kept = [Record("one two three", Place("x"), "river"), Record("river two three", Place("x"), "one")]
        store.put(["titled", "inside"], rows(2), kept)
        (hits,) = store.search(None, 2, words=["river"], mode="words")
        assert hits.ids == ("titled", "inside")
        assert hits.scores[0] > hits.scores[1]


# --- space -----------------------------------------------------------------------------------------------------------


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("vectors*.f32"))


def test_space_comes_back_by_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "SLACK", 20)
    with open_store(folder) as store:
        for turn in range(40):
            store.put(ids(10), rows(10, turn), records(10))
            assert size(folder) <= (10 + 20 + 10 + 10) * DIM * 4
        assert store.vectors(ids(10)).tolist() == rows(10, 39).tolist()
        assert store.verify().ok


def test_a_reader_keeps_its_state_through_a_compaction(folder: Path) -> None:
    with open_store(folder) as writer, open_store(folder) as reader:
        with reader._database.reading() as connection:
            view = reader._view(connection)
            writer.delete(ids(5))
            writer.compact()
            assert size(folder) == 5 * DIM * 4
            assert view.vectors.tolist() == rows(10).tolist()
            assert reader._view(connection).state.live == 10
        assert reader.search(rows(1), 100)[0].searched == 5
        assert reader.vectors(ids(5, 5)).tolist() == rows(10)[5:].tolist()


def test_a_compaction_that_dies_leaves_the_old_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sememe.store.local import vector_file

    with open_store(folder) as store:
        store.delete(ids(5))
        before = seen(store)

        def died(folder: Path) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(vector_file, "sync_folder", died)
        with pytest.raises(KeyboardInterrupt):
            store.compact()
        monkeypatch.undo()
        assert seen(store) == before
        store.compact()
        assert seen(store) == before
        assert [file.name for file in folder.glob("*.f32")] == ["vectors-1.f32"]


def test_adopting_replaces_everything_at_once(folder: Path, tmp_path: Path) -> None:
    with create_store(tmp_path / "t", dim=2, manifest={"encoder": "other"}) as fresh:
        fresh.put(["n"], np.ones((1, 2)), records(1, "boat"), sources={"q": "h"})
        wanted = seen(fresh)
    with open_store(folder) as store, open_store(folder) as other:
        assert other.count() == 10
        other.search(rows(1), 1)
        with store._database.writing() as connection:
            connection.execute("INSERT INTO quarantine VALUES ('lost', 's', '', '{}', 'set aside')")
        store.adopt(tmp_path / "t")
        with store._database.reading() as connection:
            assert connection.execute("SELECT id FROM quarantine").fetchall() == [("lost",)]
        assert (store.dim, store.manifest["encoder"]) == (2, "other")
        assert seen(store) == wanted
        assert found(store, "boat") == {"n"}
        assert store.verify().ok
        # Who had the old one open is not answered from the new one by vectors of another width.
        with pytest.raises(StoreError, match="rebuilt by another process"):
            other.search(rows(1), 1)
    assert [file.name for file in folder.glob("*.f32")] == ["vectors-1.f32"]


# --- folders that may only be read -----------------------------------------------------------------------------------


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that another user may come into. Not one of pytest's: every pytest that starts closes these to others,
    also those of a pytest that is at work."""
    with tempfile.TemporaryDirectory(prefix="sememe-read-") as name:
        folder = Path(name)
        if os.getuid() == 0 and not all(parent.stat().st_mode & 0o001 for parent in folder.parents):
            pytest.skip(f"the user nobody cannot come into {folder.parent}")
        folder.chmod(0o755)
        yield folder


@pytest.mark.skipif(sys.platform == "win32", reason="rights of folders are Unix's")
@pytest.mark.parametrize("words", ["there", "behind"])
def test_a_folder_that_may_only_be_read(folder: Path, words: str, open_to_all: Path) -> None:
    folder = Path(shutil.copytree(folder, open_to_all / "s"))
    if words == "behind":
        shutil.rmtree(folder / "words")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = sorted(file.name for file in folder.iterdir())
    code = """
        import os, sys
        import numpy as np
        from sememe.errors import StoreError
        from sememe.shapes import Place, Record
        from sememe.store.local.store import create_store, open_store
        if os.getuid() == 0:
            # Who may write anywhere, so it becomes somebody else, who in turn may not see Python's own files: whatever
            # is imported on the way is imported now.
            with create_store(sys.argv[2], dim=4) as other:
                other.put(["x"], np.ones((1, 4)), [Record("x", Place("x"))])
                other.search(np.ones((1, 4)), words=["x"], mode="hybrid")
                other.verify()
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        store = open_store(sys.argv[1])
        print(store.read_only, store.count(), len(store.search(np.ones((1, 4)), 3)[0]))
        print(len(store.search(None, 30, words=["river"], mode="words")[0]), store.verify().ok)
        for change in (lambda: store.delete(["i001"]), store.compact, store.repair):
            try:
                change()
            except StoreError as error:
                print(error.what)
        store.close()
        """
    done = run(code, folder, folder.parent / "other")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    said = "s can only be read\n" * 3
    assert done.stdout == f"True 10 3\n10 True\n{said}", done.stderr
    assert sorted(file.name for file in folder.iterdir()) == before


# --- the scan --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 5, 99, 100, 1000])
@pytest.mark.parametrize("share", [None, 0.02, 0.5, 1.0])
def test_the_shortlist_holds_the_best(k: int, share: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "BLOCK", 7 * 32)
    monkeypatch.setattr(scan, "TABLE", 3000)
    chance = np.random.default_rng(k)
    vectors = chance.standard_normal((1000, 32)).astype(np.float32)
    vectors[100:200] = vectors[0]  # ties
    vectors[5], vectors[6], vectors[7] = 0, 1e-25, 1e25
    allowed = None if share is None else chance.random(1000) < share
    queries = scan.unit(np.vstack([vectors[:3], chance.standard_normal((5, 32))]).astype(np.float32))
    exact = np.stack([scan.cosines(vectors, np.arange(1000), query) for query in queries])
    if allowed is not None:
        exact[:, ~allowed] = -np.inf
    lists = scan.shortlists(vectors, scan.norms(vectors), allowed, queries, k)
    for scores, slots in zip(exact, lists, strict=True):
        bound = np.sort(scores)[::-1][min(k, 1000) - 1]
        wanted = set(np.flatnonzero((scores >= bound) & np.isfinite(scores)).tolist())
        assert wanted <= set(slots.tolist())
        assert len(slots) <= len(wanted) + 20


def test_equal_rows_have_equal_scores_wherever_they_stand() -> None:
    chance = np.random.default_rng(0)
    vectors = chance.standard_normal((5000, 24)).astype(np.float32)
    vectors[::7] = vectors[0]
    query = scan.unit(chance.standard_normal((1, 24)).astype(np.float32))[0]
    scores = scan.cosines(vectors, np.arange(0, 5000, 7), query)
    assert len(set(scores.tolist())) == 1


# --- questions whose answer no checksum goes with --------------------------------------------------------------------


def hurt(folder: Path, sql: str) -> None:
    """What a broken disk or copy does to records that SQLite can still read."""
    with sqlite3.connect(folder / "records.sqlite") as connection:
        connection.execute(sql)
    connection.close()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE rows SET id = 'i00X' WHERE id = 'i004'",
        "UPDATE records SET id = 'i00X' WHERE id = 'i004'",
        "UPDATE records SET source = 's9' WHERE id = 'i004'",
        "UPDATE records SET meta = '{\"a\": 2}' WHERE id = 'i004'",
        "UPDATE records SET hash = '5' WHERE id = 'i004'",
        "DELETE FROM rows WHERE id = 'i004'",
        "DELETE FROM records WHERE id = 'i004'",
    ],
)
def test_what_is_not_sure_is_not_answered(folder: Path, sql: str) -> None:
    hurt(folder, sql)
    questions: list[Any] = [
        lambda store: store.ids(),
        lambda store: store.ids("s1"),
        lambda store: store.ids(items=[""]),
        lambda store: store.known(["4"]),
        lambda store: store.sources(),
        lambda store: store.count('source = "s1"'),
        lambda store: store.facets("source"),
        lambda store: store.get(["nobody"]),
        lambda store: store.search(rows(1), 3, where='source = "s1"'),
    ]
    for ask in questions:
        with open_store(folder) as store, pytest.raises(DamagedError, match="not what was written"):
            ask(store)
    with open_store(folder) as store:
        assert store.get(["i005"]) == records(10)[5:6]  # what is whole is given out all the same


@pytest.mark.parametrize("few", [0, 10])
def test_an_index_of_sqlite_that_is_damaged_is_no_answer(
    folder: Path, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soundness, "FEW", few)  # ids are sure whatever their number
    path = folder / "records.sqlite"
    data = bytearray(path.read_bytes())
    places = [place for place in range(len(data)) if data.startswith(b"i004", place)]
    assert len(places) >= 4  # rows and records, and their indexes
    for place in places:
        path.write_bytes(data[:place] + b"i00X" + data[place + 4 :])
        with open_store(folder) as store:
            try:
                assert store.ids() == ids(10)
            except DamagedError:
                continue
            assert few == 0  # then only what is asked for is looked at


def test_what_was_looked_at_is_not_looked_at_again(folder: Path) -> None:
    with open_store(folder) as store:
        assert len(store.ids()) == 10
        said: list[str] = []
        with store._database.reading() as connection:
            connection.set_trace_callback(said.append)
        assert store.ids("s1") == ["i001", "i004", "i007"]
        assert not [sql for sql in said if "integrity_check" in sql or "number >" in sql]
        store.put(["new"], rows(1), [Record("new", Place("s1"))])
        assert store.ids("s1")[-1] == "new"
        looked = [sql for sql in said if "number >" in sql]
        assert len(looked) == 1
        assert "number > 10" in looked[0]
        assert not [sql for sql in said if "integrity_check" in sql]
