"""Many token vectors into one.

All ways but ``max`` are weighted sums whose weights depend on the length alone. So the weights, ``pool`` ``(b, n)``,
are made here in NumPy and handed to the network as an input, and one multiplication inside it serves them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sememe.errors import ModelError
from sememe.ops.contract import Inputs, Ops, Tensor

if TYPE_CHECKING:
    import numpy.typing as npt

KINDS = ("mean", "cls", "last", "max", "weighted_mean", "mean_sqrt_len")


def weights(kind: str, lengths: Sequence[int], width: int, *, skip: int = 0) -> npt.NDArray[np.float32]:
    """The weight of each token in the pooled vector: float32 ``(b, width)``.

    Args:
        kind: ``mean``: 1/n each · ``cls``: the first · ``last``: the last · ``weighted_mean``: i / Σi for the i-th
            token (Muennighoff 2022, arXiv 2202.08904) · ``mean_sqrt_len``: 1/√n each · ``max``: all ones, unused.
        lengths: tokens of each text.
        width: n of the padded batch.
        skip: leading tokens of a prompt that do not count.
    """
    if kind not in KINDS:
        raise ModelError(f'the pooling "{kind}" is not known', do=[f"known are: {', '.join(KINDS)}"])
    place = np.arange(width, dtype=np.float32)[None, :]  # (1, n)
    length = np.asarray(lengths, np.float32)[:, None]  # (b, 1)
    # A text that consists of the prompt alone still needs a vector.
    start = np.minimum(skip, np.maximum(length - 1, 0))
    counted = ((place >= start) & (place < length)).astype(np.float32)
    if kind == "cls":
        counted *= place == start
    elif kind == "last":
        counted *= place == length - 1
    elif kind == "weighted_mean":
        counted *= place + 1
    if kind == "max":
        return counted
    total = np.maximum(counted.sum(axis=1, keepdims=True), 1)
    counted /= np.sqrt(total) if kind == "mean_sqrt_len" else total
    return counted


def pool(ops: Ops, hidden: Tensor, inputs: Inputs, kind: str) -> Tensor:
    """``(b, n, h)`` to ``(b, h)`` by the weights ``inputs.pool``."""
    if kind == "max":
        pooled = ops.maximum(hidden, inputs.pool)
    else:
        pooled = ops.squeeze(ops.matmul(ops.unsqueeze(inputs.pool, 1), hidden), 1)  # (b, 1, n) @ (b, n, h)
    return ops.tap("pooled", pooled)
