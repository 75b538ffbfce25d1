"""How good the answers are: nDCG@10 of words, dense and hybrid search on judged collections.

    python benchmarks/retrieval.py --data FOLDER [--model MODEL] [--precision f32]

FOLDER (or SEMEME_DATA) has Cranfield and CACM in the layout of BEIR: ``retrieval/cranfield/corpus.jsonl.gz``,
``queries.jsonl``, ``qrels.tsv``. The bundled sample needs no folder; 18 of its 37 queries share no word with their
answers, so words cannot win there. Documents go through a `Collection` as any user's do: title and text, cut into
chunks, and a document's score is that of its best chunk. Gains are linear, queries without a judged document are left
out. Beside nDCG stands how like each other the first ten chunks are: the mean of their mutual cosines.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from sememe.collection.collection import Collection
from sememe.collection.refine import Refine
from sememe.encoders.load import load_encoder
from sememe.shapes import Item, Place
from sememe.space.similarity import similarity

WAYS: dict[str, dict[str, Any]] = {
    "words": {"mode": "words"},
    "dense": {"mode": "dense"},
    "hybrid": {},
    "rank fusion": {"refine": Refine(fusion="ranks")},
    "diverse 0.1": {"refine": Refine(diversity=0.1)},
    "diverse 0.3": {"refine": Refine(diversity=0.3)},
    "diverse 0.5": {"refine": Refine(diversity=0.5)},
}
#: chunks asked for, so that ten documents remain when each counts once
DEPTH = 100


class Judged(NamedTuple):
    """Documents, queries, and the grade of each judged document of a query."""

    items: list[Item]
    queries: dict[str, str]
    grades: dict[str, dict[str, float]]


def beir(folder: Path) -> Judged:
    with gzip.open(folder / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    items = [
        Item(row["text"] or row["title"], Place(folder.name, n, n, "row"), title=row["title"], id=row["_id"])
        for n, row in enumerate(rows, 1)
        if row["text"] or row["title"]
    ]
    with (folder / "queries.jsonl").open(encoding="utf-8") as lines:
        queries = {row["_id"]: row["text"] for row in map(json.loads, lines)}
    grades: dict[str, dict[str, float]] = {}
    for line in (folder / "qrels.tsv").read_text("utf-8").splitlines()[1:]:
        query, document, grade = line.split("\t")
        grades.setdefault(query, {})[document] = float(grade)
    return Judged(items, queries, grades)


def sample() -> Judged:
    def rows(name: str) -> list[dict[str, object]]:
        text = resources.files("sememe.sample").joinpath(f"{name}.jsonl").read_text("utf-8")
        return [json.loads(line) for line in text.splitlines()]

    items = [
        Item(str(row["text"]), Place("sample", n, n, "row"), title=str(row["title"]), id=str(row["id"]))
        for n, row in enumerate(rows("items"), 1)
    ]
    queries = {str(row["id"]): str(row["text"]) for row in rows("queries")}
    return Judged(items, queries, {str(row["id"]): dict(row["relevant"]) for row in rows("queries")})  # type: ignore[call-overload]


def ndcg(ranking: Sequence[str], grades: Mapping[str, float], k: int = 10) -> float:
    """The gain of the first ``k``, each divided by log2 of its rank + 1, against that of the best order."""
    best = sorted(grades.values(), reverse=True)[:k]
    ideal = sum(grade / math.log2(rank + 2) for rank, grade in enumerate(best))
    gain = sum(grades.get(id, 0.0) / math.log2(rank + 2) for rank, id in enumerate(ranking[:k]))
    return gain / ideal if ideal else 0.0


def likeness(collection: Collection, ids: Sequence[str]) -> float:
    """The mean cosine of every two of these chunks."""
    if len(ids) < 2:
        return 0.0
    vectors = collection.store.vectors(ids)
    return float((similarity(vectors, vectors).sum() - len(ids)) / (len(ids) * (len(ids) - 1)))


def measure(judged: Judged, collection: Collection) -> dict[str, tuple[float, float]]:
    """For each way to ask the mean nDCG@10, and the mean likeness of the first ten chunks."""
    collection.add(judged.items)
    means = {}
    for name, way in WAYS.items():
        gains, likes = [], []
        for query, grades in judged.grades.items():
            hits = collection.search(judged.queries[query], DEPTH, **way)
            gains.append(ndcg(list(dict.fromkeys(hit.record.item for hit in hits)), grades))
            likes.append(likeness(collection, hits.ids[:10]))
        means[name] = fmean(gains), fmean(likes)
    return means


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("SEMEME_DATA"), help="folder with retrieval/cranfield, …")
    parser.add_argument("--model", default=None, help="a model's name or folder; the one that is set")
    parser.add_argument("--precision", default="f32")
    chosen = parser.parse_args()
    encoder = load_encoder(chosen.model, precision=chosen.precision)
    sets = {"sample": sample()}
    for name in ("cranfield", "cacm"):
        folder = Path(chosen.data) / "retrieval" / name if chosen.data else None
        if folder and folder.is_dir():
            sets[name] = beir(folder)
        else:
            print(f"{name} is left out: give its folder by --data or SEMEME_DATA", file=sys.stderr)
    columns = tuple(WAYS)
    print(f"nDCG@10 (likeness), {encoder.name}, {encoder.describe().get('precision', '')}\n")
    print("| set | documents | queries | " + " | ".join(columns) + " |")
    print("| --- | ---: | ---: |" + " ---: |" * len(columns))
    results = []
    for name, judged in sets.items():
        with (
            tempfile.TemporaryDirectory() as scratch,
            Collection(Path(scratch) / name, encoder=encoder) as collection,
        ):
            results.append(measure(judged, collection))
        cells = " | ".join("{:.4f} ({:.2f})".format(*results[-1][column]) for column in columns)
        print(f"| {name} | {len(judged.items)} | {len(judged.grades)} | {cells} |", flush=True)
    if len(results) > 2:
        means = {column: fmean(result[column][0] for result in results[1:]) for column in columns}
        print("| mean without the sample | | | " + " | ".join(f"{means[column]:.4f}" for column in columns) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
