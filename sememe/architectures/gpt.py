"""The decoder that GPT-2 made common: norms before each step, one product for queries, keys and values. GPT-2,
GPT-NeoX, BLOOM and MPT are this, with other positions and other names; each has its file.

Taps: ``embeddings``, and for each layer i ``layers.i.attention`` ``(b, a, n, n)`` and ``layers.i.output``
``(b, n, h)``, which for the last layer is what the last norm gets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.architectures import positions
from sememe.architectures.activations import activation
from sememe.architectures.rope import Rope
from sememe.ops.contract import Inputs, Ops, Tensor

if TYPE_CHECKING:
    import numpy.typing as npt

#: weight ``(out, in)`` and bias ``(out,)``, or None
Dense = tuple[Any, Any]


@dataclass(frozen=True, slots=True)
class GptConfig:
    """The published numbers of one decoder of this kind.

    ``parallel`` feeds both steps from the same vectors; ``slopes`` are ALiBi's; ``scales`` multiply the scores of each
    layer.
    """

    layers: int
    width: int
    heads: int
    inner: int
    positions: int
    activation: str
    eps: float
    scales: tuple[float, ...]
    parallel: bool = False
    residual_after_norm: bool = False
    rope: Rope | None = None
    slopes: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Layer:
    """The weights of one layer."""

    first_norm: Dense
    second_norm: Dense
    q: Dense
    k: Dense
    v: Dense
    out: Dense
    up: Dense
    down: Dense


def fused(weight: Any, bias: Any, heads: int, *, by_head: bool) -> list[Dense]:
    """Queries, keys and values out of their one product.

    Args:
        weight: ``(3h, h)``.
        by_head: the rows of each head stand together, its queries, then its keys, then its values.
    """
    h = weight.shape[1]
    parts: npt.NDArray[Any]
    if by_head:
        parts = weight.reshape(heads, 3, -1, h).transpose(1, 0, 2, 3).reshape(3, -1, h)
        biases = [None] * 3 if bias is None else bias.reshape(heads, 3, -1).transpose(1, 0, 2).reshape(3, -1)
    else:
        parts = weight.reshape(3, -1, h)
        biases = [None] * 3 if bias is None else bias.reshape(3, -1)
    return list(zip(parts, biases, strict=True))


def decoder(ops: Ops, config: GptConfig, layer: Callable[[int], Layer], x: Tensor, inputs: Inputs) -> Tensor:
    """``x`` ``(b, n, h)`` through every layer, not yet through the last norm."""
    x = ops.tap("embeddings", x)
    table = positions.causal(config.positions)
    if config.slopes:
        table = table + positions.alibi(config.positions, np.array(config.slopes, np.float32))
    bias = positions.by_distance(ops, table, inputs.ids)
    turn = config.rope.turn(ops, inputs, config.positions) if config.rope else None
    for i in range(config.layers):
        weights = layer(i)
        y = _norm(ops, x, weights.first_norm, config)
        q, k, v = (ops.split_heads(ops.linear(y, *dense), config.heads) for dense in (weights.q, weights.k, weights.v))
        if config.rope and turn:
            q, k = config.rope.rotate(ops, q, turn), config.rope.rotate(ops, k, turn)
        name = f"layers.{i}.attention"
        seen = ops.attention(q, k, v, inputs.mask, name=name, bias=bias, scale=config.scales[i])
        seen = ops.linear(ops.merge_heads(seen), *weights.out)
        between = ops.add(y if config.residual_after_norm else x, seen)
        z = _norm(ops, x if config.parallel else between, weights.second_norm, config)
        inner = activation(ops, config.activation, ops.linear(z, *weights.up))  # (b, n, inner)
        x = ops.add(z if config.residual_after_norm else between, ops.linear(inner, *weights.down))
        x = ops.tap(f"layers.{i}.output", x)
    return x


def _norm(ops: Ops, x: Tensor, norm: Dense, config: GptConfig) -> Tensor:
    return ops.layer_norm(x, *norm, config.eps)
