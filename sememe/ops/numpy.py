"""The operations in plain NumPy: eager, float32, short. What a network means is what this file computes.

It is the twin of every faster interpreter and the source of the glass box's numbers, so clarity comes before speed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence
from typing import Any

import numpy as np

from sememe.ops.contract import Inputs
from sememe.ops.rounding import restored

#: Any, not an array type: NumPy types most arithmetic as Any, and every line here is arithmetic
Array = Any


class NumpyOps:
    """An `Ops` whose tensors are arrays. ``wanted`` names the taps to keep; they are found in ``taps``. With ``int8``
    the matrices of `linear` are what eight bits leave of them."""

    def __init__(self, wanted: Container[str] = (), *, int8: bool = False) -> None:
        self.wanted = wanted
        self.int8 = int8
        self.taps: dict[str, Array] = {}

    def constant(self, array: Array) -> Array:
        return array

    def gather(self, table: Array, ids: Array) -> Array:
        return table[ids]

    def prefix(self, table: Array, like: Array) -> Array:
        return table[: like.shape[1]]

    def distances(self, like: Array) -> Array:
        place = np.arange(like.shape[1], dtype=np.int32)
        return place[None, :] - place[:, None]

    def pick(self, x: Array, index: Array) -> Array:
        return np.take_along_axis(x, np.broadcast_to(index, (*x.shape[:2], *index.shape)), axis=-1)

    def split(self, x: Array, sizes: Sequence[int]) -> list[Array]:
        return np.split(x, np.cumsum(sizes)[:-1], axis=-1)

    def concat(self, parts: Sequence[Array]) -> Array:
        return np.concatenate(parts, axis=-1)

    def transpose(self, x: Array, axes: Sequence[int]) -> Array:
        return x.transpose(axes)

    def linear(self, x: Array, weight: Array, bias: Array | None = None) -> Array:
        y = x @ (restored(weight) if self.int8 else weight).T
        return y if bias is None else y + bias

    def matmul(self, x: Array, y: Array) -> Array:
        return x @ y

    def add(self, x: Array, y: Array) -> Array:
        return x + y

    def multiply(self, x: Array, y: Array) -> Array:
        return x * y

    def layer_norm(self, x: Array, weight: Array, bias: Array | None, eps: float) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (centred**2).mean(axis=-1, keepdims=True)
        y = centred / np.sqrt(variance + np.float32(eps)) * weight
        return y if bias is None else y + bias

    def rms_norm(self, x: Array, weight: Array, eps: float) -> Array:
        return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + np.float32(eps)) * weight

    def split_heads(self, x: Array, heads: int) -> Array:
        b, n, h = x.shape
        return x.reshape(b, n, heads, h // heads).transpose(0, 2, 1, 3)  # (b, a, n, d)

    def merge_heads(self, x: Array) -> Array:
        b, a, n, d = x.shape
        return x.transpose(0, 2, 1, 3).reshape(b, n, a * d)

    def repeat_heads(self, x: Array, times: int) -> Array:
        return np.repeat(x, times, axis=1)

    def attention(
        self,
        q: Array,
        k: Array,
        v: Array,
        mask: Array,
        *,
        name: str,
        bias: Array | None = None,
        scale: float | None = None,
    ) -> Array:
        scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
        scores = q @ k.transpose(0, 1, 3, 2) * np.float32(scale)  # (b, a, n, n)
        if bias is not None:
            scores = scores + bias
        # The lowest number instead of -inf: padding may see nothing but padding, and must still not become NaN.
        scores = np.where(mask[:, None, None, :] > 0, scores, np.finfo(np.float32).min)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights = self.tap(name, weights / weights.sum(axis=-1, keepdims=True))
        return weights @ v

    def gelu(self, x: Array) -> Array:
        return x * np.float32(0.5) * (1 + _erf(x / np.float32(math.sqrt(2))))

    def gelu_tanh(self, x: Array) -> Array:
        inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x**3)
        return np.float32(0.5) * x * (1 + np.tanh(inner))

    def relu(self, x: Array) -> Array:
        return np.maximum(x, 0)

    def silu(self, x: Array) -> Array:
        return x * _sigmoid(x)

    def tanh(self, x: Array) -> Array:
        return np.tanh(x)

    def sigmoid(self, x: Array) -> Array:
        return _sigmoid(x)

    def log(self, x: Array) -> Array:
        return np.log(x)

    def squeeze(self, x: Array, axis: int) -> Array:
        return np.squeeze(x, axis)

    def unsqueeze(self, x: Array, axis: int) -> Array:
        return np.expand_dims(x, axis)

    def maximum(self, x: Array, mask: Array) -> Array:
        return np.where(mask[:, :, None] > 0, x, -np.inf).max(axis=1).astype(x.dtype)

    def normalize(self, x: Array) -> Array:
        length = np.sqrt((x**2).sum(axis=-1, keepdims=True))
        return np.asarray(x / np.maximum(length, np.float32(1e-12)))

    def tap(self, name: str, x: Array) -> Array:
        if name in self.wanted:
            self.taps[name] = x
        return x


def run(
    network: Callable[[NumpyOps, Inputs], Array], inputs: Inputs, wanted: Container[str] = (), *, int8: bool = False
) -> tuple[Array, dict[str, Array]]:
    """The result of ``network`` on ``inputs`` (arrays), and the taps that were asked for."""
    ops = NumpyOps(wanted, int8=int8)
    result = network(ops, inputs)
    return result, ops.taps


def _sigmoid(x: Array) -> Array:
    # exp of a positive number is never taken: it would overflow
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small)).astype(x.dtype)


_ERF = np.vectorize(math.erf, otypes=[np.float32])


def _erf(x: Array) -> Array:
    # NumPy has no error function. The standard library's is exact and slow, which is what a twin may be.
    return np.asarray(_ERF(x), np.float32)
