"""Verify and repair: everything is compared with everything, and what is damaged is named."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sememe.errors import DamagedError
from sememe.store.contract import Health
from sememe.store.local import seals, vector_file, words
from sememe.store.local.columns import Columns, Stands
from sememe.store.local.keeper import Keeper
from sememe.store.local.view import State, state_of
from sememe.store.record_rows import COLUMNS


def verify(connection: sqlite3.Connection, folder: Path, dim: int, keeper: Keeper, columns: Columns) -> Health:
    """Compare the records, the vector file, its index, the columns and the word index of one state."""
    problems = [f"records: {said}" for (said,) in connection.execute("PRAGMA integrity_check") if said != "ok"]
    state = state_of(connection)
    problems += _counts(connection, state)
    damaged = damaged_rows(connection, folder, dim)
    if damaged:
        problems.append(f"vectors: {len(damaged)} of {state.live} are not what was written")
    unsealed = list(_unsealed(connection))
    if unsealed:
        problems.append(f"records: {len(unsealed)} of {state.live} are not what was written")
    indexed, about_words = _words(connection, folder, state)
    listed, about_index = _index(folder, dim, state, keeper)
    about_index += columns.check(
        connection, Stands(keeper.origin(state.vectors, state.log_from), state.slots, state.change)
    )
    checked = {"items": state.live, "vectors": state.live, "words": indexed, keeper.kind.name: listed}
    return Health(
        checked, tuple(problems + about_words + about_index), tuple(sorted({*(id for _, id in damaged), *unsealed}))
    )


def _unsealed(connection: sqlite3.Connection) -> Iterator[str]:
    """The ids of records that are not what was written."""
    for values in connection.execute(f"SELECT number, id, {COLUMNS}, seal FROM records"):
        if seals.seal_of(*values[:-1]) != values[-1]:
            yield str(values[1])


def _counts(connection: sqlite3.Connection, state: State) -> Iterator[str]:
    def one(sql: str) -> int:
        return int(connection.execute(sql).fetchone()[0])

    rows, free = one("SELECT count(*) FROM rows"), one("SELECT count(*) FROM free")
    if rows != state.live:
        yield f"records: {rows} rows, and the state says {state.live}"
    if rows + free != state.slots:
        yield f"records: {rows} rows and {free} free slots, and the vector file has {state.slots}"
    if lost := one("SELECT count(*) FROM rows LEFT JOIN records USING (number) WHERE records.id IS NOT rows.id"):
        yield f"records: {lost} rows without their record"
    if lost := one("SELECT count(*) FROM records WHERE number NOT IN (SELECT number FROM rows)"):
        yield f"records: {lost} without their row"
    if out := one(f"SELECT count(*) FROM rows WHERE slot < 0 OR slot >= {state.slots}"):
        yield f"records: {out} rows point outside of the vector file"
    if twice := one("SELECT count(*) FROM rows JOIN free USING (slot)"):
        yield f"records: {twice} rows stand in slots that are said to be free"


def damaged_rows(connection: sqlite3.Connection, folder: Path, dim: int) -> list[tuple[int, str]]:
    """The rows, as number and id, whose vectors are not the bytes that were written."""
    state = state_of(connection)
    path = folder / state.vectors
    there = min(vector_file.there(path, dim), state.slots)
    vectors = vector_file.mapped(path, there, dim)
    damaged = []
    rows = connection.execute("SELECT number, id, slot, crc FROM rows ORDER BY slot")
    while part := rows.fetchmany(4096):
        damaged += [(number, id) for number, id, slot, crc in part if seals.wrong_rows(vectors, [(slot, crc)])]
    return damaged


def _words(connection: sqlite3.Connection, folder: Path, state: State) -> tuple[int, list[str]]:
    """How many rows the word index holds; an index that is absent or behind is no problem, it catches up by itself."""
    if not os.access(folder, os.W_OK):
        return 0, []  # Tantivy opens nothing where it cannot lock; searches make their own in memory there
    try:
        index = words.standing_at(folder / words.FOLDER, connection)
        if index is None:
            return 0, []
        held = index.numbers()
    except words.Unusable as error:
        return 0, [f"words: the index cannot be read: {error}"]
    wanted = {number for (number,) in connection.execute("SELECT number FROM rows")}
    if len(held) != len(wanted) or set(held) != wanted:
        return len(held), [f"words: the index holds {len(held)} rows, {len(wanted)} are alive"]
    return len(held), []


def _index(folder: Path, dim: int, state: State, keeper: Keeper) -> tuple[int, list[str]]:
    path = folder / state.vectors
    if vector_file.there(path, dim) < state.slots:
        return 0, []  # the vectors themselves are lost, and said to be
    vectors = vector_file.mapped(path, state.slots, dim)
    return keeper.check(keeper.origin(state.vectors, state.log_from), vectors)


def repair(connection: sqlite3.Connection, folder: Path, dim: int) -> Health:
    """Set damaged rows aside with their texts, forget their sources so that these are read again, and count anew.

    Raises:
        DamagedError: the records themselves are damaged; nothing was changed (see `sememe.store.local.salvage`).
    """
    said = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
    said += [*_counts(connection, state_of(connection)), *(f'the record of "{id}"' for id in _unsealed(connection))]
    if said != ["ok"]:
        raise DamagedError("the records themselves are damaged", why=said[1:4] or said[:1])
    damaged = damaged_rows(connection, folder, dim)
    notes = []
    if damaged:
        listed = json.dumps([number for number, _ in damaged])
        chosen = "(SELECT value FROM json_each(?))"
        columns = "id, source, title, meta, text"
        connection.execute(f"INSERT INTO quarantine SELECT {columns} FROM records WHERE number IN {chosen}", [listed])
        connection.execute(
            f"DELETE FROM sources WHERE source IN (SELECT source FROM records WHERE number IN {chosen})", [listed]
        )
        for table in ("rows", "records"):
            connection.execute(f"DELETE FROM {table} WHERE number IN {chosen}", [listed])
        notes.append(f"vectors: {len(damaged)} were lost; their texts are set aside, their sources will be read again")
    lost = "DELETE FROM rows WHERE number NOT IN (SELECT number FROM records)"
    _recount(connection, folder, dim, connection.execute(lost).rowcount)
    live = state_of(connection).live
    return Health({"items": live, "vectors": live}, tuple(notes), tuple(sorted(id for _, id in damaged)))


def _recount(connection: sqlite3.Connection, folder: Path, dim: int, lost: int) -> None:
    state = state_of(connection)
    path = folder / state.vectors
    connection.execute("DELETE FROM records WHERE number NOT IN (SELECT number FROM rows)")
    live = connection.execute("SELECT count(*) FROM rows").fetchone()[0]
    # Where the file was cut off it goes on from there; otherwise no slot is ever used twice.
    top = min(state.slots, vector_file.there(path, dim))
    taken = {slot for (slot,) in connection.execute("SELECT slot FROM rows")}
    connection.execute("DELETE FROM free")
    connection.executemany("INSERT INTO free VALUES (?)", ((slot,) for slot in range(top) if slot not in taken))
    connection.execute("UPDATE state SET live = ?, slots = ?, change = change + 1, log_from = change + 1", [live, top])
