"""Cells around centres that were learned from the vectors (IVF); a search reads the nearest cells, by FAISS.

What is kept in the file are the centres and the cell of each slot.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from sememe.shapes import Vectors
from sememe.store.local.in_faiss import ROWS, InFaiss, threads
from sememe.store.local.shortlist import Kind, unit_rows
from sememe.store.scan import Slots
from sememe.store.vector_type import Kept

#: cells: this many times the square root of the rows, and rows that each must have
CELLS, ROWS_OF_ONE = 2.0, 39
#: rows that the centres are learned from, for each of them; rounds of learning
SAMPLE, ROUNDS = 50, 10
#: the share of the cells that a search reads, and how many at least
READ, AT_LEAST = 0.1, 16
#: once there are this many times the rows that the cells were made for, they are made anew
OUTGROWN = 4
#: the length of the shortlist that the share is meant for
USUAL = 100


class Ivf(InFaiss):
    """See `sememe.store.local.shortlist.Shortlist`."""

    kind = "ivf"

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self._for = 0  # the rows that the cells were made for
        self._cells: list[npt.NDArray[np.int64]] = []  # of each slot, in parts

    def _fits(self, slots: int) -> bool:
        return self._index is not None and slots <= OUTGROWN * self._for

    def _fresh(self, vectors: Kept) -> None:
        slots = len(vectors)
        cells = max(1, min(int(CELLS * slots**0.5), slots // ROWS_OF_ONE))
        places = np.unique(np.linspace(0, slots - 1, min(slots, SAMPLE * cells)).astype(np.int64))
        learning = self.faiss.Kmeans(
            self.dim, cells, niter=ROUNDS, seed=1, spherical=True, min_points_per_centroid=1,
            max_points_per_centroid=SAMPLE,
        )  # fmt: skip
        learning.train(unit_rows(vectors[places], self.dim)[0])
        self._with(learning.centroids, slots)

    def _with(self, centres: Vectors, slots: int) -> None:
        """An index of nothing with these centres, float32 ``(cells, dim)``."""
        faiss, ip = self.faiss, self.faiss.METRIC_INNER_PRODUCT
        self._centres = faiss.IndexFlatIP(self.dim)
        self._centres.add(centres)
        half = faiss.ScalarQuantizer.QT_fp16
        self._index = faiss.IndexIVFScalarQuantizer(self._centres, self.dim, len(centres), half, ip, False)
        self._index.is_trained = True
        self.odd, self._cells, self._for = np.empty(0, np.int64), [], slots

    def _put(self, rows: Vectors) -> None:
        cells = np.ascontiguousarray(self._centres.search(rows, 1)[1][:, 0])
        # A row that no centre is nearest to is damaged, odd therefore, and may stand anywhere.
        self._put_into(rows, np.maximum(cells, 0))

    def _put_into(self, rows: Vectors, cells: npt.NDArray[np.int64]) -> None:
        pointer = self.faiss.swig_ptr
        self._index.add_core(len(rows), pointer(rows), None, pointer(cells))
        self._cells.append(cells)

    def _effort(self, wide: int, share: float, selector: Any) -> Any:
        read = max(READ * self._index.nlist, AT_LEAST) * max(1, wide / USUAL) / share
        return self.faiss.SearchParametersIVF(nprobe=min(int(read), self._index.nlist), sel=selector)

    def as_bytes(self) -> tuple[int, Slots, bytes]:
        with self._guard:
            centres = self._centres.reconstruct_n(0, self._centres.ntotal).astype("<f4")
            cells = np.concatenate(self._cells).astype("<i4")
            head = struct.pack("<qqq", len(cells), len(centres), self._for)
            return len(cells), self.odd, head + cells.tobytes() + centres.tobytes()

    @classmethod
    def read(cls, payload: bytes, odd: Slots, vectors: Kept) -> Ivf:
        """The cells that ``payload`` holds, with ``vectors`` ``(slots, dim)``.

        Raises:
            ValueError: they are no cells of as many vectors.
        """
        slots, dim = vectors.shape
        head = struct.calcsize("<qqq")
        held, count, made_for = struct.unpack_from("<qqq", payload) if len(payload) >= head else (-1, 0, 0)
        if held != slots or not 0 < count <= slots or made_for < 1 or len(payload) != head + 4 * (slots + count * dim):
            raise ValueError("not cells of these vectors")
        cells = np.frombuffer(payload, "<i4", slots, head).astype(np.int64)
        centres = np.frombuffer(payload, "<f4", offset=head + 4 * slots).reshape(count, dim).astype(np.float32)
        if cells.min() < 0 or cells.max() >= count or not np.isfinite(centres).all():
            raise ValueError("cells out of range")
        self = cls(dim)
        self._with(centres, made_for)
        with threads(self.faiss, slots):
            for start in range(0, slots, ROWS):
                rows = unit_rows(vectors[start : start + ROWS], dim)[0]
                self._put_into(rows, np.ascontiguousarray(cells[start : start + ROWS]))
        self.odd = odd
        return self


KIND = Kind("ivf", "cells.ivf", "1: float16", 1 << 16, 0.1, False, Ivf, Ivf.read)
