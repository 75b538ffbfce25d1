"""Vectors kept as float32, float16, int8 and binary in one run: size, time of a search, and what is lost.

    python benchmarks/vector_types.py FOLDER [--rows 250000]

FOLDER holds float32 arrays ``*.npy`` of ``(n, dim)``; the last 200 rows are the queries. Searches of all types are
asked in turns, so that other work on the machine falls on all of them alike. The truth of recall@10 is a float32
product.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from sememe.shapes import Place, Record
from sememe.store.local.store import LocalStore, create_store

QUERIES, K, BATCH = 200, 10, 10_000
TYPES = ("float32", "float16", "int8", "binary")


def filled(folder: Path, kind: str, vectors: Any) -> LocalStore:
    """A store of ``vectors`` whose records are empty."""
    store = create_store(folder, dim=vectors.shape[1], vectors=kind)
    for start in range(0, len(vectors), BATCH):
        part = vectors[start : start + BATCH]
        store.put([str(start + i) for i in range(len(part))], part, [Record("", Place("a", 1)) for _ in part])
    store.search(vectors[:1], K)
    return store


def asked(stores: dict[str, LocalStore], queries: Any, truth: list[set[int]]) -> dict[str, tuple[float, float]]:
    """Of each store the median of milliseconds, and recall@10."""
    seconds: dict[str, list[float]] = {name: [] for name in stores}
    right = dict.fromkeys(stores, 0)
    for query, wanted in zip(queries, truth, strict=False):
        for name, store in stores.items():
            began = time.perf_counter()
            (hits,) = store.search(query[np.newaxis], K)
            seconds[name].append(time.perf_counter() - began)
            right[name] += len(wanted & {int(id) for id in hits.ids})
    return {name: (1000 * float(np.median(seconds[name])), right[name] / K / len(seconds[name])) for name in stores}


def main() -> None:
    """Make the stores, ask them, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=250_000)
    chosen = parser.parse_args()
    every = np.concatenate([np.load(path) for path in sorted(chosen.folder.glob("*.npy"))])
    vectors, queries = every[: min(chosen.rows, len(every) - QUERIES)], every[-QUERIES:]
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    truth = [set(np.argsort(-row)[:K].tolist()) for row in queries @ units.T]
    with tempfile.TemporaryDirectory() as home:
        stores = {kind: filled(Path(home) / kind, kind, vectors) for kind in TYPES}
        sizes = {kind: sum(f.stat().st_size for f in (Path(home) / kind).glob("vectors*")) for kind in TYPES}
        by_codes = asked(stores, queries, truth)
        scanned = {k: LocalStore(s.folder, timeout=10, read_only=None, coded=10**18) for k, s in stores.items()}
        for store in scanned.values():
            store.search(queries[:1], K)  # looks at every checksum once
        by_scan = asked(scanned, queries[:20], truth)
        print(f"{len(vectors):,} x {vectors.shape[1]}")
        print("| type | MB | ms | recall@10 | scan ms | recall@10 | neighbours kept | cosine | least | measured, s |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        for kind in TYPES:
            began = time.perf_counter()
            loss = stores["float32"].measure_loss(kind)
            spent = time.perf_counter() - began
            (ms, recall), (scan_ms, scan_recall) = by_codes[kind], by_scan[kind]
            print(
                f"| {kind} | {sizes[kind] / 1e6:.0f} | {ms:.2f} | {recall:.4f} | {scan_ms:.0f} | {scan_recall:.3f} | "
                f"{loss.recall:.4f} | {loss.cosine:.6f} | {loss.least:.6f} | {spent:.1f} |"
            )
        for store in (*stores.values(), *scanned.values()):
            store.close()


if __name__ == "__main__":
    main()
