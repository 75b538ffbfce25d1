"""The encoder of T5 (Raffel et al. 2019, arXiv 1910.10683), as sentence-t5 and GTR use it: RMS norms before each step,
no biases, and a bias by distance that the first layer learns and all share.

Taps: ``rows``, ``embeddings``, and for each layer i ``layers.i.attention`` and ``layers.i.output``, which for the last
layer is what the last norm gets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sememe.architectures import positions
from sememe.architectures.activations import activation
from sememe.architectures.config import number, positive
from sememe.architectures.family import Family, Shapes
from sememe.ops.contract import Inputs, Ops, Tensor, Weight


@dataclass(frozen=True, slots=True)
class T5Config:
    """The published numbers. ``head`` is the width of a head; ``by_layer`` is mT5's later kin (umT5), where each layer
    learns the bias."""

    layers: int
    heads: int
    head: int
    width: int
    inner: int
    activation: str
    gated: bool
    eps: float
    positions: int
    buckets: int
    furthest: int
    by_layer: bool = False

    @classmethod
    def read(cls, config: Mapping[str, Any], *, by_layer: bool = False) -> T5Config:
        """Out of ``config.json``.

        Raises:
            ModelError: a number is missing or impossible.
        """
        kind = str(config.get("feed_forward_proj", "relu"))
        word = kind.removeprefix("gated-")
        return cls(
            layers=positive(config, "num_layers"),
            heads=positive(config, "num_heads"),
            head=positive(config, "d_kv"),
            width=positive(config, "d_model"),
            inner=positive(config, "d_ff"),
            activation="gelu_new" if kind == "gated-gelu" else word,
            gated=kind.startswith("gated-"),
            eps=number(config, "layer_norm_epsilon", default=1e-6),
            positions=positive(config, "n_positions", default=512),
            buckets=positive(config, "relative_attention_num_buckets", default=32),
            furthest=positive(config, "relative_attention_max_distance", default=128),
            by_layer=by_layer,
        )


def shapes(config: T5Config) -> Shapes:
    """What the weights must look like."""
    h, all_heads = config.width, config.heads * config.head
    table: Shapes = {"shared.weight": (None, h), "encoder.final_layer_norm.weight": (h,)}
    for layer in range(config.layers):
        at = f"encoder.block.{layer}.layer."
        table |= {f"{at}0.SelfAttention.{part}.weight": (all_heads, h) for part in "qkv"}
        table |= {f"{at}0.SelfAttention.o.weight": (h, all_heads)}
        table |= {f"{at}{step}.layer_norm.weight": (h,) for step in (0, 1)}
        ways = ("wi_0", "wi_1") if config.gated else ("wi",)
        table |= {f"{at}1.DenseReluDense.{way}.weight": (config.inner, h) for way in ways}
        table |= {f"{at}1.DenseReluDense.wo.weight": (h, config.inner)}
        if config.by_layer or not layer:
            table[f"{at}0.SelfAttention.relative_attention_bias.weight"] = (config.buckets, config.heads)
    return table


def t5(ops: Ops, weight: Weight, config: T5Config, inputs: Inputs) -> Tensor:
    """The last layer's vectors, normalised: ``(b, n, h)``."""
    x = ops.tap("rows", ops.gather(ops.constant(weight("shared.weight")), inputs.ids))
    x = ops.tap("embeddings", x)
    bucket = positions.buckets(config.positions, config.buckets, config.furthest, both_sides=True)
    bias: Tensor = None
    for layer in range(config.layers):

        def of_layer(name: str, layer: int = layer) -> Any:
            return weight(f"encoder.block.{layer}.layer.{name}")

        if config.by_layer or not layer:
            table = of_layer("0.SelfAttention.relative_attention_bias.weight")
            bias = positions.by_distance(ops, table[bucket], inputs.ids)
        x = block(ops, of_layer, config, x, (inputs.mask, bias), layer)
    return ops.rms_norm(x, weight("encoder.final_layer_norm.weight"), config.eps)


def block(ops: Ops, weight: Weight, config: T5Config, x: Tensor, sight: tuple[Tensor, Tensor], layer: int) -> Tensor:
    """One layer: attention, then the feed-forward step, each over a normalised copy and added. ``sight`` is the mask of
    padding and the bias ``(a, n, n)``."""

    def dense(y: Tensor, name: str) -> Tensor:
        return ops.linear(y, weight(f"{name}.weight"))

    y = ops.rms_norm(x, weight("0.layer_norm.weight"), config.eps)
    q, k, v = (ops.split_heads(dense(y, f"0.SelfAttention.{part}"), config.heads) for part in "qkv")
    # the scale of the scores is part of the trained weights
    seen = ops.attention(q, k, v, sight[0], name=f"layers.{layer}.attention", bias=sight[1], scale=1.0)
    x = ops.add(x, dense(ops.merge_heads(seen), "0.SelfAttention.o"))
    y = ops.rms_norm(x, weight("1.layer_norm.weight"), config.eps)
    inner = activation(ops, config.activation, dense(y, f"1.DenseReluDense.{'wi_0' if config.gated else 'wi'}"))
    if config.gated:
        inner = ops.multiply(inner, dense(y, "1.DenseReluDense.wi_1"))
    return ops.tap(f"layers.{layer}.output", ops.add(x, dense(inner, "1.DenseReluDense.wo")))


def _umt5(config: Mapping[str, Any]) -> T5Config:
    return T5Config.read(config, by_layer=True)


FAMILY = Family(T5Config.read, shapes, t5)
UMT5 = Family(_umt5, shapes, t5)
