"""How long a person waits at the door: `import sememe`, `sememe --help`, and a search, process start to printed hits.

The collection has 10,000 chunks, made of sentences of the bundled sample in new combinations, so that no two are equal.
Each row is the best and the median of several runs. `python benchmarks/start.py [--chunks N] [--runs N]`
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import resources
from pathlib import Path

import sememe
from sememe import settings

#: seconds that the project promises
BOUNDS = {"import sememe": 0.2, "sememe --help": 0.3, "search hybrid": 1.0, "search words": 1.0, "search dense": 1.0}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sememe-bench-") as folder:
        home = Path(folder)
        (home / "models").symlink_to(settings.load().models_dir)
        os.environ.update(SEMEME_HOME=str(home), SEMEME_OFFLINE="1")
        began = time.perf_counter()
        collection = sememe.Collection("bench").add(texts(options.chunks))
        print(f"{collection.count():,} chunks indexed in {time.perf_counter() - began:.1f} s\n")
        collection.close()
        return report(options.runs)


def report(runs: int) -> int:
    program = [sys.executable, "-m", "sememe"]
    rows = {"import sememe": [sys.executable, "-c", "import sememe"], "sememe --help": [*program, "--help"]}
    for mode in settings.MODES:
        rows[f"search {mode}"] = [*program, "search", "a ship in heavy weather", "-c", "bench", "--mode", mode]
    print(f"{'':<16}{'best':>8}{'median':>8}{'bound':>8}")
    failed = 0
    for name, command in rows.items():
        seconds = [once(command) for _ in range(runs)]
        failed += min(seconds) > BOUNDS[name]
        print(f"{name:<16}{min(seconds):>7.3f}s{statistics.median(seconds):>7.3f}s{BOUNDS[name]:>7.1f}s")
    return 1 if failed else 0


def once(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def texts(count: int) -> list[str]:
    """``count`` different texts of two to four sentences, the same in every run."""
    rows = resources.files("sememe").joinpath("sample", "items.jsonl").read_text("utf-8").splitlines()
    sentences = [part.strip() + "." for row in rows for part in json.loads(row)["text"].split(". ")]
    chance = random.Random(1)
    return [f"{' '.join(chance.sample(sentences, chance.randint(2, 4)))} ({n})" for n in range(count)]


if __name__ == "__main__":
    sys.exit(main())
