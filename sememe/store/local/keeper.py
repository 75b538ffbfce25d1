"""Where the index of a store's vectors is kept: in memory, and in a file beside the vectors, replaced as a whole.

The file says what it was made of and carries a checksum over all of itself; one that is missing, damaged, of another
form or of another vector file is made anew.
"""

from __future__ import annotations

import json
import os
import threading
import zlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sememe.errors import UsageError
from sememe.store.local import codes, hnsw, ivf
from sememe.store.local.shortlist import Kind, Shortlist
from sememe.store.vector_type import Kept, until

KINDS = {kind.name: kind for kind in (codes.KIND, hnsw.KIND, ivf.KIND)}
#: numbers (slots times dim) from which on there is an index; below, the exact scan is as fast (docs/decisions)
FROM = 8_000_000
#: a file that lacks more than this share of the slots is written again; fewer are put in when it is opened
BEHIND = 0.05
#: bytes that the first lines of the file may have
LINE = 1 << 26
#: vectors whose bytes tell whether a file belongs to a vector file
SAMPLE = 64


def find_kind(name: str) -> Kind:
    """The kind of index of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in KINDS:
        raise UsageError(f'index="{name}" is not known', do=[f"use one of: {', '.join(KINDS)}"])
    return KINDS[name]


@dataclass(frozen=True, slots=True)
class Origin:
    """What an index is of: the store, its vector file, and how often that one was mended (`state.log_from`)."""

    store: str
    vectors: str
    mended: int


class Keeper:
    """The index of one store, in memory and in its folder.

    Args:
        store: the store's own key.
        numbers: slots times dim from which on there is an index; None: `FROM`.
        writable: may the folder be written?
    """

    def __init__(self, folder: Path, dim: int, store: str, kind: Kind, *, numbers: int | None, writable: bool) -> None:
        self.folder, self.dim, self.store, self.kind, self.writable = folder, dim, store, kind, writable
        self.path = folder / kind.file
        self.numbers = FROM if numbers is None else numbers
        self._guard = threading.RLock()
        self._pid = os.getpid()
        self._last: tuple[Origin, int, Shortlist] | None = None

    def origin(self, vectors: str, mended: int) -> Origin:
        return Origin(self.store, vectors, mended)

    def of(self, origin: Origin, change: int, vectors: Kept) -> Shortlist | None:
        """An index of at least all slots of ``vectors``, the mapped file of one state; None where a scan does.

        Args:
            change: the change that the state stands at.
        """
        slots = len(vectors)
        if not slots or slots * self.dim < self.numbers or self.dim > self.kind.widest:
            return None
        self._after_fork()
        with self._guard:
            last = self._last
            if last is not None and last[0] != origin:
                if change < last[1]:
                    return None  # a reader that stayed behind: not worth making the old one again
                last = None
            found = last[2] if last is not None else (self._read(origin, vectors) or self.kind.empty(self.dim))
            saved = len(found) if last is None else None
            if len(found) < slots:
                found.extend(vectors)
            self._last = (origin, max(change, last[1] if last is not None else 0), found)
        if saved is not None and slots - saved > BEHIND * slots:
            self._write(origin, vectors, found)
        # An index knows nothing of odd rows; where there are many, a scan is as good.
        return found if len(found.odd) <= max(100, slots // 100) else None

    def save(self, origin: Origin, change: int, vectors: Kept) -> None:
        """Bring the file up to date if it lacks much; away with it where there is no need of one any more."""
        if not self.writable:
            return
        if len(vectors) * self.dim < self.numbers:
            self.remove()
            return
        header = self._header()
        held = header["slots"] if header is not None and header["origin"] == asdict(origin) else 0
        if len(vectors) - held > BEHIND * len(vectors):
            found = self.of(origin, change, vectors)
            if found is not None and self._header() == header:  # `of` may have written already
                self._write(origin, vectors, found)

    def forget(self) -> None:
        """Let go of what is in memory."""
        self._after_fork()
        with self._guard:
            self._last = None

    def remove(self) -> None:
        """Away with the index, in memory and in the folder, and with what is left of other kinds."""
        self.forget()
        for kind in KINDS.values():
            with suppress(OSError):
                (self.folder / kind.file).unlink(missing_ok=True)

    def check(self, origin: Origin, vectors: Kept) -> tuple[int, list[str]]:
        """How many slots the file holds, and what is wrong with it; that it is absent or of another vector file is
        nothing wrong, it is then made anew."""
        name, header = self.kind.name, self._header()
        if not self.path.exists() or (header is not None and header["origin"] != asdict(origin)):
            return 0, []
        held = self._read(origin, vectors)
        if held is None:
            if header is not None and header["slots"] > len(vectors):
                return 0, []  # written after the state that is being verified
            return 0, [f"{name}: the file is damaged; it is made anew when it is needed"]
        if self.kind.repeats:
            fresh = self.kind.empty(self.dim)
            fresh.extend(until(vectors, len(held)))
            if fresh.as_bytes()[2] != held.as_bytes()[2] or not np.array_equal(fresh.odd, held.odd):
                return len(held), [f"{name}: they are not those of the vectors; delete the file, or repair"]
        return len(held), []

    def _after_fork(self) -> None:
        # A thread of the parent may have held a lock, of ours or of the library's, when this process was made.
        if self._pid != os.getpid():
            self._guard, self._last, self._pid = threading.RLock(), None, os.getpid()

    def _header(self) -> dict[str, Any] | None:
        """What the file says of itself, unchecked; None where there is none of this form."""
        try:
            with self.path.open("rb") as file:
                file.readline(16)
                header = json.loads(file.readline(LINE))
        except (OSError, ValueError):
            return None
        if (
            not isinstance(header, dict)
            or header.get("form") != self.kind.form
            or not isinstance(header.get("slots"), int)
        ):
            return None
        return header if isinstance(header.get("origin"), dict) else None

    def _read(self, origin: Origin, vectors: Kept) -> Shortlist | None:
        """The index in the file if it is whole and of these vectors."""
        header = self._header()
        if header is None or header["origin"] != asdict(origin) or not 0 < header["slots"] <= len(vectors):
            return None
        try:
            with self.path.open("rb") as file:
                checksum, line, payload = file.readline(16), file.readline(LINE), file.read()
            if checksum != b"%08x\n" % zlib.crc32(payload, zlib.crc32(line)):
                return None
            header = json.loads(line)
            if header["sample"] != _sample(vectors, header["slots"]):
                return None
            odd = np.array(header["odd"], np.int64)
            if odd.ndim != 1 or ((odd < 0) | (odd >= header["slots"])).any():
                return None
            return self.kind.read(payload, odd, until(vectors, header["slots"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write(self, origin: Origin, vectors: Kept, found: Shortlist) -> None:
        """Replace the file as a whole. What cannot be written now is written another time."""
        if not self.writable:
            return
        slots, odd, payload = found.as_bytes()
        if slots > len(vectors) or len(odd) > max(100, slots // 100):
            return
        header = {
            "form": self.kind.form,
            "origin": asdict(origin),
            "slots": slots,
            "odd": odd.tolist(),
            "sample": _sample(vectors, slots),
        }
        line = json.dumps(header).encode() + b"\n"
        fresh = self.folder / f"{self.kind.name}.{os.getpid()}.new"
        try:
            for left in self.folder.glob(f"{self.kind.name}.*.new"):  # of a process that died
                left.unlink(missing_ok=True)
            with fresh.open("wb") as file:
                file.write(b"%08x\n" % zlib.crc32(payload, zlib.crc32(line)))
                file.write(line)
                file.write(payload)
            fresh.replace(self.path)
            for kind in KINDS.values():
                if kind is not self.kind:  # of before it was changed
                    (self.folder / kind.file).unlink(missing_ok=True)
        except OSError:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)


def _sample(vectors: Kept, slots: int) -> int:
    """A checksum over some of the first ``slots`` vectors, the last among them."""
    chosen: npt.NDArray[np.int64] = np.linspace(0, slots - 1, min(slots, SAMPLE)).astype(np.int64)
    return zlib.crc32(np.ascontiguousarray(vectors[chosen]).data)
