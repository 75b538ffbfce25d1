"""Checksums of what SQLite itself does not guard: a flipped bit in a text, a number or a vector is found where it is
read, before anything of it is answered.

A record carries the checksum of all its values, a row that of its vector, the state a sum over its numbers, and the
manifest one over all of itself. They guard against broken disks and copies, not against people.
"""

from __future__ import annotations

import sqlite3
import threading
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sememe.errors import DamagedError
from sememe.store.vector_type import Kept, bytes_of

REMEDY = "repair the collection; it names the items that are touched"

#: the seal of the state in SQL: odd factors, so that no single flipped bit leaves the sum as it was
STATE_SEAL = "1 + change * 3 + slots * 5 + live * 7 + log_from * 9 + 11 * CAST(substr(vectors, 9) AS INTEGER)"


def seal_of(*values: object) -> int:
    """The checksum over the values of one record: number, id, then the columns."""
    plain = [one if type(one) is str else str(one) if type(one) is int else _kept(one) for one in values]
    return zlib.crc32("\x1f".join(plain).encode("utf-8", "surrogatepass"))


def _kept(value: object) -> str:
    """The text of a value as SQLite gives it back: ``True`` and 1.0 as 1, a text of any kind as its letters."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    return str(value)


def manifest_seal(manifest: Mapping[str, str]) -> int:
    """The checksum over keys and JSON values, but for its own."""
    return seal_of(*(part for key in sorted(manifest) if key != "seal" for part in (key, manifest[key])))


def proved(values: Sequence[Any]) -> Sequence[Any]:
    """``values`` without the last of them, which is their seal.

    Raises:
        DamagedError: they are not what was sealed.
    """
    if seal_of(*values[:-1]) != values[-1]:
        raise DamagedError(f'the record of "{str(values[1])[:100]}" is not what was written', do=[REMEDY])
    return values[:-1]


class Proof:
    """How far the rows of one vector file have been compared with their checksums."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._file, self._slots = ("", 0), 0

    def of(self, connection: sqlite3.Connection, file: tuple[str, int], vectors: Kept, open: Any) -> None:
        """Compare the rows that were not compared yet.

        Args:
            file: the vector file's name, and how often it was mended.
            vectors: ``(slots, dim)``.
            open: bool ``(slots,)``, which slots are said to hold a row; None: all.

        Raises:
            DamagedError: a vector is not what was put there, or a slot is lost.
        """
        with self._guard:
            start = self._slots if self._file == file else 0
        if start >= len(vectors):
            return
        pairs = connection.execute("SELECT slot, crc FROM rows WHERE slot >= ?", [start]).fetchall()
        wrong = wrong_rows(vectors, pairs)
        there = np.zeros(len(vectors), bool)
        there[whole_numbers([(slot,) for slot, _ in pairs], 1, len(vectors))[:, 0]] = True
        said = np.ones(len(vectors), bool) if open is None else open
        lost = int(np.count_nonzero(there[start:] != said[start:]))
        if wrong or lost:
            raise DamagedError(
                f"{max(wrong, lost)} of {len(pairs)} vectors are not what was written", why=[file[0]], do=[REMEDY]
            )
        with self._guard:
            if self._file != file or self._slots < len(vectors):
                self._file, self._slots = file, len(vectors)


def whole_numbers(rows: Sequence[Sequence[Any]], columns: int, slots: int) -> npt.NDArray[np.int64]:
    """Rows of numbers, the last of which is a slot: int64 ``(n, columns)``.

    Raises:
        DamagedError: there is something else among them.
    """
    try:
        out = np.array(rows, np.int64).reshape(-1, columns)
    except (TypeError, ValueError, OverflowError):
        out = np.full((1, columns), -1, np.int64)
    if len(out) and not (out[:, -1].min() >= 0 and out[:, -1].max() < slots):
        raise DamagedError("the records name slots that do not exist", do=[REMEDY])
    return out


def prove_rows(vectors: Kept, pairs: Sequence[tuple[Any, Any]]) -> None:
    """Compare slots with their checksums.

    Raises:
        DamagedError: one is not what was written.
    """
    if wrong := wrong_rows(vectors, pairs):
        raise DamagedError(f"{wrong} of {len(pairs)} vectors are not what was written", do=[REMEDY])


def wrong_rows(vectors: Kept, pairs: Sequence[tuple[Any, Any]]) -> int:
    """How many of the slots, each with its checksum, hold other bytes than were written."""
    if not len(vectors):
        return len(pairs)
    rows = bytes_of(vectors)
    width, data = rows.shape[1], rows.data.cast("B")
    return sum(
        not (isinstance(slot, int) and 0 <= slot < len(vectors))
        or zlib.crc32(data[slot * width : (slot + 1) * width]) != crc
        for slot, crc in pairs
    )
