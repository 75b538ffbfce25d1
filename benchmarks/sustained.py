"""A store that grows to a million: how fast it takes in vectors and texts, and how it answers and what it needs then.

    python benchmarks/sustained.py --data FOLDER --cache FOLDER [--rows 1000000] [--queries 200]

The rows are those of `benchmarks/search.py`, whose cache holds their vectors: 435,000 different sentences are in the
corpora, and from there on the rows are halves of these, which are real texts with real vectors too, though nearer to
each other than sentences are. They are read piece by piece, so that the memory is that of sememe. One pass puts all of
them and brings the words, the index and the columns up to date every 100,000 rows, as whoever closes the store does; a
process of its own then opens it, asks, and says what it needed. Recall is against all vectors, worked out at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from search import BATCH, PIECE, TRIAL, K, recall, records, sentences, vectors_of

from sememe.store.local.store import create_store, open_store

#: rows between two times of bringing up to date
PAUSE = 100_000


def put(folder: Path, texts: list[str], cache: Path, skipped: int) -> tuple[float, float, float]:
    """Seconds of the puts, of bringing up to date, and of the first answer after the last put."""
    store = create_store(folder, dim=384)
    puts = pauses = 0.0
    for start in range(0, len(texts), BATCH):
        rows = piece(cache, skipped + start, min(BATCH, len(texts) - start))
        ids = [f"{start + i:08}" for i in range(len(rows))]
        kept = records(texts[start : start + BATCH], start)
        started = time.perf_counter()
        store.put(ids, rows, kept)
        puts += time.perf_counter() - started
        if (start + BATCH) % PAUSE == 0:
            started = time.perf_counter()
            store.catch_up()
            pauses += time.perf_counter() - started
    started = time.perf_counter()
    store.search(rows[:1], K)
    ready = time.perf_counter() - started
    started = time.perf_counter()
    store.close()
    return puts, pauses + time.perf_counter() - started, ready


def piece(cache: Path, start: int, count: int) -> Any:
    """float32 ``(count, 384)`` of the cache, whatever its pieces are."""
    found = []
    while count > 0:
        whole = np.load(cache / f"sentences-{start // PIECE:03}.npy", mmap_mode="r")
        found.append(np.array(whole[start % PIECE : start % PIECE + count]))
        start, count = start + len(found[-1]), count - len(found[-1])
    return np.concatenate(found)


def ask(folder: Path, queries: Any, texts: list[str]) -> dict[str, Any]:
    """What a process sees that opens the store: seconds, answers, and the most memory that it had."""
    started = time.perf_counter()
    store = open_store(folder)
    store.search(queries[:1], K)
    said: dict[str, Any] = {"opened": time.perf_counter() - started}
    for mode in ("dense", "words", "hybrid"):
        seconds, answers = [], []
        for i in range(-5, len(queries)):
            words = [texts[i]] if mode != "dense" else None
            started = time.perf_counter()
            (hits,) = store.search(queries[i : i + 1] if i >= 0 else queries[:1], K, words=words, mode=mode)
            if i >= 0:
                seconds.append(time.perf_counter() - started)
                answers.append([int(id) for id in hits.ids])
        said[mode] = [float(np.median(seconds) * 1e3), float(np.percentile(seconds, 95) * 1e3), answers]
    store.close()
    return said | {"memory": memory()}


def memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def nearest(cache: Path, skipped: int, rows: int, queries: Any) -> list[list[int]]:
    best = np.empty((len(queries), 0), np.float32)
    numbers = np.empty((len(queries), 0), np.int64)
    for start in range(0, rows, 50_000):
        part = piece(cache, skipped + start, min(50_000, rows - start))
        best = np.concatenate([best, queries @ part.T], axis=1)
        numbers = np.concatenate([numbers, np.tile(np.arange(start, start + len(part)), (len(queries), 1))], axis=1)
        top = np.argpartition(-best, K, axis=1)[:, :K]
        best, numbers = np.take_along_axis(best, top, 1), np.take_along_axis(numbers, top, 1)
    return [row.tolist() for row in numbers]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--data", default=os.environ.get("SEMEME_DATA", "../shared/data"))
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "sememe-benchmarks")
    parser.add_argument("--ask", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    data = Path(options.data)
    if options.ask:
        asked = json.loads((options.ask / "asked.json").read_text("utf-8"))
        print(json.dumps(ask(options.ask / "store", np.load(options.ask / "asked.npy"), asked)))
        return
    texts = sentences(data, options.queries + options.rows + TRIAL)[: options.queries + options.rows]
    if not (options.cache / f"sentences-{(len(texts) - 1) // PIECE:03}.npy").exists():
        vectors_of(texts, options.cache, options.model)
    rows = len(texts) - options.queries
    queries = piece(options.cache, 0, options.queries)
    with tempfile.TemporaryDirectory(prefix="sememe-sustained-") as name:
        folder = Path(name)
        np.save(folder / "asked.npy", queries)
        (folder / "asked.json").write_text(json.dumps(texts[: options.queries]), "utf-8")
        puts, pauses, ready = put(folder / "store", texts[options.queries :], options.cache, options.queries)
        print(
            f"{rows:,} rows: {rows / puts:,.0f} put a second;"
            f" with words, index and columns {rows / (puts + pauses):,.0f};"
        )
        command = [sys.executable, __file__, "--ask", name]
        said = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    print(
        f"ready {ready:.2f} s after the last put; opened and first answer {said['opened']:.2f} s;"
        f" {size:,.0f} MB on disk;"
    )
    print(f"the process that asks: at most {said['memory']:,.0f} MB resident, pages of the mapped file among it\n")
    print("| mode | median ms | p95 ms | recall@10 |\n| --- | ---: | ---: | ---: |")
    truth = nearest(options.cache, options.queries, rows, queries)
    for mode in ("dense", "words", "hybrid"):
        median, slow, answers = said[mode]
        right = f"{recall(answers, truth):.4f}" if mode == "dense" else ""
        print(f"| {mode} | {median:.2f} | {slow:.2f} | {right} |")


if __name__ == "__main__":
    main()
