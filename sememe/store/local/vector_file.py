"""The raw float32 file: the vector of slot ``i`` stands at byte ``i * dim * 4``, little-endian, nothing else is in it.

Only appended to. What lies beyond the last committed slot is a torn tail; nobody reads it and the next append writes
over it. A slot below is never written again, so a reader's mapping stays right for as long as it holds it.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from sememe.errors import DamagedError
from sememe.shapes import Vectors

FIRST = "vectors.f32"


def append(path: Path, slot: int, vectors: Vectors) -> None:
    """Write ``vectors`` ``(n, dim)`` from ``slot`` on and wait until the disk has them.

    Raises:
        OSError: the disk is full, or worse.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    try:
        os.lseek(file, slot * vectors.shape[1] * 4, os.SEEK_SET)
        rest = np.ascontiguousarray(vectors, dtype="<f4").data.cast("B")
        while rest:
            rest = rest[os.write(file, rest[: 1 << 26]) :]
        os.fsync(file)
    finally:
        os.close(file)


def mapped(path: Path, slots: int, dim: int) -> Vectors:
    """float32 ``(slots, dim)``, read-only, backed by the file.

    Raises:
        FileNotFoundError: the file is gone (a compaction in another process, or damage).
        DamagedError: it is shorter than the records say.
    """
    if not slots:
        return np.empty((0, dim), np.float32)
    size = path.stat().st_size
    if size < slots * dim * 4:
        raise DamagedError(
            f"{path.name} is cut off",
            why=[
                ("expected", f"at least {slots * dim * 4} bytes, {slots} vectors of {dim} numbers"),
                ("found", f"{size} bytes, {size // (dim * 4)} whole vectors in {path}"),
            ],
            do=["repair the collection; it names the items whose vectors are lost"],
        )
    return np.memmap(path, dtype="<f4", mode="r", shape=(slots, dim))


def sync_folder(folder: Path) -> None:
    """Make new names in ``folder`` survive a power cut, where the system lets a folder be synced."""
    if os.name == "nt":
        return
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
