"""RoBERTa (Liu et al. 2019, arXiv 1907.11692) and its multilingual form XLM-R (Conneau et al. 2019, arXiv 1911.02116):
BERT, with positions that are counted from the row after that of the padding token.

Taps: those of `bert`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sememe.architectures.bert import BertConfig, bert, shapes
from sememe.architectures.config import natural
from sememe.architectures.family import Family
from sememe.errors import ModelError


def read(config: Mapping[str, Any]) -> BertConfig:
    """Out of ``config.json``.

    Raises:
        ModelError: as `BertConfig.read`, or no position is left for a token.
    """
    numbers = BertConfig.read({"type_vocab_size": 1, "layer_norm_eps": 1e-5, **config})
    first = natural(config, "pad_token_id", default=1) + 1
    if first >= numbers.positions:
        raise ModelError(f"config.json: {numbers.positions} positions, the first {first} of which are never used")
    return replace(numbers, positions=numbers.positions - first, first=first)


FAMILY = Family(read, shapes, bert, prefixes=("", "roberta."))
