"""Before a question whose answer no checksum goes with, such as which ids there are or how many items a filter lets
through, the records are looked at as a whole: once in a process, and then what was added since.

That takes about as long as the first filter does, so it is done where the records are few; of more, `verify` does it.
"""

from __future__ import annotations

import sqlite3

from sememe.errors import DamagedError
from sememe.store.local import seals
from sememe.store.record_rows import COLUMNS

#: items up to which everything is looked at (docs/decisions/2026-11-22-torture.md)
FEW = 10_000

_NOW = "SELECT change, live, log_from, (SELECT value FROM manifest WHERE key = 'store') FROM state"
#: each 0 where rows and records are those of each other
_UNEVEN = (
    "SELECT count(*) FROM rows LEFT JOIN records USING (number) WHERE records.id IS NOT rows.id",
    "SELECT count(*) - (SELECT live FROM state) FROM rows",
    "SELECT count(*) - (SELECT live FROM state) FROM records",
)


class Soundness:
    """How far the records of one file have been compared with their checksums."""

    def __init__(self) -> None:
        self._of: tuple[int, str] = (-1, "")
        self._proved = -1

    def prove(self, connection: sqlite3.Connection) -> None:
        """Compare what was not compared yet, in the transaction of ``connection``.

        Raises:
            DamagedError: something is not what was written.
        """
        change, live, mended, store = connection.execute(_NOW).fetchone()
        start = self._proved if self._of == (mended, store) else -1
        if change <= start or live > FEW:
            return
        if start < 0:
            said = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
            uneven = said != "ok" or any(connection.execute(sql).fetchone()[0] for sql in _UNEVEN)
            if uneven:
                why = said if said != "ok" else "rows and records are not those of each other"
                raise DamagedError("the records are not what was written", why=[why], do=[seals.REMEDY])
        for row in connection.execute(f"SELECT number, id, {COLUMNS}, seal FROM records WHERE number > ?", [start]):
            seals.proved(row)
        self._of, self._proved = (mended, store), change
