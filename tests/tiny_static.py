"""A tiny table of word vectors, as model2vec writes one: config.json, tokenizer.json and model.safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tests import tiny_bert
from tests.rooms.model_folders import safetensors

DIM = 24
#: forms of the same model: all rows there, a weight for each token, and fewer rows than tokens
KINDS = ("plain", "weights", "mapping")


def tensors(kind: str) -> dict[str, np.ndarray]:
    """The table, with the same numbers each time."""
    rng = np.random.default_rng(7)
    size = len(tiny_bert.VOCABULARY)
    found = {"embeddings": rng.normal(size=(size, DIM)).astype(np.float32)}
    if kind in ("weights", "mapping"):
        found["weights"] = rng.uniform(0.2, 3, size).astype(np.float64)
    if kind == "mapping":
        found["mapping"] = rng.integers(0, 20, size).astype(np.int64)
        found["embeddings"] = found["embeddings"][:20]
    return found


def write(
    folder: Path,
    kind: str = "plain",
    *,
    normalize: bool = True,
    limit: int = 24,
    prompts: Mapping[str, str] | None = None,
) -> Path:
    """The folder of a model; ``limit`` is the longest text in tokens."""
    config = {"model_type": "model2vec", "architectures": ["StaticModel"], "normalize": normalize, "max_length": limit}
    folder.mkdir(parents=True, exist_ok=True)
    files = {"config.json": config, "tokenizer.json": tiny_bert.tokenizer()}
    if prompts:
        files["config_sentence_transformers.json"] = {"prompts": dict(prompts)}
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    (folder / "model.safetensors").write_bytes(safetensors(tensors(kind)))
    return folder
