"""A graph in which each vector knows its neighbours (HNSW), searched from one to the next by FAISS.

What is kept in the file is the graph alone: the level of each node, and its neighbours on each.
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

#: neighbours of a node, twice as many on the ground; candidates looked at when one is put in, and at least in a search
NEIGHBOURS, BUILD, SEARCH = 16, 128, 256
#: levels that a graph of FAISS has room for, with as many neighbours: one node in 16 stands on the next
LEVELS = 8

Ints = npt.NDArray[np.int32]


class Hnsw(InFaiss):
    """See `sememe.store.local.shortlist.Shortlist`."""

    kind = "hnsw"

    def _fresh(self, vectors: Kept) -> None:
        half = self.faiss.ScalarQuantizer.QT_fp16
        self._index = self.faiss.IndexHNSWSQ(self.dim, half, NEIGHBOURS, self.faiss.METRIC_INNER_PRODUCT)
        self._index.hnsw.efConstruction = BUILD
        self.odd = np.empty(0, np.int64)

    def _put(self, rows: Vectors) -> None:
        self._index.add(rows)

    def _effort(self, wide: int, share: float, selector: Any) -> Any:
        # Nodes that may not answer are walked through all the same.
        return self.faiss.SearchParametersHNSW(efSearch=int(max(SEARCH, 2 * wide) / share), sel=selector)

    def as_bytes(self) -> tuple[int, Slots, bytes]:
        with self._guard:
            graph = self._index.hnsw
            levels: Ints = self.faiss.vector_to_array(graph.levels).astype("<i4")
            neighbours: Ints = self.faiss.vector_to_array(graph.neighbors).astype("<i4")
            head = struct.pack("<qq", len(levels), graph.entry_point)
            return len(levels), self.odd, head + levels.tobytes() + neighbours.tobytes()

    @classmethod
    def read(cls, payload: bytes, odd: Slots, vectors: Kept) -> Hnsw:
        """The graph that ``payload`` holds, over ``vectors`` ``(slots, dim)``.

        Raises:
            ValueError: it is no graph of as many nodes.
        """
        levels, neighbours, entry = _checked(payload, len(vectors))
        self = cls(vectors.shape[1])
        self._fresh(vectors)
        faiss, index = self.faiss, self._index
        with threads(faiss, len(vectors)):
            for start in range(0, len(vectors), ROWS):
                index.storage.add(unit_rows(vectors[start : start + ROWS], self.dim)[0])
        graph = index.hnsw
        faiss.copy_array_to_vector(levels, graph.levels)
        faiss.copy_array_to_vector(_offsets(levels).astype(np.uint64), graph.offsets)
        faiss.copy_array_to_vector(neighbours, graph.neighbors)
        graph.entry_point, graph.max_level = entry, int(levels[entry]) - 1
        index.ntotal, self.odd = len(vectors), odd
        return self


def _offsets(levels: Ints) -> Slots:
    """Where the neighbours of each node begin, and where the last one's end: ``(n + 1,)``."""
    return np.concatenate([[0], np.cumsum(NEIGHBOURS * (levels.astype(np.int64) + 1))])


def _checked(payload: bytes, slots: int) -> tuple[Ints, Ints, int]:
    """The levels, the neighbours and the node to begin with, of a graph in which every step leads to a node."""
    head = struct.calcsize("<qq")
    count, entry = struct.unpack_from("<qq", payload) if len(payload) >= head else (-1, -1)
    if count != slots or len(payload) < head + 4 * slots:
        raise ValueError("not a graph of these vectors")
    numbers = np.frombuffer(payload, "<i4", offset=head).astype(np.int32)
    levels, neighbours = numbers[:slots], numbers[slots:]
    if levels.min() < 1 or levels.max() > LEVELS:
        raise ValueError("levels out of range")
    offsets = _offsets(levels)
    if offsets[-1] != len(neighbours) or neighbours.min() < -1 or neighbours.max() >= slots:
        raise ValueError("neighbours out of range")
    if not 0 <= entry < slots or levels[entry] != levels.max():
        raise ValueError("the graph has no top")
    for level in range(1, int(levels.max())):
        # On a level above the ground there are only nodes that reach so high: FAISS reads on from each.
        nodes = np.flatnonzero(levels > level)
        places = (offsets[nodes] + NEIGHBOURS * (level + 1))[:, np.newaxis] + np.arange(NEIGHBOURS)
        known = neighbours[places]
        if (levels[known[known >= 0]] <= level).any():
            raise ValueError("a neighbour does not stand on its level")
    return levels, neighbours, entry


KIND = Kind("hnsw", "graph.hnsw", "1: float16, 16 neighbours", 1 << 16, 0.1, False, Hnsw, Hnsw.read)
