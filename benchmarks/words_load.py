"""Files of word vectors: how long loading takes, beside gensim in the same run.

    python benchmarks/words_load.py [--text glove.6B.50d.txt] [--rows 400000]

Without a file one of random numbers is written, of the shape of GloVe 6B 50d. Each reader gets the same file; the order
is turned around each time, and the best of the runs counts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sememe.space.formats.files import read_space, write_space


def best(calls: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for run in range(runs):
        for name in list(calls) if run % 2 else list(reversed(calls)):
            start = time.perf_counter()
            calls[name]()
            found[name] = min(found.get(name, float("inf")), time.perf_counter() - start)
    return found


def show(title: str, seconds: dict[str, float]) -> None:
    ours = seconds["sememe"]
    print(title)
    for name, took in seconds.items():
        print(f"  {name:<8} {took:8.2f} s   {took / ours:5.1f} times ours")


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--text", type=Path)
    ask.add_argument("--rows", type=int, default=400_000)
    ask.add_argument("--runs", type=int, default=3)
    options = ask.parse_args()
    from gensim.models import KeyedVectors

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        text = options.text or folder / "random.txt"
        if options.text is None:
            rows = np.random.default_rng(0).normal(scale=0.4, size=(options.rows, 50))
            with text.open("w") as file:
                file.writelines(f"word{at} " + " ".join(f"{x:.5g}" for x in row) + "\n" for at, row in enumerate(rows))
        whole = read_space(text)
        write_space(whole, folder / "w.bin")
        write_space(whole, folder / "w.npy")
        load = KeyedVectors.load_word2vec_format
        print(f"{len(whole)} words of {whole.dim} numbers, {text.stat().st_size / 1e6:.0f} MB of text")
        texts = {"gensim": lambda: load(str(text), no_header=True), "sememe": lambda: read_space(text)}
        show("text", best(texts, options.runs))
        raw = {
            "gensim": lambda: load(str(folder / "w.bin"), binary=True),
            "sememe": lambda: read_space(folder / "w.bin"),
        }
        show("word2vec binary", best(raw, options.runs))
        show("npy, mapped", best({"sememe": lambda: read_space(folder / "w.npy")}, options.runs))


if __name__ == "__main__":
    main()
