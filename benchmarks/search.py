"""How fast, and how right, a store answers: 250,000 real sentence vectors, ten hits with their records, and its peers.

    python benchmarks/search.py --data FOLDER [--rows 250000] [--queries 200] [--cache FOLDER] [--only NAME …]

The sentences are those of FOLDER (or SEMEME_DATA): novels, Brown, MASC, Wikipedia, the Factbook; no sentence comes
twice, and the queries are sentences that are not in the store. sememe itself encodes them with all-MiniLM-L6-v2, which
takes minutes; the vectors are kept in the cache, in pieces, and an interrupted run goes on where it was. Recall is
against an exact NumPy search in float32. sememe's times contain fetching ten whole records from SQLite; the other
libraries give numbers of rows, and nothing else. All run in one process one after the other, one query at a time, with
as many threads as each takes by itself. A library that is not installed is named and left out.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
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

from sememe import settings
from sememe.encoders.load import load_encoder
from sememe.models.catalogue import DEFAULT
from sememe.models.pull import resolve
from sememe.shapes import Place, Record
from sememe.store.local.store import create_store, open_store

K = 10
PIECE = 10_000
PEERS = ("numpy", "faiss-hnsw", "faiss-fastscan", "hnswlib")
FILTERS = (("0.1 %", "n = 0"), ("1 %", "n < 10"), ("10 %", "n < 100"), ("50 %", "n < 500"))
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
    found: dict[str, None] = {}
    for line in lines(data):
        for sentence in re.split(r"(?<=[.!?;])\s+", line.strip()):
            if 25 <= len(sentence) <= 240:
                found[sentence] = None
    texts = list(found)
    random.Random(0).shuffle(texts)
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


def fill(folder: Path, texts: list[str], rows: Any) -> tuple[float, float]:
    """Seconds for putting everything, and for the first answer after the last put."""
    store = create_store(folder, dim=rows.shape[1])
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


def ours(folder: Path, texts: list[str], rows: Any, asked: list[str], queries: Any) -> Iterator[str]:
    put, ready = fill(folder, texts, rows)
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


# ---- the others ------------------------------------------------------------------------------------------------------


def peer(name: str, rows: Any) -> tuple[Ask, Callable[[Any], list[int]]] | Any:
    """Builds an index; a function from a query ``(1, dim)`` to row numbers."""
    if name == "numpy":
        return lambda query: exact(rows, query)[0]
    if name == "hnswlib":
        import hnswlib

        index = hnswlib.Index("ip", rows.shape[1])
        index.init_index(len(rows), M=16, ef_construction=200)
        index.add_items(rows)
        index.set_ef(128)
        return lambda query: index.knn_query(query, K)[0][0].tolist()
    import faiss

    if name == "faiss-hnsw":
        graph = faiss.IndexHNSWFlat(rows.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction, graph.hnsw.efSearch = 200, 128
        graph.add(rows)
        return lambda query: graph.search(query, K)[1][0].tolist()
    scan = faiss.index_factory(rows.shape[1], "PQ96x4fs,Refine(Flat)", faiss.METRIC_INNER_PRODUCT)
    scan.k_factor = 10
    scan.train(rows[:50_000])
    scan.add(rows)
    return lambda query: scan.search(query, K)[1][0].tolist()


def others(names: list[str], rows: Any, queries: Any) -> Iterator[str]:
    truth = exact(rows, queries)
    yield "\n| peer, row numbers only | built s | median ms | p95 ms | recall@10 |\n| --- | ---: | ---: | ---: | ---: |"
    for name in names:
        package = name.split("-")[0]
        if importlib.util.find_spec(package) is None:
            yield f"| {name} | not installed | | | |"
            continue
        started = time.perf_counter()
        ask = peer(name, rows)
        built = time.perf_counter() - started
        found, seconds = timed(lambda i, ask=ask: ask(queries[i : i + 1]), len(queries))
        yield row(name, f"{built:.2f}", seconds, f"{recall(found, truth):.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--data", default=os.environ.get("SEMEME_DATA", "../shared/data"))
    parser.add_argument("--rows", type=int, default=250_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "sememe-benchmarks")
    parser.add_argument("--only", nargs="*", default=list(PEERS), help="these peers")
    options = parser.parse_args()
    if not Path(options.data).is_dir():
        sys.exit(f"no data in {options.data}: say --data FOLDER")
    # The queries first, so that another number of rows has the same ones.
    texts = sentences(Path(options.data), options.queries + options.rows)
    whole = vectors_of(texts, options.cache, options.model)
    queries, rows = whole[: options.queries], whole[options.queries :]
    print(f"{len(rows)} x {rows.shape[1]} real sentence vectors, {len(queries)} queries, k = {K}", end="; ")
    with tempfile.TemporaryDirectory(prefix="sememe-search-") as folder:
        asked, rest = texts[: options.queries], texts[options.queries :]
        for line in ours(Path(folder) / "store", rest, rows, asked, queries):
            print(line, flush=True)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\npeak resident memory so far, the vectors themselves among it: {used:,.0f} MB")
    for line in others(options.only, rows, queries):
        print(line, flush=True)


if __name__ == "__main__":
    main()
