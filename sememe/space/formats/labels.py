"""Labels out of bytes, and what to do with those that are there twice or cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sememe.errors import DataError, UsageError

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


def check_ways(repeated: str, unreadable: str) -> None:
    """Refuse a way that there is none of."""
    for name, value, known in (("repeated", repeated, "error first"), ("unreadable", unreadable, "error replace")):
        if value not in known.split():
            raise UsageError(f'{name}="{value}" is not known', do=[f"use {' or '.join(known.split())}"])


def decode_labels(buffer: Bytes, starts: Ints, ends: Ints, unreadable: str) -> list[str] | None:
    """The labels ``buffer[start:end]``; None where one is not UTF-8 and that is an error.

    They are gathered into one string with a line each, which is decoded at once.
    """
    lengths = ends - starts + 1
    until = np.cumsum(lengths)
    places = np.arange(int(until[-1]) if len(until) else 0) + np.repeat(starts - (until - lengths), lengths)
    # one byte too many is taken from behind each label, and is where the line break comes
    joined = buffer[np.minimum(places, len(buffer) - 1)]
    breaks = joined == 10
    breaks[until - 1] = False
    if breaks.any():  # a label with a line break of its own
        return _one_by_one(buffer, starts, ends, unreadable)
    joined[until - 1] = 10
    try:
        text = joined.tobytes().decode("utf-8", "strict" if unreadable == "error" else "replace")
    except UnicodeDecodeError:
        return None
    labels: list[str] = text.split("\n")[:-1]
    return labels


def _one_by_one(buffer: Bytes, starts: Ints, ends: Ints, unreadable: str) -> list[str] | None:
    way = "strict" if unreadable == "error" else "replace"
    try:
        return [buffer[a:b].tobytes().decode("utf-8", way) for a, b in zip(starts, ends, strict=True)]
    except UnicodeDecodeError:
        return None


def decode_one(label: bytes, where: str) -> str:
    """One label; `DataError` with ``where`` when it is not UTF-8."""
    try:
        return label.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where}: the label is not UTF-8",
            why=[f"{label[:60]!r}, from byte {error.start + 1} of it"],
            do=['read it with unreadable="replace": what cannot be read becomes U+FFFD'],
        ) from None


def distinct(labels: Sequence[str], repeated: str, path: Path, *, unit: str, first: int = 1) -> Ints | None:
    """The rows to keep when each label may be there once; None: all of them.

    ``unit`` and ``first`` say how the rows are counted in an error: ``line 7``.

    Raises:
        DataError: a label is there twice, and ``repeated`` is ``error``.
    """
    if len(set(labels)) == len(labels):
        return None
    places = dict(zip(reversed(labels), range(len(labels) - 1, -1, -1), strict=True))
    if repeated == "error":
        row = next(row for row, label in enumerate(labels) if places[label] != row)
        raise DataError(
            f"{path}, {unit} {row + first}: the label {labels[row]!r:.100} is there twice",
            why=[f"it is also in {unit} {places[labels[row]] + first}", f"{len(labels) - len(places)} such rows"],
            do=['keep the first of each with repeated="first"'],
        )
    return np.sort(np.fromiter(places.values(), np.int64, len(places)))
