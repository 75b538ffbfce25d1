"""Changes to a local store, each inside one transaction that the caller opened. What is put was
checked before (`sememe.store.batch`)."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sememe.store.batch import Batch, names, stamps
from sememe.store.local import vector_file
from sememe.store.local.loss import Loss, note_conversion, note_put
from sememe.store.local.seals import prove_rows, seal_of
from sememe.store.local.view import state_of
from sememe.store.record_rows import COLUMNS
from sememe.store.vector_type import VectorType, bytes_of, find, of_file

#: free slots that are nothing to worry about
SLACK = 1000
#: removed rows that the word index can still catch up with; behind them it is made anew
LOG = 10_000


def put(
    connection: sqlite3.Connection, folder: Path, batch: Batch, *, drop: Iterable[str], sources: Mapping[str, str]
) -> None:
    """Vectors to the disk, then rows and records."""
    dropped, complete = names(drop), stamps(sources)
    state = state_of(connection)
    number = state.change + 1
    n = len(batch.ids)
    left = _remove(connection, _numbers(connection, [*batch.ids, *dropped]), state.change + max(n, 1))
    if n:
        rows = of_file(state.vectors).encode(batch.vectors)
        vector_file.append(folder / state.vectors, state.slots, rows)
        note_put(connection, batch.vectors, of_file(state.vectors))
        if not state.slots:
            vector_file.sync_folder(folder)
        crcs = [zlib.crc32(row.data) for row in rows]
        connection.executemany(
            "INSERT INTO rows VALUES (?, ?, ?, ?)",
            ((number + i, id, state.slots + i, crcs[i]) for i, id in enumerate(batch.ids)),
        )
        places = ", ".join("?" * (3 + len(COLUMNS.split(","))))
        sealed = ((number + i, batch.ids[i], *row) for i, row in enumerate(batch.rows))
        connection.executemany(
            f"INSERT INTO records (number, id, {COLUMNS}, seal) VALUES ({places})",
            ((*values, seal_of(*values)) for values in sealed),
        )
        connection.executemany("INSERT OR IGNORE INTO fields VALUES (?, ?)", batch.fields)
    if n or left:
        connection.execute(
            "UPDATE state SET change = change + ?, slots = slots + ?, live = live + ?", [max(n, 1), n, n - left]
        )
    connection.executemany("INSERT OR REPLACE INTO sources VALUES (?, ?)", complete.items())


def delete(connection: sqlite3.Connection, ids: Sequence[str], sources: Sequence[str]) -> int:
    """Take out rows by id and by source; says how many."""
    numbers = set(_numbers(connection, ids))
    for source in names(sources, "sources"):
        numbers |= {row[0] for row in connection.execute("SELECT number FROM records WHERE source = ?", [source])}
        connection.execute("DELETE FROM sources WHERE source = ?", [source])
    left = _remove(connection, sorted(numbers), state_of(connection).change + 1)
    if left:
        connection.execute("UPDATE state SET change = change + 1, live = live - ?", [left])
    return left


def _numbers(connection: sqlite3.Connection, ids: Sequence[str]) -> list[int]:
    listed = json.dumps(names(ids))
    sql = "SELECT number FROM rows WHERE id IN (SELECT value FROM json_each(?))"
    return [number for (number,) in connection.execute(sql, [listed])]


def _remove(connection: sqlite3.Connection, numbers: Sequence[int], change: int) -> int:
    """Take rows out and note it for the word index. Their slots stay as they are until a compaction: a reader with an
    older state may be looking at them."""
    if not numbers:
        return 0
    listed = json.dumps(list(numbers))
    chosen = "(SELECT value FROM json_each(?))"
    connection.execute(f"INSERT INTO free SELECT slot FROM rows WHERE number IN {chosen}", [listed])
    connection.execute("INSERT INTO removed SELECT ?, value FROM json_each(?)", [change, listed])
    connection.execute(f"DELETE FROM rows WHERE number IN {chosen}", [listed])
    connection.execute(f"DELETE FROM records WHERE number IN {chosen}", [listed])
    logged, live = connection.execute("SELECT (SELECT count(*) FROM removed), live FROM state").fetchone()
    if logged > max(LOG, 2 * live):
        connection.execute("DELETE FROM removed")
        connection.execute("UPDATE state SET log_from = ?", [change])
    return len(numbers)


def compact(connection: sqlite3.Connection, folder: Path, dim: int) -> None:
    """Copy the vectors that are alive, in their order, into a new file that takes effect with the commit."""
    state = state_of(connection)
    slots = [slot for (slot,) in connection.execute("SELECT slot FROM rows ORDER BY slot")]
    if len(slots) == state.slots:
        return
    name = _next_name(folder, state.vectors, of_file(state.vectors))
    old = bytes_of(vector_file.mapped(folder / state.vectors, state.slots, dim))
    step = max(1, (1 << 24) // dim)
    for start in range(0, len(slots), step):
        vector_file.append(folder / name, start, old[slots[start : start + step]])
    vector_file.sync_folder(folder)
    # Ascending, each to a place at or before its own that has just become free: no two rows ever meet.
    moved = ((new, slot) for new, slot in enumerate(slots) if new != slot)
    connection.executemany("UPDATE rows SET slot = ? WHERE slot = ?", moved)
    connection.execute("DELETE FROM free")
    connection.execute("UPDATE state SET slots = ?, vectors = ?", [len(slots), name])


def convert(connection: sqlite3.Connection, folder: Path, dim: int, loss: Loss) -> None:
    """Write the vectors that are alive, in their order, as another type into a new file that takes effect with the
    commit.

    Raises:
        DamagedError: a vector is not what was written.
    """
    state, kind = state_of(connection), find(loss.vectors)
    name = _next_name(folder, state.vectors, kind)
    rows = connection.execute("SELECT number, slot, crc FROM rows ORDER BY slot").fetchall()
    old = vector_file.mapped(folder / state.vectors, state.slots, dim)
    step = max(1, (1 << 22) // dim)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        # A checksum is made anew below: only of what was right until now.
        prove_rows(old, [row[1:] for row in part])
        raw = kind.encode(old[[slot for _, slot, _ in part]])
        vector_file.append(folder / name, start, raw)
        moved = ((start + i, zlib.crc32(raw[i].data), row[0]) for i, row in enumerate(part))
        connection.executemany("UPDATE rows SET slot = ?, crc = ? WHERE number = ?", moved)
    vector_file.sync_folder(folder)
    connection.execute("DELETE FROM free")
    connection.execute("UPDATE state SET slots = ?, vectors = ?", [len(rows), name])
    note_conversion(connection, loss)


def _next_name(folder: Path, name: str, kind: VectorType) -> str:
    fresh = vector_file.following(name, kind)
    (folder / fresh).unlink(missing_ok=True)  # of a process that died before it could commit
    return fresh


def adopt(connection: sqlite3.Connection, folder: Path, fresh: Path) -> None:
    """Replace everything by what the store in ``fresh`` holds; in its own transaction, for two files are joined."""
    connection.execute("ATTACH ? AS fresh", [str(fresh / "records.sqlite")])
    try:
        connection.execute("BEGIN IMMEDIATE")
        source, slots, dim = connection.execute(
            "SELECT vectors, slots, (SELECT value FROM fresh.manifest WHERE key = 'dim') FROM fresh.state"
        ).fetchone()
        name = _next_name(folder, state_of(connection).vectors, of_file(source))
        vectors = bytes_of(vector_file.mapped(fresh / source, slots, int(dim)))
        step = max(1, (1 << 24) // int(dim))
        for start in range(0, slots, step):
            vector_file.append(folder / name, start, vectors[start : start + step])
        vector_file.sync_folder(folder)
        # What repair has set aside is in no other place: it stays.
        tables = "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name != 'quarantine'"
        for (table,) in connection.execute(tables).fetchall():
            connection.execute(f"DELETE FROM main.{table}")
            connection.execute(f"INSERT INTO main.{table} SELECT * FROM fresh.{table}")
        connection.execute("UPDATE main.state SET vectors = ?", [name])
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.execute("DETACH fresh")
