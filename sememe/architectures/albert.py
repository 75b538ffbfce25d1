"""ALBERT (Lan et al. 2019, arXiv 1909.11942): BERT with narrow word vectors, whose layers share their weights.

Taps: those of `bert`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from sememe.architectures.bert import BertConfig, bert, shapes
from sememe.architectures.config import choice, positive
from sememe.architectures.family import Family

_NAMES = {
    "embeddings_project": "encoder.embedding_hidden_mapping_in",
    "attention.self.": "attention.",
    "attention.output.": "attention.",
    "intermediate.dense": "ffn",
    "output.dense": "ffn_output",
    "output.LayerNorm": "full_layer_layer_norm",
}


@dataclass(frozen=True, slots=True)
class AlbertConfig(BertConfig):
    """``groups`` of layers have weights of their own; those of one group are the same layer again."""

    groups: int = 1


def read(config: Mapping[str, Any]) -> AlbertConfig:
    """Out of ``config.json``.

    Raises:
        ModelError: as `BertConfig.read`, or a group holds several layers.
    """
    choice({"inner_group_num": str(config.get("inner_group_num", 1))}, "inner_group_num", ("1",), default="1")
    numbers = BertConfig.read({"hidden_act": "gelu_new", "intermediate_size": 16384, **config})
    known = {field.name: getattr(numbers, field.name) for field in fields(numbers)}
    # the projection is always there, also between equal widths
    rows = positive(config, "embedding_size", default=128)
    return AlbertConfig(**{**known, "rows": rows}, groups=positive(config, "num_hidden_groups", default=1))


def rename(name: str, config: AlbertConfig) -> str:
    """BERT's name into ALBERT's, where many layers have one."""
    for one, other in _NAMES.items():
        name = name.replace(one, other)
    head, _, rest = name.partition("encoder.layer.")
    if not rest:
        return name
    layer, _, part = rest.partition(".")
    group = int(int(layer) / (config.layers / config.groups))
    return f"{head}encoder.albert_layer_groups.{group}.albert_layers.0.{part}"


FAMILY = Family(read, shapes, bert, prefixes=("", "albert."), rename=rename)
