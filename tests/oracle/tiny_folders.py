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


#: those whose rerankers are compared: with types, without, with a head of their own, with a tokenizer without pairs
RERANKERS = ("bert", "deberta-v2", "electra", "modernbert", "xlm-roberta")
QUERY = "the boat at bank"


def write_reranker(folder: Path, kind: str) -> Path:
    """A folder of the family ``kind`` with a classifier of one label, as transformers saves it."""
    stored = Stored(f"classifier.{kind}", folder="heads")
    config = {key: value for key, value in stored.config.items() if key not in ("id2label", "label2id")}
    weights = {name: stored(name) for name in stored.shapes}
    # of the three labels that its golden file has, the first
    weights = {name: array[:1] if len(array) == 3 else array for name, array in weights.items()}
    specials = ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    specials.insert(config["pad_token_id"], "[PAD]")
    tiny_bert.write(folder, plain=True, limit=16, settings={"hidden_size": 1}, weights=weights)
    labels = {"num_labels": 1, "id2label": {"0": "fits"}, "label2id": {"fits": 0}}
    (folder / "config.json").write_text(json.dumps({**config, **labels}), "utf-8")
    tokenizer = tiny_bert.tokenizer(words=[*specials, *WORDS, *"uvwxyz0123"][: config["vocab_size"]])
    pair = [("[CLS]", 0), ("A", 0), ("[SEP]", 0), ("B", 1), ("[SEP]", 1)]
    tokenizer["post_processor"]["pair"] = [
        {"Sequence" if len(id) == 1 else "SpecialToken": {"id": id, "type_id": type_id}} for id, type_id in pair
    ]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    return folder


SUM = {"pooling_strategy": "sum", "activation_function": "log1p_relu"}
SPARSE = ("bert", "distilbert", "modernbert", "roberta")


def write_sparse(folder: Path, kind: str, **pooling: str) -> Path:
    """A folder of the family ``kind`` with the head of a masked language model.

    A plain one, or, with ``pooling``, in the layout of sentence-transformers.
    """
    stored = Stored(f"masked.{kind}", folder="heads")
    specials = ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    specials.insert(stored.config["pad_token_id"], "[PAD]")
    weights = {name: stored(name) for name in stored.shapes}
    tiny_bert.write(folder, plain=True, limit=14, settings={"hidden_size": 1}, weights=weights)
    (folder / "config.json").write_text(json.dumps(stored.config), "utf-8")
    (folder / "tokenizer.json").write_text(json.dumps(tiny_bert.tokenizer(words=[*specials, *WORDS])), "utf-8")
    if pooling:
        package = "sentence_transformers.sparse_encoder.models."
        modules = [("", "MLMTransformer"), ("1_SpladePooling", "SpladePooling")]
        listed_modules = [
            {"idx": at, "name": str(at), "path": path, "type": package + name}
            for at, (path, name) in enumerate(modules)
        ]
        (folder / "modules.json").write_text(json.dumps(listed_modules), "utf-8")
        settings = {"model_type": "SparseEncoder", "prompts": {}, "default_prompt_name": None}
        (folder / "config_sentence_transformers.json").write_text(json.dumps(settings), "utf-8")
        (folder / "1_SpladePooling").mkdir()
        (folder / "1_SpladePooling" / "config.json").write_text(json.dumps(pooling), "utf-8")
    return folder


def _width(config: Any) -> int:
    return int(next(config[key] for key in ("hidden_size", "d_model", "n_embd", "dim") if config.get(key)))
