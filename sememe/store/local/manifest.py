"""What a store remembers about itself: names with JSON values, under one seal."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from sememe.errors import ReplacedError
from sememe.store.local.seals import manifest_seal

#: of these, one name says which store it is, that is, how its rows are numbered, one which set of vectors is in use
#: (absent before the first exchange, see `sememe.store.local.beside`), and one how they are found
STORE, SPACE, INDEX = "store", "space", "index"
#: the kind of index of stores that were made before there were others
USUAL = "codes"


def read(connection: sqlite3.Connection) -> Mapping[str, Any]:
    """All of it."""
    return {key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM manifest")}


def index_of(manifest: Mapping[str, Any]) -> str:
    """The kind of its index."""
    return str(manifest.get(INDEX, USUAL))


def followed(connection: sqlite3.Connection, known: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """``known``, or what stands there now if another process has changed the kind of the index.

    Raises:
        ReplacedError: the records are another store's by now, or the vectors another encoder's.
    """
    sql = "SELECT key, value FROM manifest WHERE key IN (?, ?, ?)"
    now = {key: json.loads(value) for key, value in connection.execute(sql, [STORE, SPACE, INDEX])}
    if (now[STORE], now.get(SPACE)) != (known[STORE], known.get(SPACE)):
        raise ReplacedError(f"{name} was migrated or rebuilt by another process", do=["open it again"])
    return known if index_of(now) == index_of(known) else read(connection)


def put_index(connection: sqlite3.Connection, kind: str) -> None:
    """Remember another kind of index, in the transaction that has been begun."""
    told = dict(connection.execute("SELECT key, value FROM manifest").fetchall())
    told[INDEX] = json.dumps(kind)
    if "seal" in told:
        told["seal"] = str(manifest_seal(told))
    connection.executemany("INSERT OR REPLACE INTO manifest VALUES (?, ?)", told.items())
