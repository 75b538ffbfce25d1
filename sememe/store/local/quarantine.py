"""What repair has set aside: the texts of items that are not in the store any more, for people to look through.

No search looks here. It needs nothing but the records file, so that it can also be read where the store cannot be
opened.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sememe.store.local import database
from sememe.store.local.lock import FileLock

_COLUMNS = ("id", "source", "title", "text")


@dataclass(frozen=True, slots=True)
class SetAside:
    """One item as far as it could be read, right or not; ``meta`` is a text where it is no JSON any more."""

    id: str
    source: str
    title: str
    text: str
    meta: Mapping[str, Any] | str

    def as_row(self) -> dict[str, Any]:
        """Its fields side by side, as a table has them; a field of the meta that is called like one of ours is
        ``meta.…``, as in filters."""
        row: dict[str, Any] = {name: getattr(self, name) for name in _COLUMNS}
        meta = {"meta": self.meta} if isinstance(self.meta, str) else self.meta
        return row | {f"meta.{name}" if name in row else name: value for name, value in meta.items()}


def listed(folder: Path) -> list[SetAside]:
    """All that is set aside, in the order in which it was.

    Raises:
        DamagedError: the records file cannot be read.
    """
    held = database.Database(folder / database.FILE, read_only=True)
    try:
        with held.reading() as connection:
            rows = connection.execute("SELECT id, source, title, text, meta FROM quarantine ORDER BY rowid").fetchall()
    finally:
        held.close()
    texts = ([str(value) for value in row] for row in rows)
    return [SetAside(id, source, title, text, _meta(meta)) for id, source, title, text, meta in texts]


def clear(folder: Path, *, timeout: float = 10.0) -> int:
    """Forget all that is set aside; says how much it was.

    Raises:
        LockedError: somebody is writing.
    """
    held = database.Database(folder / database.FILE, read_only=False)
    try:
        with FileLock(folder / "writer.lock", folder.name, timeout=timeout), held.writing() as connection:
            return connection.execute("DELETE FROM quarantine").rowcount
    finally:
        held.close()


def damaged_copies(folder: Path) -> list[Path]:
    """The folders in which repair has kept records files as they were found."""
    return sorted(folder.glob("damaged-*"))


def _meta(text: str) -> Mapping[str, Any] | str:
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return meta if isinstance(meta, dict) else text
