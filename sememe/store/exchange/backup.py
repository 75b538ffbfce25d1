"""A whole store in one file: a zip whose parts stand in it as they are, with the SHA-256 of each.

``records.sqlite`` and the vector file are of one committed state, whoever writes meanwhile; what is derived (the word
index) is left out. Nothing is compressed, so a hostile file cannot become larger than it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sememe.errors import DamagedError, DataError, SememeError
from sememe.progress import Phase, Progress
from sememe.store.exchange.layout import checked_manifest, manifest_of
from sememe.store.exchange.snapshot import Snapshot, snapshot
from sememe.store.local import database
from sememe.store.local.store import LocalStore, open_store
from sememe.store.local.vector_file import NAMES
from sememe.store.vector_type import bytes_of

MANIFEST = "manifest.json"
MAX_MANIFEST = 1 << 20
BLOCK = 1 << 20


def write_backup(store: LocalStore, path: Path, desk: Path, *, name: str, progress: Progress) -> int:
    """Write the state that ``store`` is in now to ``path``, which is not there yet; says how many items it holds.

    Args:
        desk: a folder for the copy of the records, which is left there.
        name: what the collection is called.
    """
    with snapshot(store) as shot:
        # While the snapshot is held nobody can change what it reads; the copy is of the very same state.
        copy = desk / database.FILE
        with progress.phase("copy", total=None, unit="pages") as phase:
            shot.copy_records(copy, phase.advance)
        vectors = bytes_of(shot.vectors).reshape(-1)
        sizes = {database.FILE: copy.stat().st_size, shot.state.vectors: len(vectors)}
        with path.open("xb") as file:
            with (
                zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive,
                progress.phase("backup", total=sum(sizes.values()), unit="bytes") as phase,
                copy.open("rb") as records,
            ):
                parts = {
                    database.FILE: _stored(archive, database.FILE, iter(lambda: records.read(BLOCK), b""), phase),
                    shot.state.vectors: _stored(archive, shot.state.vectors, _blocks(vectors), phase),
                }
                archive.writestr(MANIFEST, json.dumps(_manifest(shot, name, sizes, parts), ensure_ascii=False))
            file.flush()
            os.fsync(file.fileno())
        return shot.count


def _manifest(shot: Snapshot, name: str, sizes: Mapping[str, int], parts: Mapping[str, str]) -> dict[str, Any]:
    told = {part: {"bytes": sizes[part], "sha256": digest} for part, digest in parts.items()}
    return {"name": name, **manifest_of(shot.manifest, count=shot.count, vectors=shot.kind.name), "parts": told}


def _blocks(data: Any) -> Iterator[bytes]:
    for start in range(0, len(data), BLOCK):
        yield data[start : start + BLOCK].tobytes()


def _stored(archive: zipfile.ZipFile, name: str, blocks: Iterator[bytes], phase: Phase) -> str:
    digest = hashlib.sha256()
    with archive.open(name, "w", force_zip64=True) as part:
        for block in blocks:
            digest.update(block)
            part.write(block)
            phase.advance(len(block))
    return digest.hexdigest()


@dataclass(frozen=True)
class Backup:
    """An opened backup whose list of contents was checked; what they hold is checked by `unpack`."""

    path: Path
    archive: zipfile.ZipFile
    manifest: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What the collection was called; as untrusted as the file."""
        return str(self.manifest.get("name", ""))

    @property
    def bytes(self) -> int:
        return sum(int(part["bytes"]) for part in self.manifest["parts"].values())

    def unpack(self, folder: Path, phase: Phase) -> None:
        """Write the parts into ``folder``, which is made, and hold them to their hashes, to the form of a store, and to
        each other.

        Raises:
            DataError: something is not what it should be; ``folder`` is then of no use.
        """
        folder.mkdir()
        for name, told in self.manifest["parts"].items():
            self._unpack(name, str(told["sha256"]), folder / name, phase)
        _check_records(folder, self.path.name)
        with _opened(folder, self.path.name) as store:
            self._check(store)

    def _unpack(self, name: str, sha256: str, target: Path, phase: Phase) -> None:
        digest = hashlib.sha256()
        with _explained(self.path.name), self.archive.open(name) as part, target.open("xb") as file:
            while block := part.read(BLOCK):
                digest.update(block)
                file.write(block)
                phase.advance(len(block))
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != sha256:
            raise DataError(
                f"{self.path.name}: {name} is not what was written",
                why=[("expected", f"SHA-256 {sha256}"), ("found", digest.hexdigest())],
                do=["take another copy of the backup"],
            )

    def _check(self, store: LocalStore) -> None:
        with snapshot(store) as shot:
            ((name, size),) = ((n, p["bytes"]) for n, p in self.manifest["parts"].items() if n != database.FILE)
            facts = (shot.state.vectors, shot.state.slots * shot.kind.width(shot.dim), shot.dim, shot.count)
            if facts != (name, size, self.manifest["dim"], self.manifest["count"]):
                raise DataError(f"{self.path.name}: its records and its manifest contradict each other")
            for start in range(0, len(shot.vectors), 4096):
                if not np.isfinite(shot.vectors[start : start + 4096]).all():
                    raise DataError(f"{self.path.name}: it holds vectors that are no numbers")
        health = store.verify()
        if not health.ok:
            raise DataError(
                f"{self.path.name}: what it holds is damaged, and was so when it was backed up",
                why=[*health.problems[:5], *([("items", ", ".join(health.affected[:10]))] if health.affected else [])],
                do=["take an older backup"],
            )


@contextmanager
def open_backup(path: Path) -> Iterator[Backup]:
    """A backup with its manifest read.

    Raises:
        DataError: it is none, or its list of contents is not that of a backup.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"{path} is no backup that can be read", why=[str(error)]) from None
    with archive:
        yield Backup(path, archive, _read_manifest(archive, path))


def _read_manifest(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    entries = {entry.filename: entry for entry in archive.infolist()}
    if MANIFEST not in entries or entries[MANIFEST].file_size > MAX_MANIFEST:
        raise DataError(f"{path} is a zip file, but no backup of sememe", why=[f"it has no fitting {MANIFEST}"])
    for entry in archive.infolist():
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size or entry.flag_bits & 1:
            raise DataError(
                f"{path.name}: {entry.filename!r} is compressed or encrypted; a backup holds its parts as they are"
            )
    with _explained(path.name):
        text = archive.read(MANIFEST)
    try:
        manifest = checked_manifest(json.loads(text), path.name)
        parts = {str(name): (part["bytes"], part["sha256"]) for name, part in manifest["parts"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DataError(f"{path.name}: its manifest cannot be read") from None
    vectors = [name for name in parts if NAMES.fullmatch(name)]
    if set(parts) != {database.FILE, *vectors} or len(vectors) != 1:
        raise DataError(f"{path.name}: a backup holds {database.FILE} and one file of vectors", why=[_shown(parts)])
    if sorted([*parts, MANIFEST]) != sorted(entry.filename for entry in archive.infolist()):
        raise DataError(f"{path.name}: it holds other files than its manifest says", why=[_shown(entries)])
    if any(entries[name].file_size != size for name, (size, _) in parts.items()):
        raise DataError(f"{path.name}: its parts are not as long as its manifest says")
    return manifest


def _shown(names: Any) -> str:
    return ", ".join(repr(name)[:60] for name in list(names)[:10])


def _check_records(folder: Path, name: str) -> None:
    """Refuse an SQLite file that has more in it than tables of ours: triggers and views would run when it is used."""
    path = folder / database.FILE
    listed = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
    try:
        with closing(sqlite3.connect(path)) as connection, closing(sqlite3.connect(":memory:")) as fresh:
            connection.execute("PRAGMA trusted_schema = OFF")
            fresh.create_function("seal_of", -1, lambda *_: 0)  # migrations name it; nothing is here to be sealed
            for script in database.MIGRATIONS[: database.check(connection, path)]:
                fresh.executescript(script)
            if connection.execute(listed).fetchall() != fresh.execute(listed).fetchall():
                raise DataError(f"{name}: its records are no tables of a collection")
            (vectors,) = connection.execute("SELECT vectors FROM state").fetchone()
            if not NAMES.fullmatch(vectors):
                raise DataError(f"{name}: its records name a file of vectors that cannot be: {vectors!r}")
    except (sqlite3.Error, DamagedError, TypeError, ValueError) as error:
        raise DataError(f"{name}: its records cannot be read", why=[str(error)]) from None


@contextmanager
def _opened(folder: Path, name: str) -> Iterator[LocalStore]:
    """The store in ``folder``, whose damage is the damage of the file ``name`` that it came from."""
    with _explained(name), open_store(folder) as store:
        yield store


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except (DamagedError, zipfile.BadZipFile, EOFError, KeyError, TypeError, ValueError) as error:
        why = error.what if isinstance(error, SememeError) else str(error)
        raise DataError(f"{name} is damaged", why=[why], do=["take another copy of the backup"]) from error
