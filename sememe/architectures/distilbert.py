"""DistilBERT (Sanh et al. 2019, arXiv 1910.01108): half of BERT's layers under other names, without token types.

Taps: those of `bert`, but for ``types``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sememe.architectures.bert import BertConfig, bert, shapes
from sememe.architectures.config import positive
from sememe.architectures.family import Family

_NAMES = {
    "encoder.layer": "transformer.layer",
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}


def read(config: Mapping[str, Any]) -> BertConfig:
    """Out of ``config.json``.

    Raises:
        ModelError: a number is missing or impossible.
    """
    return BertConfig(
        layers=positive(config, "n_layers"),
        heads=positive(config, "n_heads", divides="dim"),
        width=positive(config, "dim"),
        inner=positive(config, "hidden_dim"),
        activation=str(config.get("activation", "gelu")),
        eps=1e-12,
        positions=positive(config, "max_position_embeddings", default=512),
        types=0,
    )


def rename(name: str, config: BertConfig) -> str:
    """BERT's name into DistilBERT's."""
    for one, other in _NAMES.items():
        name = name.replace(one, other)
    return name


FAMILY = Family(read, shapes, bert, prefixes=("", "distilbert."), rename=rename)
