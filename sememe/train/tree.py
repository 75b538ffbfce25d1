"""The tree of hierarchical softmax: frequent words have short ways (Huffman, 1952)."""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


class Tree(NamedTuple):
    """Of word w: the inner nodes on its way from the root, and 1 where it turns to the first child, 0 to the second,
    are at ``ends[w]:ends[w + 1]`` of ``nodes`` and ``signs``. There are ``len(ends) - 2`` inner nodes."""

    nodes: Ints
    signs: npt.NDArray[np.float32]
    ends: Ints


def huffman(counts: Ints) -> Tree:
    """The tree of words with these counts, ``(n,)`` with n ≥ 2."""
    size = len(counts)
    parent, sign = np.zeros(2 * size - 1, np.int64), np.zeros(2 * size - 1, np.float32)
    heap = [(int(count), word) for word, count in enumerate(counts)]
    heapq.heapify(heap)
    for node in range(size, 2 * size - 1):
        first, second = heapq.heappop(heap), heapq.heappop(heap)
        parent[first[1]] = parent[second[1]] = node
        sign[first[1]] = 1.0
        heapq.heappush(heap, (first[0] + second[0], node))
    nodes: list[int] = []
    signs: list[float] = []
    ends, root = [0], 2 * size - 2
    for word in range(size):
        way, turns, at = [], [], word
        while at != root:
            way.append(int(parent[at]) - size)
            turns.append(float(sign[at]))
            at = int(parent[at])
        nodes += reversed(way)
        signs += reversed(turns)
        ends.append(len(nodes))
    return Tree(np.array(nodes, np.int64), np.array(signs, np.float32), np.array(ends, np.int64))
