"""Encoders that are saved, for the script that has sentence-transformers open them, and the test."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from sememe.encoders.load import load_encoder
from sememe.encoders.save import REFERENCE, save_encoder
from sememe.models.weights import Weights
from tests import tiny_bert
from tests.oracle import tiny_folders
from tests.oracle.stored import FOLDERS

#: a folder of `stored.FOLDERS` or a family, and what its vectors are cut to
CASES: dict[str, tuple[str, int]] = {
    "bert": ("prompts", 0),
    "steps": ("dense, norm and dense after pooling", 0),
    "cut": ("prompts", 9),
    "cut, length kept": ("cls", 9),
    "qwen3": ("qwen3", 0),
    "gpt2": ("gpt2", 0),
}


def opened(case: str, scratch: Path) -> Any:
    """The encoder that is saved."""
    name, dims = CASES[case]
    folder = scratch / "made"
    if name in FOLDERS:
        tiny_bert.write(folder, **FOLDERS[name])
    else:
        tiny_folders.write(folder, name)
    return load_encoder(folder, precision="f32", threads=1, home=scratch, offline=True, dims=dims)


def save(case: str, scratch: Path) -> Path:
    """The folder that it is saved to."""
    return save_encoder(opened(case, scratch), scratch / "saved")


def digest(folder: Path) -> str:
    """Of all that steers another program: configs, tokenizer, names and shapes of weights; not of the numbers."""
    found = hashlib.sha256()
    for file in sorted(folder.rglob("*.json")):
        if file.name != REFERENCE:
            said = json.dumps(json.loads(file.read_text("utf-8")), sort_keys=True)
            found.update(f"{file.relative_to(folder).as_posix()}\0{said}\n".encode())
    for file in sorted(folder.rglob("*.safetensors")):
        with Weights.open(file) as weights:
            told = [(name, weights.dtype(name), weights.shape(name)) for name in sorted(weights)]
        found.update(f"{file.relative_to(folder).as_posix()}\0{told}\n".encode())
    return found.hexdigest()
