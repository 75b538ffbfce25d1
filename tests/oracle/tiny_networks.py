"""Tiny random networks of every family: which there are, and their weights, made the same way wherever they are needed.

A family has a file `networks/<model_type>.toml`, which names the class of transformers that is its oracle and some
configs. Only configs, inputs and what transformers made of them are stored; the weights follow from their names, so a
golden file takes a few kilobytes.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

NETWORKS = Path(__file__).parent / "networks"
GOLDEN = Path(__file__).parent / "golden" / "networks"


def listed() -> dict[str, dict[str, Any]]:
    """Every network by its name ``<model_type>.<name>``: ``kind``, ``model`` (a class of transformers), ``config``,
    ``lengths`` of the texts, and what else its file says."""
    found = {}
    for file in sorted(NETWORKS.glob("*.toml")):
        family = tomllib.loads(file.read_text("utf-8"))
        for network in family.pop("network"):
            found[f"{file.stem}.{network['name']}"] = {"kind": file.stem, "lengths": [7, 4, 1], **family, **network}
    return found


def listed_heads() -> dict[str, dict[str, str]]:
    """For each task the families whose heads are known, with the class of transformers."""
    found: dict[str, dict[str, str]] = tomllib.loads((NETWORKS.parent / "heads.toml").read_text("utf-8"))
    return found


def weight(name: str, shape: tuple[int, ...]) -> Any:
    """Random numbers that depend on the name alone, of a size that keeps every part of a network in play."""
    random = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))
    drawn = random.normal(size=shape)
    last = name.lower().rsplit(".", 2)[-2:]
    if len(shape) < 2:
        is_norm = last[-1] == "weight" or "norm" in last[-1]
        return (drawn * 0.1 + (1 if is_norm else 0)).astype(np.float32)
    if "emb" in name.lower() or "wte" in name or "wpe" in name or "shared" in name or "bias" in name:
        return drawn.astype(np.float32)
    return (drawn * 1.5 / shape[-1] ** 0.5).astype(np.float32)


class Stored:
    """One golden file: a network's config and weights, its inputs, and what transformers made of them."""

    def __init__(self, name: str, *, folder: str = "networks") -> None:
        with np.load(GOLDEN.parent / folder / f"{name}.npz", allow_pickle=False) as file:
            self.arrays = {key: file[key] for key in file.files}
        said = json.loads(str(self.arrays.pop("said")))
        self.config: Mapping[str, Any] = said["config"]
        self.shapes: Mapping[str, list[int]] = said["shapes"]
        self.ids, self.mask = self.arrays.pop("ids"), self.arrays.pop("mask")

    def __contains__(self, name: object) -> bool:
        return name in self.shapes

    def __call__(self, name: str) -> Any:
        return weight(name, self.shape(name))

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.shapes[name])
