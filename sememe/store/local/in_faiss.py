"""What the two kinds of index in FAISS share: the vectors in float16, who may answer, and how many threads.

FAISS keeps a copy of the vectors at half their size, in memory only: they are put in again from the vector file when an
index is opened. FAISS's own files are never read, for it follows what stands in them without looking where it leads;
what we keep are plain arrays of numbers, each of which is looked at before FAISS gets it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from sememe.errors import MissingExtraError
from sememe.extras import require
from sememe.shapes import Vectors
from sememe.store.local.shortlist import mask_over, unit_rows
from sememe.store.scan import Floats64, Mask, Slots
from sememe.store.vector_type import Kept

#: rows that are put in at a time: between two such steps Ctrl-C is heard
ROWS = 4096
#: up to here one thread puts them in, so that a small index comes out the same every time
FEW = 10_000

#: the process in which this was imported: FAISS's threads do not live on in a forked child
_HOME = os.getpid()


def library(kind: str) -> Any:
    """FAISS.

    Raises:
        MissingExtraError: it is not installed.
    """
    policy = os.environ.get("OMP_WAIT_POLICY")
    # Read once, when FAISS is loaded. Threads that spin while they wait for each other take the processor from the one
    # that they wait for, as soon as anything else runs on the machine.
    os.environ["OMP_WAIT_POLICY"] = policy or "passive"
    try:
        return require("faiss", extra="faiss", purpose=f'index="{kind}"')
    except MissingExtraError as error:
        other = ("or without it", "sememe collections reindex NAME --index codes")
        raise MissingExtraError(error.what, why=error.why, do=[*error.do, other]) from None
    finally:
        if policy is None:
            del os.environ["OMP_WAIT_POLICY"]


@contextmanager
def threads(faiss: Any, rows: int) -> Iterator[None]:
    """As many threads as ``rows`` rows deserve; one in a forked child."""
    if rows > FEW and os.getpid() == _HOME:
        yield
        return
    usual = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(usual)


class InFaiss:
    """See `sememe.store.local.shortlist.Shortlist`; what is particular to a kind is in ``_fresh``, ``_put`` and
    ``_effort``."""

    kind: str

    def __init__(self, dim: int) -> None:
        self.faiss, self.dim = library(self.kind), dim
        self.odd: Slots = np.empty(0, np.int64)
        self._index: Any = None
        self._guard = threading.Lock()

    def __len__(self) -> int:
        return 0 if self._index is None else int(self._index.ntotal)

    def extend(self, vectors: Kept) -> None:
        with self._guard, threads(self.faiss, len(vectors) - len(self)):
            try:
                if not self._fits(len(vectors)):
                    self._fresh(vectors)
                for start in range(len(self), len(vectors), ROWS):
                    rows, odd = unit_rows(vectors[start : start + ROWS], self.dim)
                    # The odd ones first: whoever finds a slot must also find it among these.
                    self.odd = np.concatenate([self.odd, start + odd])
                    self._put(rows)
            except BaseException:
                # Whatever stopped FAISS in the middle: half a graph is none.
                self._index, self.odd = None, np.empty(0, np.int64)
                raise

    def nearest(self, queries: Floats64, wide: int, slots: int, allowed: Mask | None) -> list[Slots]:
        with self._guard, threads(self.faiss, 1):
            mask, share, selector = mask_over(len(self), slots, allowed), 1.0, None
            if mask is not None:
                share = max(np.count_nonzero(mask) / len(mask), 1e-6)
                selector = self.faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
            asked = np.ascontiguousarray(queries, np.float32)
            found = self._index.search(asked, wide, params=self._effort(wide, share, selector))[1]
        return [row[row >= 0] for row in found]

    def _fits(self, slots: int) -> bool:
        """May this many slots be in the index as it is?"""
        return self._index is not None

    def _fresh(self, vectors: Kept) -> None:
        """An index of nothing, for vectors like these."""
        raise NotImplementedError

    def _put(self, rows: Vectors) -> None:
        """Further rows: float32 ``(n, dim)``, unit or zero."""
        raise NotImplementedError

    def _effort(self, wide: int, share: float, selector: Any) -> Any:
        """How hard FAISS is to look for ``wide`` rows of which only this share may answer."""
        raise NotImplementedError
