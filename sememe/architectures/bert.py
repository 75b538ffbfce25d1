"""BERT (Devlin et al. 2019, arXiv 1810.04805): an encoder with learned positions, normalised after each step.

Taps: ``rows`` (word vectors), ``positions``, ``types``, ``embeddings`` (what enters layer 0), ``layers.i.attention``
(the weights of each head, ``(b, a, n, n)``) and ``layers.i.output`` (``(b, n, h)``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sememe.architectures import positions
from sememe.architectures.activations import activation
from sememe.architectures.attention import self_attention
from sememe.architectures.config import choice, number, positive
from sememe.architectures.family import Family, Shapes
from sememe.ops.contract import Inputs, Ops, Tensor, Weight

#: from this distance on all are in the last bucket of a relative bias
FURTHEST = 128


@dataclass(frozen=True, slots=True)
class BertConfig:
    """The published numbers of one BERT, and of those that are BERT but for some detail.

    ``first`` rows of the table of positions are never used; ``types`` may be 0; ``rows`` is the width of the tables, 0
    where it is that of the network; ``buckets`` are those of a relative bias, 0 for none.
    """

    layers: int
    heads: int
    width: int
    inner: int
    activation: str
    eps: float
    positions: int
    types: int
    first: int = 0
    rows: int = 0
    buckets: int = 0

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
    h, inner, rows = config.width, config.inner, config.rows or config.width
    table: Shapes = {
        "embeddings.word_embeddings.weight": (None, rows),
        "embeddings.position_embeddings.weight": (config.first + config.positions, rows),
        "embeddings.LayerNorm.weight": (rows,),
        "embeddings.LayerNorm.bias": (rows,),
    }
    if config.types:
        table["embeddings.token_type_embeddings.weight"] = (config.types, rows)
    if config.rows:
        table |= {"embeddings_project.weight": (h, rows), "embeddings_project.bias": (h,)}
    if config.buckets:
        table["encoder.relative_attention_bias.weight"] = (config.buckets, config.heads)
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
    x, bias = embeddings(ops, weight, config, inputs), None
    if config.buckets:
        bucket = positions.buckets(config.positions, config.buckets, FURTHEST, both_sides=True)
        bias = positions.by_distance(ops, weight("encoder.relative_attention_bias.weight")[bucket], inputs.ids)
    for layer in range(config.layers):

        def of_layer(name: str, layer: int = layer) -> Any:
            return weight(f"encoder.layer.{layer}.{name}")

        x = block(ops, of_layer, config, x, (inputs.mask, bias), layer)
    return x


def embeddings(ops: Ops, weight: Weight, config: BertConfig, inputs: Inputs) -> Tensor:
    """Word, position and type vectors, added and normalised: ``(b, n, h)``."""
    x = ops.tap("rows", ops.gather(ops.constant(weight("embeddings.word_embeddings.weight")), inputs.ids))
    if config.types:
        table = weight("embeddings.token_type_embeddings.weight")
        # (b, n, h), or (h,) when all are of one type
        types = ops.constant(table[0]) if inputs.types is None else ops.gather(ops.constant(table), inputs.types)
        x = ops.add(x, ops.tap("types", types))
    table = weight("embeddings.position_embeddings.weight")[config.first :]
    x = ops.add(x, positions.learned(ops, ops.constant(table), inputs.ids))
    x = ops.layer_norm(x, weight("embeddings.LayerNorm.weight"), weight("embeddings.LayerNorm.bias"), config.eps)
    if config.rows:
        x = ops.linear(x, weight("embeddings_project.weight"), weight("embeddings_project.bias"))
    return ops.tap("embeddings", x)


def block(
    ops: Ops, weight: Weight, config: BertConfig, x: Tensor, sight: tuple[Tensor, Tensor | None], layer: int
) -> Tensor:
    """One layer: attention, then the feed-forward step, each added to its input and normalised.

    ``sight`` is the mask of padding ``(b, n)`` and a bias ``(a, n, n)`` or None.
    """

    def dense(y: Tensor, name: str) -> Tensor:
        return ops.linear(y, weight(f"{name}.weight"), weight(f"{name}.bias"))

    def norm(y: Tensor, name: str) -> Tensor:
        return ops.layer_norm(y, weight(f"{name}.weight"), weight(f"{name}.bias"), config.eps)

    seen = self_attention(
        ops,
        lambda name: weight(f"attention.self.{name}"),
        x,
        sight[0],
        heads=config.heads,
        name=f"layers.{layer}.attention",
        bias=sight[1],
    )
    x = norm(ops.add(dense(seen, "attention.output.dense"), x), "attention.output.LayerNorm")
    inner = activation(ops, config.activation, dense(x, "intermediate.dense"))  # (b, n, inner)
    x = norm(ops.add(dense(inner, "output.dense"), x), "output.LayerNorm")
    return ops.tap(f"layers.{layer}.output", x)


FAMILY = Family(BertConfig.read, shapes, bert, prefixes=("", "bert."))
