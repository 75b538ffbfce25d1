"""Libraries that keep vectors in memory and answer with row numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

K = 10


class Numpy:
    """No index: every vector is read."""

    efforts: tuple[int, ...] = (0,)

    def __init__(self, rows: Any, _texts: Sequence[str], _folder: Path) -> None:
        self.rows = rows

    def ask(self, query: Any, _effort: int) -> list[int]:
        scores = self.rows @ query[0]
        best = np.argpartition(-scores, K)[:K]
        found: list[int] = best[np.argsort(-scores[best])].tolist()
        return found


class FaissHnsw:
    """FAISS's graph over float32 vectors."""

    efforts = (64, 128, 192, 256, 384, 512)

    def __init__(self, rows: Any, _texts: Sequence[str], _folder: Path) -> None:
        import faiss

        self.index = faiss.IndexHNSWFlat(rows.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = 200
        self.index.add(rows)

    def ask(self, query: Any, effort: int) -> list[int]:
        self.index.hnsw.efSearch = effort
        found: list[int] = self.index.search(query, K)[1][0].tolist()
        return found


class FaissFastScan:
    """FAISS's four-bit product codes in registers, the best of them scored again from float32."""

    efforts = (10, 20, 40, 80, 160)

    def __init__(self, rows: Any, _texts: Sequence[str], _folder: Path) -> None:
        import faiss

        self.index = faiss.index_factory(rows.shape[1], "PQ96x4fs,Refine(Flat)", faiss.METRIC_INNER_PRODUCT)
        self.index.train(rows[:50_000])
        self.index.add(rows)

    def ask(self, query: Any, effort: int) -> list[int]:
        self.index.k_factor = effort
        found: list[int] = self.index.search(query, K)[1][0].tolist()
        return found


class FaissIvf:
    """FAISS's cells over float32 vectors."""

    efforts = (8, 16, 32, 64, 128, 256)

    def __init__(self, rows: Any, _texts: Sequence[str], _folder: Path) -> None:
        import faiss

        cells = int(2 * len(rows) ** 0.5)
        self.index = faiss.index_factory(rows.shape[1], f"IVF{cells},Flat", faiss.METRIC_INNER_PRODUCT)
        self.index.train(rows[: 50 * cells])
        self.index.add(rows)

    def ask(self, query: Any, effort: int) -> list[int]:
        self.index.nprobe = effort
        found: list[int] = self.index.search(query, K)[1][0].tolist()
        return found


class Hnswlib:
    """The graph by its inventor."""

    efforts = (64, 128, 192, 256, 384, 512)

    def __init__(self, rows: Any, _texts: Sequence[str], _folder: Path) -> None:
        import hnswlib

        self.index = hnswlib.Index("ip", rows.shape[1])
        self.index.init_index(len(rows), M=16, ef_construction=200)
        self.index.add_items(rows)

    def ask(self, query: Any, effort: int) -> list[int]:
        self.index.set_ef(effort)
        found: list[int] = self.index.knn_query(query, K)[0][0].tolist()
        return found


class Usearch:
    """A graph over float16 vectors."""

    efforts = (64, 128, 192, 256, 384, 512)

    def __init__(self, rows: Any, _texts: Sequence[str], _folder: Path) -> None:
        from usearch.index import Index

        self.index = Index(ndim=rows.shape[1], metric="ip", dtype="f16", connectivity=16, expansion_add=200)
        self.index.add(np.arange(len(rows)), rows)

    def ask(self, query: Any, effort: int) -> list[int]:
        self.index.expansion_search = effort
        found: list[int] = self.index.search(query[0], K).keys.tolist()
        return found
