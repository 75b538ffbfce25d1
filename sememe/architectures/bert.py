"""BERT (Devlin et al. 2019, arXiv 1810.04805): an encoder with learned positions, normalised after each step.

Taps: ``rows`` (word vectors), ``positions``, ``types``, ``embeddings`` (what enters layer 0), ``layers.i.attention``
(the weights of each head, ``(b, a, n, n)``) and ``layers.i.output`` (``(b, n, h)``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sememe.architectures.activations import activation
from sememe.architectures.attention import self_attention
from sememe.architectures.config import choice, number, positive
from sememe.architectures.family import Family, Shapes
from sememe.architectures.positions import learned
from sememe.ops.contract import Inputs, Ops, Tensor, Weight


@dataclass(frozen=True, slots=True)
class BertConfig:
    """The published numbers of one BERT; ``first`` rows of the table of positions are never used."""

    layers: int
    heads: int
    width: int
    inner: int
    activation: str
    eps: float
    positions: int
    types: int
    first: int = 0

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> BertConfig:
        """Out of ``config.json``.

        Raises:
            ModelError: a number is missing or impossible, or the positions are not learned ones.
        """
        choice(config, "position_embedding_type", ("absolute",), default="absolute")
        return cls(
            layers=positive(config, "num_hidden_layers"),
            heads=positive(config, "num_attention_heads", divides="hidden_size"),
            width=positive(config, "hidden_size"),
            inner=positive(config, "intermediate_size"),
            activation=str(config.get("hidden_act", "gelu")),
            eps=number(config, "layer_norm_eps", default=1e-12),
            positions=positive(config, "max_position_embeddings"),
            types=positive(config, "type_vocab_size", default=2),
        )


def shapes(config: BertConfig) -> Shapes:
    """What the weights must look like; None is any length. Checked before a graph is built."""
    h, inner = config.width, config.inner
    table: Shapes = {
        "embeddings.word_embeddings.weight": (None, h),
        "embeddings.position_embeddings.weight": (config.first + config.positions, h),
        "embeddings.token_type_embeddings.weight": (config.types, h),
        "embeddings.LayerNorm.weight": (h,),
        "embeddings.LayerNorm.bias": (h,),
    }
    for layer in range(config.layers):
        block = f"encoder.layer.{layer}."
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            table |= {f"{block}{part}.weight": (h, h), f"{block}{part}.bias": (h,)}
        table |= {f"{block}intermediate.dense.weight": (inner, h), f"{block}intermediate.dense.bias": (inner,)}
        table |= {f"{block}output.dense.weight": (h, inner), f"{block}output.dense.bias": (h,)}
        for norm in ("attention.output.LayerNorm", "output.LayerNorm"):
            table |= {f"{block}{norm}.weight": (h,), f"{block}{norm}.bias": (h,)}
    return table


def bert(ops: Ops, weight: Weight, config: BertConfig, inputs: Inputs) -> Tensor:
    """The last layer's vectors: ``(b, n, h)``."""
    x = embeddings(ops, weight, config, inputs)
    for layer in range(config.layers):
        x = block(ops, lambda name, layer=layer: weight(f"encoder.layer.{layer}.{name}"), config, x, inputs.mask, layer)  # type: ignore[misc]
    return x


def embeddings(ops: Ops, weight: Weight, config: BertConfig, inputs: Inputs) -> Tensor:
    """Word, position and type vectors, added and normalised: ``(b, n, h)``."""
    rows = ops.tap("rows", ops.gather(ops.constant(weight("embeddings.word_embeddings.weight")), inputs.ids))
    places = learned(
        ops, ops.constant(weight("embeddings.position_embeddings.weight")[config.first :]), inputs.ids
    )  # (n, h)
    table = weight("embeddings.token_type_embeddings.weight")
    # (b, n, h), or (h,) when all are of one type
    types = ops.constant(table[0]) if inputs.types is None else ops.gather(ops.constant(table), inputs.types)
    x = ops.add(ops.add(rows, ops.tap("types", types)), places)
    x = ops.layer_norm(x, weight("embeddings.LayerNorm.weight"), weight("embeddings.LayerNorm.bias"), config.eps)
    return ops.tap("embeddings", x)


def block(ops: Ops, weight: Weight, config: BertConfig, x: Tensor, mask: Tensor, layer: int) -> Tensor:
    """One layer: attention, then the feed-forward step, each added to its input and normalised."""

    def dense(y: Tensor, name: str) -> Tensor:
        return ops.linear(y, weight(f"{name}.weight"), weight(f"{name}.bias"))

    def norm(y: Tensor, name: str) -> Tensor:
        return ops.layer_norm(y, weight(f"{name}.weight"), weight(f"{name}.bias"), config.eps)

    seen = self_attention(
        ops,
        lambda name: weight(f"attention.self.{name}"),
        x,
        mask,
        heads=config.heads,
        name=f"layers.{layer}.attention",
    )
    x = norm(ops.add(dense(seen, "attention.output.dense"), x), "attention.output.LayerNorm")
    inner = activation(ops, config.activation, dense(x, "intermediate.dense"))  # (b, n, inner)
    x = norm(ops.add(dense(inner, "output.dense"), x), "output.LayerNorm")
    return ops.tap(f"layers.{layer}.output", x)


FAMILY = Family(BertConfig.read, shapes, bert, prefixes=("", "bert."))
