"""Texts through a table of vectors: texts a second, beside model2vec in the same run, on the same folder.

    python benchmarks/static.py FOLDER [--texts 20000]

FOLDER is a model of model2vec; without one a random table is written for the tokenizer of the default model.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from sememe.encoders.load import load_encoder
from sememe.models.layout import read_layout
from sememe.sample import items


def random_table(tokenizer: Path, folder: Path, dim: int) -> Path:
    from safetensors.numpy import save_file

    folder.mkdir()
    shutil.copy(tokenizer, folder / "tokenizer.json")
    size = len(json.loads(tokenizer.read_text("utf-8"))["model"]["vocab"])
    rows = np.random.default_rng(0).normal(size=(size, dim)).astype(np.float32)
    save_file({"embeddings": rows}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "model2vec", "normalize": True, "max_length": 512}))
    return folder


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("folder", type=Path, nargs="?")
    ask.add_argument("--tokenizer", type=Path, help="the folder whose tokenizer a random table is for")
    ask.add_argument("--texts", type=int, default=20_000)
    ask.add_argument("--runs", type=int, default=5)
    options = ask.parse_args()
    from model2vec import StaticModel

    with tempfile.TemporaryDirectory() as place:
        folder = options.folder or random_table(
            read_layout(options.tokenizer).tokenizer_file, Path(place) / "random", 256
        )
        sample = [item["text"] for item in items()]
        texts = [f"{at} {sample[at % len(sample)]}" for at in range(options.texts)]
        ours, theirs = load_encoder(folder, offline=True), StaticModel.from_pretrained(str(folder))
        ways = {
            "sememe": lambda: ours.encode(texts, on_long="cut"),
            "model2vec": lambda: theirs.encode(texts, use_multiprocessing=False),
        }
        seconds: dict[str, float] = {}
        made = {}
        for run in range(options.runs):
            for name in list(ways) if run % 2 else list(reversed(ways)):
                start = time.perf_counter()
                made[name] = ways[name]()
                seconds[name] = min(seconds.get(name, float("inf")), time.perf_counter() - start)
        apart = float(np.abs(made["sememe"] - made["model2vec"]).max())
        for name, took in seconds.items():
            print(f"{name:<10} {len(texts) / took:10.0f} texts/s")
        print(f"{seconds['model2vec'] / seconds['sememe']:.2f} times model2vec; greatest difference {apart:.1e}")


if __name__ == "__main__":
    main()
