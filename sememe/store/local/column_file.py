"""The file of columns: derived from the records, replaced as a whole, and read one field at a time.

The first line is a checksum of the second; the second says, in JSON, what the columns are of and where each array
stands, with its checksum. What is missing, damaged or of something else counts as not there.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sememe.store.local.column import LIST, MEMBER, TEXT, Array, Column
from sememe.store.local.keeper import Origin

FILE = "fields.col"
#: what a file was made by; another value means: make it anew
FORM = "1: entries by slot; whole numbers small; texts by place"
#: bytes that the second line may have
LINE = 1 << 26
TYPES = ("int8", "uint8", "int16", "int32", "int64", "float64")


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself: its columns are of ``origin`` up to ``slots``, as they stood at ``change``."""

    mark: bytes
    origin: Origin
    change: int
    slots: int
    start: int
    parts: Mapping[str, Any]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.parts["fields"])


def read_header(folder: Path) -> Header | None:
    """What the file says of itself; None where there is none of this form."""
    try:
        with (folder / FILE).open("rb") as file:
            mark, line = file.readline(16), file.readline(LINE)
        if mark != b"%08x\n" % zlib.crc32(line):
            return None
        said = json.loads(line)
        if said["form"] != FORM:
            return None
        change, slots = said["change"], said["slots"]
        fields, numbers = said["parts"]["fields"], said["parts"]["numbers"]
        if not (isinstance(change, int) and isinstance(slots, int) and isinstance(fields, dict)) or len(numbers) != 2:
            return None
        start = len(mark) + len(line)
        return Header(mark, Origin(**said["origin"]), change, slots, start, said["parts"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_numbers(folder: Path, header: Header) -> tuple[Array, Array] | None:
    """Slots and row numbers, both ascending."""
    arrays = _arrays(folder, header, header.parts["numbers"])
    if arrays is None:
        return None
    slots, numbers = arrays
    right = len(slots) == len(numbers) and _within(slots, header.slots)
    return (slots, numbers) if right and (np.diff(slots) > 0).all() and (np.diff(numbers) > 0).all() else None


def read_column(folder: Path, header: Header, name: str) -> Column | None:
    """One field up to the slots of the header. A field that is not in the file had no entries."""
    said = header.parts["fields"].get(name)
    if said is None:
        return Column(header.slots)
    if not isinstance(said, dict) or said.get("exact") is not True:
        return Column(header.slots, exact=False)
    full = said.get("slots") is None
    listed = ["kinds", "values", "texts"] if full else ["kinds", "values", "texts", "slots"]
    arrays = _arrays(folder, header, [said.get(part) for part in listed])
    if arrays is None:
        return None
    kinds, values, letters = arrays[:3]
    slots = None if full else arrays[3]
    try:
        texts = json.loads(letters.tobytes())
        right = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
    except ValueError:
        return None
    right = right and len(kinds) == len(values) == (header.slots if slots is None else len(slots))
    right = right and (slots is None or _within(slots, header.slots))
    right = right and bool((kinds <= LIST | MEMBER).all())
    right = right and (not texts or _within(values[kinds & 7 == TEXT], len(texts)))
    return Column(header.slots, slots, kinds, values, tuple(texts)) if right else None


def write(
    folder: Path, origin: Origin, change: int, slots: int, numbers: tuple[Array, Array], columns: Mapping[str, Column]
) -> None:
    """Replace the file. What cannot be written now is written another time."""
    payload: list[bytes] = []
    fields: dict[str, Any] = {}
    place = 0

    def part(array: Array) -> list[Any]:
        nonlocal place
        same = len(array) > 1 and bool((array == array[0]).all())
        data = (array[:1] if same else array).tobytes()
        payload.append(data)
        place += len(data)
        return [array.dtype.name, place - len(data), len(array), same, zlib.crc32(data)]

    parts = {"numbers": [part(array) for array in numbers], "fields": fields}
    for name, column in columns.items():
        letters = np.frombuffer(json.dumps(column.texts).encode(), np.uint8)
        fields[name] = {
            "exact": column.exact,
            "slots": None if column.slots is None else part(column.slots),
            "kinds": part(column.kinds),
            "values": part(column.values),
            "texts": part(letters),
        }
    header = {"form": FORM, "origin": asdict(origin), "change": change, "slots": slots, "parts": parts}
    line = json.dumps(header).encode() + b"\n"
    fresh = folder / f"fields.{os.getpid()}.new"
    try:
        for left in folder.glob("fields.*.new"):  # of a process that died
            left.unlink(missing_ok=True)
        with fresh.open("wb") as file:
            file.write(b"%08x\n" % zlib.crc32(line))
            file.write(line)
            file.writelines(payload)
        fresh.replace(folder / FILE)
    except OSError:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)


def _arrays(folder: Path, header: Header, parts: list[Any]) -> list[Array] | None:
    """Arrays as they were written; None if one is not, or the file is another by now."""
    found = []
    try:
        with (folder / FILE).open("rb") as file:
            if file.readline(16) != header.mark:
                return None
            for kind, place, count, same, checksum in parts:
                if kind not in TYPES or not 0 <= count <= 1 << 40:
                    return None
                file.seek(header.start + place)
                data = file.read((1 if same else count) * np.dtype(kind).itemsize)
                if zlib.crc32(data) != checksum:
                    return None
                array: Array = np.frombuffer(data, kind)
                if len(array) != (1 if same else count):
                    return None
                found.append(np.repeat(array, count) if same else array)
    except (OSError, ValueError, TypeError, OverflowError):
        return None
    return found


def _within(values: Array, bound: int) -> bool:
    return not len(values) or bool(values.min() >= 0 and values.max() < bound)
