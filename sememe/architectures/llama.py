"""LLaMA (Touvron et al. 2023, arXiv 2302.13971) and its kin Mistral (arXiv 2310.06825), Qwen2 (arXiv 2407.10671) and
Qwen3 (arXiv 2505.09388): decoders with RoPE, RMS norms before each step, gated feed-forward steps, and several query
heads to one key head (Ainslie et al. 2023, arXiv 2305.13245).

Taps: ``rows``, ``embeddings``, and for each layer i ``layers.i.attention`` ``(b, a, n, n)`` and ``layers.i.output``
``(b, n, h)``, which for the last layer is what the last norm gets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sememe.architectures import positions
from sememe.architectures.activations import activation
from sememe.architectures.config import flag, natural, number, positive
from sememe.architectures.family import Family, Shapes
from sememe.architectures.rope import Rope
from sememe.errors import ModelError
from sememe.ops.contract import Inputs, Ops, Tensor, Weight


@dataclass(frozen=True, slots=True)
class LlamaConfig:
    """The published numbers of one model of this kind.

    ``groups`` are its key heads, ``head`` the width of one; ``reach`` says for each layer how many tokens back it sees,
    itself included, 0 for all; ``bias`` says whether queries, keys and values have one, ``out_bias`` and ``inner_bias``
    the same of the projections after them; ``head_norms`` whether each head's queries and keys are normalised;
    ``scale`` is what the scores are multiplied with where it is not 1 / √d.
    """

    layers: int
    width: int
    positions: int
    heads: int
    groups: int
    head: int
    inner: int
    activation: str
    eps: float
    rope: Rope
    reach: tuple[int, ...]
    bias: bool = False
    out_bias: bool = False
    inner_bias: bool = False
    head_norms: bool = False
    scale: float | None = None

    @classmethod
    def read(cls, config: Mapping[str, Any], *, base: float = 10000.0, **more: Any) -> LlamaConfig:
        """Out of ``config.json``; ``more`` are fields that the family fixes, ``base`` RoPE's where none is said.

        Raises:
            ModelError: a number is missing or impossible.
        """
        layers, width = positive(config, "num_hidden_layers"), positive(config, "hidden_size")
        heads = positive(config, "num_attention_heads")
        groups = positive(
            {**config, "num_key_value_heads": config.get("num_key_value_heads") or heads},
            "num_key_value_heads",
            divides="num_attention_heads",
        )
        head = config.get("head_dim") or positive(config, "hidden_size") // heads
        return cls(
            layers=layers,
            width=width,
            positions=positive(config, "max_position_embeddings", default=2048),
            heads=heads,
            groups=groups,
            head=positive({"head_dim": head}, "head_dim"),
            inner=positive(config, "intermediate_size"),
            activation=str(config.get("hidden_act", "silu")),
            eps=number(config, "rms_norm_eps", default=1e-6),
            rope=Rope.read(config, head, base=base),
            **{"reach": (0,) * layers, **more},
        )


def _llama(config: Mapping[str, Any]) -> LlamaConfig:
    bias = flag(config, "attention_bias", default=False)
    return LlamaConfig.read(config, bias=bias, out_bias=bias, inner_bias=flag(config, "mlp_bias", default=False))


def _mistral(config: Mapping[str, Any]) -> LlamaConfig:
    reach = natural(config, "sliding_window", default=0)
    return LlamaConfig.read(config, reach=(reach,) * positive(config, "num_hidden_layers"))


def _qwen2(config: Mapping[str, Any]) -> LlamaConfig:
    return LlamaConfig.read(config, reach=reaches(config), bias=True)


def _qwen3(config: Mapping[str, Any]) -> LlamaConfig:
    bias = flag(config, "attention_bias", default=False)
    return LlamaConfig.read(config, reach=reaches(config), bias=bias, out_bias=bias, head_norms=True)


def reaches(config: Mapping[str, Any]) -> tuple[int, ...]:
    """How far each layer sees, from ``use_sliding_window`` and ``layer_types``."""
    layers = positive(config, "num_hidden_layers")
    reach = natural(config, "sliding_window", default=0) if flag(config, "use_sliding_window", default=False) else 0
    kinds = config.get("layer_types")
    if kinds is None:
        first = natural(config, "max_window_layers", default=28)
        kinds = ["sliding_attention" if i >= first else "full_attention" for i in range(layers)]
    if not isinstance(kinds, list) or len(kinds) != layers or not set(kinds) <= {"sliding_attention", "full_attention"}:
        raise ModelError(
            'config.json: "layer_types" must name one of two kinds for each layer', why=[f"{kinds!r:.200}"]
        )
    return tuple(reach if kind == "sliding_attention" else 0 for kind in kinds)


def shapes(config: LlamaConfig) -> Shapes:
    """What the weights must look like. Checked before a graph is built."""
    h, d = config.width, config.head
    table: Shapes = {"embed_tokens.weight": (None, h), "norm.weight": (h,)}
    outs = {"q_proj": config.heads * d, "k_proj": config.groups * d, "v_proj": config.groups * d}
    for layer in range(config.layers):
        block = f"layers.{layer}."
        for part, out in outs.items():
            table[f"{block}self_attn.{part}.weight"] = (out, h)
            table |= {f"{block}self_attn.{part}.bias": (out,)} if config.bias else {}
        table[f"{block}self_attn.o_proj.weight"] = (h, config.heads * d)
        table |= {f"{block}self_attn.o_proj.bias": (h,)} if config.out_bias else {}
        for part, shape in (
            ("gate_proj", (config.inner, h)),
            ("up_proj", (config.inner, h)),
            ("down_proj", (h, config.inner)),
        ):
            table[f"{block}mlp.{part}.weight"] = shape
            table |= {f"{block}mlp.{part}.bias": shape[:1]} if config.inner_bias else {}
        for norm in ("q_norm", "k_norm") if config.head_norms else ():
            table[f"{block}self_attn.{norm}.weight"] = (d,)
        table |= {f"{block}{norm}.weight": (h,) for norm in ("input_layernorm", "post_attention_layernorm")}
    return table


@dataclass(frozen=True, slots=True)
class Sight:
    """What the attention of one layer works under: the mask of padding ``(b, n)``, a bias ``(1, n, n)`` and the angles
    of RoPE, cosine and sine ``(n, half)``."""

    mask: Tensor
    bias: Tensor
    turn: tuple[Tensor, Tensor]


def llama(ops: Ops, weight: Weight, config: LlamaConfig, inputs: Inputs) -> Tensor:
    """The last layer's vectors, normalised: ``(b, n, h)``."""
    x = ops.tap("rows", ops.gather(ops.constant(weight("embed_tokens.weight")), inputs.ids))
    x = ops.tap("embeddings", x)
    turn = config.rope.turn(ops, inputs, config.positions)
    sights = {r: Sight(inputs.mask, back(ops, config.positions, r, inputs), turn) for r in set(config.reach)}
    for layer, reach in enumerate(config.reach):
        x = block(ops, lambda name, layer=layer: weight(f"layers.{layer}.{name}"), config, x, sights[reach], layer)  # type: ignore[misc]
    return ops.rms_norm(x, weight("norm.weight"), config.eps)


def block(ops: Ops, weight: Weight, config: LlamaConfig, x: Tensor, sight: Sight, layer: int) -> Tensor:
    """One layer: attention, then the feed-forward step, each over a normalised copy and added."""

    def norm(y: Tensor, name: str) -> Tensor:
        return ops.rms_norm(y, weight(f"{name}.weight"), config.eps)

    def head_norm(y: Tensor, name: str) -> Tensor:
        return norm(y, f"self_attn.{name}") if config.head_norms else y

    seen = attend(ops, weight, config, norm(x, "input_layernorm"), sight, layer=layer, head_norm=head_norm)
    x = ops.add(x, seen)
    x = ops.add(x, gated(ops, weight, config, norm(x, "post_attention_layernorm")))
    return ops.tap(f"layers.{layer}.output", x)


def attend(
    ops: Ops,
    weight: Weight,
    config: LlamaConfig,
    x: Tensor,
    sight: Sight,
    *,
    layer: int,
    head_norm: Callable[[Tensor, str], Tensor],
) -> Tensor:
    """Attention with its output projection: ``(b, n, h)``."""

    def heads(part: str, count: int) -> Tensor:
        name = f"self_attn.{part}"
        y = ops.linear(x, weight(f"{name}.weight"), weight(f"{name}.bias") if config.bias else None)
        return ops.split_heads(y, count)  # (b, count, n, d)

    q, k = head_norm(heads("q_proj", config.heads), "q_norm"), head_norm(heads("k_proj", config.groups), "k_norm")
    q, k = (config.rope.rotate(ops, y, sight.turn) for y in (q, k))
    each = config.heads // config.groups
    k, v = (ops.repeat_heads(y, each) if each > 1 else y for y in (k, heads("v_proj", config.groups)))
    seen = ops.attention(q, k, v, sight.mask, name=f"layers.{layer}.attention", bias=sight.bias, scale=config.scale)
    name = "self_attn.o_proj"
    return ops.linear(
        ops.merge_heads(seen), weight(f"{name}.weight"), weight(f"{name}.bias") if config.out_bias else None
    )


def gated(ops: Ops, weight: Weight, config: LlamaConfig, x: Tensor) -> Tensor:
    """``down(act(gate(x)) · up(x))`` (Shazeer 2020, arXiv 2002.05202)."""

    def dense(y: Tensor, part: str) -> Tensor:
        return ops.linear(y, weight(f"mlp.{part}.weight"), weight(f"mlp.{part}.bias") if config.inner_bias else None)

    return dense(
        ops.multiply(activation(ops, config.activation, dense(x, "gate_proj")), dense(x, "up_proj")), "down_proj"
    )


def back(ops: Ops, longest: int, reach: int, inputs: Inputs) -> Tensor:
    """What no token may see, as a bias ``(1, n, n)``: later ones, and those ``reach`` or more back (0: all those)."""
    table = positions.causal(longest)
    if reach:
        table = table + positions.window(longest, reach - 1)
    return positions.by_distance(ops, table, inputs.ids)


_PREFIXES = ("", "model.")
LLAMA = Family(_llama, shapes, llama, _PREFIXES)
MISTRAL = Family(_mistral, shapes, llama, _PREFIXES)
QWEN2 = Family(_qwen2, shapes, llama, _PREFIXES)
QWEN3 = Family(_qwen3, shapes, llama, _PREFIXES)
