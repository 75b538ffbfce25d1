"""The comparisons with sentence-transformers that are too large to be stored: real texts, real judgements.

Needs all-MiniLM-L6-v2, and the data folder that ``SEMEME_DATA`` names (else ``../shared/data`` beside the project).
What is not there is said, and is no failure.
"""

from __future__ import annotations

import gzip
import json
import os
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from sememe.encoders.load import load_encoder
from sememe.ops.openvino import has_bf16

DATA = Path(os.environ.get("SEMEME_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
#: least cosine of any text in f32, mean cosine in bf16, greatest difference of Spearman's rho
LEAST_F32, MEAN_BF16, RHO = 0.999999, 0.9999, 0.001
COUNT = 1000


def compare(model: Path | None) -> list[str]:
    """What is wrong; figures and what was left out are printed."""
    if model is None:
        print("left out: all-MiniLM-L6-v2 is not on disk (sememe models pull all-MiniLM-L6-v2)")
        return []
    if not DATA.is_dir():
        print(f"left out: no data folder at {DATA} (name one in SEMEME_DATA)")
        return []
    from sentence_transformers import SentenceTransformer

    precisions = ["f32", *(["bf16"] if has_bf16() else [])]
    if "bf16" not in precisions:
        print("left out: bf16, which this processor does not multiply in hardware")
    theirs = SentenceTransformer(str(model), device="cpu")
    wrong: list[str] = []
    texts, pairs, scores = _texts(), *_pairs()
    expected, rho = theirs.encode(texts), _rho(theirs.encode(pairs[0]), theirs.encode(pairs[1]), scores)
    print(f"sentence-transformers: STS-B dev Spearman {rho:.5f} over {len(scores)} pairs")
    for precision in precisions:
        with tempfile.TemporaryDirectory() as home:
            ours = load_encoder(model, precision=precision, home=home, offline=True)
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            vectors = ours.encode(texts)
        seconds = time.perf_counter() - started
        cosine = (vectors * expected).sum(axis=1).astype(np.float64)
        cosine /= np.linalg.norm(vectors, axis=1) * np.linalg.norm(expected, axis=1)
        own = _rho(ours.encode(pairs[0]), ours.encode(pairs[1]), scores)
        print(
            f"sememe {precision}: {len(texts)} texts in {seconds:.1f} s, cosine least {cosine.min():.8f} "
            f"mean {cosine.mean():.8f}; Spearman {own:.5f} ({own - rho:+.5f})"
        )
        if precision == "f32" and cosine.min() < LEAST_F32:
            wrong.append(f"f32: text {cosine.argmin()} has cosine {cosine.min():.8f}, less than {LEAST_F32}")
        if precision == "bf16" and cosine.mean() < MEAN_BF16:
            wrong.append(f"bf16: the mean cosine is {cosine.mean():.6f}, less than {MEAN_BF16}")
        if abs(own - rho) > RHO:
            wrong.append(f"{precision}: Spearman differs by {own - rho:+.5f}, more than {RHO}")
    return wrong


def _texts() -> list[str]:
    """The first documents of Cranfield and CACM, in turn: from one line to well beyond 256 tokens."""
    found = []
    for name in ("cranfield", "cacm"):
        with gzip.open(DATA / "retrieval" / name / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        found.append([f"{row['title']}\n{row['text']}".strip() for row in rows])
    return [text for pair in zip(*found, strict=False) for text in pair][:COUNT]


def _pairs() -> tuple[tuple[list[str], list[str]], Any]:
    rows = [line.split("\t") for line in (DATA / "multilingual/stsb_en_de_dev.tsv").read_text("utf-8").splitlines()]
    head, body = rows[0], rows[1:]
    at = [head.index(name) for name in ("score", "sentence1_en", "sentence2_en")]
    scores, first, second = zip(*([row[column] for column in at] for row in body), strict=True)
    return (list(first), list(second)), np.array(scores, np.float64)


def _rho(first: Any, second: Any, scores: Any) -> float:
    from scipy.stats import spearmanr

    cosine = (first * second).sum(axis=1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
    return float(spearmanr(cosine, scores).statistic)
