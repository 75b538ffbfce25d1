"""MPT (MosaicML 2023): a decoder with ALiBi and no biases.

Taps: ``rows``, and those of `gpt`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sememe.architectures.config import number, positive
from sememe.architectures.family import Family, Shapes
from sememe.architectures.gpt import GptConfig, Layer, decoder, fused
from sememe.errors import ModelError
from sememe.ops.contract import Inputs, Ops, Tensor, Weight


def read(config: Mapping[str, Any]) -> GptConfig:
    """Out of ``config.json``.

    Raises:
        ModelError: a number is missing or impossible, or the attention is of a kind that sememe does not run.
    """
    attention = config.get("attn_config") or {}
    if not isinstance(attention, Mapping):
        raise ModelError('config.json: "attn_config" is not an object', why=[f"{attention!r:.200}"])
    fixed = {"alibi": True, "attn_type": "multihead_attention", "clip_qkv": None, "qk_ln": False, "prefix_lm": False}
    odd = [
        f"{key} is {attention[key]!r:.50}"
        for key, value in fixed.items()
        if key in attention and attention[key] != value
    ]
    if odd or (attention and "alibi" not in attention):
        raise ModelError("config.json: MPT with an attention that sememe does not run", why=odd or ["it has no ALiBi"])
    layers, width = positive(config, "n_layers"), positive(config, "d_model")
    heads = positive(config, "n_heads", divides="d_model")
    scale = attention.get("softmax_scale") or (width // heads) ** -0.5
    return GptConfig(
        layers=layers,
        width=width,
        heads=heads,
        inner=4 * width,
        positions=positive(config, "max_seq_len", default=2048),
        activation="gelu",
        eps=number(config, "layer_norm_epsilon", default=1e-5),
        scales=(number({"softmax_scale": scale}, "softmax_scale", default=1.0),) * layers,
        slopes=slopes(heads, number(attention, "alibi_bias_max", default=8)),
    )


def slopes(heads: int, most: float) -> tuple[float, ...]:
    """ALiBi's slopes as MPT has them: where the heads are no power of two, another choice than the paper's code makes.

    ``most`` is the config's ``alibi_bias_max``, as the authors' code reads it (transformers 5 takes 8 always).
    """
    whole = 1 << (heads - 1).bit_length()
    series = 2.0 ** (-np.arange(1, whole + 1) * (most / whole))
    if whole != heads:
        series = np.concatenate([series[1::2], series[::2]])[:heads]
    return tuple(series.tolist())


def shapes(config: GptConfig) -> Shapes:
    """What the weights must look like."""
    h, inner = config.width, config.inner
    table: Shapes = {"wte.weight": (None, h), "norm_f.weight": (h,)}
    for layer in range(config.layers):
        at = f"blocks.{layer}."
        table |= {f"{at}norm_1.weight": (h,), f"{at}norm_2.weight": (h,), f"{at}attn.Wqkv.weight": (3 * h, h)}
        table |= {f"{at}attn.out_proj.weight": (h, h), f"{at}ffn.up_proj.weight": (inner, h)}
        table[f"{at}ffn.down_proj.weight"] = (h, inner)
    return table


def mpt(ops: Ops, weight: Weight, config: GptConfig, inputs: Inputs) -> Tensor:
    """The last layer's vectors, normalised: ``(b, n, h)``."""

    def one(name: str) -> tuple[Any, None]:
        return weight(f"{name}.weight"), None

    def layer(i: int) -> Layer:
        at = f"blocks.{i}."
        q, k, v = fused(weight(f"{at}attn.Wqkv.weight"), None, config.heads, by_head=False)
        return Layer(
            one(f"{at}norm_1"),
            one(f"{at}norm_2"),
            q,
            k,
            v,
            out=one(f"{at}attn.out_proj"),
            up=one(f"{at}ffn.up_proj"),
            down=one(f"{at}ffn.down_proj"),
        )

    x = ops.tap("rows", ops.gather(ops.constant(weight("wte.weight")), inputs.ids))
    return ops.layer_norm(decoder(ops, config, layer, x, inputs), weight("norm_f.weight"), None, config.eps)


FAMILY = Family(read, shapes, mpt, prefixes=("", "transformer."))
