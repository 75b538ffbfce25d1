"""One committed state of a local store, read from end to end while others go on writing."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sememe.errors import DamagedError
from sememe.shapes import Record, Vectors
from sememe.store.local import database, vector_file
from sememe.store.local.seals import proved
from sememe.store.local.store import TRIES, LocalStore
from sememe.store.local.view import State, state_of
from sememe.store.record_rows import COLUMNS, record_of
from sememe.store.vector_type import Bytes, Kept, VectorType, bytes_of, of_file

#: rows, and bytes of vectors, that are held at a time
ROWS, BYTES = 1024, 1 << 24


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows: ``vectors`` float32 ``(n, dim)`` with the ``n`` ids and records that belong to them."""

    ids: list[str]
    vectors: Vectors
    records: list[Record]


def rows_at_once(dim: int) -> int:
    """How many vectors of this width are held at a time."""
    return max(1, min(ROWS, BYTES // (dim * 4)))


@dataclass(frozen=True)
class Snapshot:
    """``vectors``: ``(slots, dim)``, mapped; the file below it is never written again."""

    connection: sqlite3.Connection
    manifest: Mapping[str, Any]
    state: State
    vectors: Kept

    @property
    def dim(self) -> int:
        return int(self.manifest["dim"])

    @property
    def kind(self) -> VectorType:
        """How the vectors are kept."""
        return of_file(self.state.vectors)

    @property
    def count(self) -> int:
        return self.state.live

    def parts(self) -> Iterator[Part]:
        """All rows, oldest change first.

        Raises:
            DamagedError: a vector or a record is not what was written.
        """
        step, seen = rows_at_once(self.dim), 0
        told = f"slot, crc, records.number, records.id, {COLUMNS}, seal"
        sql = f"SELECT {told} FROM rows JOIN records USING (number) ORDER BY rows.number"
        cursor = self.connection.execute(sql)
        while rows := cursor.fetchmany(step):
            raw = self._raw([row[0] for row in rows])
            for row, kept in zip(rows, raw, strict=True):
                if zlib.crc32(kept.data) != row[1]:
                    raise _damaged(f'the vector of "{row[3]}" is not what was written')
            records = [proved(row[2:])[1:] for row in rows]
            seen += len(rows)
            vectors = self.kind.decode(raw, self.dim)
            yield Part([row[0] for row in records], vectors, [record_of(row[1:]) for row in records])
        if seen != self.count:
            raise _damaged(f"{seen} rows are there, {self.count} should be")

    def _raw(self, slots: list[int]) -> Bytes:
        if min(slots) < 0 or max(slots) >= len(self.vectors):
            raise _damaged("rows point outside of the vector file")
        return bytes_of(self.vectors)[slots]

    def scalar_fields(self) -> dict[str, str]:
        """The fields that hold scalars of one kind in every record, each with it: text, int, float, yes/no."""
        kinds: dict[str, set[str]] = {}
        sql = "SELECT DISTINCT key, type, typeof(atom) FROM records, json_each(records.meta)"
        for name, kind, held in self.connection.execute(sql):
            # A whole number beyond 64 bits is held as a real one.
            kinds.setdefault(name, set()).add("real" if held == "real" else str(kind))
        out = {}
        for name, found in kinds.items():
            found -= {"null"}
            for column, fits in _COLUMNS.items():
                if found and found <= fits:
                    out[name] = column
                    break
        return dict(sorted(out.items()))

    def copy_records(self, path: Path, moved: Callable[[int], None]) -> None:
        """Copy the SQLite file of this state; ``moved`` is told how many pages are done."""
        copy = sqlite3.connect(path)
        done = 0

        def told(_status: int, remaining: int, total: int) -> None:
            nonlocal done
            moved(total - remaining - done)
            done = total - remaining

        try:
            self.connection.backup(copy, pages=1024, progress=told)
        finally:
            copy.close()


_COLUMNS = {
    "text": {"text"},
    "int": {"integer"},
    "float": {"integer", "real"},
    "yes/no": {"true", "false"},
}


@contextmanager
def snapshot(store: LocalStore) -> Iterator[Snapshot]:
    """The state that ``store`` is in now. It holds up no writer, but the journal grows as long as it is held."""
    held = database.Database(store.folder / database.FILE, read_only=store.read_only)
    try:
        with held.connection() as connection:
            yield _begun(connection, store)
    finally:
        held.close()


def _begun(connection: sqlite3.Connection, store: LocalStore) -> Snapshot:
    for attempt in range(TRIES):
        connection.execute("BEGIN")
        state = state_of(connection)
        manifest = {key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM manifest")}
        try:
            vectors = vector_file.mapped(store.folder / state.vectors, state.slots, int(manifest["dim"]))
            return Snapshot(connection, manifest, state, vectors)
        except FileNotFoundError as error:  # a compaction was faster
            connection.execute("ROLLBACK")
            if attempt == TRIES - 1:
                raise DamagedError(f"{error.filename} is missing", do=["repair the collection"]) from error
    raise AssertionError("unreachable")


def _damaged(why: str) -> DamagedError:
    return DamagedError("the collection is damaged", why=[why], do=["verify it, and repair it"])
