"""MPNet (Song et al. 2020, arXiv 2004.09297): RoBERTa's positions and, in every layer, T5's bias by distance.

Taps: those of `bert`, but for ``types``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sememe.architectures.bert import BertConfig, bert, shapes
from sememe.architectures.config import choice
from sememe.architectures.family import Family
from sememe.architectures.roberta import read as read_roberta

_NAMES = {
    "attention.self.query": "attention.attn.q",
    "attention.self.key": "attention.attn.k",
    "attention.self.value": "attention.attn.v",
    "attention.output.dense": "attention.attn.o",
    "attention.output.LayerNorm": "attention.LayerNorm",
}


def read(config: Mapping[str, Any]) -> BertConfig:
    """Out of ``config.json``.

    Raises:
        ModelError: as `BertConfig.read`, or another number of buckets than the 32 that MPNet's code has.
    """
    buckets = {"relative_attention_num_buckets": str(config.get("relative_attention_num_buckets", 32))}
    choice(buckets, "relative_attention_num_buckets", ("32",), default="32")
    numbers = read_roberta({"layer_norm_eps": 1e-12, **config, "pad_token_id": 1})
    return replace(numbers, types=0, buckets=32)


def rename(name: str, config: BertConfig) -> str:
    """BERT's name into MPNet's."""
    for one, other in _NAMES.items():
        name = name.replace(one, other)
    return name


FAMILY = Family(read, shapes, bert, prefixes=("", "mpnet."), rename=rename)
