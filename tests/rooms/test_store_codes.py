"""Codes: what they propose is what a scan would find, whatever happened to their file, and to the vectors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sememe.errors import DamagedError
from sememe.shapes import Hits, Place, Record
from sememe.store.local import codes, keeper
from sememe.store.local import nearest as nearest_module
from sememe.store.local.codes import Codes
from sememe.store.local.keeper import Keeper
from sememe.store.local.store import LocalStore, create_store
from sememe.store.scan import unit

FILE = codes.KIND.file
ROOT = Path(__file__).resolve().parents[2]
DIM = 48
NEVER = 1 << 60


def clustered(n: int, seed: int = 0) -> Any:
    """Rows around 20 places of a space that is narrower than it looks, as sentences are."""
    random = np.random.default_rng(seed)
    basis = random.standard_normal((20, DIM))
    middles = random.standard_normal((20, 20))[random.integers(0, 20, n)]
    rows = (middles + 0.7 * random.standard_normal((n, 20))) @ basis
    return (rows + 0.3 * random.standard_normal((n, DIM))).astype(np.float32)


def records(n: int) -> list[Record]:
    return [Record(f"text {i}", Place("s", i + 1), meta={"n": i % 100}) for i in range(n)]


def ids(n: int, start: int = 0) -> list[str]:
    return [f"i{number:05}" for number in range(start, start + n)]


def opened(folder: Path, *, coded: int = 0, read_only: bool | None = None) -> LocalStore:
    return LocalStore(folder, timeout=10, read_only=read_only, coded=coded)


def filled(folder: Path, rows: Any) -> Path:
    create_store(folder, dim=DIM).close()
    with opened(folder) as store:
        store.put(ids(len(rows)), rows, records(len(rows)))
    return folder


def answers(folder: Path, queries: Any, k: int = 10, *, coded: int = 0, **options: Any) -> list[tuple[Any, ...]]:
    with opened(folder, coded=coded) as store:
        return pairs(store.search(queries, k, **options))


def pairs(found: list[Hits]) -> list[tuple[Any, ...]]:
    return [tuple(zip(hits.ids, hits.scores, strict=True)) for hits in found]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows enough for the shortlists to be shorter than the store."""
    return filled(tmp_path_factory.mktemp("large") / "s", clustered(6000))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    return filled(tmp_path / "s", clustered(400))


@pytest.mark.parametrize("where", [None, "n < 50", "n = 7", "n in (3, 4, 5, 6, 7, 8, 9)"])
@pytest.mark.parametrize("k", [1, 10, 60])
def test_what_a_scan_finds(large: Path, where: str | None, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = clustered(40, seed=1)
    monkeypatch.setattr(nearest_module, "FEW", 300)
    exact = answers(large, queries, k, coded=NEVER, where=where)
    asked = []
    whole = Codes.nearest
    monkeypatch.setattr(Codes, "nearest", lambda *args: asked.append(args[2]) or whole(*args))
    coded = answers(large, queries, k, where=where)
    right = sum(len(set(a) & set(b)) for a, b in zip(exact, coded, strict=True))
    assert right >= 0.99 * sum(map(len, exact))  # of hits with their scores
    assert [len(found) for found in coded] == [len(found) for found in exact]
    assert bool(asked) == (where != "n = 7")  # 60 rows are scored without a shortlist
    assert max(asked, default=0) < 6000


def test_the_file_is_read_and_not_made_again(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    query = clustered(1, seed=2)
    first = answers(large, query)
    monkeypatch.setattr(Codes, "extend", lambda *_: pytest.fail("coded again"))
    assert answers(large, query) == first


def test_rows_of_odd_lengths_are_found(tmp_path: Path) -> None:
    rows = clustered(2000)
    rows[[3, 5]] = 0
    rows[7] *= np.float32(1e30)
    rows[9] *= np.float32(1e-25)
    rows[11] = np.finfo(np.float32).max
    place = filled(tmp_path / "s", rows)
    for query in (rows[7:8] * np.float32(1e-30), rows[9:10], rows[11:12], np.zeros((1, DIM))):
        assert answers(place, query, 5) == answers(place, query, 5, coded=NEVER)


def test_rows_of_odd_lengths_answer_once_and_only_where_they_may(tmp_path: Path) -> None:
    few, many = clustered(150), clustered(2000)
    few[[3, 5]] = many[3] = 0
    many[7] *= np.float32(1e30)
    small, large = filled(tmp_path / "small", few), filled(tmp_path / "large", many)
    assert answers(small, few[:1], 200) == answers(small, few[:1], 200, coded=NEVER)
    query = many[7:8] * np.float32(1e-30)
    assert answers(large, query, 1)[0][0][0] == "i00007"
    assert answers(large, query, where="n != 7") == answers(large, query, coded=NEVER, where="n != 7")
    with opened(large) as store:
        store.delete(["i00007"])
        assert "i00007" not in store.search(query)[0].ids


@pytest.mark.parametrize("scaled", [False, True])
def test_many_equal_rows_are_in_the_order_of_their_ids(tmp_path: Path, scaled: bool) -> None:
    rows, names = clustered(4000), ids(4000)[::-1]
    equal = np.random.default_rng(5).permutation(4000)[:900]
    rows[equal] = rows[0] * (np.exp2(np.arange(900) % 7)[:, None] if scaled else 1)
    create_store(tmp_path / "s", dim=DIM).close()
    with opened(tmp_path / "s") as store:
        store.put(names, rows, records(4000))
    expected = sorted(names[i] for i in {0, *equal.tolist()})[:10]
    (found,) = answers(tmp_path / "s", rows[:1])
    assert [id for id, _ in found] == expected


def test_new_rows_are_added_and_nothing_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[tuple[int, int]] = []
    whole = Codes.extend

    def counted(self: Codes, vectors: Any) -> None:
        added.append((len(self), len(vectors)))
        whole(self, vectors)

    monkeypatch.setattr(Codes, "extend", counted)
    fresh = clustered(3, seed=3)
    with opened(folder) as store:
        store.search(fresh, 1)
        assert added == []
        store.put(ids(3, 400), fresh, records(3))
        assert [hits.ids[0] for hits in store.search(fresh, 1)] == ids(3, 400)
        store.delete(["i00401"])
        assert "i00401" not in store.search(fresh[1:2], 500)[0].ids
    assert added == [(400, 403)]


def test_a_reader_that_stayed_behind_sees_nothing_later(tmp_path: Path) -> None:
    rows = clustered(500)
    grown = Codes(DIM)
    grown.extend(rows)
    found = grown.nearest(unit(rows[450:451]), 500, 300, None)[0]
    assert sorted(found.tolist()) == list(range(300))
    mask = np.zeros(300, bool)
    mask[::3] = True
    assert sorted(grown.nearest(unit(rows[:1]), 500, 300, mask)[0].tolist()) == list(range(0, 300, 3))
    (first,) = grown.nearest(unit(rows[499:]), 20, 490, None)  # most may answer, yet none of the last ten
    assert len(first) == 20
    assert first.max() < 490
    mask = np.ones(500, bool)
    mask[grown.nearest(unit(rows[499:]), 60, 500, None)[0]] = False  # all that are asked for first
    expected = np.flatnonzero(mask)[np.argsort(-(rows[mask] @ rows[499]) / np.linalg.norm(rows[mask], axis=1))[:1]]
    (second,) = grown.nearest(unit(rows[499:]), 20, 500, mask)
    assert len(second) == 20
    assert expected[0] in second
    kept = Keeper(tmp_path, DIM, "s", codes.KIND, numbers=0, writable=True)
    now, before = kept.origin("vectors-1.f32", 0), kept.origin("vectors.f32", 0)
    assert kept.of(now, 7, rows) is not None
    assert kept.of(before, 6, rows) is None  # a scan will do
    later = kept.of(before, 8, rows[:200])
    assert later is not None
    assert len(later) == 200


HARMS = ["missing", "empty", "junk", "form", "origin", "slots", "codes", "odd", "short", "sample", "folder"]


@pytest.mark.parametrize("harm", [*HARMS, *(f"cut {n}" for n in range(10)), *(f"flip {n}" for n in range(20))])
def test_a_file_that_cannot_be_used_is_made_anew(folder: Path, harm: str) -> None:
    path, query = folder / FILE, clustered(5, seed=4)
    right, was = answers(folder, query, 30, coded=NEVER), path.read_bytes()
    kind, _, number = harm.partition(" ")
    random = np.random.default_rng(int(number or 0))
    if kind in ("missing", "folder"):
        path.unlink()
        if kind == "folder":
            path.mkdir()
    elif kind == "cut":
        path.write_bytes(was[: int(random.integers(len(was)))])
    elif kind == "flip":
        place = int(random.integers(len(was)))
        path.write_bytes(was[:place] + bytes([was[place] ^ 1 << int(random.integers(8))]) + was[place + 1 :])
    elif kind in ("empty", "junk"):
        path.write_bytes(b"" if kind == "empty" else random.bytes(5000))
    else:
        _forge(path, kind)
    assert answers(folder, query, 30) == right
    if kind != "folder":
        assert path.read_bytes() == was


def _forge(path: Path, kind: str, rows: Any = None) -> None:
    """Another file with a right checksum."""
    _, line, payload = path.read_bytes().split(b"\n", 2)
    header = json.loads(line)
    changes = {"form": "0", "origin": {**header["origin"], "store": "other"}, "slots": 401, "odd": ["x"]}
    if kind in changes:
        header[kind] = changes[kind]
    if kind == "codes":
        payload = b"TV8" + bytes(300)
    if kind in ("short", "rows", "sample"):
        other = Codes(DIM)
        other.extend({"short": clustered(350), "rows": rows, "sample": clustered(400, seed=12)}[kind])
        payload = other.as_bytes()[2]
    if kind == "sample":  # of vectors that stood here before, as in a folder that was restored in part
        header["sample"] = keeper._sample(clustered(400, seed=12), 400)
    rest = json.dumps(header).encode() + b"\n" + payload
    path.write_bytes(b"%08x\n" % zlib.crc32(rest) + rest)


def test_verify_knows_codes_of_other_vectors_and_repair_makes_them_anew(folder: Path) -> None:
    with opened(folder) as store:
        health = store.verify()
        assert health.ok
        assert health.checked["codes"] == 400
    rows = clustered(400)
    rows[200] *= -1  # one that is not among the sample
    _forge(folder / FILE, "rows", rows)
    with opened(folder) as store:
        assert "not those of the vectors" in " ".join(store.verify().problems)
        store.repair()
        assert store.verify().ok
        query = clustered(1)
        store.search(query)
        assert store.verify().checked["codes"] == 400
    (folder / FILE).write_bytes(b"junk")
    with opened(folder) as store:
        assert "damaged" in " ".join(store.verify().problems)


def test_slots_that_repair_gave_away_again_have_their_new_codes(folder: Path) -> None:
    with opened(folder) as other:
        query = clustered(1, seed=9)
        other.search(query)  # has the old codes in memory
        path = folder / "vectors.f32"
        with path.open("r+b") as file:
            file.truncate(300 * DIM * 4)
        with opened(folder) as store:
            store.repair()
            rows = clustered(150, seed=8)
            store.put([f"n{i:03}" for i in range(150)], rows, records(150))
            assert pairs(store.search(rows, 1)) == pairs(other.search(rows, 1))
            assert [hits.ids[0] for hits in store.search(rows, 1)] == [f"n{i:03}" for i in range(150)]


def test_a_compaction_makes_codes_of_the_new_file(folder: Path) -> None:
    rows = clustered(400)
    with opened(folder) as store, opened(folder) as reader:
        assert store.search(rows[399:], 1)[0].ids == ("i00399",)
        reader.search(rows[399:], 1)
        store.delete(ids(390))
        store.compact()
        for one in (store, reader):
            assert one.search(rows[399:], 1)[0].ids == ("i00399",)
            assert sorted(one.search(rows[:1], 500)[0].ids) == ids(10, 390)


def test_dying_while_the_file_is_written_leaves_the_old_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    was, rows = (folder / FILE).read_bytes(), clustered(300, seed=6)
    (folder / "codes.1.new").write_bytes(b"half")  # of a process that was killed
    with opened(folder) as store:
        store.put(ids(300, 400), rows, records(300))
        with monkeypatch.context() as patch:
            # Whoever dies here leaves its half behind, and nobody to clear it away.
            patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                store.catch_up()
    assert (folder / FILE).read_bytes() != was  # closing has written it
    assert list(folder.glob("codes.*.new")) == []
    assert [found[0][0] for found in answers(folder, rows, 1)] == ids(300, 400)


WRITER = """
import sys
import numpy as np
from pathlib import Path
from sememe.shapes import Place, Record
from sememe.store.local.store import LocalStore

store = LocalStore(Path(sys.argv[1]), timeout=30, read_only=None, coded=0)
rows = np.load(sys.argv[2])
for turn in range(10_000):
    store.put([f"k{turn}-{i}" for i in range(200)], rows, [Record("", Place("k", 1))] * 200)
    store.catch_up()  # writes the file, for 200 are many
    print(turn, flush=True)
    store.delete([f"k{turn}-{i}" for i in range(200)])
    store.compact()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="processes are killed otherwise there")
def test_a_writer_that_is_killed_leaves_codes_that_are_right_or_none(folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", clustered(200, seed=13))
    random, query, written = np.random.default_rng(0), clustered(5, seed=14), set()
    for _ in range(4):
        command = [sys.executable, "-c", WRITER, str(folder), str(tmp_path / "rows.npy")]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT)})
        assert writer.stdout is not None
        for _ in range(int(random.integers(1, 4))):
            assert writer.stdout.readline()
        threading.Event().wait(float(random.uniform(0, 0.03)))  # any moment will do
        writer.kill()
        writer.wait()
        writer.stdout.close()
        written.add((folder / FILE).read_bytes()[:9])
        assert answers(folder, query, 30) == answers(folder, query, 30, coded=NEVER)
        with opened(folder) as store:
            assert store.verify().ok
    assert len(written) > 1


def test_a_full_disk_is_no_reason_not_to_answer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / FILE).unlink()
    query = clustered(2, seed=7)
    right = answers(folder, query, coded=NEVER)
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    assert answers(folder, query) == right
    assert list(folder.glob("codes*")) == []


def test_a_reader_writes_nothing(folder: Path) -> None:
    (folder / FILE).unlink()
    with opened(folder, read_only=True) as store:
        assert store.search(clustered(400)[:1], 1)[0].ids == ("i00000",)
    assert not (folder / FILE).exists()


def test_few_numbers_need_no_codes(tmp_path: Path) -> None:
    place = tmp_path / "s"
    create_store(place, dim=DIM).close()
    with opened(place, coded=400 * DIM) as store:
        store.put(ids(399), clustered(399), records(399))
        store.search(clustered(1))
    assert not (place / FILE).exists()
    with opened(place, coded=400 * DIM) as store:
        store.put(ids(1, 399), clustered(1), records(1))
    assert (place / FILE).exists()
    with opened(place, coded=400 * DIM) as store:
        store.delete(ids(100))
        store.compact()
    assert not (place / FILE).exists()


def test_numbers_that_are_none_are_an_error(folder: Path) -> None:
    with (folder / "vectors.f32").open("r+b") as file:
        file.seek(7 * DIM * 4)
        file.write(np.full(DIM, np.nan, "<f4").tobytes())
    for remade in (False, True):
        if remade:
            (folder / FILE).unlink()
        with opened(folder) as store:
            with pytest.raises(DamagedError):
                store.search(clustered(400)[7:8], 3)
            with pytest.raises(DamagedError):
                store.vectors(["i00007"])


def test_where_many_rows_are_odd_there_are_no_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Codes, "nearest", lambda *_: pytest.fail("codes were asked"))
    rows = clustered(600)
    rows[:400] = 0
    place = filled(tmp_path / "s", rows)
    assert answers(place, rows[599:], 5)[0][0][0] == "i00599"
    assert not (place / FILE).exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_in_the_middle_of_a_search_can_search(folder: Path) -> None:
    with opened(folder) as store:
        query = clustered(400)[:1]
        store.search(query, 1)
        held = store._views.keeper._last
        assert held is not None
        with held[2]._guard, store._views.keeper._guard:  # as another thread would, at the moment of the fork
            child = os.fork()
            if not child:
                threading.Timer(20, os._exit, [2]).start()
                os._exit(int(store.search(query, 1)[0].ids != ("i00000",)))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_threads_read_while_one_writes(folder: Path) -> None:
    fresh = clustered(300, seed=11)
    wrong: list[object] = []
    done = threading.Event()
    with opened(folder) as store:

        def read(seed: int) -> None:
            random = np.random.default_rng(seed)
            old = clustered(400)
            while not done.is_set():
                i = int(random.integers(400))
                try:
                    if store.search(old[i : i + 1], 1)[0].ids != (f"i{i:05}",):
                        wrong.append(i)
                except Exception as error:
                    wrong.append(error)

        readers = [threading.Thread(target=read, args=[seed]) for seed in range(3)]
        for reader in readers:
            reader.start()
        for i in range(0, 300, 20):
            store.put(ids(20, 400 + i), fresh[i : i + 20], records(20))
            assert store.search(fresh[i : i + 1], 1)[0].ids == (f"i{400 + i:05}",)
        done.set()
        for reader in readers:
            reader.join()
    assert wrong == []


def test_a_filter_is_looked_up_once_for_each_state(folder: Path) -> None:
    with opened(folder) as store:
        query = clustered(1)
        store.search(query, where="n = 3")
        view = store._views._last
        assert view is not None
        assert len(view.passed) == 1
        first = next(iter(view.passed.values()))
        assert store.search(query, where="n = 3")[0].searched == 4
        assert next(iter(view.passed.values())) is first
        for n in range(30):
            store.search(query, where=f"n = {n}")
        assert len(view.passed) <= 8
        store.put(["new"], query, [Record("", Place("s"), meta={"n": 3})])
        assert store.search(query, where="n = 3")[0].searched == 5
