"""Learning word vectors: words a second and quality, sememe beside gensim with the same texts, options and threads.

    python benchmarks/train_words.py --data FOLDER [--gensim PYTHON] [--models skip-gram cbow fasttext] [--dims 100 300]
        [--lines N] [--epochs 5] [--seeds 3] [--threads 2]

FOLDER (or SEMEME_DATA) has corpora/ (.txt.gz and .jsonl.gz), similarity/word/ (TSV) and analogies/. PYTHON is an
interpreter that has gensim (this one, if it has); without one, only sememe is run. The corpus is first written as
words with spaces between, which both read: gensim by its `corpus_file` path. Each run is a process of its own, one
after the other, theirs and ours in turn. A word counts once an epoch, before thinning out. *wall* is learning alone,
by the clock, which is shared with whoever else uses the machine; *processor* is by processor time of all threads,
times the number of threads, and of ours contains reading the corpus too. Compiling is not timed: it is kept.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+")
#: words that analogies may be answered with: the most frequent ones
ANSWERS = 30_000


def texts(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.txt.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            yield from file
    for path in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                yield from json.loads(line).get("text", "").splitlines()


def write_corpus(folder: Path, path: Path, lines: int | None) -> int:
    words = written = 0
    with path.open("w", encoding="utf-8") as file:
        for text in texts(folder):
            found = WORD.findall(text.lower())
            if found and (lines is None or written < lines):
                file.write(" ".join(found) + "\n")
                words, written = words + len(found), written + 1
    return words


def ours(job: dict[str, Any]) -> tuple[Any, Any, dict[str, float]]:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from sememe.train.corpus import corpus
    from sememe.train.options import Options, Parts, Running
    from sememe.train.words import fasttext, word2vec

    parts = job["model"] == "fasttext"
    options = Options(
        dim=job["dim"],
        epochs=job["epochs"],
        architecture="skip-gram" if parts else job["model"],
        parts=Parts(buckets=job["buckets"]) if parts else None,
    )
    learn = fasttext if parts else word2vec
    learn([["a", "b"] * 5] * 50, options)  # compiles, or fetches what was compiled
    journal = Path(job["out"] + ".jsonl")
    journal.unlink(missing_ok=True)
    cpu = time.process_time()
    space = learn(
        corpus(job["corpus"], words="spaces", lower=False),
        options,
        Running(threads=job["threads"], seed=job["seed"], journal=journal),
    )
    lines = [json.loads(line) for line in journal.read_text("utf-8").splitlines()]
    whole = sum(line["words"] for line in lines)
    return (
        space.labels,
        space.matrix,
        {
            "wall": whole / sum(line["seconds"] for line in lines),
            # reading and all else is in the processor time: against us
            "processor": whole / (time.process_time() - cpu) * job["threads"],
        },
    )


def theirs(job: dict[str, Any]) -> tuple[Any, Any, dict[str, float]]:
    import gensim

    kind = gensim.models.FastText if job["model"] == "fasttext" else gensim.models.Word2Vec
    more = {"min_n": 3, "max_n": 6, "bucket": job["buckets"]} if job["model"] == "fasttext" else {}
    model = kind(
        vector_size=job["dim"], window=5, negative=5, min_count=5, sample=1e-3, alpha=0.025, min_alpha=1e-4,
        sg=int(job["model"] != "cbow"), workers=job["threads"], seed=job["seed"], **more,
    )  # fmt: skip
    model.build_vocab(corpus_file=job["corpus"])
    words = sum(model.wv.get_vecattr(word, "count") for word in model.wv.index_to_key)
    wall, cpu = time.perf_counter(), time.process_time()
    model.train(corpus_file=job["corpus"], total_words=words, total_examples=model.corpus_count, epochs=job["epochs"])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    whole = words * job["epochs"]
    return model.wv.index_to_key, model.wv.vectors, {"wall": whole / wall, "processor": whole / cpu * job["threads"]}


def work(job: dict[str, Any]) -> None:
    labels, matrix, figures = (ours if job["who"] == "sememe" else theirs)(job)
    np.savez(job["out"], labels=np.array(labels), matrix=np.asarray(matrix, np.float32))
    print(json.dumps(figures | {"peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def rank(values: list[float]) -> Any:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((ends - counts + ends - 1) / 2)[places]


def similarity(path: Path, place: dict[str, int], units: Any) -> float:
    said, found = [], []
    for line in path.read_text("utf-8").splitlines()[1:]:
        a, b, *rest = line.split("\t")
        number = next((part for part in rest if re.fullmatch(r"\d+(\.\d+)?", part)), None)
        if number is not None and a.lower() in place and b.lower() in place:
            said.append(float(number))
            found.append(float(units[place[a.lower()]] @ units[place[b.lower()]]))
    return float(np.corrcoef(rank(said), rank(found))[0, 1])


def analogies(path: Path, place: dict[str, int], units: Any) -> tuple[float, float]:
    questions, semantic, section = [], [], ""
    for line in path.read_text("utf-8").splitlines():
        if line.startswith(":"):
            section = line
            continue
        words = line.lower().split()
        if all(place.get(word, ANSWERS) < ANSWERS for word in words):
            questions.append([place[word] for word in words])
            semantic.append("gram" not in section)
    asked, answers, right = np.array(questions), units[:ANSWERS], []
    for start in range(0, len(asked), 512):
        a, b, c, d = asked[start : start + 512].T
        scores = (units[b] - units[a] + units[c]) @ answers.T
        for given in (a, b, c):
            scores[np.arange(len(a)), given] = -9
        right += (scores.argmax(axis=1) == d).tolist()
    kind, good = np.array(semantic), np.array(right)
    return float(good[kind].mean()), float(good[~kind].mean())


def quality(data: Path, kept: Path) -> dict[str, float]:
    with np.load(kept) as file:
        labels, matrix = file["labels"].tolist(), file["matrix"]
    units = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-9)
    place = {word: row for row, word in enumerate(labels)}
    semantic, syntactic = analogies(data / "analogies/google_questions-words.txt", place, units)
    return {
        "WordSim-353": similarity(data / "similarity/word/wordsim353_all.tsv", place, units),
        "SimLex-999": similarity(data / "similarity/word/simlex999.tsv", place, units),
        "semantic": semantic,
        "syntactic": syntactic,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("SEMEME_DATA", "../shared/data"))
    parser.add_argument("--gensim", metavar="PYTHON")
    parser.add_argument("--models", nargs="+", default=["skip-gram", "cbow", "fasttext"])
    parser.add_argument("--dims", nargs="+", type=int, default=[100, 300])
    parser.add_argument("--lines", type=int)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--buckets", type=int, default=200_000)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(json.loads(given.worker))
        return
    data = Path(given.data)
    if not (data / "corpora").is_dir():
        print(f"no corpora in {data}: nothing to learn from (--data FOLDER)")
        return
    if given.gensim is None and importlib.util.find_spec("gensim"):
        given.gensim = sys.executable
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.txt"
        print(f"{write_corpus(data / 'corpora', corpus, given.lines):,} words, {given.epochs} epochs", flush=True)
        for model in given.models:
            for dim in given.dims:
                job = {"model": model, "dim": dim, "corpus": str(corpus), "out": f"{folder}/vectors.npz"}
                job |= {name: getattr(given, name) for name in ("epochs", "threads", "buckets")}
                compare(job, given, data)


def compare(job: dict[str, Any], given: argparse.Namespace, data: Path) -> None:
    rows: dict[str, list[dict[str, float]]] = {"gensim": [], "sememe": []}
    for seed in range(1, given.seeds + 1):
        for who, python in (("gensim", given.gensim), ("sememe", sys.executable)):
            if python:
                task = json.dumps(job | {"who": who, "seed": seed})
                done = subprocess.run([python, __file__, "--worker", task], capture_output=True, text=True, check=False)
                if done.returncode:
                    sys.exit(done.stderr)
                rows[who].append(json.loads(done.stdout.splitlines()[-1]) | quality(data, Path(job["out"])))
    for who, figures in rows.items():
        if figures:
            middle = {name: median(row[name] for row in figures) for name in figures[0]}
            shown = ", ".join(f"{name} {value:,.4g}" for name, value in middle.items())
            print(f"{job['model']} {job['dim']} {who}: {shown}", flush=True)
    if rows["gensim"]:
        for name in ("wall", "processor"):
            ratios = [a[name] / b[name] for a, b in zip(rows["sememe"], rows["gensim"], strict=True)]
            print(f"  {name}: {' '.join(f'{ratio:.1f}x' for ratio in ratios)}", flush=True)


if __name__ == "__main__":
    main()
