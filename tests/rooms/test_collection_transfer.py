"""Collections on their way out and in: nothing is lost, nothing hostile comes in, nothing stays half done."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as examples
from hypothesis import strategies as st
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
from sememe.errors import DamagedError, DataError, MismatchError, StoreError, UsageError
from sememe.progress import SILENT
from sememe.settings import Settings
from sememe.shapes import Place, Record
from sememe.store.exchange import incoming, snapshot
from sememe.store.exchange.backup import open_backup, write_backup
from sememe.store.exchange.foreign import Columns
from sememe.store.local.store import create_store, open_store

ROOT = Path(__file__).resolve().parents[2]
ABC = Letters(letters="abcd")


@pytest.fixture
def now(tmp_path: Path) -> Settings:
    return replace(settings.load(), home=tmp_path / "home")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a collection of 29 chunks, one of them gone; copied for each test."""
    folder = tmp_path_factory.mktemp("template") / "notes"
    rows = [{"id": f"n{i}", "text": f"a bad cab {i}", "year": 2000 + i, "starred": i % 2 == 0} for i in range(30)]
    with Collection(folder, encoder=ABC).add(rows) as made:
        made.delete(["n7"])
    return folder


@pytest.fixture
def notes(now: Settings, template: Path) -> Iterator[Collection]:
    shutil.copytree(template, now.collections_dir / "notes")
    with Collection("notes", encoder=ABC, settings=now) as made:
        yield made


@pytest.fixture
def export(notes: Collection, tmp_path: Path) -> Callable[..., Path]:
    def go(to: str, **options: Any) -> Path:
        assert export_collection(notes, tmp_path / f"out.{to}", to, **options) == 29
        return tmp_path / f"out.{to}"

    return go


def content(collection: Collection) -> tuple[Any, ...]:
    store = collection.store
    ids = store.ids()
    return ids, store.get(ids), store.vectors(ids).tobytes()


def refused(kind: type[Exception], call: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        call(*arguments, **options)
    return str(caught.value)


def nothing_came(now: Settings) -> None:
    there = now.collections_dir.iterdir() if now.collections_dir.exists() else []
    assert {entry.name for entry in there} <= {"notes"}


# --- out and in again ------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
SCALAR = st.none() | st.booleans() | TEXT | st.integers(-(10**25), 10**25) | st.floats(allow_nan=False, width=64)
FINITE = SCALAR.filter(lambda value: not (isinstance(value, float) and abs(value) == float("inf")))
META = st.dictionaries(TEXT, FINITE | st.lists(FINITE, max_size=3), max_size=4)
NUMBER = st.integers(0, 2**31)
RECORD = st.builds(
    Record, TEXT, st.builds(Place, TEXT, NUMBER, NUMBER, st.sampled_from(["line", "row", "page"])), TEXT, TEXT,
    st.tuples(NUMBER, NUMBER), st.text("0123456789abcdef", min_size=1, max_size=64), META,
)  # fmt: skip
VECTOR = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3)
ROWS = st.dictionaries(TEXT.filter(bool), st.tuples(RECORD, VECTOR), max_size=5)


@given(rows=ROWS, packed=st.booleans())
@examples(
    max_examples=8,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_every_record_and_every_bit_of_a_vector_comes_back(
    rows: dict[str, tuple[Record, list[float]]], packed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("trip")
    now = replace(settings.load(), home=folder)
    abc = Letters(letters="abc")
    with Collection("a", encoder=abc, settings=now) as made:
        store = made._made(None)
        vectors = np.array([row[1] for row in rows.values()], np.float32).reshape(-1, 3)
        store.put(list(rows), vectors, [row[0] for row in rows.values()])
        before = content(made)
        for to in FORMS:
            export_collection(made, folder / to, to, packed=packed and to == "jsonl")
            came = import_collection(folder / to, f"in-{to}", settings=now)
            assert (came.chunks, came.kind) == (len(rows), to)
            with came.collection as again:
                assert content(again) == before
                assert again.binding.fingerprint == abc.fingerprint
                assert again.binding.recipe == made.binding.recipe
        backup_collection(made, folder / "b")
        with restore_collection(folder / "b", "back", settings=now) as again:
            assert content(again) == before
            assert again.store.sources() == store.sources()
    table = pq.read_table(folder / "parquet").to_pylist()
    for row in table:
        for column, value in row.items():
            if column.startswith("meta."):
                kept = rows[row["id"]][0].meta.get(column.removeprefix("meta."))
                # Whole numbers beyond 64 bits stand in the column as near as a float comes, and exactly in "meta".
                assert value == (float(kept) if isinstance(value, float) and kept is not None else kept)
                assert isinstance(value, bool) == isinstance(kept, bool)
                assert json.loads(row["meta"]) == dict(rows[row["id"]][0].meta)


def test_fields_of_one_kind_have_a_column_of_their_own(notes: Collection, tmp_path: Path) -> None:
    notes.add(
        [{"id": "x", "text": "cab", "mixed": 1, "half": 0.5, "year": None}, {"id": "y", "text": "d", "mixed": "a"}]
    )
    export_collection(notes, tmp_path / "p", "parquet")
    schema = pq.read_schema(tmp_path / "p")
    types = {name: str(schema.field(name).type) for name in schema.names if name.startswith("meta.")}
    assert types == {"meta.half": "double", "meta.starred": "bool", "meta.year": "int64"}
    assert json.loads(schema.metadata[b"sememe"])["encoder"]["fingerprint"] == ABC.fingerprint


def test_npy_can_be_mapped_by_anyone(export: Callable[..., Path], notes: Collection) -> None:
    out = export("npy")
    vectors = np.load(out / "vectors.npy", mmap_mode="r", allow_pickle=False)
    ids = [json.loads(line)["id"] for line in (out / "records.jsonl").read_text("utf-8").splitlines()]
    assert (notes.store.vectors(ids) == vectors).all()
    assert json.loads((out / "manifest.json").read_text("utf-8"))["count"] == 29


@pytest.mark.parametrize("to", FORMS)
def test_an_export_replaces_only_when_told_and_only_its_own_kind(export: Callable[..., Path], to: str) -> None:
    out = export(to)
    assert "exists already" in refused(StoreError, export, to)
    export(to, overwrite=True)
    assert [entry.name for entry in out.parent.iterdir() if "partial" in entry.name] == []
    if to == "npy":
        (out / "thesis.txt").write_text("years of work")
        assert "holds other things" in refused(StoreError, export, to, overwrite=True)
        assert (out / "thesis.txt").exists()


def test_a_damaged_collection_is_not_exported_as_if_it_were_whole(notes: Collection, tmp_path: Path) -> None:
    def none_is_made(said: str) -> None:
        for to in FORMS:
            assert said in refused(DamagedError, export_collection, notes, tmp_path / "out", to)
            assert not (tmp_path / "out").exists()

    file = notes.folder / "vectors.f32"
    whole = file.read_bytes()
    file.write_bytes(whole[:3] + bytes([whole[3] ^ 1]) + whole[4:])
    none_is_made('the vector of "n0" is not what was written')
    file.write_bytes(whole)
    with sqlite3.connect(notes.folder / "records.sqlite") as connection:
        connection.execute("UPDATE records SET title = 'other' WHERE id = 'n3'")
    connection.close()
    none_is_made('the record of "n3" is not what was written')


KILLED = """
    import os, signal, sys
    from contextlib import contextmanager
    from sememe.collection.collection import Collection
    from sememe.collection import transfer

    class Deadly:
        def note(self, text): pass
        @contextmanager
        def phase(self, name, *, total, unit):
            yield self
        def advance(self, n=1):
            os.kill(os.getpid(), signal.SIGKILL)

    collection, out, what = sys.argv[1:]
    if what == "backup":
        transfer.backup_collection(Collection(collection), out, progress=Deadly())
    else:
        transfer.export_collection(Collection(collection), out, what, progress=Deadly())
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("what", [*FORMS, "backup"])
def test_killed_in_the_middle_it_leaves_nothing_half_written(notes: Collection, tmp_path: Path, what: str) -> None:
    out = tmp_path / "killed"
    command = [sys.executable, "-c", textwrap.dedent(KILLED), f"{notes.folder}/", str(out), what]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not out.exists()
    left = [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".killed.")]
    assert len(left) == 1
    if what == "backup":
        backup_collection(notes, out)
    else:
        export_collection(notes, out, what)
    assert out.exists()
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".killed.")] == []


def test_when_the_disk_is_full_all_is_as_it_was(
    notes: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for to in FORMS:
        out = tmp_path / f"out.{to}"
        export_collection(notes, out, to)
        before = [file.read_bytes() for file in (sorted(out.iterdir()) if out.is_dir() else [out])]
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            assert "the disk is full" in refused(StoreError, export_collection, notes, out, to, overwrite=True)
            assert "the disk is full" in refused(StoreError, backup_collection, notes, tmp_path / "backup")
        assert [file.read_bytes() for file in (sorted(out.iterdir()) if out.is_dir() else [out])] == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["home", "out.jsonl", "out.npy", "out.parquet"]


@pytest.mark.parametrize("what", [*FORMS, "backup", "import", "restore"])
def test_a_disk_that_is_full_at_any_step_leaves_nothing(
    notes: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    export_collection(notes, tmp_path / "in.jsonl", "jsonl")
    backup_collection(notes, tmp_path / "in.backup")
    out, home = tmp_path / "below" / "out", notes.settings
    out.parent.mkdir()
    calls = {
        "backup": lambda: backup_collection(notes, out, overwrite=True),
        "import": lambda: import_collection(tmp_path / "in.jsonl", out, settings=home).collection.close(),
        "restore": lambda: restore_collection(tmp_path / "in.backup", out, settings=home).close(),
    }
    before, step = None, 0
    if what not in ("import", "restore"):
        out.write_bytes(b"before") if what != "npy" else export_collection(notes, out, "npy")
        before = _bytes(out)
    while True:
        met: list[bool] = []
        with monkeypatch.context() as patched:
            _full_at(step, met, patched)
            try:
                calls.get(what, lambda: export_collection(notes, out, what, overwrite=True))()
                done = True
            except StoreError as error:
                assert "the disk is full" in str(error)
                done = False
        if not met:
            break
        if not done:
            assert [entry.name for entry in out.parent.iterdir()] == ([] if before is None else ["out"])
            assert before is None or _bytes(out) == before
        elif what in ("import", "restore"):
            shutil.rmtree(out)
        step += 1
    assert step > 3


def _bytes(path: Path) -> list[bytes]:
    return [file.read_bytes() for file in (sorted(path.iterdir()) if path.is_dir() else [path])]


def _full_at(turn: int, met: list[bool], patched: pytest.MonkeyPatch) -> None:
    """The call of this number, of those that change the disk, fails."""
    calls = iter(range(10**6))

    def failing(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if next(calls) == turn:
                met.append(True)
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*arguments, **options)

        return call

    for owner, name in ((os, "fsync"), (os, "write"), (Path, "mkdir"), (Path, "rename")):
        patched.setattr(owner, name, failing(getattr(owner, name)))


@pytest.mark.skipif(os.name == "nt", reason="nothing is swept there")
def test_a_run_killed_between_the_two_steps_of_replacing_loses_nothing(notes: Collection, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_collection(notes, out, "npy")
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    desk = tmp_path / f".out.{int(dead.stdout)}-0.partial"
    desk.mkdir()
    out.rename(desk / "old")
    assert "exists already" in refused(StoreError, export_collection, notes, out, "npy")
    assert (out / "vectors.npy").is_file()
    assert not desk.exists()


# --- what may not come in --------------------------------------------------------------------------------------------


def rewritten(path: Path, change: Callable[[list[Any]], None]) -> Path:
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    change(lines)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows[4].update(vector=[1, 2, 3]), "line 5: the vector has 3 numbers, not 4"),
        (lambda rows: rows[4].update(vector=[1, 2, 3, float("nan")]), "line 5: the vector holds NaN or infinity"),
        (lambda rows: rows[4].update(vector=[1, 2, 3, 1e39]), "line 5: the vector holds NaN or infinity"),
        (lambda rows: rows[4].update(vector=[[1, 2], [3, 4]]), "line 5: the vector is no list of numbers"),
        (lambda rows: rows[4].update(vector=[1, [2], 3, 4]), "line 5: the vector is no list of numbers"),
        (lambda rows: rows[4].update(vector=[True, True, False, True]), "line 5: the vector is no list of numbers"),
        (lambda rows: rows[4].update(vector=None), "line 5: the vector is no list of numbers"),
        (lambda rows: rows[4].update(vector="?"), "line 5: the vector is no base64 of float32"),
        (lambda rows: rows[4].update(id=rows[2]["id"]), 'line 5: the id "n1" was there before'),
        (lambda rows: rows[4].update(id=7), 'line 5: "id" is no text'),
        (lambda rows: rows[4].update(id=""), "line 5: the id is empty"),
        (lambda rows: rows[4].update(text=None), 'line 5: "text" is missing'),
        (lambda rows: rows[4].update(meta=[]), 'line 5: "meta" is no JSON object'),
        (lambda rows: rows[4].update(meta={"a": {"b": 1}}), 'the record of "n3" holds a dict'),
        (lambda rows: rows[4].update(start=-1), 'line 5: "start" is no number from 0 on'),
        (lambda rows: rows[4].update(span=[1]), 'line 5: "span" is no pair of numbers'),
        (lambda rows: rows.__setitem__(4, [1]), "line 5: no JSON object"),
        (lambda rows: rows.pop(), "is cut off, or was changed\n  rows"),
        (lambda rows: rows.append({**rows[4], "id": "more"}), "is cut off, or was changed"),
        (lambda rows: rows[0]["sememe"].update(dim=0), "the manifest's dim is 0"),
        (lambda rows: rows[0]["sememe"].update(dim=True), "the manifest's dim is true"),
        (lambda rows: rows[0]["sememe"].update(form=99), "written by a later version"),
        (lambda rows: rows[0]["sememe"].update(encoder=3), "does not say which encoder"),
        (lambda rows: rows[0].update(sememe=[]), "the manifest is no JSON object"),
    ],
)  # fmt: skip
def test_a_hostile_row_is_named(
    export: Callable[..., Path], now: Settings, change: Callable[[list[Any]], None], said: str
) -> None:
    path = rewritten(export("jsonl"), change)
    assert said in refused(DataError, import_collection, path, "came", settings=now)
    nothing_came(now)


@pytest.mark.parametrize("to", FORMS)
def test_in_parts_of_a_few_rows_all_is_the_same(
    notes: Collection, tmp_path: Path, now: Settings, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    for module in (snapshot, incoming):
        monkeypatch.setattr(module, "rows_at_once", lambda _dim: 8)
    export_collection(notes, tmp_path / "out", to)
    with import_collection(tmp_path / "out", "came", settings=now).collection as came:
        assert content(came) == content(notes)
    if to == "jsonl":
        path = rewritten(tmp_path / "out", lambda rows: rows[29].update(id="n0"))
        assert 'line 30: the id "n0" was there before' in refused(
            DataError, import_collection, path, "again", settings=now
        )


def test_a_name_cannot_lead_out_of_the_folder(export: Callable[..., Path], now: Settings) -> None:
    refused(UsageError, import_collection, export("jsonl"), "../x", settings=now)


@pytest.mark.parametrize("to", FORMS)
def test_a_file_that_was_cut_off_never_comes_in(export: Callable[..., Path], now: Settings, to: str) -> None:
    out = export(to)
    for path in sorted(out.iterdir()) if out.is_dir() else [out]:
        whole = path.read_bytes()
        for tenth in range(10):
            path.write_bytes(whole[: len(whole) * tenth // 10])
            refused(DataError, import_collection, out, "came", settings=now)
            nothing_came(now)
        path.write_bytes(whole)
    import_collection(out, "came", settings=now).collection.close()


JUNK = (
    b"", b"\0" * 100, b"PAR1" + b"x" * 50 + b"PAR1", b"ARROW1\0\0junk", b"[1, 2]", b'{"sememe"', b"[" * 100_000,
    b'{"ids": [], "embeddings": []}', b"\xff\xfe{}",
)  # fmt: skip


@pytest.mark.parametrize("junk", JUNK)
def test_what_is_no_export_is_refused(tmp_path: Path, now: Settings, junk: bytes) -> None:
    (tmp_path / "junk").write_bytes(junk)
    refused(DataError, import_collection, tmp_path / "junk", "came", encoder="unknown", settings=now)
    nothing_came(now)


def test_an_array_of_objects_is_not_unpickled(export: Callable[..., Path], now: Settings) -> None:
    out = export("npy")
    np.save(out / "vectors.npy", np.array([{"a": 1}] * 29, object), allow_pickle=True)
    assert "no array that can be read" in refused(DataError, import_collection, out, "came", settings=now)


@pytest.mark.parametrize(
    "array", [np.ones((29, 4)), np.ones((30, 4), "<f4"), np.ones((29, 3), "<f4"), np.ones(29, "<f4")]
)
def test_another_array_than_the_manifest_says_is_refused(
    export: Callable[..., Path], now: Settings, array: Any
) -> None:
    out = export("npy")
    np.save(out / "vectors.npy", array)
    said = refused(DataError, import_collection, out, "came", settings=now)
    assert "is another array than the manifest says" in said and str(array.shape) in said
    nothing_came(now)


def test_parquet_with_wrong_columns_widths_and_nulls(export: Callable[..., Path], now: Settings) -> None:
    path = export("parquet")
    table = pq.read_table(path)
    about = table.schema.metadata
    vectors = table.column("vector").to_pylist()

    def written(**columns: Any) -> str:
        out = table
        for name, column in columns.items():
            out = out.set_column(out.schema.names.index(name), name, column)
        pq.write_table(out.replace_schema_metadata(about), path)
        return refused(DataError, import_collection, path, "came", settings=now)

    assert "row 3: the vector has 5 numbers, not 4" in written(
        vector=pa.array([*vectors[:2], [1.0] * 5, *vectors[3:]], pa.list_(pa.float32()))
    )
    assert "row 3: the vector is no list" in written(vector=pa.array([*vectors[:2], None, *vectors[3:]]))
    assert "row 1: the vector is no list" in written(vector=pa.array(["x"] * 29))
    assert "row 1: the vector is no list" in written(vector=pa.array([{"a": 1.0}] * 29))
    assert "row 1: the vector is no list" in written(vector=pa.array([["x"] * 4] * 29))
    assert "row 2: the vector holds NaN" in written(vector=pa.array([vectors[0], [1.0, None, 2.0, 3.0], *vectors[2:]]))
    assert "row 1, meta: not JSON" in written(meta=pa.array(["{"] * 29))
    assert 'row 1: "text" is no text' in written(text=pa.array([1] * 29))
    assert 'row 2: the id "x" was there before' in written(id=pa.array(["x"] * 29))
    pq.write_table(table.drop_columns(["text"]).replace_schema_metadata(about), path)
    assert "its columns are not those" in refused(DataError, import_collection, path, "came", settings=now)


def test_an_existing_collection_is_neither_mixed_nor_replaced(
    export: Callable[..., Path], notes: Collection, now: Settings
) -> None:
    path = export("jsonl")
    before = content(notes)
    assert "already" in refused(StoreError, import_collection, path, "notes", settings=now)
    other = Letters("other", letters="wxyz")
    Collection("else", encoder=other, settings=now).add(["wxyz"]).close()
    said = refused(MismatchError, import_collection, path, "else", settings=now)
    assert "other" in said and "letters" in said
    said = refused(MismatchError, import_collection, path, "came", encoder=other, settings=now)
    assert "another encoder" in said
    assert content(notes) == before
    assert sorted(entry.name for entry in now.collections_dir.iterdir()) == ["else", "notes"]


# --- exports of others -----------------------------------------------------------------------------------------------

CHROMA = {
    "ids": ["1", "2"],
    "embeddings": [[1, 0, 0, 0], [0, 0.5, 0, 0]],
    "documents": ["a bad cab", "a dab"],
    "metadatas": [{"lang": "en", "year": 1999}, None],
}
QDRANT = {
    "result": {
        "points": [
            {"id": 7, "vector": [1, 0, 0, 0], "payload": {"text": "a bad cab", "meta": {"lang": "en"}, "n": [1, 2]}},
            {"id": "b", "vector": [0, 0.5, 0, 0], "payload": {"text": "a dab"}},
        ],
        "next_page_offset": None,
    },
    "status": "ok",
}


def saved(tmp_path: Path, value: Any) -> Path:
    (tmp_path / "other.json").write_text(json.dumps(value), "utf-8")
    return tmp_path / "other.json"


def test_chroma_comes_in_with_the_encoder_that_was_named(tmp_path: Path, now: Settings) -> None:
    came = import_collection(saved(tmp_path, CHROMA), "came", encoder=ABC, settings=now)
    assert (came.kind, came.chunks) == ("Chroma", 2)
    with came.collection as made:
        first, second = made.get(["1", "2"])
        assert first and second
        assert (first.text, first.meta, second.text, second.meta) == (
            "a bad cab", {"lang": "en", "year": 1999}, "a dab", {}
        )  # fmt: skip
        assert made.store.vectors(["1", "2"]).tolist() == CHROMA["embeddings"]
        assert made.search("a", mode="dense", where='lang = "en"').ids == ("1",)


@pytest.mark.parametrize("shape", ["answer", "pages", "points"])
def test_qdrant_comes_in_as_an_answer_as_pages_and_as_points(tmp_path: Path, now: Settings, shape: str) -> None:
    value: Any = {"answer": QDRANT, "pages": [QDRANT], "points": QDRANT["result"]["points"]}[shape]  # type: ignore[index]
    came = import_collection(saved(tmp_path, value), "came", encoder=ABC, settings=now)
    with came.collection as made:
        assert (came.kind, made.store.ids()) == ("Qdrant", ["7", "b"])
        (record,) = made.get(["7"])
        assert record and (record.text, record.meta) == ("a bad cab", {"meta.lang": "en", "n": [1, 2]})


def test_of_several_vectors_of_qdrant_one_is_named(tmp_path: Path, now: Settings) -> None:
    points = [{"id": 1, "vector": {"small": [1, 0], "large": [0, 1, 0, 0]}, "payload": {"text": "a"}}]
    path = saved(tmp_path, points)
    said = refused(DataError, import_collection, path, "came", encoder="unknown", settings=now)
    assert "not clear which of its vectors" in said
    came = import_collection(path, "came", encoder=ABC, columns=Columns(vector="large"), settings=now)
    assert came.collection.store.vectors(["1"]).tolist() == [[0, 1, 0, 0]]
    came.collection.close()


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_a_table_of_lancedb_comes_in(tmp_path: Path, now: Settings, form: str) -> None:
    table = pa.table(
        {
            "vector": pa.array([[1, 0, 0, 0], [0, 0.5, 0, 0]], pa.list_(pa.float32(), 4)),
            "body": ["a bad cab", "a dab"],
            "lang": ["en", None],
        }
    )
    path = tmp_path / "lance"
    if form == "parquet":
        pq.write_table(table, path)
    else:
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    came = import_collection(path, "came", encoder=ABC, settings=now)
    with came.collection as made:
        assert made.store.ids() == ["1", "2"]
        assert [r and (r.text, r.meta) for r in made.get(["1", "2"])] == [
            ("a bad cab", {"lang": "en"}), ("a dab", {"lang": None})
        ]  # fmt: skip
    assert "there is no column of ids: rows are numbered" in came.notes


@pytest.mark.parametrize(
    ("change", "columns", "said"),
    [
        ({"documents": None}, None, "not clear which column of other.json holds the text"),
        ({"documents": None}, Columns(text="nope"), 'has no column "nope"'),
        ({"documents": ["a"]}, None, "2 ids came with 1 documents"),
        ({"embeddings": [[1, 0, 0, 0], [1, 0]]}, None, "row 2: the vector has 2 numbers, not 4"),
        ({"embeddings": [[1, 0, 0, 0], None]}, None, "row 2: the vector is no list of numbers"),
        ({"embeddings": None}, None, "ids or embeddings are missing"),
        ({"ids": ["1", "1"]}, None, 'row 2: the id "1" was there before'),
        ({"ids": ["1", 2.5]}, None, "row 2: the id is a float"),
        ({"metadatas": [{"a": [{}]}, None]}, None, 'row 1: the field "a" holds a dict'),
        ({"metadatas": ["x", None]}, None, "row 1, metadata: no JSON object"),
    ],
)
def test_hostile_exports_of_others(
    tmp_path: Path, now: Settings, change: dict[str, Any], columns: Columns | None, said: str
) -> None:
    path = saved(tmp_path, {**CHROMA, "metadatas": [{"p": "x" * 30, "q": "y" * 30}, None], **change})
    assert said in refused(DataError, import_collection, path, "came", encoder=ABC, columns=columns, settings=now)
    nothing_came(now)


def test_the_encoder_is_never_guessed(tmp_path: Path, now: Settings) -> None:
    path = saved(tmp_path, CHROMA)
    assert "does not say which encoder" in refused(UsageError, import_collection, path, "came", settings=now)
    said = refused(MismatchError, import_collection, path, "came", encoder=Letters(), settings=now)
    assert "26 numbers" in said and "4 numbers" in said
    nothing_came(now)


def test_an_unknown_encoder_is_searched_by_words_and_vectors_only(tmp_path: Path, now: Settings) -> None:
    came = import_collection(saved(tmp_path, CHROMA), "came", encoder="unknown", settings=now).collection
    came.close()
    with Collection("came", settings=now) as made:
        assert made.search("cab", mode="words").ids == ("1",)
        (hits,) = made.store.search(np.array([[0, 1, 0, 0]]), 1)
        assert hits.ids == ("2",)
        for call in (lambda: made.search("cab"), lambda: made.search("a", mode="dense"), lambda: made.add(["a"])):
            assert "nobody said which encoder" in refused(MismatchError, call)
        assert made.count() == 2
    with Collection("came", encoder=ABC, settings=now) as made:
        refused(MismatchError, made.search, "cab")
    again = import_collection(saved(tmp_path, CHROMA), "again", encoder="unknown", settings=now).collection
    assert again.binding.fingerprint != came.binding.fingerprint
    again.close()
    came.close()


# --- backup and restore ----------------------------------------------------------------------------------------------


@pytest.fixture
def backup(notes: Collection, tmp_path: Path) -> Path:
    assert backup_collection(notes, tmp_path / "notes.backup") == 29
    return tmp_path / "notes.backup"


def test_a_backup_comes_back_under_its_name_or_another(notes: Collection, backup: Path, now: Settings) -> None:
    before = content(notes)
    assert "already" in refused(StoreError, restore_collection, backup, settings=now)
    with restore_collection(backup, "second", settings=now) as again:
        assert content(again) == before
        assert again.search("bad cab 3", mode="words", k=1).ids == notes.search("bad cab 3", mode="words", k=1).ids
    elsewhere = replace(now, home=now.home / "other")
    with restore_collection(backup, settings=elsewhere) as again:
        assert (again.name, content(again)) == ("notes", before)
        again.encoder = lambda *_, **__: ABC  # type: ignore[method-assign]
        again.add(["dad"])
        assert again.count() == 30


WRITER = """
    import sys
    from pathlib import Path
    import numpy as np
    from sememe.shapes import Place, Record
    from sememe.store.local.store import open_store

    store, turn = open_store(Path(sys.argv[1]), timeout=30), 0
    while True:
        turn += 1
        ids = [f"i{n}" for n in range(300)]
        store.put(ids, np.full((300, 4), turn, np.float32), [Record(f"turn {turn}", Place("s"))] * 300)
        print(turn, flush=True)
"""


def test_a_live_collection_is_backed_up_in_one_state(tmp_path: Path) -> None:
    # The writer replaces all rows in each transaction, and so compacts every few turns.
    create_store(tmp_path / "live", dim=4).close()
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path / "live")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        try:
            for number in range(5):
                said = [int(writer.stdout.readline()) for _ in range(7)][-1]
                desk = tmp_path / f"desk{number}"
                desk.mkdir()
                with open_store(tmp_path / "live") as store:
                    assert write_backup(store, tmp_path / f"b{number}", desk, name="live", progress=SILENT) == 300
                with open_backup(tmp_path / f"b{number}") as held, SILENT.phase("x", total=None, unit="bytes") as phase:
                    held.unpack(tmp_path / f"back{number}", phase)
                with open_store(tmp_path / f"back{number}") as back:
                    ids = back.ids()
                    turns = {float(n) for n in back.vectors(ids).ravel()}
                    assert len(turns) == 1 and turns.pop() >= said
                    assert len({record.text for record in back.get(ids) if record}) == 1
                    assert back.verify().ok
            assert int(writer.stdout.readline()) > said  # it was at work all the while
        finally:
            writer.kill()


def rezipped(path: Path, change: Callable[[dict[str, bytes]], None], how: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def manifested(parts: dict[str, bytes], /, **change: Any) -> None:
    """A manifest that fits the parts, whatever they are now."""
    manifest = json.loads(parts.pop("manifest.json"))
    told: Any = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in parts.items()}
    parts["manifest.json"] = json.dumps({**manifest, "parts": told, **change}).encode()


def with_sql(*statements: str) -> Callable[[dict[str, bytes]], None]:
    def change(parts: dict[str, bytes]) -> None:
        connection = sqlite3.connect(":memory:")
        # A file in write-ahead mode is none that memory can hold.
        data = bytearray(parts["records.sqlite"])
        data[18:20] = b"\1\1"
        connection.deserialize(bytes(data))
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        parts["records.sqlite"] = connection.serialize()
        connection.close()
        manifested(parts)

    return change


def renamed(old: str, new: str) -> Callable[[dict[str, bytes]], None]:
    def change(parts: dict[str, bytes]) -> None:
        parts[new] = parts.pop(old)
        manifested(parts)

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda parts: parts.update({"vectors.f32": parts["vectors.f32"][:-4] + b"abcd"}),
            "vectors.f32 is not what was",
        ),
        (
            lambda parts: parts.update({"records.sqlite": b"x" * len(parts["records.sqlite"])}),
            "is not what was written",
        ),
        (lambda parts: parts.update({"vectors.f32": b""}), "not as long as its manifest says"),
        (lambda parts: parts.update({"../../evil": b"x"}), "other files than its manifest says"),
        (lambda parts: parts.pop("vectors.f32"), "other files than its manifest says"),
        (lambda parts: parts.pop("manifest.json"), "no backup of sememe"),
        (lambda parts: parts.update({"manifest.json": b"{}"}), "the manifest's form is null"),
        (lambda parts: parts.update({"manifest.json": b"[" * 90_000}), "its manifest cannot be read"),
        (lambda parts: manifested(parts, parts={}), "a backup holds records.sqlite and one file"),
        (lambda parts: manifested(parts, dim=3), "contradict each other"),
        (lambda parts: manifested(parts, count=3), "contradict each other"),
        (renamed("vectors.f32", "../../vectors.f32"), "a backup holds records.sqlite and one file"),
        (renamed("vectors.f32", "vectors-1.f32"), "is missing"),
        (with_sql("CREATE TRIGGER t AFTER INSERT ON rows BEGIN DELETE FROM rows; END"), "no tables of a collection"),
        (with_sql("UPDATE state SET vectors = '../../x.f32'"), "name a file of vectors that cannot be"),
        (with_sql("DELETE FROM manifest WHERE key = 'dim'"), ""),
        (with_sql("DELETE FROM records WHERE id = 'n3'"), ""),
        (with_sql("UPDATE rows SET crc = 0 WHERE id = 'n3'"), "what it holds is damaged"),
        (with_sql("PRAGMA application_id = 5"), "its records cannot be read"),
    ],
)
def test_a_hostile_backup_never_becomes_a_collection(
    backup: Path, now: Settings, change: Callable[[dict[str, bytes]], None], said: str
) -> None:
    rezipped(backup, change)
    assert said in refused(DataError, restore_collection, backup, "came", settings=now)
    nothing_came(now)
    assert not (now.home.parent / "evil").exists()


def test_vectors_that_are_no_numbers_are_refused_whatever_their_checksums_say(backup: Path, now: Settings) -> None:
    vector = np.full(4, np.nan, "<f4").tobytes()

    def change(parts: dict[str, bytes]) -> None:
        parts["vectors.f32"] = vector + parts["vectors.f32"][16:]
        with_sql(f"UPDATE rows SET crc = {zlib.crc32(vector)} WHERE slot = 0")(parts)

    rezipped(backup, change)
    assert "vectors that are no numbers" in refused(DataError, restore_collection, backup, "came", settings=now)
    nothing_came(now)


def test_a_backup_is_not_decompressed(backup: Path, now: Settings) -> None:
    rezipped(backup, lambda parts: parts.update({"vectors.f32": bytes(50_000_000)}), zipfile.ZIP_DEFLATED)
    assert "compressed" in refused(DataError, restore_collection, backup, "came", settings=now)


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/b", "A", "", [1]])
def test_the_name_in_a_backup_is_not_trusted(backup: Path, now: Settings, name: Any) -> None:
    rezipped(backup, lambda parts: manifested(parts, name=name))
    with pytest.raises((DataError, UsageError, StoreError)):
        restore_collection(backup, settings=replace(now, home=now.home / "other"))
    assert not (now.home / "other" / "collections" / "evil").exists()


def test_a_backup_that_was_cut_off_or_has_a_flipped_bit_is_refused(backup: Path, now: Settings) -> None:
    whole = backup.read_bytes()
    for tenth in range(10):
        backup.write_bytes(whole[: len(whole) * tenth // 10])
        refused(DataError, restore_collection, backup, "came", settings=now)
    backup.write_bytes(whole)
    with zipfile.ZipFile(backup) as archive:
        spans = [(entry.header_offset + 60, entry.header_offset + entry.file_size) for entry in archive.infolist()]
    places = np.random.default_rng(3)
    for start, end in spans:
        for place in places.integers(start, max(end, start + 1), 10):
            broken = bytearray(whole)
            broken[place] ^= 1 << int(places.integers(8))
            backup.write_bytes(broken)
            refused(DataError, restore_collection, backup, "came", settings=now)
            nothing_came(now)


def test_packed_vectors_are_little_endian_float32(export: Callable[..., Path], notes: Collection) -> None:
    row = json.loads(export("jsonl", packed=True).read_text("utf-8").splitlines()[1])
    numbers = np.frombuffer(base64.b64decode(row["vector"]), "<f4")
    assert (notes.store.vectors([row["id"]])[0] == numbers).all()
