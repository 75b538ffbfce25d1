"""One peer in a process of its own: built, tuned, timed.

A peer is tuned on queries that it is not timed on: the least of its efforts that finds 99 % of the ten nearest, or its
greatest where none does.
"""

from __future__ import annotations

import importlib
import importlib.util
import multiprocessing
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

K = 10
ENOUGH = 0.99

#: name: the package, the class, and what the row is called
PEERS = {
    "numpy": ("numpy", "libraries.Numpy", "NumPy, exact"),
    "faiss-hnsw": ("faiss", "libraries.FaissHnsw", "FAISS, HNSW"),
    "faiss-ivf": ("faiss", "libraries.FaissIvf", "FAISS, IVF"),
    "faiss-fastscan": ("faiss", "libraries.FaissFastScan", "FAISS, PQ96x4 FastScan re-scored"),
    "hnswlib": ("hnswlib", "libraries.Hnswlib", "hnswlib"),
    "usearch": ("usearch", "libraries.Usearch", "USearch, HNSW in float16"),
    "lancedb": ("lancedb", "engines.LanceDb", "LanceDB, IVF_HNSW_SQ, *with texts*"),
    "chroma": ("chromadb", "engines.Chroma", "Chroma, HNSW, *with texts*"),
    "qdrant": ("qdrant_edge", "engines.Qdrant", "Qdrant Edge, HNSW, *with texts*"),
    "zvec": ("zvec", "engines.Zvec", "zvec, HNSW, *with texts*"),
    "sqlite-vec": ("sqlite_vec", "engines.SqliteVec", "sqlite-vec, exact, *with texts*"),
}


def exact(rows: Any, queries: Any) -> list[list[int]]:
    """The numbers of the ``K`` nearest rows of each query."""
    return [np.argpartition(-(rows @ query), K)[:K].tolist() for query in queries]


def recall(found: Sequence[Sequence[int]], truth: Sequence[Sequence[int]]) -> float:
    return sum(len(set(a) & set(b)) for a, b in zip(found, truth, strict=True)) / sum(map(len, truth))


def lines(names: Sequence[str], rows: Any, texts: Sequence[str], queries: Any, trial: Any) -> Iterator[str]:
    """The rows of the table, one at a time.

    Args:
        queries: float32 ``(q, dim)``, what is timed.
        trial: float32 ``(t, dim)``, other queries, to tune with.
    """
    yield "\n| peer | built s | effort | median ms | p95 ms | recall@10 | peak MB |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    with tempfile.TemporaryDirectory(prefix="sememe-peers-") as folder:
        place = Path(folder)
        for name, array in (("rows", rows), ("queries", queries), ("trial", trial)):
            np.save(place / f"{name}.npy", array)
        np.save(place / "texts.npy", np.array([text.encode() for text in texts]))
        for name in names:
            package, _, title = PEERS[name]
            if importlib.util.find_spec(package) is None:
                yield f"| {title} | not installed | | | | | |"
                continue
            yield _apart(name, place, title)


def _apart(name: str, place: Path, title: str) -> str:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_run, args=[name, place, sender])
    child.start()
    sender.close()
    try:
        answer = receiver.recv()
        child.join()
    except EOFError:
        child.join()
        answer = f"died with {child.exitcode}"
    if isinstance(answer, str):
        return f"| {title} | {answer} | | | | | |"
    built, effort, median, high, right, memory = answer
    return f"| {title} | {built:.1f} | {effort or ''} | {median:.2f} | {high:.2f} | {right:.4f} | {memory:,.0f} |"


def _run(name: str, place: Path, sender: Any) -> None:
    try:
        sender.send(_measured(name, place))
    except Exception as error:  # a peer that fails is a row that says so
        sender.send(f"{type(error).__name__}: {str(error)[:200]}".replace("\n", " ").replace("|", "/"))


def _measured(name: str, place: Path) -> tuple[float, int, float, float, float, float]:
    module, _, kind = PEERS[name][1].partition(".")
    rows, queries, trial = (np.load(place / f"{part}.npy") for part in ("rows", "queries", "trial"))
    texts = [text.decode() for text in np.load(place / "texts.npy")]
    truth, wanted = exact(rows, queries), exact(rows, trial)
    started = time.perf_counter()
    peer = getattr(importlib.import_module(f"peers.{module}"), kind)(rows, texts, place / name)
    built = time.perf_counter() - started
    for effort in peer.efforts:
        found, _ = timed(lambda i, e=effort: peer.ask(trial[i : i + 1], e), len(trial))
        if recall(found, wanted) >= ENOUGH:
            break
    found, seconds = timed(lambda i, e=effort: peer.ask(queries[i : i + 1], e), len(queries))
    memory = _peak()
    median, high = np.median(seconds) * 1e3, np.percentile(seconds, 95) * 1e3
    return built, effort, float(median), float(high), recall(found, truth), memory


def _peak() -> float:
    """The most memory that this process has had, in MB. What `resource` says is its parent's too; NaN outside Linux."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else float("nan")


def timed(ask: Callable[[int], list[int]], count: int) -> tuple[list[list[int]], list[float]]:
    """All answers, and the seconds of each, after five that are not counted."""
    for i in range(min(count, 5)):
        ask(i)
    answers, seconds = [], []
    for i in range(count):
        started = time.perf_counter()
        answers.append(ask(i))
        seconds.append(time.perf_counter() - started)
    return answers, seconds
