"""Codes of the vectors, four bits a dimension: a small copy that is read in a fraction of the time of the vectors."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from sememe.shapes import Vectors
from sememe.store.local.shortlist import Kind, mask_over, unit_rows
from sememe.store.scan import Floats64, Mask, Slots
from sememe.store.vector_type import Kept

BITS = 4
#: the widths that turbovec takes are multiples of 8 up to here
WIDEST = 16_384
#: the share of slots that may answer from which on they are not masked in the search itself
MOST = 0.8
#: rows coded at a time, and queries asked at a time
ROWS, QUERIES = 8192, 1024


class Codes:
    """See `sememe.store.local.shortlist.Shortlist`."""

    def __init__(self, dim: int, *, index: Any = None, odd: Slots | None = None) -> None:
        from turbovec import TurboQuantIndex

        self.dim, self.width = dim, -(-dim // 8) * 8
        self.odd: Slots = np.empty(0, np.int64) if odd is None else odd
        self._index = TurboQuantIndex(self.width, BITS) if index is None else index
        self._guard = threading.Lock()

    def __len__(self) -> int:
        return len(self._index)

    def extend(self, vectors: Kept) -> None:
        with self._guard:
            for start in range(len(self._index), len(vectors), ROWS):
                rows, odd = unit_rows(vectors[start : start + ROWS], self.width)
                # The odd ones first: whoever finds a slot coded must also find it among these.
                self.odd = np.concatenate([self.odd, start + odd])
                self._index.add(rows, chunk_size=0)

    def nearest(self, queries: Floats64, wide: int, slots: int, allowed: Mask | None) -> list[Slots]:
        asked = np.zeros((len(queries), self.width), np.float32)
        asked[:, : self.dim] = queries
        with self._guard:  # turbovec is safe by itself; this keeps the mask as long as the index
            mask = mask_over(len(self._index), slots, allowed)
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
        with self._guard:
            return len(self._index), self.odd, self._index.to_bytes()

    @classmethod
    def read(cls, payload: bytes, odd: Slots, vectors: Kept) -> Codes:
        """The codes that ``payload`` holds, of ``vectors`` ``(slots, dim)``.

        Raises:
            ValueError: they are not of so many vectors, or not of this width.
        """
        from turbovec import TurboQuantIndex

        index, (slots, dim) = TurboQuantIndex.from_bytes(payload), vectors.shape
        if len(index) != slots or index.dim != -(-dim // 8) * 8 or index.bit_width != BITS:
            raise ValueError("not the codes of these vectors")
        return cls(dim, index=index, odd=odd)


KIND = Kind("codes", "codes.tv", "1: turbovec, 4 bits", WIDEST, 0.0, True, Codes, Codes.read)
