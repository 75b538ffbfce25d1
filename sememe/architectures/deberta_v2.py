"""DeBERTa version 2 and 3 (He et al. 2020, arXiv 2006.03654; 2021, arXiv 2111.09543): content and position attend to
each other in terms of their own, content to position and position to content.

Taps: those of `bert`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.architectures.activations import activation
from sememe.architectures.config import choice, flag, natural, number, positive
from sememe.architectures.family import Family, Shapes
from sememe.architectures.positions import learned
from sememe.errors import ModelError
from sememe.ops.contract import Inputs, Ops, Tensor, Weight

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class DebertaConfig:
    """The published numbers of one DeBERTa.

    ``span`` rows stand on each side of the table of relative positions; ``buckets`` share far distances by their
    logarithm, 0 for none; ``furthest`` is the distance that the last bucket ends at; ``terms`` are of "c2p", "p2c".
    """

    layers: int
    heads: int
    width: int
    inner: int
    activation: str
    eps: float
    positions: int
    types: int
    span: int
    buckets: int
    furthest: int
    terms: tuple[str, ...]
    shared: bool
    norm_positions: bool
    added_positions: bool

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> DebertaConfig:
        """Out of ``config.json``.

        Raises:
            ModelError: a number is missing or impossible, or it has parts that sememe does not run.
        """
        if natural(config, "conv_kernel_size", default=0):
            raise ModelError("config.json: a DeBERTa with a convolution, which sememe does not run")
        width = positive(config, "hidden_size")
        if (config.get("embedding_size") or width) != width or not flag(config, "relative_attention", default=False):
            raise ModelError("config.json: a DeBERTa without relative attention, or with narrow word vectors")
        terms = config.get("pos_att_type") or []
        terms = terms.split("|") if isinstance(terms, str) else list(terms)
        for term in terms:
            choice({"pos_att_type": term}, "pos_att_type", ("c2p", "p2c"), default="c2p")
        longest = positive(config, "max_position_embeddings")
        furthest = config.get("max_relative_positions", -1)
        furthest = furthest if isinstance(furthest, int) and furthest > 0 else longest
        buckets = config.get("position_buckets", -1)
        buckets = buckets if isinstance(buckets, int) and buckets > 0 else 0
        return cls(
            layers=positive(config, "num_hidden_layers"),
            heads=positive(config, "num_attention_heads", divides="hidden_size"),
            width=width,
            inner=positive(config, "intermediate_size"),
            activation=str(config.get("hidden_act", "gelu")),
            eps=number(config, "layer_norm_eps", default=1e-7),
            positions=longest,
            types=natural(config, "type_vocab_size", default=0),
            span=buckets or furthest,
            buckets=buckets,
            furthest=furthest,
            terms=tuple(terms),
            shared=flag(config, "share_att_key", default=False),
            norm_positions="layer_norm" in str(config.get("norm_rel_ebd", "none")).lower(),
            added_positions=flag(config, "position_biased_input", default=True),
        )


def shapes(config: DebertaConfig) -> Shapes:
    """What the weights must look like."""
    h, inner = config.width, config.inner
    table: Shapes = {"embeddings.word_embeddings.weight": (None, h)}
    table |= {"embeddings.LayerNorm.weight": (h,), "embeddings.LayerNorm.bias": (h,)}
    table |= {"embeddings.position_embeddings.weight": (config.positions, h)} if config.added_positions else {}
    table |= {"embeddings.token_type_embeddings.weight": (config.types, h)} if config.types else {}
    table["encoder.rel_embeddings.weight"] = (2 * config.span, h)
    if config.norm_positions:
        table |= {"encoder.LayerNorm.weight": (h,), "encoder.LayerNorm.bias": (h,)}
    parts = ["query_proj", "key_proj", "value_proj"]
    if not config.shared:
        parts += ["pos_key_proj"] * ("c2p" in config.terms) + ["pos_query_proj"] * ("p2c" in config.terms)
    for layer in range(config.layers):
        at = f"encoder.layer.{layer}."
        for part in (*(f"attention.self.{part}" for part in parts), "attention.output.dense"):
            table |= {f"{at}{part}.weight": (h, h), f"{at}{part}.bias": (h,)}
        table |= {f"{at}intermediate.dense.weight": (inner, h), f"{at}intermediate.dense.bias": (inner,)}
        table |= {f"{at}output.dense.weight": (h, inner), f"{at}output.dense.bias": (h,)}
        for norm in ("attention.output.LayerNorm", "output.LayerNorm"):
            table |= {f"{at}{norm}.weight": (h,), f"{at}{norm}.bias": (h,)}
    return table


def deberta(ops: Ops, weight: Weight, config: DebertaConfig, inputs: Inputs) -> Tensor:
    """The last layer's vectors: ``(b, n, h)``."""
    x = ops.tap("rows", ops.gather(ops.constant(weight("embeddings.word_embeddings.weight")), inputs.ids))
    if config.added_positions:
        x = ops.add(x, learned(ops, ops.constant(weight("embeddings.position_embeddings.weight")), inputs.ids))
    if config.types:
        table = weight("embeddings.token_type_embeddings.weight")
        types = ops.constant(table[0]) if inputs.types is None else ops.gather(ops.constant(table), inputs.types)
        x = ops.add(x, ops.tap("types", types))
    x = ops.tap("embeddings", _norm(ops, weight, config, x, "embeddings.LayerNorm"))
    relative = ops.unsqueeze(ops.constant(weight("encoder.rel_embeddings.weight")), 0)  # (1, 2 span, h)
    if config.norm_positions:
        relative = _norm(ops, weight, config, relative, "encoder.LayerNorm")
    for layer in range(config.layers):

        def of_layer(name: str, layer: int = layer) -> Any:
            return weight(f"encoder.layer.{layer}.{name}")

        x = block(ops, of_layer, config, x, relative, inputs, layer)
    return x


def block(
    ops: Ops, weight: Weight, config: DebertaConfig, x: Tensor, relative: Tensor, inputs: Inputs, layer: int
) -> Tensor:
    """One layer: disentangled attention, then the feed-forward step, each added to its input and normalised."""

    def dense(y: Tensor, name: str) -> Tensor:
        return ops.linear(y, weight(f"{name}.weight"), weight(f"{name}.bias"))

    def heads(y: Tensor, part: str) -> Tensor:
        return ops.split_heads(dense(y, f"attention.self.{part}"), config.heads)

    q, k, v = heads(x, "query_proj"), heads(x, "key_proj"), heads(x, "value_proj")
    scale = (config.width // config.heads * (1 + len(config.terms))) ** -0.5
    bias = None
    for term in config.terms:
        added = _term(ops, config, term, (q, k), lambda part: heads(relative, part), inputs)
        bias = added if bias is None else ops.add(bias, added)
    if bias is not None:
        bias = ops.multiply(bias, ops.constant(np.array([scale], np.float32)))
    seen = ops.attention(q, k, v, inputs.mask, name=f"layers.{layer}.attention", bias=bias, scale=scale)
    y = dense(ops.merge_heads(seen), "attention.output.dense")
    x = _norm(ops, weight, config, ops.add(y, x), "attention.output.LayerNorm")
    inner = activation(ops, config.activation, dense(x, "intermediate.dense"))
    x = _norm(ops, weight, config, ops.add(dense(inner, "output.dense"), x), "output.LayerNorm")
    return ops.tap(f"layers.{layer}.output", x)


def _term(ops: Ops, config: DebertaConfig, term: str, qk: tuple[Tensor, Tensor], heads: Any, inputs: Inputs) -> Tensor:
    """Content to position or position to content, ``(b, a, n, n)`` (equation 4 of the paper, without its scale)."""
    bucket = buckets(config.positions, config.buckets, config.furthest)
    if term == "c2p":
        content, part, bucket = qk[0], "key_proj" if config.shared else "pos_key_proj", -bucket
    else:
        content, part = qk[1], "query_proj" if config.shared else "pos_query_proj"
    place = np.clip(bucket + config.span, 0, 2 * config.span - 1).astype(np.int32)
    every = ops.matmul(content, ops.transpose(heads(part), (0, 1, 3, 2)))  # (b, a, n, 2 span)
    middle = ops.constant(np.array([len(place) // 2], np.int32))
    index = ops.gather(ops.constant(place), ops.add(ops.distances(inputs.ids), middle))  # (n, n)
    picked = ops.pick(every, index)
    return picked if term == "c2p" else ops.transpose(picked, (0, 1, 3, 2))


def buckets(longest: int, count: int, furthest: int) -> npt.NDArray[np.int64]:
    """The signed bucket of each distance ``j - i``: int64 ``(2 longest - 1,)``; without buckets the distance itself."""
    distance = np.arange(-(longest - 1), longest)
    middle = count // 2
    if not count:
        return distance
    # in float32 as the original computes it: a bucket's border falls on the same distance
    far = np.maximum(np.abs(distance), middle).astype(np.float32)
    steps = np.ceil(np.log(far / middle) / np.float32(math.log((furthest - 1) / middle)) * (middle - 1)) + middle
    return np.where(np.abs(distance) <= middle, distance, steps * np.sign(distance)).astype(np.int64)


def _norm(ops: Ops, weight: Weight, config: DebertaConfig, x: Tensor, name: str) -> Tensor:
    return ops.layer_norm(x, weight(f"{name}.weight"), weight(f"{name}.bias"), config.eps)


FAMILY = Family(DebertaConfig.read, shapes, deberta, prefixes=("", "deberta."))
