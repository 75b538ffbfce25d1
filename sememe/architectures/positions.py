"""Where a token stands in the text: one short function for each scheme.

A scheme meets the network in one of three places. *Learned* and *sinusoidal* rows are added to the word vectors. *RoPE*
turns queries and keys before they meet. *ALiBi* and the buckets of *T5* add a number to each score that depends on the
distance of the two tokens alone; so do the masks that forbid looking ahead or far away, and all of these are one table
over distances, made here in NumPy and looked up in the network (`by_distance`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sememe.ops.contract import Ops, Tensor

if TYPE_CHECKING:
    import numpy.typing as npt

    Table = npt.NDArray[np.float32]

#: added to a score it forbids: after the softmax exactly 0
FORBIDDEN = np.float32(-1e9)


# --- rows that are added ---------------------------------------------------------------------------------------------


def learned(ops: Ops, table: Tensor, ids: Tensor) -> Tensor:
    """Rows 0 … n-1 of a trained table ``(longest, h)``: ``(n, h)`` (Devlin et al. 2019, arXiv 1810.04805)."""
    return ops.tap("positions", ops.prefix(table, ids))


def sinusoids(longest: int, width: int, *, base: float = 10000.0) -> Table:
    """``sin(p / base^(2i/h))`` and ``cos`` of the same, interleaved: float32 ``(longest, h)`` (Vaswani et al. 2017,
    arXiv 1706.03762, section 3.5)."""
    angle = np.arange(longest)[:, None] / base ** (np.arange(0, width, 2) / width)  # (longest, ⌈h/2⌉), float64
    table = np.zeros((longest, width), np.float32)
    table[:, 0::2] = np.sin(angle)
    table[:, 1::2] = np.cos(angle)[:, : width // 2]
    return table


# --- angles that queries and keys are turned by ----------------------------------------------------------------------


def frequencies(width: int, base: float) -> npt.NDArray[np.float64]:
    """RoPE's ``base^(-2i/d)`` for the d/2 pairs of a head: float64 ``(d/2,)`` (Su et al. 2021, arXiv
    2104.09864, eq. 15)."""
    return np.asarray(base ** (-np.arange(0, width, 2) / width), np.float64)


def angles(longest: int, frequency: npt.NDArray[np.float64], *, scale: float = 1.0) -> tuple[Table, Table]:
    """Cosine and sine of position times frequency, both float32 ``(longest, d/2)``; ``scale`` multiplies both."""
    turn = np.arange(longest)[:, None] * frequency
    return (np.cos(turn) * scale).astype(np.float32), (np.sin(turn) * scale).astype(np.float32)


def rotate(ops: Ops, x: Tensor, cosine: Tensor, sine: Tensor, *, half: int, rest: int = 0) -> Tensor:
    """``x`` ``(b, a, n, d)`` with each pair ``(x_i, x_{i+half})`` turned by its angle, as GPT-NeoX and LLaMA pair them.

    Args:
        cosine: ``(n, half)``, as is ``sine``.
        rest: the last so many numbers of a head stay as they are; d = 2 half + rest.
    """
    first, second, *still = ops.split(x, [half, half, *([rest] if rest else [])])
    minus = ops.constant(np.array([-1], np.float32))
    turned = [
        ops.add(ops.multiply(first, cosine), ops.multiply(ops.multiply(second, sine), minus)),
        ops.add(ops.multiply(second, cosine), ops.multiply(first, sine)),
    ]
    return ops.concat([*turned, *still])


# --- numbers that are added to a score, by distance ------------------------------------------------------------------


def by_distance(ops: Ops, table: Table, like: Tensor) -> Tensor:
    """A table over the distances ``j - i``, -(longest-1) … longest-1, as a bias ``(a, n, n)``.

    Args:
        table: float32 ``(2 longest - 1, a)``, or a = 1 for all heads.
        like: ``(b, n)``.
    """
    middle = ops.constant(np.array([len(table) // 2], np.int32))
    return ops.transpose(ops.gather(ops.constant(table), ops.add(ops.distances(like), middle)), (2, 0, 1))


def _distances(longest: int) -> npt.NDArray[np.int64]:
    return np.arange(-(longest - 1), longest)


def causal(longest: int) -> Table:
    """No token sees a later one: float32 ``(2 longest - 1, 1)``."""
    return np.where(_distances(longest) > 0, FORBIDDEN, np.float32(0))[:, None]


def window(longest: int, reach: int) -> Table:
    """No token sees one that is more than ``reach`` away: float32 ``(2 longest - 1, 1)``."""
    return np.where(np.abs(_distances(longest)) > reach, FORBIDDEN, np.float32(0))[:, None]


def alibi_slopes(heads: int) -> Table:
    """ALiBi's slope of each head: a geometric series from 2^(-8/a) (Press et al. 2021, arXiv 2108.12409, section 3).

    Where the number of heads is no power of two, the series of the next lower one, then every second member of the
    series of the next higher one, as the authors' code has it.
    """
    whole = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (i + 1) / whole) for i in range(whole)]
    slopes += [2 ** (-4 * (2 * i + 1) / whole) for i in range(heads - whole)]
    return np.array(slopes, np.float32)


def alibi(longest: int, slopes: Table) -> Table:
    """Minus slope times distance: float32 ``(2 longest - 1, a)``.

    The same on both sides, as in encoders (JinaBERT), which so know distance but not direction: a text and its reversal
    have equal scores. Decoders, as in the paper, add `causal`.
    """
    return -np.abs(_distances(longest))[:, None].astype(np.float32) * slopes[None, :]


def buckets(longest: int, count: int, furthest: int, *, both_sides: bool) -> npt.NDArray[np.int64]:
    """T5's number of each distance: near ones have their own, far ones share by their logarithm (Raffel et al. 2019,
    arXiv 1910.10683, section 2.1): int64 ``(2 longest - 1,)``.

    Args:
        count: how many buckets in all.
        furthest: from this distance on all are in the last one.
        both_sides: later tokens have half of the buckets; else they count as distance 0.
    """
    distance = _distances(longest)
    offset = np.zeros_like(distance)
    if both_sides:
        count //= 2
        offset = np.where(distance > 0, count, 0)
        distance = np.abs(distance)
    else:
        distance = np.maximum(-distance, 0)
    near = count // 2
    # in float32 as the original computes it: a bucket's border falls on the same distance
    steps = np.log(np.maximum(distance, 1).astype(np.float32) / near) / math.log(furthest / near) * (count - near)
    far = np.minimum(near + steps.astype(np.int64), count - 1)
    return np.asarray(np.where(distance < near, distance, far) + offset, np.int64)
