"""JinaBERT v2 in torch, written from its paper and config: transformers has no such class, and code that comes with a
model is never run here. What it shares with sememe's is the reading of the paper, so it is the weaker kind of oracle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def outputs(config: Mapping[str, Any], weights: Mapping[str, Any], ids: Any, mask: Any) -> dict[str, Any]:
    """What goes into the first layer, each layer's output and attention, and the result, as tensors."""
    import torch
    from torch.nn import functional as f

    h, a = config["hidden_size"], config["num_attention_heads"]
    eps, n = config["layer_norm_eps"], ids.shape[1]

    def norm(x: Any, name: str) -> Any:
        return f.layer_norm(x, (h,), weights[f"{name}.weight"], weights[f"{name}.bias"], eps)

    def dense(x: Any, name: str) -> Any:
        return f.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    slopes = torch.tensor([2.0 ** (-8 * (i + 1) / a) for i in range(a)])  # a power of two of heads only
    far = (torch.arange(n)[None] - torch.arange(n)[:, None]).abs()
    bias = -slopes[:, None, None] * far
    x = weights["embeddings.word_embeddings.weight"][ids] + weights["embeddings.token_type_embeddings.weight"][0]
    x = norm(x, "embeddings.LayerNorm")
    kept = {"embeddings": x}
    for layer in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{layer}."
        q, k, v = (
            dense(x, f"{at}attention.self.{part}").unflatten(-1, (a, h // a)).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        scores = q @ k.transpose(-1, -2) / (h // a) ** 0.5 + bias
        attention = scores.masked_fill(mask[:, None, None] == 0, float("-inf")).softmax(-1)
        seen = (attention @ v).transpose(1, 2).flatten(2)
        x = norm(dense(seen, f"{at}attention.output.dense") + x, f"{at}attention.output.LayerNorm")
        gate, up = dense(x, f"{at}mlp.gated_layers").chunk(2, dim=-1)
        act = f.gelu if config["feed_forward_type"] == "geglu" else f.relu
        x = norm(dense(act(gate) * up, f"{at}mlp.wo") + x, f"{at}mlp.layernorm")
        kept |= {f"layers.{layer}.output": x, f"layers.{layer}.attention": attention}
    return kept | {"result": x}


def shapes(config: Mapping[str, Any]) -> dict[str, list[int]]:
    """The names and shapes of its published weights."""
    h, inner = config["hidden_size"], config["intermediate_size"]
    found = {
        "embeddings.word_embeddings.weight": [config["vocab_size"], h],
        "embeddings.token_type_embeddings.weight": [config["type_vocab_size"], h],
        "embeddings.LayerNorm.weight": [h],
        "embeddings.LayerNorm.bias": [h],
    }
    for layer in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{layer}."
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            found |= {f"{at}{part}.weight": [h, h], f"{at}{part}.bias": [h]}
        found |= {f"{at}mlp.gated_layers.weight": [2 * inner, h], f"{at}mlp.wo.weight": [h, inner]}
        found |= {f"{at}mlp.wo.bias": [h]}
        for part in ("attention.output.LayerNorm", "mlp.layernorm"):
            found |= {f"{at}{part}.weight": [h], f"{at}{part}.bias": [h]}
    return found
