"""A new store in a folder: its records file appears whole or not at all."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sememe.errors import StoreError, UsageError
from sememe.store.local import database, vector_file
from sememe.store.local.keeper import find_kind
from sememe.store.local.lock import FileLock
from sememe.store.local.manifest import INDEX, STORE
from sememe.store.vector_type import VectorType


def make(path: Path, dim: int, kind: VectorType, manifest: Mapping[str, Any], *, index: str, timeout: float) -> None:
    """An empty store in ``path``, which is made too.

    Raises:
        StoreError: there is one already, or the folder cannot be written.
        MissingExtraError: what its index needs is not installed.
    """
    if dim < 1:
        raise UsageError(f"a vector has at least 1 number, not {dim}")
    find_kind(index).check()
    contents = {"created": datetime.now(UTC).isoformat(timespec="seconds"), **manifest}
    contents |= {"dim": dim, STORE: uuid.uuid4().hex, INDEX: index}
    with database.explained(path / database.FILE):
        path.mkdir(parents=True, exist_ok=True)
    with FileLock(path / "writer.lock", path.name, timeout=timeout):
        if (path / database.FILE).exists():
            raise StoreError(f"{path} holds a collection already")
        # Under another name first: a file that is there is whole.
        fresh = path / (database.FILE + ".new")
        with database.explained(fresh):
            for suffix in ("", "-wal", "-shm"):
                fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)
            told = {key: json.dumps(value) for key, value in contents.items()}
            database.create(fresh, told, vector_file.first(kind))
            fresh.replace(path / database.FILE)
            vector_file.sync_folder(path)
