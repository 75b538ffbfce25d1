"""Codes of the vectors, four bits a dimension: a small copy that is read in a fraction of the time of the vectors.

The codes propose a shortlist, which is then scored from the float file: a wrong code can hide a hit, never invent one
or change a score. They are derived from the float file alone. Slot ``i`` of a vector file never changes, so codes only
grow; which slots are alive, and which a reader's state has, is said by a mask. Beside the vectors lies a copy of them
(``codes.tv``), replaced as a whole, which says what it was made of and carries a checksum over all of itself; one that
is missing, damaged, of another form or of another vector file is made anew.
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

from sememe.shapes import Vectors
from sememe.store import scan
from sememe.store.scan import Floats64, Mask, Slots
from sememe.store.vector_type import Kept, until

FILE = "codes.tv"
#: what a file was made by; another value means: make it anew
FORM = "1: turbovec, 4 bits"
BITS = 4
#: numbers (slots times dim) from which on codes are kept; below, the exact scan is as fast (docs/decisions)
FROM = 8_000_000
#: the widths that turbovec takes are multiples of 8 up to here
WIDEST = 16_384
#: the share of slots that may answer from which on they are not masked in the search itself
MOST = 0.8
#: rows coded at a time, and queries asked at a time
ROWS, QUERIES = 8192, 1024
#: a file that lacks more than this share of the slots is written again; fewer are coded when it is opened
BEHIND = 0.05
#: bytes that the first lines of the file may have
LINE = 1 << 26
#: vectors whose bytes tell whether a file of codes belongs to a vector file
SAMPLE = 64


@dataclass(frozen=True, slots=True)
class Origin:
    """What the codes are of: the store, its vector file, and how often that one was mended (`state.log_from`)."""

    store: str
    vectors: str
    mended: int


class Codes:
    """The codes of the first ``len`` slots of one vector file. Safe to share between threads.

    ``odd`` are the slots whose codes say nothing: vectors of no length, of one beyond what float32 can multiply, or
    damaged ones. They belong on every shortlist.
    """

    def __init__(self, dim: int, *, index: Any = None, odd: Slots | None = None) -> None:
        from turbovec import TurboQuantIndex

        self.dim, self.width = dim, -(-dim // 8) * 8
        self.odd: Slots = np.empty(0, np.int64) if odd is None else odd
        self._index = TurboQuantIndex(self.width, BITS) if index is None else index
        self._guard = threading.Lock()

    def __len__(self) -> int:
        return len(self._index)

    def extend(self, vectors: Kept) -> None:
        """Code the slots of ``vectors`` ``(slots, dim)`` that are not coded yet."""
        with self._guard:
            for start in range(len(self._index), len(vectors), ROWS):
                block = np.asarray(vectors[start : start + ROWS])
                lengths = scan.norms(block)
                odd = ~((lengths >= scan.ODD[0]) & (lengths <= scan.ODD[1]))
                rows = np.zeros((len(block), self.width), np.float32)
                with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
                    rows[:, : self.dim] = block / lengths[:, np.newaxis]
                rows[odd] = 0
                # The odd ones first: whoever finds a slot coded must also find it among these.
                self.odd = np.concatenate([self.odd, start + np.flatnonzero(odd)])
                self._index.add(rows, chunk_size=0)

    def nearest(self, queries: Floats64, wide: int, slots: int, allowed: Mask | None) -> list[Slots]:
        """For each query the ``wide`` slots that look best, best first; fewer where fewer may answer.

        Args:
            queries: float64 ``(q, dim)``, unit rows.
            slots: only the slots before this one exist for the reader.
            allowed: bool ``(slots,)``, which of them may answer; None for all.
        """
        asked = np.zeros((len(queries), self.width), np.float32)
        asked[:, : self.dim] = queries
        with self._guard:  # turbovec is safe by itself; this keeps the mask as long as the index
            mask = allowed
            if len(self._index) != slots:
                mask = np.zeros(len(self._index), bool)
                mask[:slots] = True if allowed is None else allowed
            found: list[Slots] = []
            for start in range(0, len(asked), QUERIES):
                found += self._nearest(asked[start : start + QUERIES], wide, mask)
        return found

    def _nearest(self, asked: Vectors, wide: int, mask: Mask | None) -> list[Slots]:
        share = 1.0 if mask is None else np.count_nonzero(mask) / len(mask)
        if mask is not None and share >= MOST:
            # A mask costs as much again as the search: where it takes out little, ask for more and take that out.
            rows = self._index.search(asked, int(1.1 * wide / share) + 10)[1]
            passing = [row[mask[row]][:wide] for row in rows]
            if all(len(row) == wide for row in passing):
                return passing
        return list(self._index.search(asked, wide, mask=mask)[1])

    def as_bytes(self) -> tuple[int, Slots, bytes]:
        """How many slots, the odd ones among them, and the codes."""
        with self._guard:
            return len(self._index), self.odd, self._index.to_bytes()


class Keeper:
    """The codes of one store, in memory and in its folder.

    Args:
        numbers: slots times dim from which on there are codes; None: `FROM`.
        writable: may the folder be written?
    """

    def __init__(self, folder: Path, dim: int, store: str, *, numbers: int | None, writable: bool) -> None:
        self.folder, self.dim, self.store, self.writable = folder, dim, store, writable
        self.numbers = FROM if numbers is None else numbers
        self._guard = threading.RLock()
        self._pid = os.getpid()
        self._last: tuple[Origin, int, Codes] | None = None

    def origin(self, vectors: str, mended: int) -> Origin:
        return Origin(self.store, vectors, mended)

    def of(self, origin: Origin, change: int, vectors: Kept) -> Codes | None:
        """Codes of at least all slots of ``vectors``, the mapped file of one state; None where a scan does.

        Args:
            change: the change that the state stands at.
        """
        slots = len(vectors)
        if not slots or slots * self.dim < self.numbers or self.dim > WIDEST:
            return None
        self._after_fork()
        with self._guard:
            last = self._last
            if last is not None and last[0] != origin:
                if change < last[1]:
                    return None  # a reader that stayed behind: not worth making the old ones again
                last = None
            found = last[2] if last is not None else (self._read(origin, vectors) or Codes(self.dim))
            saved = len(found) if last is None else None
            if len(found) < slots:
                found.extend(vectors)
            self._last = (origin, max(change, last[1] if last is not None else 0), found)
        if saved is not None and slots - saved > BEHIND * slots:
            self._write(origin, vectors, found)
        # Codes say nothing about odd rows; where there are many, a scan is as good.
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
        """Away with the codes, in memory and in the folder."""
        self.forget()
        with suppress(OSError):
            (self.folder / FILE).unlink(missing_ok=True)

    def check(self, origin: Origin, vectors: Kept) -> tuple[int, list[str]]:
        """How many slots the file holds, and what is wrong with it; that it is absent or of another vector file is
        nothing wrong, it is then made anew."""
        path = self.folder / FILE
        header = self._header()
        if not path.exists() or (header is not None and header["origin"] != asdict(origin)):
            return 0, []
        held = self._read(origin, vectors)
        if held is None:
            if header is not None and header["slots"] > len(vectors):
                return 0, []  # written after the state that is being verified
            return 0, ["codes: the file is damaged; it is made anew when it is needed"]
        fresh = Codes(self.dim)
        fresh.extend(until(vectors, len(held)))
        if fresh.as_bytes()[2] != held.as_bytes()[2] or not np.array_equal(fresh.odd, held.odd):
            return len(held), ["codes: they are not those of the vectors; delete the file, or repair"]
        return len(held), []

    def _after_fork(self) -> None:
        # A thread of the parent may have held a lock, of ours or of the library's, when this process was made.
        if self._pid != os.getpid():
            self._guard, self._last, self._pid = threading.RLock(), None, os.getpid()

    def _header(self) -> dict[str, Any] | None:
        """What the file says of itself, unchecked; None where there is none of this form."""
        try:
            with (self.folder / FILE).open("rb") as file:
                file.readline(16)
                header = json.loads(file.readline(LINE))
        except (OSError, ValueError):
            return None
        if not isinstance(header, dict) or header.get("form") != FORM or not isinstance(header.get("slots"), int):
            return None
        return header if isinstance(header.get("origin"), dict) else None

    def _read(self, origin: Origin, vectors: Kept) -> Codes | None:
        """The codes in the file if they are whole and of these vectors."""
        from turbovec import TurboQuantIndex

        header = self._header()
        if header is None or header["origin"] != asdict(origin) or not 0 < header["slots"] <= len(vectors):
            return None
        try:
            with (self.folder / FILE).open("rb") as file:
                checksum, line, payload = file.readline(16), file.readline(LINE), file.read()
            if checksum != b"%08x\n" % zlib.crc32(payload, zlib.crc32(line)):
                return None
            header = json.loads(line)
            if header["sample"] != _sample(vectors, header["slots"]):
                return None
            index = TurboQuantIndex.from_bytes(payload)
            odd = np.array(header["odd"], np.int64)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if len(index) != header["slots"] or index.dim != -(-self.dim // 8) * 8 or index.bit_width != BITS:
            return None
        return Codes(self.dim, index=index, odd=odd)

    def _write(self, origin: Origin, vectors: Kept, codes: Codes) -> None:
        """Replace the file as a whole. What cannot be written now is written another time."""
        if not self.writable:
            return
        slots, odd, payload = codes.as_bytes()
        if slots > len(vectors) or len(odd) > max(100, slots // 100):
            return
        header = {
            "form": FORM,
            "origin": asdict(origin),
            "slots": slots,
            "odd": odd.tolist(),
            "sample": _sample(vectors, slots),
        }
        line = json.dumps(header).encode() + b"\n"
        fresh = self.folder / f"codes.{os.getpid()}.new"
        try:
            for left in self.folder.glob("codes.*.new"):  # of a process that died
                left.unlink(missing_ok=True)
            with fresh.open("wb") as file:
                file.write(b"%08x\n" % zlib.crc32(payload, zlib.crc32(line)))
                file.write(line)
                file.write(payload)
            fresh.replace(self.folder / FILE)
        except OSError:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)


def _sample(vectors: Kept, slots: int) -> int:
    """A checksum over some of the first ``slots`` vectors, the last among them."""
    chosen: npt.NDArray[np.int64] = np.linspace(0, slots - 1, min(slots, SAMPLE)).astype(np.int64)
    return zlib.crc32(np.ascontiguousarray(vectors[chosen]).data)
