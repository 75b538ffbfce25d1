"""How fast texts become vectors, beside sentence-transformers and ONNX Runtime, on the same texts in one run.

    python benchmarks/encode.py [--model FOLDER] [--data FOLDER] [--rounds 5]

The model is all-MiniLM-L6-v2, from its folder or from where sememe keeps it. Each contender lives in a process of its
own, loaded once; the rounds go around all of them in turn, so that a machine whose speed drifts drifts for all. Every
contender gets two threads and, if it has one, its best batch size, found first. Needs torch, sentence-transformers,
onnxruntime, onnx and onnxscript beside sememe; a contender whose packages are missing is named and left out.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sememe import settings
from sememe.models.catalogue import DEFAULT
from sememe.models.pull import resolve

THREADS = 2
CONTENDERS = ("sememe-bf16", "sememe-f32", "st-f32", "st-bf16", "ort-f32", "ort-int8")
BATCHES = (8, 16, 32, 64)


def passages(data: Path, count: int) -> list[str]:
    """Paragraphs of Wikipedia, shuffled; where more are needed, entries of the World Factbook after them."""
    found = []
    with gzip.open(data / "corpora" / "wikipedia_en_sample.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            found += [text for text in json.loads(line)["paragraphs"] if len(text) > 40]
    if count > len(found):
        with gzip.open(data / "corpora" / "factbook.jsonl.gz", "rt", encoding="utf-8") as lines:
            found += [text for text in (json.loads(line)["text"] for line in lines) if len(text) > 40]
    random.Random(0).shuffle(found)
    return found[:count]


# ---- one contender, in its own process -------------------------------------------------------------------------------


def sememe_encoder(model: str, precision: str) -> Callable[[list[str], int], Any]:
    from sememe.encoders.load import load_encoder

    encoder = load_encoder(Path(model), precision=precision, threads=THREADS)
    return lambda texts, _batch: encoder.encode(texts, on_long="cut")


def sentence_transformers_encoder(model: str, precision: str) -> Callable[[list[str], int], Any]:
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(THREADS)
    kind = {"f32": torch.float32, "bf16": torch.bfloat16}[precision]
    encoder = SentenceTransformer(model, device="cpu", model_kwargs={"dtype": kind})
    return lambda texts, batch: encoder.encode(texts, batch_size=batch)


def onnx_encoder(model: str, precision: str) -> Callable[[list[str], int], Any]:
    """ONNX Runtime behind the usual recipe: sort by length, pad to the longest of a batch, mean pooling, length one."""
    import onnxruntime
    from tokenizers import Tokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(export(model, precision), options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(Path(model) / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding()

    def encode(texts: list[str], batch: int) -> Any:
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        out = np.empty((len(texts), 384), np.float32)
        for first in range(0, len(texts), batch):
            rows = order[first : first + batch]
            encoded = tokenizer.encode_batch([texts[i] for i in rows])
            ids = np.array([e.ids for e in encoded], np.int64)
            mask = np.array([e.attention_mask for e in encoded], np.int64)
            (hidden,) = session.run(None, {"ids": ids, "mask": mask})
            pooled = (hidden * mask[:, :, None]).sum(axis=1)
            out[rows] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return out

    return encode


def export(model: str, precision: str) -> str:
    """The network as an ONNX file in the temporary folder; int8 by dynamic quantisation of the weights."""
    import tempfile

    import torch
    from transformers import AutoModel

    folder = Path(tempfile.gettempdir()) / "sememe-bench-onnx"
    folder.mkdir(exist_ok=True)
    plain, quantised = folder / "model.onnx", folder / "model-int8.onnx"
    if not plain.exists():
        network = AutoModel.from_pretrained(model, attn_implementation="eager").eval()

        class Hidden(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.network = network

            def forward(self, ids: Any, mask: Any) -> Any:
                return self.network(input_ids=ids, attention_mask=mask).last_hidden_state

        given = (torch.ones(2, 8, dtype=torch.int64), torch.ones(2, 8, dtype=torch.int64))
        axes = {0: torch.export.Dim("b", min=1, max=4096), 1: torch.export.Dim("n", min=2, max=512)}
        torch.onnx.export(
            Hidden(), given, str(plain), input_names=["ids", "mask"], output_names=["hidden"],
            dynamic_shapes={"ids": axes, "mask": axes}, dynamo=True, external_data=False,
        )  # fmt: skip
    if precision == "int8" and not quantised.exists():
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(plain, quantised, weight_type=QuantType.QInt8)
    return str(quantised if precision == "int8" else plain)


def work(contender: str, model: str) -> None:
    """Answer orders from stdin, one JSON a line, until it closes."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    engine, _, precision = contender.partition("-")
    make = {"sememe": sememe_encoder, "st": sentence_transformers_encoder, "ort": onnx_encoder}[engine]
    started = time.perf_counter()
    try:
        encode = make(model, precision)
    except ImportError as error:
        answers.write(json.dumps({"missing": str(error)}) + "\n")
        return
    answers.write(json.dumps({"load": time.perf_counter() - started}) + "\n")
    answers.flush()
    for line in sys.stdin:
        order = json.loads(line)
        seconds, vectors = [], None
        for texts in order["calls"]:
            started = time.perf_counter()
            vectors = encode(texts, order["batch"])
            seconds.append(time.perf_counter() - started)
        if order.get("keep"):
            np.save(order["keep"], np.asarray(vectors, np.float32))
        answers.write(json.dumps({"seconds": seconds, "peak": peak()}) + "\n")
        answers.flush()


def peak() -> int:
    """The process's greatest resident memory so far, in MB."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


# ---- the run ---------------------------------------------------------------------------------------------------------


class Contender:
    """A contender's process and its orders."""

    def __init__(self, name: str, model: str) -> None:
        self.name, self.batch = name, 32
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--work", name, "--model", model],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(THREADS), "RAYON_NUM_THREADS": "2"},
        )
        self.started = self._answer()

    def order(self, calls: list[list[str]], keep: str = "") -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"calls": calls, "batch": self.batch, "keep": keep}) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"missing": "the process ended"}


def start(names: list[str], model: str) -> list[Contender]:
    contenders = []
    for name in names:
        contender = Contender(name, model)
        if "missing" in contender.started:
            print(f"left out: {name} ({contender.started['missing']})")
            contender.close()
        else:
            contenders.append(contender)
    return contenders


def tune(contender: Contender, texts: list[str]) -> None:
    """Its own best batch size. sememe has none to choose."""
    if contender.name.startswith("sememe"):
        contender.order([texts])
        return
    took = {}
    for batch in BATCHES:
        contender.batch = batch
        contender.order([texts])
        took[batch] = min(contender.order([texts])["seconds"])
    contender.batch = min(took, key=took.__getitem__)


def throughput(contenders: list[Contender], texts: list[str], rounds: int) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {c.name: [] for c in contenders}
    for _ in range(rounds):
        for contender in contenders:
            (seconds,) = contender.order([texts])["seconds"]
            rates[contender.name].append(len(texts) / seconds)
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--data", default=os.environ.get("SEMEME_DATA", "../shared/data"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=list(CONTENDERS))
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.model)
        return
    model = options.model or str(resolve(DEFAULT, home=settings.load().home))
    data = Path(options.data)
    if not data.is_dir():
        sys.exit(f"no data in {data}: say --data FOLDER")
    texts = passages(data, 1000)
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {THREADS} threads, {len(texts)} passages, {options.rounds} rounds")
    contenders = start(options.only, model)
    for contender in contenders:
        tune(contender, texts[:300])
    report(contenders, texts, options.rounds)
    for contender in contenders:
        contender.close()
    memory(model, passages(data, 10_000), [c.name for c in contenders])


def report(contenders: list[Contender], texts: list[str], rounds: int) -> None:
    rates = throughput(contenders, texts, rounds)
    ordered = throughput(contenders, sorted(texts, key=len), 2)
    queries = [text[:60] for text in texts[:50]]
    latency = {c.name: statistics.median(c.order([[q] for q in queries])["seconds"]) for c in contenders}
    vectors = reference(contenders, texts)
    base, half = rates.get("st-f32"), rates.get("st-bf16")
    print("\n| contender | batch | passages/s (min-max) | x st-f32 | x st-bf16 | shuffled/sorted | query ms | cosine |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for contender in contenders:
        name, rate = contender.name, rates[contender.name]
        row = [
            name,
            "" if name.startswith("sememe") else str(contender.batch),
            f"{statistics.median(rate):.0f} ({min(rate):.0f}-{max(rate):.0f})",
            ratio(rate, base),
            ratio(rate, half),
            f"{statistics.median(rate) / statistics.median(ordered[name]):.2f}",
            f"{latency[name] * 1000:.1f}",
            vectors.get(name, ""),
        ]
        print("| " + " | ".join(row) + " |")


def ratio(ours: list[float], theirs: list[float] | None) -> str:
    """The median of the ratios round by round."""
    if theirs is None:
        return ""
    return f"{statistics.median(a / b for a, b in zip(ours, theirs, strict=True)):.2f}"


def reference(contenders: list[Contender], texts: list[str]) -> dict[str, str]:
    """Mean and least cosine of each contender's vectors with those of sentence-transformers in f32."""
    import tempfile

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for contender in contenders:
            path = str(Path(folder) / f"{contender.name}.npy")
            contender.order([texts], keep=path)
            found[contender.name] = np.load(path)
    truth = found.get("st-f32")
    if truth is None:
        return {}
    cosines = {name: (vectors * truth).sum(axis=1) for name, vectors in found.items()}
    return {name: f"{c.mean():.5f} (least {c.min():.5f})" for name, c in cosines.items()}


def memory(model: str, texts: list[str], names: list[str]) -> None:
    print(f"\n| contender | peak MB, {len(texts)} texts in one call | passages/s |\n| --- | ---: | ---: |")
    for name in names:
        if name.startswith(("sememe", "st-bf16")):
            contender = Contender(name, model)
            answer = contender.order([texts])
            contender.close()
            print(f"| {name} | {answer['peak']} | {len(texts) / answer['seconds'][0]:.0f} |")


if __name__ == "__main__":
    main()
