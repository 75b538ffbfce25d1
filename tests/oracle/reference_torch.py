"""The first Transformer's encoder as torch's own ``nn.TransformerEncoder`` computes it, over word vectors and sinusoids
that are written down here from the paper."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def _encoder(config: Mapping[str, Any]) -> Any:
    from torch import nn

    layer = nn.TransformerEncoderLayer(
        config["d_model"],
        config["nhead"],
        config["dim_feedforward"],
        dropout=0.0,
        activation=config["activation"],
        layer_norm_eps=config["layer_norm_eps"],
        batch_first=True,
        norm_first=config["norm_first"],
    )
    return nn.TransformerEncoder(layer, config["num_layers"], enable_nested_tensor=False).eval()


def shapes(config: Mapping[str, Any]) -> dict[str, list[int]]:
    """The names and shapes of its weights."""
    found = {name: list(tensor.shape) for name, tensor in _encoder(config).state_dict().items()}
    return {"embedding.weight": [config["vocab_size"], config["d_model"]], **found}


def outputs(config: Mapping[str, Any], weights: Mapping[str, Any], ids: Any, mask: Any) -> dict[str, Any]:
    """What goes into the first layer, each layer's output, and the result, as tensors."""
    import torch

    encoder = _encoder(config)
    encoder.load_state_dict({name: tensor for name, tensor in weights.items() if name != "embedding.weight"})
    h = config["d_model"]
    x = weights["embedding.weight"][ids] * math.sqrt(h)
    for p in range(ids.shape[1]):
        for i in range(h):
            angle = p / 10000 ** (2 * (i // 2) / h)
            x[:, p, i] += math.sin(angle) if i % 2 == 0 else math.cos(angle)
    kept = {"embeddings": x}
    with torch.no_grad():
        for layer, module in enumerate(encoder.layers):
            x = module(x, src_key_padding_mask=mask == 0)
            kept[f"layers.{layer}.output"] = x
    return kept | {"result": x}
