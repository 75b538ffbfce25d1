"""The file of vectors: that of slot ``i`` stands at byte ``i * width``, little-endian, nothing else is in it. How wide
one is and what its bytes mean is said by the file's name (`sememe.store.vector_type`).

Only appended to. What lies beyond the last committed slot is a torn tail; nobody reads it and the next append writes
over it. A slot below is never written again, so a reader's mapping stays right for as long as it holds it.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

import numpy as np

from sememe.errors import DamagedError
from sememe.store.vector_type import FLOAT32, TYPES, Bytes, Kept, Packed, VectorType, of_file

#: every name that a vector file may have
NAMES = re.compile(rf"vectors(?:-([0-9]{{1,9}}))?\.(?:{'|'.join(one.suffix for one in TYPES.values())})")


def first(kind: VectorType) -> str:
    """The name of a new store's vector file."""
    return f"vectors.{kind.suffix}"


def following(name: str, kind: VectorType) -> str:
    """The name of the vector file that takes the place of ``name``."""
    return f"vectors-{turn_of(name) + 1}.{kind.suffix}"


def turn_of(name: str) -> int:
    """How many files were there before; -1 for a name that no vector file has."""
    found = NAMES.fullmatch(name)
    return -1 if found is None else int(found[1] or 0)


def files(folder: Path) -> list[Path]:
    """All vector files that lie in a folder; the records say which one counts."""
    return [path for path in folder.glob("vectors*") if NAMES.fullmatch(path.name)]


def remove_others(folder: Path, current: str) -> None:
    """Away with the vector files that no longer count."""
    for path in files(folder):
        if path.name != current:
            # A reader on Windows may still hold it; the next compaction tries again.
            with suppress(OSError):
                path.unlink()


def width(path: Path, dim: int) -> int:
    """Bytes of one vector of ``dim`` numbers.

    Raises:
        DamagedError: the name tells no type.
    """
    return of_file(path.name).width(dim)


def there(path: Path, dim: int) -> int:
    """How many whole vectors the file holds; 0 if it is not there."""
    return path.stat().st_size // width(path, dim) if path.exists() else 0


def append(path: Path, slot: int, rows: Bytes) -> None:
    """Write ``rows``, ``(n, width)``, from ``slot`` on and wait until the disk has them.

    Raises:
        OSError: the disk is full, or worse.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    try:
        os.lseek(file, slot * rows.shape[1], os.SEEK_SET)
        rest = np.ascontiguousarray(rows).data.cast("B") if rows.size else b""
        while rest:
            rest = rest[os.write(file, rest[: 1 << 26]) :]
        os.fsync(file)
    finally:
        os.close(file)


def mapped(path: Path, slots: int, dim: int) -> Kept:
    """float32 ``(slots, dim)``, read-only, backed by the file; of a smaller type what decodes to it.

    Raises:
        FileNotFoundError: the file is gone (a compaction in another process, or damage).
        DamagedError: it is shorter than the records say.
    """
    kind = of_file(path.name)
    if not slots:
        return np.empty((0, dim), np.float32)
    size, wide = path.stat().st_size, kind.width(dim)
    if size < slots * wide:
        raise DamagedError(
            f"{path.name} is cut off",
            why=[
                ("expected", f"at least {slots * wide} bytes, {slots} vectors of {dim} numbers"),
                ("found", f"{size} bytes, {size // wide} whole vectors in {path}"),
            ],
            do=["repair the collection; it names the items whose vectors are lost"],
        )
    # Plain arrays: NumPy's memmap adds its own work to every indexing.
    if kind is FLOAT32:
        return np.asarray(np.memmap(path, dtype="<f4", mode="r", shape=(slots, dim)))
    return Packed(np.asarray(np.memmap(path, dtype=np.uint8, mode="r", shape=(slots, wide))), kind, dim)


def sync_folder(folder: Path) -> None:
    """Make new names in ``folder`` survive a power cut, where the system lets a folder be synced."""
    if os.name == "nt":
        return
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
