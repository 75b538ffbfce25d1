"""How fast, and how right, a store answers: 250,000 real sentence vectors, ten hits with their records, and its peers.

    python benchmarks/search.py --data FOLDER [--rows 250000] [--queries 200] [--cache FOLDER] [--only NAME …]

The sentences are those of FOLDER (or SEMEME_DATA): novels, Brown, MASC, Wikipedia, the Factbook; no sentence comes
twice, and the queries are sentences that are not in the store. sememe itself encodes them with all-MiniLM-L6-v2, which
takes minutes; the vectors are kept in the cache, in pieces, and an interrupted run goes on where it was. Recall is
against an exact NumPy search in float32. sememe's times contain fetching ten whole records from SQLite. The peers
(`benchmarks/peers`, `benchmarks/requirements.txt`) run one after the other, each in a process of its own, one query at
a time, with as many threads as it takes by itself; the engines among them fetch the texts too, the libraries give
numbers of rows and nothing else. One that is not installed is named and left out.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from peers import running

from sememe import settings
from sememe.encoders.load import load_encoder
from sememe.models.catalogue import DEFAULT
from sememe.models.pull import resolve
from sememe.shapes import Place, Record
from sememe.store.local.keeper import KINDS
from sememe.store.local.store import create_store, open_store

K = 10
PIECE = 10_000
FILTERS = (("0.1 %", "n = 0"), ("1 %", "n < 10"), ("10 %", "n < 100"), ("50 %", "n < 500"))
#: further sentences, to tune the peers with
TRIAL = 200
#: rows of one put
BATCH = 5000

Answers = list[list[int]]
Ask = Callable[[int], list[int]]


# ---- sentences and their vectors -------------------------------------------------------------------------------------


def lines(data: Path) -> Iterator[str]:
    for name in ("novels_en", "brown", "masc", "wiki_sentences"):
        with gzip.open(data / "corpora" / f"{name}.txt.gz", "rt", encoding="utf-8") as file:
            yield from file
    for name in ("factbook", "wikipedia_en_sample"):
        with gzip.open(data / "corpora" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                yield from row.get("paragraphs") or [row["text"]]


def sentences(data: Path, count: int) -> list[str]:
    """``count`` different sentences in an order by chance; behind them, if these are too few, their halves."""
    found: dict[str, None] = {}
    for line in lines(data):
        for sentence in re.split(r"(?<=[.!?;])\s+", line.strip()):
            if 25 <= len(sentence) <= 240:
                found[sentence] = None
    texts = list(found)
    random.Random(0).shuffle(texts)
    if len(texts) < count:
        known = set(texts)
        for text in texts[:]:
            cut = text.find(" ", len(text) // 2)
            for half in (text[:cut], text[cut + 1 :]) if cut > 0 else ():
                if len(half) >= 25 and half not in known:
                    known.add(half)
                    texts.append(half)
    return texts[:count]


def vectors_of(texts: list[str], cache: Path, model: str | None) -> Any:
    """float32 ``(n, 384)`` from the cache, or encoded into it piece by piece."""
    cache.mkdir(parents=True, exist_ok=True)
    encoder, parts = None, []
    started = time.perf_counter()
    for start in range(0, len(texts), PIECE):
        path = cache / f"sentences-{start // PIECE:03}.npy"
        piece = texts[start : start + PIECE]
        if not path.exists() or len(np.load(path, mmap_mode="r")) < len(piece):
            encoder = encoder or load_encoder(Path(model or resolve(DEFAULT, home=settings.load().home)))
            fresh = path.with_suffix(".new.npy")
            np.save(fresh, encoder.encode(piece, on_long="cut"))
            fresh.replace(path)
            done = start + len(piece)
            print(f"encoded {done} of {len(texts)}, {time.perf_counter() - started:.0f} s", file=sys.stderr)
        parts.append(np.load(path)[: len(piece)])
    return np.concatenate(parts)


# ---- ours ------------------------------------------------------------------------------------------------------------


def records(texts: list[str], start: int) -> list[Record]:
    return [
        Record(text, Place("corpus.txt", start + i + 1), meta={"n": (start + i) % 1000}) for i, text in enumerate(texts)
    ]


def fill(folder: Path, texts: list[str], rows: Any, index: str) -> tuple[float, float]:
    """Seconds for putting everything, and for the first answer after the last put."""
    store = create_store(folder, dim=rows.shape[1], index=index)
    started = time.perf_counter()
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        ids = [f"{start + i:08}" for i in range(len(part))]
        store.put(ids, part, records(texts[start : start + BATCH], start))
    put = time.perf_counter() - started
    started = time.perf_counter()
    store.search(rows[:1], K)
    ready = time.perf_counter() - started
    store.close()
    return put, ready


def timed(ask: Ask, count: int) -> tuple[Answers, list[float]]:
    for i in range(min(count, 5)):
        ask(i)
    answers, seconds = [], []
    for i in range(count):
        started = time.perf_counter()
        answers.append(ask(i))
        seconds.append(time.perf_counter() - started)
    return answers, seconds


def exact(rows: Any, queries: Any, allowed: Any = None) -> Answers:
    found = []
    for query in queries:
        scores = rows @ query
        if allowed is not None:
            scores[~allowed] = -2
        best = np.argpartition(-scores, K)[:K]
        found.append(best[(scores[best] > -2)].tolist())
    return found


def recall(found: Answers, truth: Answers) -> float:
    return sum(len(set(a) & set(b)) for a, b in zip(found, truth, strict=True)) / sum(map(len, truth))


def row(name: str, ready: str, seconds: list[float], right: str) -> str:
    return f"| {name} | {ready} | {np.median(seconds) * 1e3:.2f} | {np.percentile(seconds, 95) * 1e3:.2f} | {right} |"


def ours(folder: Path, texts: list[str], rows: Any, asked: list[str], queries: Any, index: str) -> Iterator[str]:
    put, ready = fill(folder, texts, rows, index)
    started = time.perf_counter()
    store = open_store(folder)
    store.search(queries[:1], K)
    opened = time.perf_counter() - started
    truth = exact(rows, queries)

    def ask(**options: Any) -> Ask:
        def one(i: int) -> list[int]:
            words = [asked[i]] if options.get("mode", "dense") != "dense" else None
            (hits,) = store.search(queries[i : i + 1], K, words=words, **options)
            assert hits.records[0] is not None
            return [int(id) for id in hits.ids]

        return one

    yield f"put {len(rows) / put:,.0f} rows/s, opened and first answer {opened:.2f} s\n"
    size = sum(path.stat().st_size for kind in KINDS.values() for path in folder.glob(kind.file)) / 1e6
    yield f"index={index!r}, a file of {size:.1f} MB\n"
    yield "| sememe | ready s | median ms | p95 ms | recall@10 |\n| --- | ---: | ---: | ---: | ---: |"
    found, seconds = timed(ask(), len(queries))
    yield row("dense", f"{ready:.2f}", seconds, f"{recall(found, truth):.4f}")
    for share, where in FILTERS:
        started = time.perf_counter()
        ask(where=where)(0)
        first = time.perf_counter() - started
        found, seconds = timed(ask(where=where), len(queries))
        allowed = np.arange(len(rows)) % 1000 < {"n = 0": 1}.get(where, int(where.split()[-1]))
        right = recall(found, exact(rows, queries, allowed))
        yield row(f"filter of {share} (first time {first * 1e3:.0f} ms)", "", seconds, f"{right:.4f}")
    started = time.perf_counter()
    store.catch_up()
    ready = time.perf_counter() - started
    for mode in ("words", "hybrid"):
        _, seconds = timed(ask(mode=mode), len(queries))
        yield row(mode, f"{ready:.2f}", seconds, "")
    store.close()


# ---- together --------------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--data", default=os.environ.get("SEMEME_DATA", "../shared/data"))
    parser.add_argument("--rows", type=int, default=250_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "sememe-benchmarks")
    parser.add_argument("--index", nargs="*", default=["codes"], choices=list(KINDS), help="these kinds of our own")
    parser.add_argument("--only", nargs="*", default=list(running.PEERS), help="these peers")
    options = parser.parse_args()
    if not Path(options.data).is_dir():
        sys.exit(f"no data in {options.data}: say --data FOLDER")
    # The queries first, so that another number of rows has the same ones.
    texts = sentences(Path(options.data), options.queries + options.rows + TRIAL)
    whole = vectors_of(texts, options.cache, options.model)
    queries, rows, trial = np.split(whole, [options.queries, len(whole) - TRIAL])
    print(f"{len(rows)} x {rows.shape[1]} real sentence vectors, {len(queries)} queries, k = {K}", end="; ")
    with tempfile.TemporaryDirectory(prefix="sememe-search-") as folder:
        asked, rest = texts[: options.queries], texts[options.queries : -TRIAL]
        for index in options.index:
            for line in ours(Path(folder) / index, rest, rows, asked, queries, index):
                print(line, flush=True)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\npeak resident memory so far, the vectors themselves among it: {used:,.0f} MB")
    for line in running.lines(options.only, rows, rest, queries, trial):
        print(line, flush=True)


if __name__ == "__main__":
    main()
