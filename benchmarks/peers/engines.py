"""Engines that keep vectors and texts on the disk, without a server; each answers with numbers and the texts of its
hits. All build a graph where they have one, with the same connections and construction effort."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

K = 10
PART = 5000


class LanceDb:
    """A graph in each of a few cells, vectors at eight bits, the best scored again from float32."""

    efforts = (4, 8, 16, 32, 64)

    def __init__(self, rows: Any, texts: Sequence[str], folder: Path) -> None:
        import lancedb
        import pyarrow as pa

        width = rows.shape[1]
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), width)
        table = pa.table({"id": pa.array(range(len(rows))), "text": pa.array(texts), "vector": vectors})
        self.table = lancedb.connect(str(folder)).create_table("rows", table)
        cells = max(1, int(len(rows) ** 0.5) // 8)
        self.table.create_index(metric="dot", index_type="IVF_HNSW_SQ", num_partitions=cells, m=16, ef_construction=200)

    def ask(self, query: Any, effort: int) -> list[int]:
        asked = self.table.search(query[0]).distance_type("dot").nprobes(effort).ef(128).refine_factor(4)
        return [row["id"] for row in asked.select(["id", "text", "_distance"]).limit(K).to_list()]


class Chroma:
    """One graph over float32 vectors."""

    efforts = (256,)  # it heeds what was said when the collection was made, no later change

    def __init__(self, rows: Any, texts: Sequence[str], folder: Path) -> None:
        import chromadb
        from chromadb.config import Settings

        client = chromadb.PersistentClient(str(folder), Settings(anonymized_telemetry=False))
        graph = {"space": "ip", "ef_construction": 200, "max_neighbors": 16, "ef_search": self.efforts[0]}
        self.rows = client.create_collection("rows", configuration={"hnsw": graph}, embedding_function=None)
        for start in range(0, len(rows), PART):
            end = min(start + PART, len(rows))
            names = [str(i) for i in range(start, end)]
            self.rows.add(names, embeddings=rows[start:end], documents=list(texts[start:end]))

    def ask(self, query: Any, effort: int) -> list[int]:
        found = self.rows.query(query_embeddings=query, n_results=K, include=["documents"])
        return [int(name) for name in found["ids"][0]]


class Qdrant:
    """One segment with one graph."""

    efforts = (64, 128, 192, 256, 384, 512)

    def __init__(self, rows: Any, texts: Sequence[str], folder: Path) -> None:
        import qdrant_edge as qe

        graph = qe.HnswIndexConfig(m=16, ef_construct=200, full_scan_threshold=1000)
        vectors = qe.EdgeVectorParams(size=rows.shape[1], distance=qe.Distance.Dot)
        one = qe.EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=1000)
        folder.mkdir()
        self.shard = qe.EdgeShard.create(str(folder), qe.EdgeConfig(vectors=vectors, hnsw_config=graph, optimizers=one))
        for start in range(0, len(rows), PART):
            end = min(start + PART, len(rows))
            points = [qe.Point(i, rows[i].tolist(), {"text": texts[i]}) for i in range(start, end)]
            self.shard.update(qe.UpdateOperation.upsert_points(points))
        while self.shard.optimize():
            pass
        self.shard.flush()

    def ask(self, query: Any, effort: int) -> list[int]:
        import qdrant_edge as qe

        nearest = qe.Query.Nearest(query[0].tolist())
        params = qe.SearchParams(hnsw_ef=effort)
        found = self.shard.search(qe.SearchRequest(query=nearest, limit=K, params=params, with_payload=True))
        return [point.id for point in found]


class Zvec:
    """One graph over float32 vectors."""

    efforts = (64, 128, 192, 256, 384, 512)

    def __init__(self, rows: Any, texts: Sequence[str], folder: Path) -> None:
        import zvec

        zvec.init(log_level=zvec.LogLevel.ERROR)
        graph = zvec.HnswIndexParam(metric_type=zvec.MetricType.IP, m=16, ef_construction=200)
        schema = zvec.CollectionSchema(
            name="rows",
            fields=[zvec.FieldSchema("text", zvec.DataType.STRING)],
            vectors=zvec.VectorSchema("vector", zvec.DataType.VECTOR_FP32, rows.shape[1], graph),
        )
        self.rows = zvec.create_and_open(path=str(folder), schema=schema)
        for start in range(0, len(rows), 1000):
            end = min(start + 1000, len(rows))
            self.rows.insert(
                [zvec.Doc(id=str(i), vectors={"vector": rows[i]}, fields={"text": texts[i]}) for i in range(start, end)]
            )
        self.rows.optimize()

    def ask(self, query: Any, effort: int) -> list[int]:
        import zvec

        asked = zvec.Query(field_name="vector", vector=query[0], param=zvec.HnswQueryParam(ef=effort))
        return [int(hit.id) for hit in self.rows.query(asked, topk=K, output_fields=["text"])]


class SqliteVec:
    """No index: every vector is read."""

    efforts = (0,)

    def __init__(self, rows: Any, texts: Sequence[str], folder: Path) -> None:
        import apsw  # many builds of Python's own sqlite3 load no extensions
        import sqlite_vec

        folder.mkdir()
        self.connection = apsw.Connection(str(folder / "rows.sqlite"))
        self.connection.enable_load_extension(True)
        self.connection.load_extension(sqlite_vec.loadable_path())
        self.connection.execute(
            f"CREATE VIRTUAL TABLE rows USING vec0(vector float[{rows.shape[1]}] distance_metric=cosine, +text TEXT)"
        )
        filled = ((i, row.tobytes(), text) for i, (row, text) in enumerate(zip(rows, texts, strict=True)))
        with self.connection:
            self.connection.executemany("INSERT INTO rows (rowid, vector, text) VALUES (?, ?, ?)", filled)

    def ask(self, query: Any, effort: int) -> list[int]:
        asked = struct.pack(f"{query.shape[1]}f", *query[0])
        sql = "SELECT rowid, text FROM rows WHERE vector MATCH ? AND k = ?"
        return [number for number, _ in self.connection.execute(sql, [asked, K])]
