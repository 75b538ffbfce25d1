"""word2vec's binary format: a line of counts, then for each word its bytes, a blank, and its numbers as they are.

Words are of any length, so that where a row starts is only known from the row before. All blanks of the file are
found at once; from each of them it is known where the next blank after a row can be at the earliest, and the way from
one to the next is then a walk over a list.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sememe.errors import DataError
from sememe.space.formats.labels import Bytes, Ints, decode_labels, decode_one, distinct
from sememe.space.space import Space

_COUNTS = re.compile(rb"(\d{1,18})[ \t](\d{1,9})[ \t]*\r?\n")
#: bytes that are looked through at a time
STEP = 1 << 26
#: rows that are copied at a time
ROWS = 65536


def read_word2vec(path: Path, *, limit: int | None = None, repeated: str = "error", unreadable: str = "error") -> Space:
    """A binary file of word2vec. The file is mapped, and its rows copied out of it: they stand at odd places.

    Args:
        limit: read the first so many only.
        repeated: of a label that is there twice, ``error`` or keep the ``first``.
        unreadable: a label that is not UTF-8: ``error``, or ``replace`` what cannot be read by U+FFFD.

    Raises:
        DataError: with the row, what is not as it should be.
    """
    with path.open("rb") as file:
        found = _COUNTS.match(file.read(64))
        if found is None or int(found[2]) == 0:
            raise DataError(f"{path} is no binary file of word2vec", why=["its first line does not hold two counts"])
        rows, dim, start = int(found[1]), int(found[2]), found.end()
        size = file.seek(0, 2)
        wanted = rows if limit is None else min(limit, rows)
        # a word has a byte and a blank at least
        if wanted * (4 * dim + 2) > size - start:
            raise DataError(
                f"{path} is cut off, or its first line is wrong",
                why=[("line 1 says", f"{rows} rows of {dim} numbers"), ("the file has", f"{size} bytes")],
                do=["get the file again, or read the first rows only with limit="],
            )
        if wanted == 0:
            return Space((), np.empty((0, dim), np.float32), {"source": path.name, "format": "word2vec binary"})
        buffer: Bytes = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    starts, blanks = _walk(buffer, start, wanted, dim, path)
    end = int(blanks[-1]) + 1 + 4 * dim
    if wanted == rows and buffer[end:].tobytes().strip(b"\r\n"):
        raise DataError(f"{path} holds more than its {rows} rows", why=[f"from byte {end} to {size}"])
    labels = decode_labels(buffer, starts, blanks, unreadable)
    if labels is None:
        for row, (a, b) in enumerate(zip(starts.tolist(), blanks.tolist(), strict=True)):
            decode_one(buffer[a:b].tobytes(), f"{path}, row {row + 1}")
    assert labels is not None
    kept = distinct(labels, repeated, path, unit="row")
    told = {"source": path.name, "format": "word2vec binary"}
    if kept is not None:
        told["left out"] = f"{len(labels) - len(kept)} rows whose label was there before"
        labels, blanks = [labels[row] for row in kept], blanks[kept]
    matrix = np.empty((len(labels), dim), np.float32)
    records = np.lib.stride_tricks.sliding_window_view(buffer, 4 * dim)
    for at in range(0, len(matrix), ROWS):
        matrix[at : at + ROWS] = records[blanks[at : at + ROWS] + 1].view("<f4")
    return Space(tuple(labels), matrix, told)


def _walk(buffer: Bytes, start: int, rows: int, dim: int, path: Path) -> tuple[Ints, Ints]:
    """Where the words of ``rows`` rows start, and the blanks after them."""
    width = 4 * dim
    places, at, row = np.empty(rows, np.int64), start, 0
    starts = np.empty(rows, np.int64)
    for blanks, end in _blanks(buffer, start):
        following = np.searchsorted(blanks, blanks + 1 + width).tolist()
        known = blanks.tolist()
        here = int(np.searchsorted(blanks, at))
        while here < len(known) and row < rows:
            places[row] = known[here]
            at = known[here] + 1 + width
            here = following[here]
            row += 1
        if row == rows:
            break
        if row == 0 and end - start > 10_000:
            break  # no word is so long
    last = int(places[rows - 1]) + 1 + width if row == rows else 0
    if row < rows or last > len(buffer):
        raise DataError(
            f"{path} is cut off in row {min(row + 1, rows)}", why=[f"{rows} rows of {dim} numbers were announced"]
        )
    starts[0], starts[1:] = start, places[:-1] + 1 + width
    starts += buffer[starts] == ord("\n")
    empty = np.flatnonzero(starts >= places)
    if len(empty):
        raise DataError(f"{path}, row {empty[0] + 1}, byte {starts[empty[0]]}: there is no word")
    return starts, places


def _blanks(buffer: Bytes, start: int) -> Iterator[tuple[Ints, int]]:
    for at in range(start, len(buffer), STEP):
        yield np.flatnonzero(buffer[at : at + STEP] == ord(" ")) + at, min(at + STEP, len(buffer))


def write_word2vec(space: Space, path: Path) -> None:
    """word2vec's binary format.

    Raises:
        DataError: a label with a blank or a line break in it, which the format has no room for.
    """
    bad = next((label for label in space.labels if not label or {" ", "\n"} & set(label)), None)
    if bad is not None:
        raise DataError(
            f"the label {bad!r:.100} cannot stand in word2vec's binary format",
            why=["a blank ends a word there"],
            do=["write .npz or .safetensors instead"],
        )
    with path.open("wb") as file:
        file.write(f"{len(space)} {space.dim}\n".encode())
        for label, row in zip(space.labels, space.matrix, strict=True):
            file.write(label.encode() + b" " + row.astype("<f4").tobytes() + b"\n")
