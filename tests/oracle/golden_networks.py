"""What transformers computes with the tiny networks; part of `make_golden.py`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.oracle.tiny_networks import listed, weight


def made(begin: str = "") -> dict[str, Any]:
    """The content of every file of ``golden/networks``, or of those whose name begins so."""
    return {f"networks/{name}.npz": _made(network) for name, network in listed().items() if name.startswith(begin)}


def _made(network: Mapping[str, Any]) -> dict[str, Any]:
    import torch
    import transformers

    kind = getattr(transformers, network["model"])
    config = kind.config_class(**network["config"])
    config._attn_implementation = "eager"
    torch.manual_seed(0)
    model = kind(config, **network.get("options", {})).eval().float()
    state = {name: tensor for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    shapes = {name: list(tensor.shape) for name, tensor in state.items()}
    drawn = {name: torch.from_numpy(weight(name, tuple(shape))) for name, shape in shapes.items()}
    model.load_state_dict(drawn, strict=False)
    lengths, width = network["lengths"], max(network["lengths"]) + network.get("more", 0)
    random = np.random.default_rng(network.get("seed", 0))
    low = network.get("lowest_id", 0)
    ids = random.integers(low, network["config"]["vocab_size"], size=(len(lengths), width)).astype(np.int32)
    mask = (np.arange(width)[None] < np.array(lengths)[:, None]).astype(np.float32)
    ids[mask == 0] = network.get("pad_id", 0)
    given = {"input_ids": torch.from_numpy(ids).long(), "attention_mask": torch.from_numpy(mask).long()}
    with torch.no_grad():
        out = (model.get_encoder() if network.get("encoder") else model)(
            **given, output_hidden_states=True, output_attentions=network.get("attentions", True)
        )
    said = {"config": {**config.to_dict(), "model_type": network["kind"]}, "shapes": shapes}
    kept: dict[str, Any] = {"said": np.array(json.dumps(said, sort_keys=True)), "ids": ids, "mask": mask}
    kept["embeddings"] = out.hidden_states[0].numpy()
    # the last of its hidden states is the result, after a last norm if there is one
    for layer, hidden in enumerate(out.hidden_states[1:-1]):
        kept[f"layers.{layer}.output"] = hidden.numpy()
    kept["result"] = out.last_hidden_state.numpy()
    for layer, attention in enumerate(out.attentions or ()):
        kept[f"layers.{layer}.attention"] = attention.numpy()
    for name in network.get("skip", ()):
        del kept[name]
    return kept
