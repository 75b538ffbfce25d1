"""A records file that is damaged, made anew from what can still be read of it.

Every row is fetched by its number, so that a page that is lost costs only what stood on it. What comes back is what
carries its checksums: records, rows, and vectors that fit each other. The rest is named; texts that can be read at all
are set aside in ``quarantine``. The damaged file itself is kept beside the new one.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sememe.errors import DamagedError
from sememe.store.batch import fields_of
from sememe.store.contract import Health
from sememe.store.local import database, seals, vector_file
from sememe.store.local.lock import FileLock
from sememe.store.record_rows import COLUMNS, record_of
from sememe.store.vector_type import FLOAT32

#: numbers that are looked for one by one where a table cannot be read in one go
MOST = 20_000_000
_RECORDS = f"number, id, {COLUMNS}, seal"
_QUARANTINE = "id, source, title, meta, text"
_LOSS = "against, rows, cosines, least, recall, asked"

Row = tuple[Any, ...]


def salvage(folder: Path, *, timeout: float = 10.0) -> Health:
    """Make ``records.sqlite`` anew from what is whole in it. No other process may have the collection open.

    Raises:
        DamagedError: not even its manifest can be read; nothing was changed.
    """
    with FileLock(folder / "writer.lock", folder.name, timeout=timeout):
        return made_anew(folder)


def made_anew(folder: Path) -> Health:
    """The same for who is the only writer already."""
    with database.explained(folder / database.FILE):
        kept = _kept_aside(folder)
        # On a copy, for SQLite replays a journal into the file that it opens.
        scratch = shutil.copytree(kept, folder / "salvage", dirs_exist_ok=True)
        try:
            source = sqlite3.connect(scratch / database.FILE, isolation_level=None)
            source.text_factory = lambda data: data.decode("utf-8", "replace")
            try:
                source.execute("PRAGMA writable_schema = ON")  # or SQLite refuses a file that was cut off
                health = _rescued(source, folder)
            finally:
                source.close()
        except BaseException:
            shutil.rmtree(kept)
            raise
        finally:
            shutil.rmtree(scratch)
    return health


def _kept_aside(folder: Path) -> Path:
    kept = folder / f"damaged-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"
    kept.mkdir()
    for suffix in ("", "-wal"):
        path = folder / (database.FILE + suffix)
        if path.exists():
            shutil.copy2(path, kept / path.name)
    return kept


def _rescued(source: sqlite3.Connection, folder: Path) -> Health:
    manifest = _manifest(source, folder)
    dim = int(json.loads(manifest["dim"]))
    vectors = _vectors_name(source, folder)
    path = folder / vectors
    there = vector_file.there(path, dim)
    mapped = vector_file.mapped(path, there, dim)
    top = _top(source)
    rows = {row[0]: row for row in _read(source, "number, id, slot, crc", "rows", top)}
    whole, aside, taken = [], [], set()
    for values in _read(source, _RECORDS, "records", top):
        row = rows.get(values[0])
        right = seals.seal_of(*values[:-1]) == values[-1]
        if right and row and row[1] == values[1] and not seals.wrong_rows(mapped, [(row[2], row[3])]):
            whole.append((row, values))
            taken.add(values[0])
        else:
            aside.append(values)
    fresh = folder / (database.FILE + ".new")
    for suffix in ("", "-wal", "-shm"):
        fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)
    database.create(fresh, manifest, vectors)
    lost = {str(row[1]) for number, row in rows.items() if number not in taken} | {str(one[1]) for one in aside}
    state = _state(source)
    if state is None or len(whole) < state[2]:
        lost |= _names(source)
    lost -= {row[1] for row, _ in whole}
    nameless = state[2] - len(whole) - len(lost) if state is not None else 0
    target = sqlite3.connect(fresh, isolation_level=None)
    try:
        with target:
            target.execute("BEGIN IMMEDIATE")
            _fill(target, whole, there, top)
            old = list(_tolerant(source, f"SELECT {_QUARANTINE} FROM quarantine"))
            texts = [tuple(str(value) for value in _for_quarantine(values)) for values in aside]
            target.executemany("INSERT INTO quarantine VALUES (?, ?, ?, ?, ?)", [*old, *texts])
            for kept in _tolerant(source, f"SELECT {_LOSS} FROM loss"):
                target.execute(f"UPDATE loss SET ({_LOSS}) = (?, ?, ?, ?, ?, ?)", kept)
            if not lost and nameless <= 0:
                # Otherwise all count as unread: what of them is lost is not known.
                stamps = list(_tolerant(source, "SELECT source, hash FROM sources"))
                target.executemany("INSERT OR IGNORE INTO sources VALUES (?, ?)", stamps)
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        target.close()
    for suffix in ("-wal", "-shm"):
        (folder / (database.FILE + suffix)).unlink(missing_ok=True)
    fresh.replace(folder / database.FILE)
    vector_file.sync_folder(folder)
    return Health({"items": len(whole), "vectors": len(whole)}, _notes(lost, nameless, aside), tuple(sorted(lost)))


def _notes(lost: set[str], nameless: int, aside: Sequence[Row]) -> tuple[str, ...]:
    notes = ["records: the file was damaged and made anew; the damaged one is kept in the folder damaged-…"]
    if lost:
        notes.append(
            f"records: {len(lost)} items were lost; {len(aside)} texts are set aside, all sources count as unread"
        )
    if nameless > 0:
        notes.append(f"records: {nameless} more items were lost, and their names with them")
    return tuple(notes)


def _for_quarantine(values: Row) -> Row:
    named = dict(zip(_RECORDS.split(", "), values, strict=True))
    return tuple(named[name] for name in _QUARANTINE.split(", "))


def _fill(target: sqlite3.Connection, whole: Sequence[tuple[Row, Row]], slots: int, top: int) -> None:
    target.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", (row for row, _ in whole))
    marks = ", ".join("?" * len(_RECORDS.split(", ")))
    target.executemany(f"INSERT INTO records ({_RECORDS}) VALUES ({marks})", (values for _, values in whole))
    fields: set[tuple[str, str]] = set()
    for _, values in whole:
        fields |= fields_of(values[1], record_of(values[2:-1]))
    target.executemany("INSERT INTO fields VALUES (?, ?)", fields)
    taken = {row[2] for row, _ in whole}
    target.executemany("INSERT INTO free VALUES (?)", ((slot,) for slot in range(slots) if slot not in taken))
    target.execute(
        "UPDATE state SET change = ?, slots = ?, live = ?, log_from = ?", [top + 1, slots, len(whole), top + 1]
    )


def _manifest(source: sqlite3.Connection, folder: Path) -> dict[str, str]:
    manifest = {str(key): str(value) for key, value in _tolerant(source, "SELECT key, value FROM manifest")}
    if manifest.get("seal") != str(seals.manifest_seal(manifest)):
        raise DamagedError(
            f"{folder / database.FILE} cannot be read any more; nothing was changed",
            why=["not even its manifest is whole"],
            do=["restore the collection's folder from a copy, or index the files anew"],
        )
    del manifest["seal"]
    return manifest


def _state(source: sqlite3.Connection) -> Row | None:
    columns = f"change, slots, live, vectors, log_from, seal = {seals.STATE_SEAL}"
    found = next(_tolerant(source, f"SELECT {columns} FROM state"), None)
    return found if found is not None and found[-1] == 1 else None


def _vectors_name(source: sqlite3.Connection, folder: Path) -> str:
    state = _state(source)
    if state is not None and vector_file.turn_of(str(state[3])) >= 0:
        return str(state[3])
    # A compaction removes the file before it, so the latest is the right one if it took effect; checksums will tell.
    there = sorted(vector_file.files(folder), key=lambda path: path.stat().st_mtime)
    return there[-1].name if there else vector_file.first(FLOAT32)


def _top(source: sqlite3.Connection) -> int:
    """The highest number that any row may have."""
    state = _state(source)
    tops = [int(state[0])] if state is not None else []
    for table in ("rows", "records"):
        tops += [top for (top,) in _tolerant(source, f"SELECT max(number) FROM {table}") if isinstance(top, int)]
    return min(max(tops, default=0), MOST)


def _names(source: sqlite3.Connection) -> set[str]:
    """Every id that any index still holds."""
    names = set()
    for sql in (
        "SELECT id FROM rows ORDER BY id",
        "SELECT id FROM rows ORDER BY id DESC",
        "SELECT id FROM records INDEXED BY records_source ORDER BY source, id",
        "SELECT id FROM records INDEXED BY records_source ORDER BY source DESC, id DESC",
    ):
        names |= {id for (id,) in _tolerant(source, sql) if isinstance(id, str) and id and "\ufffd" not in id}
    return names


def _tolerant(source: sqlite3.Connection, sql: str) -> Iterator[Row]:
    """Rows up to where SQLite gives up."""
    try:
        yield from source.execute(sql)
    except sqlite3.Error:
        return


def _read(source: sqlite3.Connection, columns: str, table: str, top: int) -> Iterator[Row]:
    """The rows of a table in the order of their numbers, each once; those on damaged pages are left out."""
    last = 0
    for row in _tolerant(source, f"SELECT {columns} FROM {table} WHERE number BETWEEN 1 AND {top} ORDER BY number"):
        if isinstance(row[0], int) and row[0] > last:
            last = row[0]
            yield row
    for number in range(last + 1, top + 1):
        yield from _tolerant(source, f"SELECT {columns} FROM {table} WHERE number = {number}")
