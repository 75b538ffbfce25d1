"""ELECTRA (Clark et al. 2020, arXiv 2003.10555): BERT, whose word vectors may be narrower than the network.

Taps: those of `bert`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sememe.architectures.bert import BertConfig, bert, shapes
from sememe.architectures.config import positive
from sememe.architectures.family import Family


def read(config: Mapping[str, Any]) -> BertConfig:
    """Out of ``config.json``.

    Raises:
        ModelError: as `BertConfig.read`.
    """
    numbers = BertConfig.read(config)
    rows = positive(config, "embedding_size", default=128)
    return replace(numbers, rows=rows if rows != numbers.width else 0)


FAMILY = Family(read, shapes, bert, prefixes=("", "electra."))
