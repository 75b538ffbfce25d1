"""BERT with RoPE and gated feed-forward steps: NomicBERT (Nussbaum et al. 2024, arXiv 2402.01613) and GTE (Zhang et al.
2024, arXiv 2407.19669). Both exist in two forms: as their makers published them, with queries, keys and values in one
matrix and names of their own, and as transformers saves them.

Taps: ``rows``, ``types``, ``embeddings``, and for each layer i ``layers.i.attention`` and ``layers.i.output``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sememe.architectures.activations import activation
from sememe.architectures.config import choice, flag, natural, number, positive
from sememe.architectures.family import Family, Shapes
from sememe.architectures.rope import Rope
from sememe.errors import ModelError
from sememe.ops.contract import Inputs, Ops, Tensor, Weight


@dataclass(frozen=True, slots=True)
class RotaryBertConfig:
    """The published numbers. ``biases`` are the dense steps that have one; ``names`` are what the makers call the
    parts, empty for the form that transformers saves."""

    layers: int
    heads: int
    width: int
    inner: int
    activation: str
    eps: float
    positions: int
    types: int
    rope: Rope
    biases: frozenset[str]
    names: tuple[tuple[str, str], ...] = ()


_QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
_NOMIC = (
    ("layers.", "encoder.layers."),
    ("embeddings.LayerNorm", "emb_ln"),
    ("self_attn.qkv", "attn.Wqkv"),
    ("self_attn.o_proj", "attn.out_proj"),
    ("mlp.up_proj", "mlp.fc11"),
    ("mlp.gate_proj", "mlp.fc12"),
    ("mlp.down_proj", "mlp.fc2"),
    ("post_attention_layernorm", "norm1"),
    ("post_mlp_layernorm", "norm2"),
)
_GTE = (
    ("layers.", "encoder.layer."),
    ("self_attn.qkv", "attention.qkv_proj"),
    ("self_attn.o_proj", "attention.o_proj"),
    ("mlp.up_and_gate", "mlp.up_gate_proj"),
    ("post_attention_layernorm", "attn_ln"),
    ("post_mlp_layernorm", "mlp_ln"),
)


def read_nomic(config: Mapping[str, Any]) -> RotaryBertConfig:
    """NomicBERT's config.json, in either form.

    Raises:
        ModelError: a number is missing or impossible, or it has parts that sememe does not run.
    """
    if "n_embd" not in config:
        return _saved(config, base=1000.0, biases=frozenset())
    fixed = {
        "prenorm": False,
        "parallel_block": False,
        "use_rms_norm": False,
        "causal": False,
        "rotary_emb_interleaved": False,
    }
    odd = [f"{key} is {config[key]!r:.50}" for key, value in fixed.items() if config.get(key, value) != value]
    if odd or config.get("num_experts"):
        raise ModelError("config.json: a NomicBERT that sememe does not run", why=odd or ["it has experts"])
    width, heads = positive(config, "n_embd"), positive(config, "n_head", divides="n_embd")
    longest = positive(config, "n_positions", default=2048)
    if config.get("rotary_scaling_factor"):  # angles change beyond this length, with the length
        longest = min(longest, positive(config, "max_trained_positions", default=2048))
    kind = choice(config, "activation_function", ("swiglu", "geglu"), default="swiglu")
    switches = {
        "qkv_proj_bias": (*_QKV, "self_attn.o_proj"),
        "mlp_fc1_bias": ("mlp.up_proj", "mlp.gate_proj"),
        "mlp_fc2_bias": ("mlp.down_proj",),
    }
    biases = {part for key, parts in switches.items() if flag(config, key, default=True) for part in parts}
    return RotaryBertConfig(
        layers=positive(config, "n_layer"),
        heads=heads,
        width=width,
        inner=positive(config, "n_inner"),
        activation={"swiglu": "silu", "geglu": "gelu"}[kind],
        eps=number(config, "layer_norm_epsilon", default=1e-12),
        positions=longest,
        types=natural(config, "type_vocab_size", default=2),
        rope=Rope.read(
            {"rotary_pct": config.get("rotary_emb_fraction", 1.0), "rope_theta": config.get("rotary_emb_base", 1000)},
            width // heads,
        ),
        biases=frozenset(biases),
        names=_NOMIC,
    )


def read_gte(config: Mapping[str, Any]) -> RotaryBertConfig:
    """GTE's config.json, in either form.

    Raises:
        ModelError: as `read_nomic`.
    """
    biases = frozenset({*_QKV, "self_attn.o_proj", "mlp.down_proj"})
    if config.get("model_type") != "new":
        return _saved(config, base=160000.0, biases=biases)
    choice(config, "position_embedding_type", ("rope",), default="rope")
    choice(config, "layer_norm_type", ("layer_norm",), default="layer_norm")
    fixed = {"logn_attention_scale": False, "pack_qkv": True}
    odd = [f"{key} is {config[key]!r:.50}" for key, value in fixed.items() if config.get(key, value) != value]
    if odd:
        raise ModelError("config.json: a GTE that sememe does not run", why=odd)
    return _saved(config, base=10000.0, biases=biases, names=_GTE)


def _saved(
    config: Mapping[str, Any], *, base: float, biases: frozenset[str], names: tuple[tuple[str, str], ...] = ()
) -> RotaryBertConfig:
    heads = positive(config, "num_attention_heads", divides="hidden_size")
    width = positive(config, "hidden_size")
    return RotaryBertConfig(
        layers=positive(config, "num_hidden_layers"),
        heads=heads,
        width=width,
        inner=positive(config, "intermediate_size"),
        activation=str(config.get("hidden_act", "gelu")),
        eps=number(config, "layer_norm_eps", default=1e-12),
        positions=positive(config, "max_position_embeddings", default=2048),
        types=natural(config, "type_vocab_size", default=0),
        rope=Rope.read(config, width // heads, base=base),
        biases=biases,
        names=names,
    )


def rename(name: str, config: RotaryBertConfig) -> str:
    """The name in transformers' form into the makers'."""
    for one, other in config.names:
        name = name.replace(one, other)
    return name


def shapes(config: RotaryBertConfig) -> Shapes:
    """What the weights must look like."""
    h, inner = config.width, config.inner
    table: Shapes = {"embeddings.word_embeddings.weight": (None, h)}
    table |= {"embeddings.token_type_embeddings.weight": (config.types, h)} if config.types else {}
    table |= {"embeddings.LayerNorm.weight": (h,), "embeddings.LayerNorm.bias": (h,)}
    for layer in range(config.layers):
        for part, shape in _dense(h, inner, dict(config.names)).items():
            table[f"layers.{layer}.{part}.weight"] = shape
            if {part, {"self_attn.qkv": _QKV[0], "mlp.up_and_gate": "mlp.up_proj"}.get(part)} & config.biases:
                table[f"layers.{layer}.{part}.bias"] = shape[:1]
        for norm in ("post_attention_layernorm", "post_mlp_layernorm"):
            table |= {f"layers.{layer}.{norm}.weight": (h,), f"layers.{layer}.{norm}.bias": (h,)}
    return table


def _dense(h: int, inner: int, names: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    qkv = {"self_attn.qkv": (3 * h, h)} if "self_attn.qkv" in names else dict.fromkeys(_QKV, (h, h))
    both = (
        {"mlp.up_and_gate": (2 * inner, h)}
        if "mlp.up_and_gate" in names
        else dict.fromkeys(("mlp.up_proj", "mlp.gate_proj"), (inner, h))
    )
    return {**qkv, "self_attn.o_proj": (h, h), **both, "mlp.down_proj": (h, inner)}


def rotary_bert(ops: Ops, weight: Weight, config: RotaryBertConfig, inputs: Inputs) -> Tensor:
    """The last layer's vectors: ``(b, n, h)``."""
    x = ops.tap("rows", ops.gather(ops.constant(weight("embeddings.word_embeddings.weight")), inputs.ids))
    if config.types:
        table = weight("embeddings.token_type_embeddings.weight")
        types = ops.constant(table[0]) if inputs.types is None else ops.gather(ops.constant(table), inputs.types)
        x = ops.add(x, ops.tap("types", types))
    x = ops.tap("embeddings", _norm(ops, weight, config, x, "embeddings.LayerNorm"))
    turn = config.rope.turn(ops, inputs, config.positions)
    parts = _parts(weight, dict(config.names))
    for layer in range(config.layers):

        def of_layer(name: str, layer: int = layer) -> Any:
            return parts(f"layers.{layer}.{name}")

        x = block(ops, of_layer, config, x, (inputs.mask, turn), layer)
    return x


def block(
    ops: Ops,
    weight: Weight,
    config: RotaryBertConfig,
    x: Tensor,
    sight: tuple[Tensor, tuple[Tensor, Tensor]],
    layer: int,
) -> Tensor:
    """One layer: attention, then the gated step, each added to its input and normalised.

    ``sight`` is the mask of padding and the angles.
    """

    def dense(y: Tensor, name: str) -> Tensor:
        return ops.linear(y, weight(f"{name}.weight"), weight(f"{name}.bias") if name in config.biases else None)

    mask, turn = sight
    q, k, v = (ops.split_heads(dense(x, part), config.heads) for part in _QKV)
    q, k = config.rope.rotate(ops, q, turn), config.rope.rotate(ops, k, turn)
    seen = ops.merge_heads(ops.attention(q, k, v, mask, name=f"layers.{layer}.attention"))
    x = _norm(ops, weight, config, ops.add(x, dense(seen, "self_attn.o_proj")), "post_attention_layernorm")
    gate = activation(ops, config.activation, dense(x, "mlp.gate_proj"))
    inner = dense(ops.multiply(gate, dense(x, "mlp.up_proj")), "mlp.down_proj")
    return ops.tap(f"layers.{layer}.output", _norm(ops, weight, config, ops.add(x, inner), "post_mlp_layernorm"))


def _parts(weight: Weight, names: Mapping[str, str]) -> Weight:
    """Finds the parts of matrices that hold several."""

    def find(name: str) -> Any:
        for whole, parts in (("self_attn.qkv", _QKV), ("mlp.up_and_gate", ("mlp.up_proj", "mlp.gate_proj"))):
            for at, part in enumerate(parts):
                if whole in names and part in name:
                    return np.split(weight(name.replace(part, whole)), len(parts))[at]
        return weight(name)

    return find


def _norm(ops: Ops, weight: Weight, config: RotaryBertConfig, x: Tensor, name: str) -> Tensor:
    return ops.layer_norm(x, weight(f"{name}.weight"), weight(f"{name}.bias"), config.eps)


NOMIC = Family(read_nomic, shapes, rotary_bert, prefixes=("", "bert."), rename=rename)
GTE = Family(read_gte, shapes, rotary_bert, prefixes=("", "new.", "gte."), rename=rename)
