"""A model folder of every family, small and random, which both sememe and sentence-transformers open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests import tiny_bert
from tests.oracle.tiny_networks import Stored, listed

#: forty tokens, as many as the networks have rows; what else a text holds is [UNK]
WORDS = ["the", "boat", "at", "bank", "of", "river", "water", "money", "house", "stone", "bread", "cat", "dog", "moon"]
WORDS += [*"abcdefghijklmnopqrst", "is"]
DECODERS = ("llama", "mistral", "qwen2", "qwen3", "gemma3_text", "gpt2", "gpt_neox", "bloom", "mpt")
#: transformers knows no such class: nothing but sememe opens these
UNKNOWN = ("jina_bert", "transformer")
PROMPTS = {"query": "the house is ", "document": ""}


def families() -> dict[str, str]:
    """For each family that sentence-transformers opens too, the first of its networks."""
    found: dict[str, str] = {}
    for name, network in listed().items():
        if network["kind"] not in UNKNOWN:
            found.setdefault(network["kind"], name)
    return found


def pooling(kind: str) -> str:
    """Decoders see only what comes before, so their last token is the one that has seen all."""
    if kind in DECODERS:
        return "last" if kind != "gpt2" else "weighted_mean"
    return "mean"


def write(folder: Path, kind: str) -> Path:
    """The folder of the family ``kind``, in the layout of sentence-transformers."""
    stored = Stored(families()[kind])
    pad = listed()[families()[kind]].get("pad_id", 0)
    specials = ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    specials.insert(pad, "[PAD]")
    tiny_bert.write(
        folder,
        pooling=pooling(kind),
        prompts=PROMPTS,
        limit=16,
        settings={**stored.config, "hidden_size": _width(stored.config), "pad_token_id": pad},
        weights={name: stored(name) for name in stored.shapes},
    )
    settings = {**stored.config, "pad_token_id": pad}
    (folder / "config.json").write_text(json.dumps(settings), "utf-8")
    (folder / "tokenizer.json").write_text(json.dumps(tiny_bert.tokenizer(words=[*specials, *WORDS])), "utf-8")
    return folder


def _width(config: Any) -> int:
    return int(next(config[key] for key in ("hidden_size", "d_model", "n_embd", "dim") if config.get(key)))
