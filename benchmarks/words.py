"""How fast, and how right, words are found: sememe beside bm25s, on two judged collections and on many sentences.

    python benchmarks/words.py --data FOLDER [--rows 250000] [--queries 200]

FOLDER (or SEMEME_DATA) is that of `benchmarks/search.py` and `benchmarks/retrieval.py`. Both sides get the same texts,
the title twice, drop English stop words and stem; one query at a time, from its text to ten answers. sememe's are whole
records out of SQLite, compared with their checksums; those of bm25s are numbers of rows. bm25s is asked with each of
its backends that is installed: numpy, its default, and numba; PyStemmer is needed with it. nDCG@10 has linear gains.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from retrieval import beir, ndcg
from search import sentences

from sememe.shapes import Place, Record
from sememe.store.local.store import create_store

K = 10
BATCH = 5000
ROUNDS = 3

Ask = Callable[[str], list[str]]
Texts = Sequence[tuple[str, str, str]]


def ours(folder: Path, texts: Texts) -> tuple[Ask, float]:
    """How to ask, and seconds until the index stood; ``texts`` are ids, titles and texts."""
    store = create_store(folder, dim=1)
    started = time.perf_counter()
    for start in range(0, len(texts), BATCH):
        part = texts[start : start + BATCH]
        kept = [Record(text, Place("corpus"), title) for _, title, text in part]
        store.put([id for id, *_ in part], np.ones((len(part), 1)), kept)
    store.catch_up()

    def ask(query: str) -> list[str]:
        return list(store.search(None, K, words=[query], mode="words")[0].ids)

    return ask, time.perf_counter() - started


def theirs(texts: Texts, backend: str) -> tuple[Ask, float]:
    import bm25s
    import Stemmer

    stemmer = Stemmer.Stemmer("english")
    started = time.perf_counter()
    written = [f"{title}\n{title}\n{text}" if title else text for _, title, text in texts]
    tokens = bm25s.tokenize(written, stopwords="en", stemmer=stemmer, show_progress=False)
    index = bm25s.BM25(method="lucene", k1=1.2, b=0.75, backend=backend)
    index.index(tokens, show_progress=False)
    ids = [id for id, *_ in texts]

    def ask(query: str) -> list[str]:
        asked = bm25s.tokenize([query], stopwords="en", stemmer=stemmer, show_progress=False)
        if not asked.vocab:
            return []
        rows, _ = index.retrieve(asked, k=min(K, len(ids)), show_progress=False, n_threads=0)
        return [ids[row] for row in rows[0].tolist()]

    return ask, time.perf_counter() - started


def rate(ask: Ask, queries: Sequence[str]) -> float:
    """Queries in a second: the best of some rounds."""
    seconds = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        for query in queries:
            ask(query)
        seconds.append(time.perf_counter() - started)
    return len(queries) / min(seconds[1:])


def contenders(folder: Path, texts: Texts) -> Iterator[tuple[str, Ask, float]]:
    yield "sememe", *ours(folder, texts)
    if importlib.util.find_spec("bm25s") is None or importlib.util.find_spec("Stemmer") is None:
        print("bm25s or PyStemmer is not installed; it is left out", file=sys.stderr)
        return
    for backend in ("numpy", "numba"):
        if importlib.util.find_spec(backend):
            yield f"bm25s, {backend}", *theirs(texts, backend)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("SEMEME_DATA", "../shared/data"))
    parser.add_argument("--rows", type=int, default=250_000)
    parser.add_argument("--queries", type=int, default=200)
    options = parser.parse_args()
    data = Path(options.data)
    if not data.is_dir():
        sys.exit(f"no data in {data}: say --data FOLDER")
    sets: dict[str, tuple[Texts, list[str], list[Any]]] = {}
    for name in ("cranfield", "cacm"):
        judged = beir(data / "retrieval" / name)
        texts = [(item.id, item.title, item.text) for item in judged.items]
        sets[name] = texts, [judged.queries[query] for query in judged.grades], list(judged.grades.values())
    many = sentences(data, options.queries + options.rows)
    asked, rest = many[: options.queries], many[options.queries :]
    sets["whole sentences"] = [(f"{n:07}", "", text) for n, text in enumerate(rest)], asked, []
    sets["four of their words"] = sets["whole sentences"][0], [" ".join(one.split()[1:5]) for one in asked], []
    print("| texts | contender | built s | queries/s | times sememe's | nDCG@10 |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for name, (texts, queries, grades) in sets.items():
        with tempfile.TemporaryDirectory(prefix="sememe-words-") as folder:
            first = 0.0
            for who, ask, built in contenders(Path(folder) / "store", texts):
                each = rate(ask, queries)
                first = first or each
                gain = f"{fmean(ndcg(ask(q), g) for q, g in zip(queries, grades, strict=True)):.4f}" if grades else ""
                share = f"1/{first / each:.1f}" if each < first else f"{each / first:.2f}"
                print(f"| {len(texts):,}, {name} | {who} | {built:.1f} | {each:,.0f} | {share} | {gain} |", flush=True)


if __name__ == "__main__":
    main()
