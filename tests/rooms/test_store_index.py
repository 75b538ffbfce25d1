"""The indexes of FAISS: what they propose, what is kept of them, and what is safe to read whoever wrote it."""

from __future__ import annotations

import json
import os
import struct
import sys
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sememe.errors import MissingExtraError, StoreError, UsageError
from sememe.shapes import Hits, Place, Record
from sememe.store import scan
from sememe.store.local import hnsw, in_faiss, ivf, keeper, nearest
from sememe.store.local.in_faiss import InFaiss
from sememe.store.local.shortlist import Kind, Shortlist
from sememe.store.local.store import LocalStore, create_store
from sememe.store.scan import unit

pytest.importorskip("faiss", reason="FAISS is not installed")

DIM = 24
NEVER = 1 << 60
KINDS = [hnsw.KIND, ivf.KIND]


def clustered(n: int, seed: int = 0) -> Any:
    """Rows around 20 places of a space that is narrower than it looks, as sentences are."""
    random = np.random.default_rng(seed)
    basis = np.random.default_rng(99).standard_normal((12, DIM))
    middles = np.random.default_rng(98).standard_normal((20, 12))[random.integers(0, 20, n)]
    rows = (middles + 0.7 * random.standard_normal((n, 12))) @ basis
    return (rows + 0.3 * random.standard_normal((n, DIM))).astype(np.float32)


def records(n: int) -> list[Record]:
    return [Record(f"text {i}", Place("s", i + 1), meta={"n": i % 100}) for i in range(n)]


def ids(n: int, start: int = 0) -> list[str]:
    return [f"i{number:05}" for number in range(start, start + n)]


def opened(folder: Path, *, coded: int = 0, read_only: bool | None = None) -> LocalStore:
    return LocalStore(folder, timeout=10, read_only=read_only, coded=coded)


def filled(folder: Path, rows: Any, kind: str) -> Path:
    create_store(folder, dim=DIM, index=kind).close()
    with opened(folder) as store:
        store.put(ids(len(rows)), rows, records(len(rows)))
    return folder


def pairs(found: list[Hits]) -> list[set[tuple[str, float]]]:
    return [set(zip(hits.ids, hits.scores, strict=True)) for hits in found]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture(scope="module")
def large(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows enough for the shortlists to be shorter than the store, few enough for one thread and one result."""
    return filled(tmp_path_factory.mktemp("large") / "s", clustered(5000), kind.name)


@pytest.fixture
def folder(kind: Kind, tmp_path: Path) -> Path:
    return filled(tmp_path / "s", clustered(400), kind.name)


@pytest.mark.parametrize("where", [None, "n < 50", "n < 12", "n < 8"])
@pytest.mark.parametrize("k", [1, 10, 60])
def test_most_of_what_a_scan_finds_with_its_scores(
    large: Path, kind: Kind, where: str | None, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest, "FEW", 100)
    queries = clustered(30, seed=1)
    with opened(large, coded=NEVER) as store:
        exact = pairs(store.search(queries, k, where=where))
    asked = []
    whole = InFaiss.nearest
    monkeypatch.setattr(InFaiss, "nearest", lambda *args: asked.append(args[2]) or whole(*args))
    with opened(large) as store:
        found = pairs(store.search(queries, k, where=where))
    assert [len(one) for one in found] == [len(one) for one in exact]
    rows = clustered(5000)
    for query, one in zip(unit(queries), found, strict=True):  # every score is the exact one
        slots = np.array([int(id[1:]) for id, _ in one])
        assert scan.cosines(rows, slots, query).tolist() == [score for _, score in one]
    assert sum(len(a & b) for a, b in zip(found, exact, strict=True)) >= 0.8 * sum(map(len, exact))
    assert bool(asked) == (where != "n < 8")  # 8 % are read without a shortlist
    assert max(asked, default=0) < 5000


def test_what_is_asked_for_in_full_is_exact(folder: Path) -> None:
    queries = clustered(5, seed=2)
    with opened(folder) as store, opened(folder, coded=NEVER) as scanning:
        assert store.search(queries, 400) == scanning.search(queries, 400) or pairs(
            store.search(queries, 400)
        ) == pairs(scanning.search(queries, 400))


def test_the_file_is_read_and_nothing_put_in_again(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    query = clustered(1, seed=2)
    with opened(large) as store:
        first = pairs(store.search(query))
    monkeypatch.setattr(InFaiss, "extend", lambda *_: pytest.fail("made again"))
    with opened(large) as store:
        assert pairs(store.search(query)) == first
        assert store.verify().checked[store.index] == 5000


def test_it_grows_and_what_is_deleted_is_gone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[tuple[int, int]] = []
    whole = InFaiss.extend

    def counted(self: InFaiss, vectors: Any) -> None:
        added.append((len(self), len(vectors)))
        whole(self, vectors)

    monkeypatch.setattr(InFaiss, "extend", counted)
    fresh = clustered(30, seed=3)
    with opened(folder) as store:
        store.search(fresh, 1)
        store.put(ids(30, 400), fresh, records(30))
        assert [hits.ids[0] for hits in store.search(fresh, 1)] == ids(30, 400)
        store.delete(ids(15, 400))
        assert not set(ids(15, 400)) & {id for hits in store.search(fresh, 60) for id in hits.ids}
    assert added == [(400, 430)]
    with opened(folder) as store:
        assert [hits.ids[0] for hits in store.search(fresh[15:], 1)] == ids(15, 415)


def test_a_reader_that_stayed_behind_sees_nothing_later(kind: Kind) -> None:
    rows = clustered(500)
    grown = kind.empty(DIM)
    grown.extend(rows)
    (found,) = grown.nearest(unit(rows[450:451]), 500, 300, None)
    assert found.max() < 300
    mask = np.zeros(300, bool)
    mask[::3] = True
    (found,) = grown.nearest(unit(rows[:1]), 500, 300, mask)
    assert len(found)
    assert mask[found].all()


def test_cells_are_made_anew_for_many_times_the_rows() -> None:
    index = ivf.KIND.empty(DIM)
    rows = clustered(3000)
    centres = []
    for count in (400, 1600, 1601, 3000):
        index.extend(rows[:count])
        assert len(index) == count
        centres.append(len(index._centres.reconstruct_n(0, index._centres.ntotal)))
    assert centres == [10, 10, 41, 41]


def test_rows_of_odd_lengths_are_found(kind: Kind, tmp_path: Path) -> None:
    rows = clustered(2000)
    rows[[3, 5]] = 0
    rows[7] *= np.float32(1e30)
    rows[9] *= np.float32(1e-25)
    place = filled(tmp_path / "s", rows, kind.name)
    for opening in range(2):
        with opened(place) as store:
            assert store.search(rows[7:8] * np.float32(1e-30), 1)[0].ids == ("i00007",)
            assert store.search(rows[9:10] * np.float32(1e20), 1)[0].ids == ("i00009",)
            assert "i00007" not in store.search(rows[7:8] * np.float32(1e-30), where="n != 7")[0].ids, opening


def test_many_equal_rows_are_in_the_order_of_their_ids(kind: Kind, tmp_path: Path) -> None:
    rows = clustered(3000)
    equal = np.random.default_rng(5).permutation(3000)[:700]
    rows[equal] = rows[0]
    create_store(tmp_path / "s", dim=DIM, index=kind.name).close()
    names = ids(3000)[::-1]
    with opened(tmp_path / "s") as store:
        store.put(names, rows, records(3000))
        (hits,) = store.search(rows[:1])
    assert list(hits.ids) == sorted(names[i] for i in {0, *equal.tolist()})[:10]


def test_an_index_that_finds_too_few_leaves_it_to_the_scan(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = InFaiss.nearest
    monkeypatch.setattr(InFaiss, "nearest", lambda *args: [found[5:35] for found in whole(*args)])
    queries = clustered(3, seed=4)
    with opened(folder) as store, opened(folder, coded=NEVER) as scanning:
        assert pairs(store.search(queries, 10)) == pairs(scanning.search(queries, 10))


def test_what_stops_half_way_leaves_nothing_half(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    index, rows = kind.empty(DIM), clustered(6000)
    index.extend(rows[:5000])
    whole = type(index)._put

    def stopped(self: Any, block: Any) -> None:
        whole(self, block[:10])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(index), "_put", stopped)
        with pytest.raises(KeyboardInterrupt):
            index.extend(rows)
    assert len(index) == 0
    index.extend(rows)
    assert index.nearest(unit(rows[5999:]), 1, 6000, None)[0].tolist() == [5999]


# --- bytes from outside ----------------------------------------------------------------------------------------------


def payload_of(kind: Kind, rows: Any) -> bytes:
    index = kind.empty(DIM)
    index.extend(rows)
    return index.as_bytes()[2]


def searched(index: Shortlist, slots: int) -> None:
    """Every way to walk through it: near, far, wide, with a mask; and growing."""
    queries = unit(clustered(4, seed=8))
    mask = np.arange(slots) % 2 == 0
    for wide in (1, slots):
        for allowed in (None, mask):
            for found in index.nearest(queries, wide, slots, allowed):
                assert ((found >= 0) & (found < slots)).all()
    index.extend(clustered(slots + 40))


ROWS = clustered(300)
WHOLE = {kind.name: payload_of(kind, ROWS) for kind in KINDS}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_bytes_lead_out_of_the_index(kind: Kind, data: st.DataObject) -> None:
    payload = bytearray(WHOLE[kind.name])
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(payload) // 4 - 1)) * 4
        value = data.draw(st.integers(-3, 310) | st.integers(-(1 << 31), (1 << 31) - 1))
        payload[place : place + 4] = struct.pack("<i", value)
    cut = data.draw(st.sampled_from([len(payload)] * 8 + [0, 7, 16, 24, len(payload) - 4, len(payload) + 4]))
    try:
        index = kind.read(bytes((payload + bytes(4))[:cut]), np.empty(0, np.int64), ROWS)
    except ValueError:
        return
    searched(index, 300)


def graph(change: Any) -> bytes:
    """The whole graph with one thing changed: ``change(levels, neighbours, entry)`` gives the next entry."""
    payload = WHOLE["hnsw"]
    _, entry = struct.unpack_from("<qq", payload)
    numbers = np.frombuffer(payload, "<i4", offset=16).copy()
    entry = change(numbers[:300], numbers[300:], entry)
    return struct.pack("<qq", 300, entry) + numbers.tobytes()


def on_the_wrong_level(levels: Any, neighbours: Any, entry: int) -> int:
    low, high = int(np.flatnonzero(levels == 1)[0]), int(np.flatnonzero(levels > 1)[0])
    begin = 16 * int((levels[:high].astype(int) + 1).sum())
    neighbours[begin + 32] = low
    return entry


def set_to(part: int, value: int) -> Any:
    def change(levels: Any, neighbours: Any, entry: int) -> int:
        (levels, neighbours)[part][-1] = value
        return entry

    return change


def too_high() -> bytes:
    """The whole graph, in which the last node stands on more levels than FAISS has room for; all else fits."""
    payload = WHOLE["hnsw"]
    numbers = np.frombuffer(payload, "<i4", offset=16)
    levels, neighbours = numbers[:300].copy(), numbers[300:]
    more = np.full(16 * (9 - levels[-1]), -1, "<i4")
    levels[-1] = 9
    return struct.pack("<qq", 300, 299) + levels.tobytes() + neighbours.tobytes() + more.tobytes()


HARMS = {
    "more levels than there are": too_high(),
    "a node beyond the last": graph(set_to(1, 300)),
    "a node before the first": graph(set_to(1, -2)),
    "a level too many": graph(set_to(0, 9)),
    "no level": graph(set_to(0, 0)),
    "entry beyond": graph(lambda *_: 300),
    "entry before": graph(lambda *_: -1),
    "entry not at the top": graph(lambda levels, *_: int(np.flatnonzero(levels == 1)[0])),
    "neighbour on another level": graph(on_the_wrong_level),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_graph_that_leads_astray_is_refused(harm: str) -> None:
    with pytest.raises(ValueError):
        hnsw.KIND.read(HARMS[harm], np.empty(0, np.int64), ROWS)


def cells(place: int, form: str, value: float) -> bytes:
    payload = bytearray(WHOLE["ivf"])
    struct.pack_into(form, payload, place, value)
    return bytes(payload)


@pytest.mark.parametrize(
    "payload",
    [
        cells(24, "<i", -1),
        cells(24, "<i", 7),
        cells(8, "<q", 1 << 40),
        cells(16, "<q", 0),
        cells(24 + 1200, "<f", np.nan),
    ],
    ids=["before", "beyond", "many", "for none", "no number"],
)
def test_cells_that_cannot_be_are_refused(payload: bytes) -> None:
    with pytest.raises(ValueError):
        ivf.KIND.read(payload, np.empty(0, np.int64), ROWS)


@pytest.mark.parametrize("harm", ["junk", "flip", "forged", "odd", "form", "missing"])
def test_a_file_that_cannot_be_used_is_made_anew(folder: Path, kind: Kind, harm: str) -> None:
    path, queries = folder / kind.file, clustered(5, seed=4)
    with opened(folder) as store:
        right, was = pairs(store.search(queries, 30)), path.read_bytes()
    _, line, payload = was.split(b"\n", 2)
    header = json.loads(line)
    if harm == "missing":
        path.unlink()
    elif harm in ("junk", "flip"):
        path.write_bytes(b"junk" if harm == "junk" else was[:-9] + bytes([was[-9] ^ 1]) + was[-8:])
    else:  # with a right checksum
        header |= {"odd": {"odd": [400]}, "form": {"form": "0"}, "forged": {}}[harm]
        payload = payload[:8] + b"\xff" * (len(payload) - 8) if harm == "forged" else payload
        rest = json.dumps(header).encode() + b"\n" + payload
        path.write_bytes(b"%08x\n" % zlib.crc32(rest) + rest)
    with opened(folder) as store:
        assert pairs(store.search(queries, 30)) == right
        assert store.verify().ok
    assert path.read_bytes()[9 + len(line) :] == was[9 + len(line) :]


# --- one kind for another --------------------------------------------------------------------------------------------


def test_another_kind_is_made_and_others_that_have_it_open_follow(folder: Path, kind: Kind) -> None:
    query = clustered(400)[7:8]
    with opened(folder) as store, opened(folder) as reader:
        reader.search(query)
        store.reindex("codes")
        assert store.index == "codes"
        assert not (folder / kind.file).exists()
        assert (folder / "codes.tv").exists()
        assert reader.search(query, 1)[0].ids == ("i00007",)
        assert reader.index == "codes"
    with opened(folder) as store:
        assert store.index == "codes"
        assert store.verify().ok
        store.reindex(kind.name)
        assert store.search(query, 1)[0].ids == ("i00007",)
        assert not (folder / "codes.tv").exists()
        assert (folder / kind.file).exists()


def test_the_same_kind_is_made_anew(folder: Path, kind: Kind) -> None:
    (folder / kind.file).write_bytes(b"junk")
    with opened(folder) as store:
        store.reindex()
        assert store.index == kind.name
        assert store.verify().checked[kind.name] == 400


def test_a_kind_that_there_is_not(folder: Path, kind: Kind, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='index="hsnw" is not known'):
        create_store(tmp_path / "other", dim=DIM, index="hsnw")
    assert not (tmp_path / "other").exists()
    with opened(folder) as store:
        with pytest.raises(UsageError):
            store.reindex("hsnw")
        assert store.index == kind.name
    with opened(folder, read_only=True) as store, pytest.raises(StoreError):
        store.reindex("codes")


def test_the_kind_survives_compaction_repair_and_a_lost_records_file(folder: Path, kind: Kind) -> None:
    with opened(folder) as store:
        store.delete(ids(350))
        store.compact()
        store.repair()
        assert store.index == kind.name
    with opened(folder) as store:
        assert store.index == kind.name
        assert store.search(clustered(400)[399:], 1)[0].ids == ("i00399",)


def test_a_store_from_before_there_were_kinds_has_codes(tmp_path: Path) -> None:
    import sqlite3

    from sememe.store.local.seals import manifest_seal

    create_store(tmp_path / "s", dim=DIM).close()
    connection = sqlite3.connect(tmp_path / "s" / "records.sqlite")
    with connection:
        connection.execute("DELETE FROM manifest WHERE key IN ('index', 'seal')")
        told = dict(connection.execute("SELECT key, value FROM manifest"))
        connection.execute("INSERT INTO manifest VALUES ('seal', ?)", [str(manifest_seal(told))])
    connection.close()
    with opened(tmp_path / "s") as store:
        assert store.index == "codes"
        store.put(ids(50), clustered(50), records(50))
        assert store.search(clustered(50)[:1], 1)[0].ids == ("i00000",)


# --- without FAISS, and in another process ---------------------------------------------------------------------------


def test_without_faiss_nothing_takes_its_place(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match="faiss") as missing:
        create_store(tmp_path / "other", dim=DIM, index="hnsw")
    assert ("install it", 'pip install "sememe[faiss]"') in missing.value.do
    assert not (tmp_path / "other").exists()
    with opened(folder) as store:
        with pytest.raises(MissingExtraError) as missing:
            store.search(clustered(1))
        assert "sememe collections reindex NAME --index codes" in str(missing.value)
        with pytest.raises(MissingExtraError):
            store.verify()
        assert store.get(["i00007"])[0] is not None
        assert store.search(None, words=["text"], mode="words")[0].ids
        store.put(["new"], clustered(1), records(1))  # it is kept; the index follows when there is one
        store.reindex("codes")
        assert store.search(clustered(400)[7:8], 1)[0].ids == ("i00007",)
    create_store(tmp_path / "few", dim=DIM).close()


def test_few_vectors_are_scanned_without_faiss(tmp_path: Path, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    place = filled(tmp_path / "s", clustered(50), kind.name)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with LocalStore(place, timeout=10, read_only=None) as store:
        assert store.search(clustered(50)[3:4], 1)[0].ids == ("i00003",)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_searches_and_indexes(large: Path, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_faiss, "FEW", 500)
    rows = clustered(5000)
    kind.empty(DIM).extend(rows[:3000])  # with all threads
    with opened(large) as store:
        right = pairs(store.search(rows[:50], 1))  # here too
        child = os.fork()
        if not child:
            try:
                threading.Timer(60, os._exit, [2]).start()  # it hangs
                grown = kind.empty(DIM)
                grown.extend(rows[:3000])
                os._exit(int(pairs(store.search(rows[:50], 1)) != right or len(grown) != 3000))
            finally:
                os._exit(3)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_kinds_by_name() -> None:
    assert list(keeper.KINDS) == ["codes", "hnsw", "ivf"]
    assert len({kind.file for kind in keeper.KINDS.values()}) == 3
