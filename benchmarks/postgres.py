"""The store on PostgreSQL beside the store in a folder, in one run: put, search, filter, copy.

    python benchmarks/postgres.py [ITEMS] [DIM]

The server is TEST_POSTGRES_URL, or one that is started for the run from the package that the tests use (then with
fsync off: what is compared is the work, not the disk). Vectors are random in 32 dimensions of the DIM, with a little
noise in all, for in as many directions as numbers no two are near; both stores are asked the same.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from sememe.shapes import Place, Record
from sememe.store.copy import copy
from sememe.store.local.store import create_store
from sememe.store.servers.postgres import create_postgres
from tests.postgres_server import NoServer, server_url

QUESTIONS = 40


def main(n: int = 20_000, dim: int = 384) -> None:
    try:
        url = server_url() + f"&collection=bench_{int(time.time())}"
    except NoServer as reason:
        print(f"skipped: {reason}")
        return
    chance = np.random.default_rng(0)
    directions = chance.standard_normal((32, dim))
    points = chance.standard_normal((n + QUESTIONS, 32)) @ directions
    points = (points + 0.5 * chance.standard_normal(points.shape)).astype(np.float32)
    vectors, queries = points[:n], points[n:]
    ids = [f"i{k:07}" for k in range(n)]
    records = [Record(f"text number {k} " * 10, Place(f"s{k % 100}", k), meta={"k": k}) for k in range(n)]
    with tempfile.TemporaryDirectory() as folder:
        stores: dict[str, Any] = {
            "folder": create_store(Path(folder) / "local", dim=dim),
            "postgres": create_postgres(url, dim=dim),
            "postgres hnsw": create_postgres(url + "_hnsw", dim=dim, index="hnsw"),
        }
        print(f"{n:,} items of {dim} numbers; milliseconds are medians of {QUESTIONS} questions, k = 10")
        print(f"{'':<14}{'put items/s':>12}{'dense ms':>10}{'k<1% ms':>10}{'k<50% ms':>10}{'recall@10':>11}")
        truth: list[set[str]] = []
        for name, store in stores.items():
            seconds = 0.0
            for start in range(0, n, 1000):
                part = slice(start, start + 1000)
                began = time.perf_counter()
                store.put(ids[part], vectors[part], records[part])
                seconds += time.perf_counter() - began
            store.search(queries[:1])
            answers: list[set[str]] = []
            times = {}
            for where in (None, f"k < {n // 100}", f"k < {n // 2}"):
                taken = []
                for query in queries:
                    started = time.perf_counter()
                    (hits,) = store.search(query[None], where=where)
                    taken.append(time.perf_counter() - started)
                    if where is None:
                        answers.append(set(hits.ids))
                times[where] = statistics.median(taken) * 1000
            truth = truth or answers
            recall = sum(len(a & b) for a, b in zip(truth, answers, strict=True)) / (10 * QUESTIONS)
            shown = "".join(f"{ms:>10.1f}" for ms in times.values())
            print(f"{name:<14}{n / seconds:>12,.0f}{shown}{recall:>11.3f}")
        fresh = create_postgres(url + "_copy", dim=dim)
        for turn in ("copy", "again"):
            report = copy(stores["folder"], fresh)
            rate = n / report.seconds
            print(f"{turn}: folder to postgres, {report.sent:,} sent, {report.seconds:.1f} s ({rate:,.0f} items/s)")
        for store in (*stores.values(), fresh):
            store.close()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
