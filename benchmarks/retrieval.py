"""How good the answers are: nDCG@10 of words, dense and hybrid search on judged collections.

    python benchmarks/retrieval.py --data FOLDER [--model MODEL] [--precision f32]

FOLDER (or SEMEME_DATA) has Cranfield and CACM in the layout of BEIR: ``retrieval/cranfield/corpus.jsonl.gz``,
``queries.jsonl``, ``qrels.tsv``. The bundled sample needs no folder; 18 of its 37 queries share no word with their
answers, so words cannot win there. Documents go through a `Collection` as any user's do: title and text, cut into
chunks, and a document's score is that of its best chunk. Plain rank fusion (k = 60) of the same two rankings stands
beside it. Gains are linear, queries without a judged document are left out.
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
from typing import NamedTuple

from sememe.collection.collection import Collection
from sememe.encoders.load import load_encoder
from sememe.shapes import Item, Place

MODES = ("words", "dense", "hybrid")
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


def fused(*rankings: Sequence[str]) -> list[str]:
    """Plain rank fusion."""
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, id in enumerate(ranking):
            scores[id] = scores.get(id, 0.0) + 1 / (60 + rank + 1)
    return sorted(scores, key=lambda id: (-scores[id], id))


def measure(judged: Judged, collection: Collection) -> dict[str, float]:
    collection.add(judged.items)
    totals = dict.fromkeys((*MODES, "rank fusion"), 0.0)
    for query, grades in judged.grades.items():
        rankings = {}
        for mode in MODES:
            hits = collection.search(judged.queries[query], DEPTH, mode=mode)
            rankings[mode] = list(dict.fromkeys(hit.record.item for hit in hits))
            totals[mode] += ndcg(rankings[mode], grades)
        totals["rank fusion"] += ndcg(fused(rankings["words"], rankings["dense"]), grades)
    return {name: total / len(judged.grades) for name, total in totals.items()}


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
    columns = (*MODES, "rank fusion")
    print(f"nDCG@10, {encoder.name}, {encoder.describe().get('precision', '')}\n")
    print("| set | documents | queries | " + " | ".join(columns) + " |")
    print("| --- | ---: | ---: |" + " ---: |" * len(columns))
    results = []
    for name, judged in sets.items():
        with (
            tempfile.TemporaryDirectory() as scratch,
            Collection(Path(scratch) / name, encoder=encoder) as collection,
        ):
            results.append(measure(judged, collection))
        cells = " | ".join(f"{results[-1][column]:.4f}" for column in columns)
        print(f"| {name} | {len(judged.items)} | {len(judged.grades)} | {cells} |", flush=True)
    if len(results) > 2:
        means = {column: sum(result[column] for result in results[1:]) / (len(results) - 1) for column in columns}
        print("| mean without the sample | | | " + " | ".join(f"{means[column]:.4f}" for column in columns) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
