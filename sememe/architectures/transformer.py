"""The encoder of the first Transformer (Vaswani et al. 2017, arXiv 1706.03762): sinusoids added to word vectors, norms
after each step. Its weights have the names of torch's ``nn.TransformerEncoder``, with the table of word vectors beside.

Taps: ``rows``, ``positions``, ``embeddings``, and for each layer i ``layers.i.attention`` and ``layers.i.output``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sememe.architectures import positions
from sememe.architectures.activations import activation
from sememe.architectures.config import flag, number, positive
from sememe.architectures.family import Family, Shapes
from sememe.ops.contract import Inputs, Ops, Tensor, Weight


@dataclass(frozen=True, slots=True)
class TransformerConfig:
    """The numbers of one, under the names that torch's constructor has. ``norm_first`` is the later order of steps."""

    layers: int
    heads: int
    width: int
    inner: int
    activation: str
    eps: float
    positions: int
    norm_first: bool

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> TransformerConfig:
        """Out of ``config.json``.

        Raises:
            ModelError: a number is missing or impossible.
        """
        return cls(
            layers=positive(config, "num_layers"),
            heads=positive(config, "nhead", divides="d_model"),
            width=positive(config, "d_model"),
            inner=positive(config, "dim_feedforward", default=2048),
            activation=str(config.get("activation", "relu")),
            eps=number(config, "layer_norm_eps", default=1e-5),
            positions=positive(config, "max_position_embeddings", default=512),
            norm_first=flag(config, "norm_first", default=False),
        )


def shapes(config: TransformerConfig) -> Shapes:
    """What the weights must look like."""
    h, inner = config.width, config.inner
    table: Shapes = {"embedding.weight": (None, h)}
    for layer in range(config.layers):
        at = f"layers.{layer}."
        table |= {f"{at}self_attn.in_proj_weight": (3 * h, h), f"{at}self_attn.in_proj_bias": (3 * h,)}
        for part, shape in (("self_attn.out_proj", (h, h)), ("linear1", (inner, h)), ("linear2", (h, inner))):
            table |= {f"{at}{part}.weight": shape, f"{at}{part}.bias": shape[:1]}
        for norm in ("norm1", "norm2"):
            table |= {f"{at}{norm}.weight": (h,), f"{at}{norm}.bias": (h,)}
    return table


def transformer(ops: Ops, weight: Weight, config: TransformerConfig, inputs: Inputs) -> Tensor:
    """The last layer's vectors: ``(b, n, h)``."""
    rows = ops.tap("rows", ops.gather(ops.constant(weight("embedding.weight")), inputs.ids))
    rows = ops.multiply(rows, ops.constant(np.array([math.sqrt(config.width)], np.float32)))  # section 3.4
    table = ops.constant(positions.sinusoids(config.positions, config.width))
    x = ops.tap("embeddings", ops.add(rows, ops.tap("positions", ops.prefix(table, inputs.ids))))
    for layer in range(config.layers):

        def of_layer(name: str, layer: int = layer) -> Any:
            return weight(f"layers.{layer}.{name}")

        x = block(ops, of_layer, config, x, inputs.mask, layer)
    return x


def block(ops: Ops, weight: Weight, config: TransformerConfig, x: Tensor, mask: Tensor, layer: int) -> Tensor:
    """One layer: attention, then the feed-forward step, each added to its input and normalised."""

    def norm(y: Tensor, name: str) -> Tensor:
        return ops.layer_norm(y, weight(f"{name}.weight"), weight(f"{name}.bias"), config.eps)

    def attend(y: Tensor) -> Tensor:
        weights, biases = np.split(weight("self_attn.in_proj_weight"), 3), np.split(weight("self_attn.in_proj_bias"), 3)
        q, k, v = (ops.split_heads(ops.linear(y, w, b), config.heads) for w, b in zip(weights, biases, strict=True))
        seen = ops.merge_heads(ops.attention(q, k, v, mask, name=f"layers.{layer}.attention"))
        return ops.linear(seen, weight("self_attn.out_proj.weight"), weight("self_attn.out_proj.bias"))

    def feed(y: Tensor) -> Tensor:
        inner = activation(ops, config.activation, ops.linear(y, weight("linear1.weight"), weight("linear1.bias")))
        return ops.linear(inner, weight("linear2.weight"), weight("linear2.bias"))

    if config.norm_first:
        x = ops.add(x, attend(norm(x, "norm1")))
        x = ops.add(x, feed(norm(x, "norm2")))
    else:
        x = norm(ops.add(x, attend(x)), "norm1")
        x = norm(ops.add(x, feed(x)), "norm2")
    return ops.tap(f"layers.{layer}.output", x)


FAMILY = Family(TransformerConfig.read, shapes, transformer)
