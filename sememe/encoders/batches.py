"""Token lists of mixed length into batches of similar length.

A batch is as wide as its longest member, and what is narrower is padded; so members are sorted by length. How many
there are is bounded by tokens, not by texts: a batch of long texts costs as much as one of many short ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from sememe.ops.contract import Inputs

#: which texts of a window a batch holds
Rows = npt.NDArray[np.intp]


def plan(lengths: Sequence[int], *, budget: int, step: int) -> list[Rows]:
    """Which rows go together: longest first, at most ``budget`` padded tokens a batch (one row may exceed it).

    Args:
        step: widths are rounded up to a multiple of it, so that the processor's tiles are full and few different
            shapes occur.
    """
    order = np.argsort(-np.asarray(lengths, np.int64), kind="stable")
    batches, first = [], 0
    while first < len(order):
        rows = max(1, budget // rounded(lengths[order[first]], step))
        batches.append(order[first : first + rows])
        first += rows
    return batches


def rounded(length: int, step: int) -> int:
    """``length`` up to the next multiple of ``step``."""
    return -(-length // step) * step


def pad(
    ids: Sequence[Sequence[int]],
    rows: Rows,
    *,
    step: int,
    limit: int,
    pad_id: int,
    pool: Callable[[list[int], int], npt.NDArray[np.float32]],
) -> Inputs:
    """The inputs of one batch, each ``(len(rows), width)``, padded at the right.

    Args:
        limit: the width never exceeds it: the network has no positions beyond.
        pool: the pooling weights of lengths at a width (`architectures.pooling.weights`).
    """
    lengths = [len(ids[row]) for row in rows]
    width = min(rounded(max(lengths), step), limit)
    padded = np.full((len(rows), width), pad_id, np.int32)
    mask = np.zeros((len(rows), width), np.float32)
    for at, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        padded[at, :length] = ids[row]
        mask[at, :length] = 1
    return Inputs(padded, mask, pool(lengths, width))
