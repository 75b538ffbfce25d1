"""The files of the word index with their checksums. Tantivy looks at its own only when it is asked to, so a flipped bit
would change a score or hide a text; here each file is read once before it is believed."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path

#: rewritten with every commit; all others are written once and never changed
TABLE_OF_CONTENTS = "meta.json"
#: not a part of the answer: locks, the list of what may be deleted, and our own note
_BESIDE = (".managed.json", "synced.json", "synced.json.new")

#: files of this process that were found right: path, size, time, checksum
_PROVED: set[tuple[str, int, int, int]] = set()


class Unusable(Exception):
    """The word index cannot be read, or written."""


def sums(folder: Path, before: Mapping[str, int]) -> dict[str, int]:
    """The checksum of each file; of those that were there ``before``, and cannot have changed, the old one."""
    return {
        path.name: before[path.name] if path.name in before and path.name != TABLE_OF_CONTENTS else _sum(path)
        for path in sorted(folder.iterdir())
        if path.name not in _BESIDE and path.suffix != ".lock"
    }


def check(folder: Path, files: Mapping[str, int], *, begun: bool = False, again: bool = False) -> None:
    """Compare the files with their checksums.

    Args:
        begun: a change may have been begun since: files may be gone, and the table of contents may be another.
        again: also those that this process has found right before.

    Raises:
        Unusable: one is not what was written.
    """
    for name, wanted in files.items():
        path = folder / name
        try:
            status = path.stat()
            mark = (str(path), status.st_size, status.st_mtime_ns, wanted)
            if mark in _PROVED and not again:
                continue
            if _sum(path) != wanted:
                if begun and name == TABLE_OF_CONTENTS:
                    continue
                raise Unusable(f"{name} is not what was written")
        except FileNotFoundError as error:
            if begun:
                continue
            raise Unusable(f"{name} is missing") from error
        except OSError as error:
            raise Unusable(f"{name}: {error.strerror}") from error
        if len(_PROVED) > 10_000:
            _PROVED.clear()
        _PROVED.add(mark)


def _sum(path: Path) -> int:
    total = 0
    with path.open("rb") as file:
        while part := file.read(1 << 22):
            total = zlib.crc32(part, total)
    return total
