"""Gemma 3 (Gemma Team 2025, arXiv 2503.19786), as a decoder and, looking both ways, as EmbeddingGemma (arXiv
2509.20354): LLaMA's parts with a norm before and after each step, layers that see far and layers that see near.

Taps: those of `llama`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sememe.architectures import llama, positions
from sememe.architectures.config import flag, number, positive
from sememe.architectures.family import Family, Shapes
from sememe.architectures.llama import LlamaConfig, Sight
from sememe.architectures.rope import Rope
from sememe.errors import ModelError
from sememe.ops.contract import Inputs, Ops, Tensor, Weight

_KINDS = ("full_attention", "sliding_attention")


@dataclass(frozen=True, slots=True)
class GemmaConfig:
    """``far`` and ``near`` are the numbers of the two kinds of layers, which differ in RoPE; ``near_layers`` says which
    layers are of the second kind, ``reach`` how far those see to each side."""

    far: LlamaConfig
    near: LlamaConfig
    near_layers: tuple[bool, ...]
    reach: int
    both_ways: bool
    layers: int
    width: int
    positions: int

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> GemmaConfig:
        """Out of ``config.json``.

        Raises:
            ModelError: a number is missing or impossible, or the scores are capped.
        """
        if config.get("attn_logit_softcapping") is not None:
            raise ModelError('config.json: "attn_logit_softcapping" caps the scores, which sememe does not do')
        config = {"hidden_activation": "gelu_pytorch_tanh", "head_dim": 256, **config}
        bias = flag(config, "attention_bias", default=False)
        scale = number(config, "query_pre_attn_scalar", default=256) ** -0.5
        more = {"bias": bias, "out_bias": bias, "head_norms": True, "scale": scale}
        far = LlamaConfig.read({**config, "hidden_act": config["hidden_activation"]}, **more)
        both_ways = flag(config, "use_bidirectional_attention", default=False)
        reach = positive(config, "sliding_window", default=4096)
        return cls(
            far=replace(far, rope=Rope.read(config, far.head, layers="full_attention", base=1e6)),
            near=replace(far, rope=_near_rope(config, far.head)),
            near_layers=_near_layers(config, far.layers),
            # the window is counted over both sides where both are seen
            reach=reach // 2 if both_ways else reach - 1,
            both_ways=both_ways,
            layers=far.layers,
            width=far.width,
            positions=far.positions,
        )


def _near_rope(config: Mapping[str, Any], head: int) -> Rope:
    if config.get("rope_parameters"):
        return Rope.read(config, head, layers="sliding_attention")
    # older configs give these layers a base of their own, and no stretching
    return Rope.read({"rope_theta": number(config, "rope_local_base_freq", default=10000.0)}, head)


def _near_layers(config: Mapping[str, Any], layers: int) -> tuple[bool, ...]:
    kinds = config.get("layer_types")
    if kinds is None:
        every = positive(
            {
                "sliding_window_pattern": config.get("sliding_window_pattern")
                or config.get("_sliding_window_pattern")
                or 6
            },
            "sliding_window_pattern",
        )
        return tuple((i + 1) % every != 0 for i in range(layers))
    if not isinstance(kinds, list) or len(kinds) != layers or not set(kinds) <= set(_KINDS):
        raise ModelError(
            'config.json: "layer_types" must name one of two kinds for each layer', why=[f"{kinds!r:.200}"]
        )
    return tuple(kind == "sliding_attention" for kind in kinds)


def shapes(config: GemmaConfig) -> Shapes:
    """What the weights must look like."""
    table = llama.shapes(config.far)
    for layer in range(config.layers):
        for norm in ("pre_feedforward_layernorm", "post_feedforward_layernorm"):
            table[f"layers.{layer}.{norm}.weight"] = (config.width,)
    return table


def gemma(ops: Ops, weight: Weight, config: GemmaConfig, inputs: Inputs) -> Tensor:
    """The last layer's vectors, normalised: ``(b, n, h)``."""
    rows = ops.tap("rows", ops.gather(ops.constant(weight("embed_tokens.weight")), inputs.ids))
    x = ops.tap("embeddings", ops.multiply(rows, ops.constant(np.array([math.sqrt(config.width)], np.float32))))
    sights = {
        near: Sight(
            inputs.mask,
            _bias(ops, config, config.reach if near else 0, inputs),
            (config.near if near else config.far).rope.turn(ops, inputs, config.positions),
        )
        for near in set(config.near_layers)
    }
    for layer, near in enumerate(config.near_layers):
        x = block(ops, lambda name, layer=layer: weight(f"layers.{layer}.{name}"), config, x, sights[near], layer)  # type: ignore[misc]
    return _norm(ops, x, weight("norm.weight"), config)


def block(ops: Ops, weight: Weight, config: GemmaConfig, x: Tensor, sight: Sight, layer: int) -> Tensor:
    """One layer: attention, then the feed-forward step, each between two norms and added."""
    numbers = config.near if config.near_layers[layer] else config.far

    def norm(y: Tensor, name: str) -> Tensor:
        return _norm(ops, y, weight(f"{name}.weight"), config)

    seen = llama.attend(
        ops,
        weight,
        numbers,
        norm(x, "input_layernorm"),
        sight,
        layer=layer,
        head_norm=lambda y, name: norm(y, f"self_attn.{name}"),
    )
    x = ops.add(x, norm(seen, "post_attention_layernorm"))
    inner = llama.gated(ops, weight, numbers, norm(x, "pre_feedforward_layernorm"))
    return ops.tap(f"layers.{layer}.output", ops.add(x, norm(inner, "post_feedforward_layernorm")))


def _norm(ops: Ops, x: Tensor, weight: Any, config: GemmaConfig) -> Tensor:
    # stored as what is added to 1
    return ops.rms_norm(x, weight + np.float32(1), config.far.eps)


def _bias(ops: Ops, config: GemmaConfig, reach: int, inputs: Inputs) -> Tensor | None:
    if config.both_ways and not reach:
        return None
    table = positions.window(config.positions, reach) if reach else positions.causal(config.positions)
    if reach and not config.both_ways:
        table = table + positions.causal(config.positions)
    return positions.by_distance(ops, table, inputs.ids)


FAMILY = Family(GemmaConfig.read, shapes, gemma, prefixes=("", "model.", "language_model."))
