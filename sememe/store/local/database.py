"""The SQLite file that holds the truth: its tables, numbered migrations, connections, and SQLite's errors in our words.

A row gets a fresh number from ``state.change`` whenever it is put; a replaced row is a new row. So a number names one
version of one item for ever, and whoever holds a number (the word index) can tell whether it still stands.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sememe.errors import DamagedError, Line, LockedError, StoreError
from sememe.store.local.seals import STATE_SEAL, manifest_seal, seal_of
from sememe.store.local.soundness import Soundness

FILE = "records.sqlite"
APPLICATION_ID = 0x53454D45  # "SEME"

#: seconds that SQLite waits for a lock of its own; our writers queue up before they come to it
PATIENCE = 10

#: Appended to, never changed: a file's user_version is the number of those that it has been through.
MIGRATIONS = (
    """
    CREATE TABLE manifest (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    -- one row: the last change, slots in use by the file (freed ones counted), rows alive, the vector file's name,
    -- and the change up to which the log of removed rows has been cut
    CREATE TABLE state (
        change INTEGER NOT NULL, slots INTEGER NOT NULL, live INTEGER NOT NULL,
        vectors TEXT NOT NULL, log_from INTEGER NOT NULL
    );
    CREATE TABLE rows (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, slot INTEGER NOT NULL UNIQUE, crc INTEGER NOT NULL
    );
    CREATE TABLE records (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL, source TEXT NOT NULL, first INTEGER NOT NULL,
        last INTEGER NOT NULL, unit TEXT NOT NULL, title TEXT NOT NULL, item TEXT NOT NULL, span_start INTEGER NOT NULL,
        span_end INTEGER NOT NULL, hash TEXT NOT NULL, meta TEXT NOT NULL, text TEXT NOT NULL
    );
    CREATE INDEX records_source ON records (source, id);
    CREATE INDEX records_hash ON records (hash, id);
    CREATE INDEX records_item ON records (item, id);
    CREATE TABLE free (slot INTEGER PRIMARY KEY);
    CREATE TABLE removed (change INTEGER NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (change, number)) WITHOUT ROWID;
    CREATE TABLE sources (source TEXT PRIMARY KEY, hash TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE fields (name TEXT NOT NULL, kind TEXT NOT NULL, PRIMARY KEY (name, kind)) WITHOUT ROWID;
    -- records whose vector was damaged, set aside by repair
    CREATE TABLE quarantine (
        id TEXT NOT NULL, source TEXT NOT NULL, title TEXT NOT NULL, meta TEXT NOT NULL, text TEXT NOT NULL
    );
    """,
    f"""
    -- checksums over records and state (sememe.store.local.seals), and why a record was set aside
    ALTER TABLE records ADD COLUMN seal INTEGER NOT NULL DEFAULT 0;
    UPDATE records SET seal = seal_of(
        number, id, source, first, last, unit, title, item, span_start, span_end, hash, meta, text
    );
    ALTER TABLE state ADD COLUMN seal INTEGER NOT NULL DEFAULT 0;
    CREATE TRIGGER state_made AFTER INSERT ON state BEGIN UPDATE state SET seal = {STATE_SEAL}; END;
    CREATE TRIGGER state_changed AFTER UPDATE OF change, slots, live, vectors, log_from ON state
        BEGIN UPDATE state SET seal = {STATE_SEAL}; END;
    UPDATE state SET change = change;
    """,
    """
    -- vector files of smaller types (sememe.store.vector_type), which earlier versions would misread, and what they
    -- cost: one row, the type before, the vectors compared, the sum of their cosines and the least, and of a conversion
    -- the share of neighbours that stayed and the rows that were asked
    CREATE TABLE loss (
        against TEXT NOT NULL, rows INTEGER NOT NULL, cosines REAL NOT NULL, least REAL NOT NULL,
        recall REAL, asked INTEGER NOT NULL
    );
    INSERT INTO loss VALUES ('float32', 0, 0, 1, NULL, 0);
    """,
)


class Database:
    """Connections to one SQLite file, lent to one thread at a time.

    Args:
        path: the file.
        read_only: never write, not even a journal.
    """

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.path, self.read_only = path, read_only
        self._idle: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        self._pid = os.getpid()
        self._closed = False
        self.soundness = Soundness()

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """A connection outside of any transaction; SQLite's errors come out as `StoreError`."""
        with explained(self.path):
            connection = self._take()
            try:
                yield connection
            finally:
                self._give_back(connection)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One consistent committed state."""
        with self.connection() as connection:
            connection.execute("BEGIN")
            yield connection

    @contextmanager
    def sound(self) -> Iterator[sqlite3.Connection]:
        """The same, for questions whose answer no checksum goes with.

        Raises:
            DamagedError: the records are not what was written.
        """
        with self.reading() as connection:
            self.soundness.prove(connection)
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: committed, and on the disk, when the block ends; undone if it raises."""
        with self.connection() as connection:
            _bound_journal(connection)
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    def close(self) -> None:
        """Close the idle connections; those that are lent are closed when they come back."""
        with self._guard:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> sqlite3.Connection:
        with self._guard:
            if self._closed:
                raise StoreError("the collection is closed")
            if self._pid != os.getpid():
                # A SQLite connection must not cross a fork; leave the parent's alone.
                self._idle, self._pid = [], os.getpid()
            if self._idle:
                return self._idle.pop()
        return self._open()

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        with self._guard:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def _open(self) -> sqlite3.Connection:
        if not self.read_only:
            connection = _connect(f"{self.path.absolute().as_uri()}?mode=rw")
            connection.execute("PRAGMA synchronous = FULL")
            return connection
        wal = self.path.with_name(self.path.name + "-wal")
        if wal.exists() and wal.stat().st_size:
            return _connect(f"{self.path.absolute().as_uri()}?mode=ro")
        # Without a journal there is no writer, and "immutable" spares SQLite the files that it could not make.
        return _connect(f"{self.path.absolute().as_uri()}?mode=ro&immutable=1")


def _bound_journal(connection: sqlite3.Connection) -> None:
    """Keep the journal smaller than the records: SQLite's own bound, 4 MB, is many times a small collection."""
    pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    bound = min(max(pages // 4, 32), 1000)
    connection.execute(f"PRAGMA wal_autocheckpoint = {bound}")
    connection.execute(f"PRAGMA journal_size_limit = {bound * size}")


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=PATIENCE)


def create(path: Path, manifest: dict[str, str], vectors: str) -> None:
    """Make a new file with all migrations. ``manifest`` maps keys to JSON."""
    manifest = {**manifest, "seal": str(manifest_seal(manifest))}
    with explained(path):
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            migrate(connection)
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO manifest VALUES (?, ?)", manifest.items())
            connection.execute("INSERT INTO state VALUES (0, 0, 0, ?, 0, 0)", [vectors])
            connection.execute("COMMIT")
        finally:
            connection.close()


def shrink(connection: sqlite3.Connection) -> None:
    """Give back what deleted rows took."""
    connection.execute("VACUUM")
    # A reader in the middle of an answer keeps the journal; that is no reason to wait for it.
    connection.execute("PRAGMA busy_timeout = 0")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute(f"PRAGMA busy_timeout = {PATIENCE * 1000}")


def check(connection: sqlite3.Connection, path: Path) -> int:
    """Refuse a file that is not ours or from a later version; says how many migrations it has been through."""
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise DamagedError(f"{path} is not a file of a sememe collection")
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path} was written by a later version of sememe",
            why=[("its form", str(version)), ("known here", f"up to {len(MIGRATIONS)}")],
            do=[("upgrade", "pip install -U sememe")],
        )
    manifest = dict(connection.execute("SELECT key, value FROM manifest"))
    if "seal" in manifest and manifest["seal"] != str(manifest_seal(manifest)):
        raise _damaged(path, "the manifest is not what was written")
    return version


def migrate(connection: sqlite3.Connection) -> None:
    """Apply the migrations that are missing, each in its own transaction."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    connection.create_function("seal_of", -1, seal_of, deterministic=True)
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Errors of SQLite and of the system as ours."""
    try:
        yield
    except sqlite3.OperationalError as error:
        said = str(error)
        if "locked" in said or "busy" in said:
            raise LockedError(f"{path} is locked by another program", why=[said]) from error
        if "readonly" in said:
            raise StoreError(f"{path} cannot be written", why=[("because", said)]) from error
        if any(word in said for word in ("malformed", "no such", "decode to UTF-8", "already exists")):
            raise _damaged(path, said) from error
        raise StoreError(
            f"{path.parent.name}: nothing was changed", why=[("because", said), ("file", str(path))]
        ) from error
    except sqlite3.Error as error:
        raise _damaged(path, str(error)) from error
    except OSError as error:
        raise StoreError(
            f"{path.parent.name}: nothing was changed",
            why=[
                ("because", "the disk is full" if error.errno == errno.ENOSPC else str(error.strerror or error)),
                ("file", str(error.filename or path)),
            ],
        ) from error


def _damaged(path: Path, said: str) -> DamagedError:
    remedies: list[Line] = [
        ("save what is whole", f"sememe collections verify --repair {path.parent.name}"),
        "or restore the collection's folder from a copy",
    ]
    return DamagedError(f"{path} is damaged", why=[("because", said)], do=remedies)
