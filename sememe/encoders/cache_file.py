"""Vectors that were made once, in one SQLite file that several processes may use at the same time.

A row holds a vector under a key that says of which encoder, role and text it is, with a checksum over all of it; a row
that is not what was written is dropped and said, and a file that SQLite cannot read is set aside and said. The file has
a greatest size: what was used least recently goes first. No text is kept, only hashes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sememe.shapes import Vectors

#: "smcv" as a number: an SQLite file without it is none of ours
APPLICATION_ID, LAYOUT = 0x736D6376, 1
#: bytes that the file may have, unless told otherwise
LIMIT = 1_000_000_000
#: seconds that a writer waits for another one
PATIENCE = 30.0
#: keys in one question
_ASKED = 500
_SCHEMA = """
CREATE TABLE vectors (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL, way TEXT NOT NULL, vector BLOB NOT NULL,
    used INTEGER NOT NULL, dropped INTEGER NOT NULL, seal BLOB NOT NULL, tick INTEGER NOT NULL
);
CREATE UNIQUE INDEX vectors_key ON vectors (key, way);
CREATE INDEX vectors_tick ON vectors (tick);
"""


class CacheWarning(UserWarning):
    """Something is wrong with the file of kept vectors; no vector is."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One vector, float32 ``(d,)``, with the tokens of its item that were used and dropped. ``way`` is "" for an item
    that was not too long, else how it was dealt with: "cut" or "mean"."""

    key: bytes
    vector: Vectors
    used: int
    dropped: int
    way: str = ""

    def seal(self) -> bytes:
        """A checksum over everything."""
        head = f"{self.way}\0{self.used}\0{self.dropped}\0{len(self.vector)}\0".encode()
        return hashlib.blake2b(self.key + head + self.vector.tobytes(), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """``rows`` vectors in ``bytes`` of at most ``limit``."""

    path: Path
    rows: int
    bytes: int
    limit: int


class VectorCache:
    """The file at ``path``, made when it is first used. Safe to share between threads and across a fork."""

    def __init__(self, path: Path, *, limit: int = LIMIT, patience: float = PATIENCE) -> None:
        self.path, self.limit, self.patience = Path(path), limit, patience
        self._turn = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._process = 0
        self._file = (0, 0)

    def __repr__(self) -> str:
        return f"<vectors kept in {self.path}>"

    def get(self, keys: Sequence[bytes], way: str) -> dict[bytes, Kept]:
        """What is kept under these keys, for items that are not too long, or were dealt with in this ``way``."""
        found: dict[bytes, Kept] = {}
        with self._minding():
            rows: list[int] = []
            bad: list[int] = []
            for first in range(0, len(keys), _ASKED):
                part = keys[first : first + _ASKED]
                marks = ",".join("?" * len(part))
                columns = "id, key, way, vector, used, dropped, seal"
                asked = f"SELECT {columns} FROM vectors WHERE way IN ('', ?) AND key IN ({marks})"
                for id, *values, seal in self._opened().execute(asked, (way, *part)):
                    kept = _read(values, seal)
                    if kept is None:
                        bad.append(id)
                    else:
                        rows.append(id)
                        found[kept.key] = kept
            self._touch(rows)
            if bad:
                self._drop(bad)
        return found

    def put(self, kept: Sequence[Kept]) -> None:
        """Keep these, in place of what is there under the same keys."""
        rows = [(k.key, k.way, k.vector.astype("<f4").tobytes(), k.used, k.dropped, k.seal()) for k in kept]
        with self._minding(), self._writing() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO vectors (key, way, vector, used, dropped, seal, tick)"
                " VALUES (?, ?, ?, ?, ?, ?, (SELECT IFNULL(MAX(tick), 0) FROM vectors) + 1)",
                rows,
            )
            self._shrink(connection)

    def info(self) -> CacheInfo:
        """How much is kept; makes no file."""
        rows = size = 0
        if self.path.exists():
            with self._minding():
                connection = self._opened()
                rows = int(connection.execute("SELECT COUNT(*) FROM vectors").fetchone()[0])
                size = _bytes(connection)
        return CacheInfo(self.path, rows, size, self.limit)

    def clear(self) -> int:
        """Forget everything; how many vectors that were."""
        rows = 0
        if self.path.exists():
            with self._minding():
                with self._writing() as connection:
                    rows = connection.execute("DELETE FROM vectors").rowcount
                self._opened().execute("VACUUM")
                self._opened().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return rows

    def close(self) -> None:
        """Let the file go; using it again opens it again."""
        with self._turn:
            connection, self._connection = self._connection, None
            if connection is not None and self._process == os.getpid():
                connection.close()

    # --- the file

    @contextlib.contextmanager
    def _minding(self) -> Iterator[None]:
        """Around every use: what goes wrong with the file is said, and never costs the caller a vector."""
        with self._turn:
            try:
                yield
            except (sqlite3.OperationalError, OSError) as error:  # busy, full, not writable: the file itself is whole
                warnings.warn(
                    f"{self.path} cannot be used now ({error}): vectors are not kept", CacheWarning, stacklevel=5
                )
            except sqlite3.DatabaseError as error:
                self._set_aside(error)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None or self._process != os.getpid():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # A parent's connection is its own: closing it here would let go of its locks.
            connection = sqlite3.connect(
                self.path, timeout=self.patience, isolation_level=None, check_same_thread=False
            )
            try:
                _prepare(connection, self.patience)
            except BaseException:
                connection.close()
                raise
            finally:
                self._file = _identity(self.path)
            self._connection, self._process = connection, os.getpid()
        return self._connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        connection = self._opened()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise

    def _touch(self, rows: Sequence[int]) -> None:
        if not rows:
            return
        # Who is in use comes to the front. When another process is writing this waits for it, as a writer does.
        with self._writing() as connection:
            (now,) = connection.execute("SELECT IFNULL(MAX(tick), 0) + 1 FROM vectors").fetchone()
            connection.executemany("UPDATE vectors SET tick = ? WHERE id = ?", [(now, row) for row in rows])

    def _drop(self, rows: Sequence[int]) -> None:
        with self._writing() as connection:
            connection.executemany("DELETE FROM vectors WHERE id = ?", [(row,) for row in rows])
        warnings.warn(
            f"{len(rows)} vectors in {self.path} are not what was written; they are dropped and made anew",
            CacheWarning,
            stacklevel=5,
        )

    def _shrink(self, connection: sqlite3.Connection) -> None:
        """Let the least recently used go until a tenth of the room is free again."""
        goal = self.limit
        while (size := _bytes(connection)) > goal:
            rows = int(connection.execute("SELECT COUNT(*) FROM vectors").fetchone()[0])
            if not rows:
                return
            goal = self.limit * 9 // 10
            oldest = "SELECT id FROM vectors ORDER BY tick, id LIMIT ?"
            surplus = -(-rows * (size - goal) // size)
            connection.execute(f"DELETE FROM vectors WHERE id IN ({oldest})", (surplus,))

    def _set_aside(self, error: Exception) -> None:
        """Put a file that cannot be read out of the way, unless another process has done that already."""
        self.close()
        if _identity(self.path) != self._file:
            return
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.damaged-{number}")).exists():
            number += 1
        try:
            self.path.replace(aside)
            for end in ("-wal", "-shm"):
                self.path.with_name(self.path.name + end).unlink(missing_ok=True)
            what = f"it is set aside as {aside.name}, and a new one begun"
        except OSError as reason:
            what = f"and it cannot be set aside ({reason.strerror})"
        warnings.warn(f"{self.path} cannot be read ({error}); {what}", CacheWarning, stacklevel=6)


def _prepare(connection: sqlite3.Connection, patience: float) -> None:
    _journal(connection, patience)
    # A lost vector is made again: no need to wait for the disk.
    connection.execute("PRAGMA synchronous = NORMAL")
    if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:  # nobody was faster
            if connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
                raise sqlite3.DatabaseError("it is a database of something else")
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {LAYOUT}")
        connection.execute("COMMIT")
    found = [int(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("application_id", "user_version")]
    if found != [APPLICATION_ID, LAYOUT]:
        raise sqlite3.DatabaseError("it is a database of something else, or of another sememe")


def _read(values: Sequence[object], seal: object) -> Kept | None:
    """A row as it was written; None for one that is not."""
    key, way, vector, used, dropped = values
    whole = isinstance(key, bytes) and isinstance(way, str) and isinstance(vector, bytes) and len(vector) % 4 == 0
    if not (whole and isinstance(used, int) and isinstance(dropped, int)):
        return None
    assert isinstance(key, bytes) and isinstance(way, str) and isinstance(vector, bytes)
    kept = Kept(key, np.frombuffer(vector, "<f4").astype(np.float32, copy=False), used, dropped, way)
    return kept if kept.seal() == seal else None


def _bytes(connection: sqlite3.Connection) -> int:
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return status.st_dev, status.st_ino


def facts(info: CacheInfo) -> Mapping[str, object]:
    """Plain values, ready for JSON."""
    return {"path": str(info.path), "vectors": info.rows, "bytes": info.bytes, "limit": info.limit}


def _journal(connection: sqlite3.Connection, patience: float) -> None:
    """Let readers and a writer work at once. Here SQLite itself does not wait for another process that is as far."""
    end = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)
