"""What transformers computes with the tiny networks; part of `make_golden.py`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.oracle import reference_jina, reference_torch
from tests.oracle.tiny_networks import listed, listed_heads, weight

#: where transformers has no class: what computes it instead
REFERENCES = {"reference_jina": reference_jina, "reference_torch": reference_torch}


def made(begin: str = "") -> dict[str, Any]:
    """The content of every file of ``golden/networks``, or of those whose name begins so."""
    return {f"networks/{name}.npz": _made(network) for name, network in listed().items() if name.startswith(begin)}


def _made(network: Mapping[str, Any]) -> dict[str, Any]:
    import torch

    lengths, width = network["lengths"], max(network["lengths"]) + network.get("more", 0)
    random = np.random.default_rng(network.get("seed", 0))
    low = network.get("lowest_id", 0)
    ids = random.integers(low, network["config"]["vocab_size"], size=(len(lengths), width)).astype(np.int32)
    mask = (np.arange(width)[None] < np.array(lengths)[:, None]).astype(np.float32)
    ids[mask == 0] = network.get("pad_id", 0)
    given = torch.from_numpy(ids).long(), torch.from_numpy(mask).long()
    with torch.no_grad():
        computed = _by_reference if network["model"] in REFERENCES else _by_transformers
        config, shapes, found = computed(network, *given)
    said = {"config": {**config, "model_type": network.get("model_type", network["kind"])}, "shapes": shapes}
    kept: dict[str, Any] = {"said": np.array(json.dumps(said, sort_keys=True)), "ids": ids, "mask": mask}
    kept |= {name: tensor.numpy() for name, tensor in found.items() if name not in network.get("skip", ())}
    return kept


Found = tuple[dict[str, Any], dict[str, list[int]], dict[str, Any]]


def _by_transformers(network: Mapping[str, Any], ids: Any, mask: Any) -> Found:
    import torch
    import transformers

    kind = getattr(transformers, network["model"])
    config = kind.config_class(**network["config"])
    config._attn_implementation = "eager"
    torch.manual_seed(0)
    model = kind(config, **network.get("options", {})).eval().float()
    # of a tensor that has several names, the first
    state = {t.data_ptr(): (name, t) for name, t in reversed(model.state_dict().items()) if t.is_floating_point()}
    state = dict(reversed(state.values()))
    shapes = {name: list(tensor.shape) for name, tensor in state.items()}
    drawn = {name: torch.from_numpy(weight(name, tuple(shape))) for name, shape in shapes.items()}
    model.load_state_dict(drawn, strict=False)
    out = model(input_ids=ids, attention_mask=mask, output_hidden_states=True, output_attentions=True)
    # the last of its hidden states is the result, after a last norm if there is one
    found = {"embeddings": out.hidden_states[0], "result": out.last_hidden_state}
    found |= {f"layers.{layer}.output": hidden for layer, hidden in enumerate(out.hidden_states[1:-1])}
    found |= {f"layers.{layer}.attention": attention for layer, attention in enumerate(out.attentions or ())}
    return config.to_dict(), shapes, found


def _by_reference(network: Mapping[str, Any], ids: Any, mask: Any) -> Found:
    import torch

    config, reference = network["config"], REFERENCES[network["model"]]
    shapes = reference.shapes(config)
    weights = {name: torch.from_numpy(weight(name, tuple(shape))) for name, shape in shapes.items()}
    return dict(config), shapes, reference.outputs(config, weights, ids, mask)


#: a small BERT, which has golden files of its own elsewhere
BERT = {
    "kind": "bert",
    "lengths": [7, 4, 1],
    "config": {
        "vocab_size": 40,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 24,
    },
}


def heads() -> dict[str, Any]:
    """Scores for labels and for the vocabulary, by every head of ``heads.toml``."""
    made = {}
    for task, families in listed_heads().items():
        for kind, model in families.items():
            network = next((n for n in listed().values() if n["kind"] == kind), BERT)
            made[f"heads/{task}.{kind}.npz"] = _head(network, model)
    return made


def _head(network: Mapping[str, Any], model: str) -> dict[str, Any]:
    import torch
    import transformers

    kind = getattr(transformers, model)
    pad = network.get("pad_id", 0)
    config = kind.config_class(**{**network["config"], "num_labels": 3, "pad_token_id": pad})
    config._attn_implementation = "eager"
    whole = kind(config).eval().float()
    # of a tensor that has several names, the one that is not the head's: so it is saved
    listed_last = sorted(whole.state_dict().items(), key=lambda named: "lm_head" in named[0] or "decoder" in named[0])
    state = {t.data_ptr(): (name, t) for name, t in reversed(listed_last) if t.is_floating_point()}
    shapes = {name: list(tensor.shape) for name, tensor in reversed(state.values())}
    drawn = {name: torch.from_numpy(weight(name, tuple(shape))) for name, shape in shapes.items()}
    whole.load_state_dict(drawn, strict=False)
    lengths, width = network["lengths"], max(network["lengths"])
    ids = np.random.default_rng(3).integers(5, network["config"]["vocab_size"], size=(len(lengths), width))
    mask = (np.arange(width)[None] < np.array(lengths)[:, None]).astype(np.float32)
    ids[mask == 0] = pad
    with torch.no_grad():
        out = whole(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask).long())
    said = {"config": {**config.to_dict(), "model_type": network["kind"]}, "shapes": shapes}
    return {
        "said": np.array(json.dumps(said, sort_keys=True)),
        "ids": ids.astype(np.int32),
        "mask": mask,
        "scores": out.logits.numpy(),
    }
