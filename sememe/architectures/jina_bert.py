"""JinaBERT v2 (Günther et al. 2023, arXiv 2310.19923): BERT with ALiBi on both sides and gated feed-forward steps.

Its folders call themselves BERT, and are told apart by their kind of positions.

Taps: those of `bert`, but for ``positions``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sememe.architectures import positions
from sememe.architectures.activations import activation
from sememe.architectures.attention import self_attention
from sememe.architectures.bert import BertConfig
from sememe.architectures.config import choice
from sememe.architectures.family import Family, Shapes
from sememe.ops.contract import Inputs, Ops, Tensor, Weight


def read(config: Mapping[str, Any]) -> BertConfig:
    """Out of ``config.json``.

    Raises:
        ModelError: as `BertConfig.read`, or its feed-forward steps are of another kind.
    """
    choice(config, "position_embedding_type", ("alibi",), default="alibi")
    kind = choice(config, "feed_forward_type", ("geglu", "reglu"), default="geglu")
    act = {"geglu": "gelu", "reglu": "relu"}[kind]
    return BertConfig.read({**config, "position_embedding_type": "absolute", "hidden_act": act})


def shapes(config: BertConfig) -> Shapes:
    """What the weights must look like."""
    h, inner = config.width, config.inner
    table: Shapes = {
        "embeddings.word_embeddings.weight": (None, h),
        "embeddings.token_type_embeddings.weight": (config.types, h),
        "embeddings.LayerNorm.weight": (h,),
        "embeddings.LayerNorm.bias": (h,),
    }
    for layer in range(config.layers):
        at = f"encoder.layer.{layer}."
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            table |= {f"{at}{part}.weight": (h, h), f"{at}{part}.bias": (h,)}
        table |= {f"{at}mlp.gated_layers.weight": (2 * inner, h)}
        table |= {f"{at}mlp.wo.weight": (h, inner), f"{at}mlp.wo.bias": (h,)}
        for norm in ("attention.output.LayerNorm", "mlp.layernorm"):
            table |= {f"{at}{norm}.weight": (h,), f"{at}{norm}.bias": (h,)}
    return table


def jina_bert(ops: Ops, weight: Weight, config: BertConfig, inputs: Inputs) -> Tensor:
    """The last layer's vectors: ``(b, n, h)``."""
    rows = ops.tap("rows", ops.gather(ops.constant(weight("embeddings.word_embeddings.weight")), inputs.ids))
    table = weight("embeddings.token_type_embeddings.weight")
    types = ops.constant(table[0]) if inputs.types is None else ops.gather(ops.constant(table), inputs.types)
    x = _norm(ops, weight, config, ops.add(rows, ops.tap("types", types)), "embeddings.LayerNorm")
    x = ops.tap("embeddings", x)
    alibi = positions.alibi(config.positions, positions.alibi_slopes(config.heads))
    sight = inputs.mask, positions.by_distance(ops, alibi, inputs.ids)
    for layer in range(config.layers):

        def of_layer(name: str, layer: int = layer) -> Any:
            return weight(f"encoder.layer.{layer}.{name}")

        x = block(ops, of_layer, config, x, sight, layer)
    return x


def block(ops: Ops, weight: Weight, config: BertConfig, x: Tensor, sight: tuple[Tensor, Tensor], layer: int) -> Tensor:
    """One layer: attention, then the gated step, each added to its input and normalised.

    ``sight`` is the mask of padding and the bias.
    """

    def self_weight(name: str) -> Any:
        return weight(f"attention.self.{name}")

    name = f"layers.{layer}.attention"
    seen = self_attention(ops, self_weight, x, sight[0], heads=config.heads, name=name, bias=sight[1])
    dense = "attention.output.dense"
    seen = ops.linear(seen, weight(f"{dense}.weight"), weight(f"{dense}.bias"))
    x = _norm(ops, weight, config, ops.add(seen, x), "attention.output.LayerNorm")
    gate, up = ops.split(ops.linear(x, weight("mlp.gated_layers.weight")), [config.inner, config.inner])
    inner = ops.multiply(activation(ops, config.activation, gate), up)
    x = ops.add(ops.linear(inner, weight("mlp.wo.weight"), weight("mlp.wo.bias")), x)
    return ops.tap(f"layers.{layer}.output", _norm(ops, weight, config, x, "mlp.layernorm"))


def _norm(ops: Ops, weight: Weight, config: BertConfig, x: Tensor, name: str) -> Tensor:
    return ops.layer_norm(x, weight(f"{name}.weight"), weight(f"{name}.bias"), config.eps)


FAMILY = Family(read, shapes, jina_bert, prefixes=("", "bert."))
