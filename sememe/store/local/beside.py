"""A second set of vectors beside those that a store has in use: of another encoder and in the making, or of the encoder
before and kept.

A row's number names one version of one item for ever. So a set needs no more than a vector file and, in a small SQLite
file, which number has which slot; texts, fields and the word index are there once and not touched when two sets change
places. That exchange is one commit of the store; whatever it is cut off by, the store has the one set or the other.

A set counts as long as the store's rows are numbered as they were when it was made, and its vectors are not those in
use. What does not count is left over from an exchange that was cut off, and is swept away.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sememe.errors import DamagedError, ReplacedError, StoreError
from sememe.shapes import Record, Vectors
from sememe.store.batch import matrix
from sememe.store.local import database, seals, vector_file
from sememe.store.local import manifest as told
from sememe.store.local.lock import FileLock
from sememe.store.local.loss import note_put
from sememe.store.local.manifest import INDEX, SPACE, STORE, USUAL
from sememe.store.local.store import LocalStore
from sememe.store.local.view import state_of
from sememe.store.record_rows import COLUMNS, record_of
from sememe.store.vector_type import find, of_file

PREFIX = "beside-"
ROWS = "rows.sqlite"
#: what a set's manifest holds besides what that of a store does: the vector file's name, and of a set that was in use
#: the number and the date of the exchange that put another in its place
FILE, KEPT = "file", "kept"

_TABLES = """
    CREATE TABLE manifest (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE rows (
        number INTEGER PRIMARY KEY, slot INTEGER NOT NULL UNIQUE, crc INTEGER NOT NULL, seal INTEGER NOT NULL
    );
    -- what the type of these vectors has cost them, as the store remembers it of its own
    CREATE TABLE loss (against TEXT, rows INTEGER, cosines REAL, least REAL, recall REAL, asked INTEGER);
"""
_LOSS = "against, rows, cosines, least, recall, asked"
#: records of the store that the set has no vector of; by the seal too, for a repair may number anew what it lost
_MISSING = """
    FROM main.records AS one
    WHERE NOT EXISTS (SELECT 1 FROM beside.rows AS two WHERE two.number = one.number AND two.seal = one.seal)
"""


class Version(NamedTuple):
    """One version of one item of the store: the number of its row, its id, its record, and the record's seal."""

    number: int
    id: str
    record: Record
    seal: int


class Beside:
    """One set; changed only by who holds `locked`."""

    def __init__(self, store: LocalStore, folder: Path) -> None:
        self.store, self.folder = store, folder
        self._main = database.Database(store.folder / database.FILE, read_only=store.read_only)
        self._own = database.Database(folder / ROWS, read_only=store.read_only)
        with self._own.connection() as connection:
            rows = connection.execute("SELECT key, value FROM manifest")
            self.manifest: Mapping[str, Any] = {key: json.loads(value) for key, value in rows}

    @property
    def dim(self) -> int:
        return int(self.manifest["dim"])

    @property
    def kept(self) -> tuple[int, str] | None:
        """Of a set that was in use: which exchange ended that, and when. None for one in the making."""
        found = self.manifest.get(KEPT)
        return None if found is None else (int(found[0]), str(found[1]))

    @property
    def file(self) -> Path:
        return self.folder / str(self.manifest[FILE])

    @property
    def bytes(self) -> int:
        """What it takes on the disk."""
        return sum(one.stat().st_size for one in self.folder.iterdir())

    @property
    def counts(self) -> bool:
        """Whether it belongs to the store as it is now, and is not in use there."""
        with self._main.connection() as connection:
            now = told.read(connection)
        return bool(now[STORE] == self.manifest[STORE] and now.get(SPACE) != self.manifest.get(SPACE))

    # --- filling -----------------------------------------------------------------------------------------------------

    def missing(self) -> npt.NDArray[np.int64]:
        """The numbers of the store's rows that it has no vector of, ascending: int64 ``(n,)``.

        Raises:
            ReplacedError: the store was rebuilt, so that this set is worth nothing any more.
        """
        with self._both() as connection:
            if told.read(connection)[STORE] != self.manifest[STORE]:
                raise ReplacedError(f"{self.store.folder.name} was rebuilt meanwhile", do=["begin again"])
            found = connection.execute(f"SELECT one.number {_MISSING} ORDER BY one.number")
            return np.fromiter((number for (number,) in found), np.int64)

    def versions(self, numbers: Sequence[int]) -> list[Version]:
        """What stands under these numbers, ascending; those that are gone by now are left out.

        Raises:
            DamagedError: a record is not what was written.
        """
        with self._main.reading() as connection:
            return _versions(connection, numbers)

    def put(self, versions: Sequence[Version], vectors: Vectors) -> None:
        """Keep a vector, float32 ``(n, dim)``, of each version, in one commit."""
        given, kind = matrix(vectors, self.dim), of_file(self.file.name)
        rows = kind.encode(given)
        with self._own.writing() as connection:
            (slot,) = connection.execute("SELECT coalesce(max(slot) + 1, 0) FROM rows").fetchone()
            vector_file.append(self.file, slot, rows)
            note_put(connection, given, kind)
            if not slot:
                vector_file.sync_folder(self.folder)
            connection.executemany(
                "INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?)",
                (
                    (one.number, slot + at, zlib.crc32(row.data), one.seal)
                    for at, (one, row) in enumerate(zip(versions, rows, strict=True))
                ),
            )

    def prove(self) -> int:
        """Forget the vectors that are not what was written, so that they are missing; says how many."""
        vectors = vector_file.mapped(self.file, vector_file.there(self.file, self.dim), self.dim)
        with self._own.writing() as connection:
            wrong = [
                (number,)
                for number, slot, crc in connection.execute("SELECT number, slot, crc FROM rows ORDER BY slot")
                if seals.wrong_rows(vectors, [(slot, crc)])
            ]
            connection.executemany("DELETE FROM rows WHERE number = ?", wrong)
        return len(wrong)

    # --- changing places ---------------------------------------------------------------------------------------------

    def exchange(self) -> None:
        """Put these vectors in the place of those in use, which become a set beside; both are of all rows then.

        Who has the store open is told to open it again, its own holder too.

        Raises:
            StoreError: a vector is missing, or the disk is full; nothing was changed.
            ReplacedError: the store was rebuilt.
        """
        with self.store.writing(), database.explained(self.store.folder / database.FILE):
            if missing := len(self.missing()):
                raise StoreError(f"{missing} rows have no vector yet")
            with self._main.reading() as connection:
                used = state_of(connection)
            name = vector_file.following(used.vectors, of_file(self.file.name))
            (self.store.folder / name).unlink(missing_ok=True)  # of a process that died before it could commit
            kept = self._set_in_use(used.vectors, name)
            if self.file.exists():
                _linked(self.file, self.store.folder / name)
                vector_file.sync_folder(self.store.folder)
            with self._both("BEGIN IMMEDIATE") as connection:
                self._take_over(connection, name)
                connection.execute("COMMIT")
            self.close()
            sweep(self.store, but=[kept])
            vector_file.remove_others(self.store.folder, name)

    def _set_in_use(self, vectors: str, successor: str) -> Path:
        """The vectors in use as a set, which begins to count with the commit that puts others in their place."""
        kept = (vector_file.turn_of(successor), datetime.now(UTC).isoformat(timespec="seconds"))
        with self._main.reading() as connection:
            manifest = dict(connection.execute("SELECT key, value FROM manifest WHERE key != 'seal'"))
            rows = connection.execute("SELECT number, slot, crc, seal FROM rows JOIN records USING (number)")
            manifest |= {FILE: json.dumps(vectors), KEPT: json.dumps(kept)}
            loss = connection.execute(f"SELECT {_LOSS} FROM loss").fetchone()
            folder = _made(self.store.folder, manifest, rows=rows, loss=loss)
        if (self.store.folder / vectors).exists():
            _linked(self.store.folder / vectors, folder / vectors)
            vector_file.sync_folder(folder)
        return folder

    def _take_over(self, connection: sqlite3.Connection, name: str) -> None:
        # Through negative numbers, for no two rows may ever have one slot.
        connection.execute("UPDATE main.rows SET slot = -1 - slot")
        connection.execute(
            "UPDATE main.rows SET (slot, crc) = (SELECT slot, crc FROM beside.rows AS b WHERE b.number = rows.number)"
        )
        (slots,) = connection.execute("SELECT coalesce(max(slot) + 1, 0) FROM main.rows").fetchone()
        free = np.ones(slots, bool)
        free[[slot for (slot,) in connection.execute("SELECT slot FROM main.rows")]] = False
        connection.execute("DELETE FROM main.free")
        connection.executemany("INSERT INTO main.free VALUES (?)", ((int(slot),) for slot in np.flatnonzero(free)))
        connection.execute("UPDATE main.state SET slots = ?, vectors = ?", [slots, name])
        connection.execute("DELETE FROM main.loss")
        connection.execute(f"INSERT INTO main.loss ({_LOSS}) SELECT {_LOSS} FROM beside.loss")
        # How vectors are found is no matter of the encoder, and stays.
        index = told.read(connection).get(INDEX, USUAL)
        mine = {key: value for key, value in self.manifest.items() if key not in (FILE, KEPT)} | {INDEX: index}
        manifest = {key: json.dumps(value) for key, value in mine.items()}
        connection.execute("DELETE FROM main.manifest")
        sealed = {**manifest, "seal": str(seals.manifest_seal(manifest))}
        connection.executemany("INSERT INTO main.manifest VALUES (?, ?)", sealed.items())

    # --- the rest ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _both(self, begin: str = "BEGIN") -> Iterator[sqlite3.Connection]:
        """The store's records as ``main`` and this set as ``beside``, in one transaction."""
        with self._main.connection() as connection:
            connection.execute("ATTACH ? AS beside", [str(self.folder / ROWS)])
            try:
                connection.execute(begin)
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                connection.execute("DETACH beside")

    def close(self) -> None:
        self._main.close()
        self._own.close()

    def __enter__(self) -> Beside:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def sample(store: LocalStore, most: int) -> list[Version]:
    """At most so many versions, from everywhere in the store."""
    main = database.Database(store.folder / database.FILE, read_only=store.read_only)
    try:
        with main.reading() as connection:
            numbers = [number for (number,) in connection.execute("SELECT number FROM rows ORDER BY number")]
            return _versions(connection, spread(numbers, most))
    finally:
        main.close()


def spread(numbers: Sequence[int], most: int) -> list[int]:
    """At most so many of them, from everywhere."""
    places = np.linspace(0, len(numbers) - 1, min(most, len(numbers))).astype(np.int64)
    return [int(numbers[place]) for place in places]


def _versions(connection: sqlite3.Connection, numbers: Sequence[int]) -> list[Version]:
    sql = f"SELECT number, id, {COLUMNS}, seal FROM records WHERE number IN (SELECT value FROM json_each(?))"
    rows = connection.execute(f"{sql} ORDER BY number", [json.dumps([int(one) for one in numbers])]).fetchall()
    return [Version(row[0], row[1], record_of(seals.proved(row)[2:]), row[-1]) for row in rows]


def locked(store: LocalStore) -> FileLock:
    """Held by whoever makes, fills, exchanges or removes sets; writers of the store and readers go on."""
    return FileLock(store.folder / "beside.lock", f"a second set of vectors of {store.folder.name}", timeout=1)


def begun(store: LocalStore, manifest: Mapping[str, Any]) -> Beside:
    """A new set without vectors yet. ``manifest``: what the store's is to be when they are in use."""
    kind = find(store.vector_type)
    every = {**manifest, STORE: store.manifest[STORE], SPACE: uuid.uuid4().hex, FILE: vector_file.first(kind)}
    loss = ("float32", 0, 0, 1, None, 0)
    return Beside(store, _made(store.folder, {key: json.dumps(value) for key, value in every.items()}, loss=loss))


def sets(store: LocalStore) -> list[Beside]:
    """Those that count: at most one that was kept, and those in the making. The caller closes them.

    Raises:
        DamagedError: one of them cannot be read.
    """
    found = []
    for folder in _folders(store.folder):
        if not (folder / ROWS).exists():
            continue
        with _named(folder):
            one = Beside(store, folder)
            if one.counts:
                found.append(one)
            else:
                one.close()
    # Two may have been kept where the removal of the older was cut off.
    last = max((one.kept for one in found if one.kept), default=None)
    for one in found:
        if one.kept != last and one.kept is not None:
            one.close()
    return [one for one in found if one.kept is None or one.kept == last]


def sweep(store: LocalStore, *, but: Sequence[Path] = ()) -> int:
    """Remove all sets but these folders, whatever they are; says how many bytes they took."""
    freed = 0
    for folder in _folders(store.folder):
        if folder not in but:
            freed += sum(one.stat().st_size for one in folder.iterdir())
            # Without its rows it is no set any more, however far the rest gets.
            (folder / ROWS).unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
    return freed


def _folders(folder: Path) -> list[Path]:
    return sorted(one for one in folder.glob(PREFIX + "*") if one.is_dir())


def _made(parent: Path, manifest: Mapping[str, str], *, loss: Sequence[Any], rows: Iterable[Any] = ()) -> Path:
    """The folder of a set; ``manifest`` maps keys to JSON, ``rows`` are number, slot, checksum and seal."""
    folder = parent / f"{PREFIX}{uuid.uuid4().hex[:8]}"
    with database.explained(folder / ROWS):
        folder.mkdir()
        fresh = folder / (ROWS + ".new")
        connection = sqlite3.connect(fresh, isolation_level=None)
        try:
            connection.executescript(f"PRAGMA synchronous = FULL; BEGIN; {_TABLES}")
            connection.executemany("INSERT INTO manifest VALUES (?, ?)", manifest.items())
            connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", rows)
            connection.execute(f"INSERT INTO loss ({_LOSS}) VALUES (?, ?, ?, ?, ?, ?)", loss)
            connection.execute("COMMIT")
        finally:
            connection.close()
        fresh.replace(folder / ROWS)  # under its name only when it is whole
        vector_file.sync_folder(folder)
        vector_file.sync_folder(parent)
    return folder


def _linked(source: Path, target: Path) -> None:
    """The same file under a second name; a copy where the disk knows no such thing."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        shutil.copyfile(source, target)
        with target.open("rb+") as file:
            os.fsync(file.fileno())


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    try:
        yield
    except (DamagedError, KeyError, ValueError) as error:
        raise DamagedError(
            f"{folder} is damaged; the collection itself is not touched by that",
            why=[("because", str(error).splitlines()[0])],
            do=[("let it go", f"sememe collections settle {folder.parent.name}")],
        ) from None
