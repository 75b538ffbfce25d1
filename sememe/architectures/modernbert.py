"""ModernBERT (Warner et al. 2024, arXiv 2412.13663): RoPE, gated steps, norms before each, and layers that see the
whole text between layers that see only what is near.

Taps: ``rows``, ``embeddings``, and for each layer i ``layers.i.attention`` and ``layers.i.output``, which for the last
layer is what the last norm gets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sememe.architectures import positions
from sememe.architectures.activations import activation
from sememe.architectures.config import flag, number, positive
from sememe.architectures.family import Family, Shapes
from sememe.architectures.rope import Rope
from sememe.errors import ModelError
from sememe.ops.contract import Inputs, Ops, Tensor, Weight


@dataclass(frozen=True, slots=True)
class ModernBertConfig:
    """The published numbers. ``near_layers`` says which layers see at most ``reach`` tokens to each side; ``ropes`` are
    those of the far and of the near layers."""

    layers: int
    heads: int
    width: int
    inner: int
    activation: str
    eps: float
    positions: int
    near_layers: tuple[bool, ...]
    reach: int
    ropes: tuple[Rope, Rope]
    attention_bias: bool
    inner_bias: bool
    norm_bias: bool

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> ModernBertConfig:
        """Out of ``config.json``.

        Raises:
            ModelError: a number is missing or impossible.
        """
        layers, width = positive(config, "num_hidden_layers"), positive(config, "hidden_size")
        heads = positive(config, "num_attention_heads", divides="hidden_size")
        return cls(
            layers=layers,
            heads=heads,
            width=width,
            inner=positive(config, "intermediate_size"),
            activation=str(config.get("hidden_activation", "gelu")),
            eps=number(config, "norm_eps", default=1e-5),
            positions=positive(config, "max_position_embeddings", default=8192),
            near_layers=_near_layers(config, layers),
            reach=positive(config, "local_attention", default=128) // 2,
            ropes=_ropes(config, width // heads),
            attention_bias=flag(config, "attention_bias", default=False),
            inner_bias=flag(config, "mlp_bias", default=False),
            norm_bias=flag(config, "norm_bias", default=False),
        )


def _near_layers(config: Mapping[str, Any], layers: int) -> tuple[bool, ...]:
    kinds = config.get("layer_types")
    if kinds is None:
        every = positive(config, "global_attn_every_n_layers", default=3)
        return tuple(i % every != 0 for i in range(layers))
    if not isinstance(kinds, list) or len(kinds) != layers or not set(kinds) <= {"sliding_attention", "full_attention"}:
        raise ModelError(
            'config.json: "layer_types" must name one of two kinds for each layer', why=[f"{kinds!r:.200}"]
        )
    return tuple(kind == "sliding_attention" for kind in kinds)


def _ropes(config: Mapping[str, Any], head: int) -> tuple[Rope, Rope]:
    if config.get("rope_parameters"):
        far = Rope.read(config, head, layers="full_attention", base=160000.0)
        return far, Rope.read(config, head, layers="sliding_attention")
    bases = (config.get("global_rope_theta") or 160000.0, config.get("local_rope_theta") or 10000.0)
    far, near = (Rope.read({"rope_theta": base}, head) for base in bases)
    return far, near


def shapes(config: ModernBertConfig) -> Shapes:
    """What the weights must look like."""
    h, inner = config.width, config.inner
    table: Shapes = {"embeddings.tok_embeddings.weight": (None, h)}
    norms = ["embeddings.norm", "final_norm"]
    for layer in range(config.layers):
        at = f"layers.{layer}."
        norms += [f"{at}mlp_norm", *([f"{at}attn_norm"] if layer else [])]
        for part, shape, biased in (
            ("attn.Wqkv", (3 * h, h), config.attention_bias),
            ("attn.Wo", (h, h), config.attention_bias),
            ("mlp.Wi", (2 * inner, h), config.inner_bias),
            ("mlp.Wo", (h, inner), config.inner_bias),
        ):
            table[f"{at}{part}.weight"] = shape
            table |= {f"{at}{part}.bias": shape[:1]} if biased else {}
    for norm in norms:
        table[f"{norm}.weight"] = (h,)
        table |= {f"{norm}.bias": (h,)} if config.norm_bias else {}
    return table


def modernbert(ops: Ops, weight: Weight, config: ModernBertConfig, inputs: Inputs) -> Tensor:
    """The last layer's vectors, normalised: ``(b, n, h)``."""
    x = ops.tap("rows", ops.gather(ops.constant(weight("embeddings.tok_embeddings.weight")), inputs.ids))
    x = ops.tap("embeddings", _norm(ops, weight, config, x, "embeddings.norm"))
    far, near = (rope.turn(ops, inputs, config.positions) for rope in config.ropes)
    window = positions.by_distance(ops, positions.window(config.positions, config.reach), inputs.ids)
    for layer, is_near in enumerate(config.near_layers):

        def of_layer(name: str, layer: int = layer) -> Any:
            return weight(f"layers.{layer}.{name}")

        y = _norm(ops, of_layer, config, x, "attn_norm") if layer else x
        x = ops.add(
            x,
            attend(
                ops, of_layer, config, y, (inputs.mask, window if is_near else None, near if is_near else far), layer
            ),
        )
        x = ops.add(x, gated(ops, of_layer, config, _norm(ops, of_layer, config, x, "mlp_norm")))
        x = ops.tap(f"layers.{layer}.output", x)
    return _norm(ops, weight, config, x, "final_norm")


def attend(
    ops: Ops, weight: Weight, config: ModernBertConfig, x: Tensor, sight: tuple[Tensor, Any, Any], layer: int
) -> Tensor:
    """Attention with its output projection. ``sight`` is the mask of padding, a bias or None, and the angles."""
    mask, bias, turn = sight
    rope = config.ropes[int(config.near_layers[layer])]
    weights = np.split(weight("attn.Wqkv.weight"), 3)
    biases = np.split(weight("attn.Wqkv.bias"), 3) if config.attention_bias else [None] * 3
    q, k, v = (ops.split_heads(ops.linear(x, w, b), config.heads) for w, b in zip(weights, biases, strict=True))
    q, k = rope.rotate(ops, q, turn), rope.rotate(ops, k, turn)
    seen = ops.merge_heads(ops.attention(q, k, v, mask, name=f"layers.{layer}.attention", bias=bias))
    return ops.linear(seen, weight("attn.Wo.weight"), weight("attn.Wo.bias") if config.attention_bias else None)


def gated(ops: Ops, weight: Weight, config: ModernBertConfig, x: Tensor) -> Tensor:
    """The feed-forward step, whose first half passes through the activation and gates the second."""
    both = ops.linear(x, weight("mlp.Wi.weight"), weight("mlp.Wi.bias") if config.inner_bias else None)
    first, second = ops.split(both, [config.inner, config.inner])
    inner = ops.multiply(activation(ops, config.activation, first), second)
    return ops.linear(inner, weight("mlp.Wo.weight"), weight("mlp.Wo.bias") if config.inner_bias else None)


def _norm(ops: Ops, weight: Weight, config: ModernBertConfig, x: Tensor, name: str) -> Tensor:
    return ops.layer_norm(x, weight(f"{name}.weight"), weight(f"{name}.bias") if config.norm_bias else None, config.eps)


FAMILY = Family(ModernBertConfig.read, shapes, modernbert, prefixes=("", "model."))
