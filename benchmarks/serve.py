"""Requests a second and their latency, beside sentence-transformers behind FastAPI, under the same load.

    python benchmarks/serve.py [--model FOLDER] [--data FOLDER] [--seconds 30] [--rounds 1] [--only NAME …]

64 clients, each with a connection of its own, ask one after the other for vectors of all-MiniLM-L6-v2: of ten requests
seven have one text, two have four, one has sixteen; half of the texts are sentences, half are paragraphs. Servers and
clients share the machine's cores. The clients are one process that speaks HTTP by hand, so that they take as little as
can be. Where other work runs on the machine, the processor time that a request takes says more than the rate. A second
part has one client, and compares its wait with that of a call of the library, on the same texts.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from sememe import settings
from sememe.models.catalogue import DEFAULT
from sememe.models.pull import resolve

CLIENTS = 64
CONTENDERS = ("sememe-bf16", "sememe-f32", "fastapi-f32", "fastapi-bf16")
HERE = Path(__file__).resolve().parent


def texts_of(data: Path, count: int) -> list[str]:
    """Sentences and paragraphs in turn, shuffled with a fixed seed."""
    with gzip.open(data / "corpora" / "wikipedia_en_sample.jsonl.gz", "rt", encoding="utf-8") as lines:
        paragraphs = [text for line in lines for text in json.loads(line)["paragraphs"] if len(text) > 40]
    random.Random(0).shuffle(paragraphs)
    sentences = [text.partition(". ")[0] for text in paragraphs]
    return [text for pair in zip(paragraphs, sentences, strict=True) for text in pair][:count]


def bodies_of(texts: list[str], count: int) -> list[bytes]:
    """The bodies of requests, in the form of OpenAI's."""
    chance = random.Random(1)
    bodies = []
    for _ in range(count):
        size = chance.choices((1, 4, 16), (7, 2, 1))[0]
        ask = {"model": DEFAULT, "input": chance.sample(texts, size), "truncate": True, "encoding_format": "float"}
        bodies.append(json.dumps(ask).encode())
    return bodies


def started(name: str, model: str) -> tuple[subprocess.Popen[bytes], int]:
    """The server of a contender, once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kind, _, precision = name.partition("-")
    if kind == "sememe":
        command = ["-m", "sememe", "serve", "-q", "--port", str(port), "-m", model, "--precision", precision]
    else:
        command = [str(HERE / "peers" / "fastapi_server.py"), model, str(port), precision]
    process = subprocess.Popen([sys.executable, *command], env={**os.environ, "OMP_NUM_THREADS": "2"})
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return process, port
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{name} did not start")


async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> tuple[int, bytes]:
    """One request: status and body."""
    writer.write(
        b"POST /v1/embeddings HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body) + body
    )
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return int(head[9:12]), await reader.readexactly(length)


async def load(port: int, bodies: list[bytes], seconds: float, clients: int) -> dict[str, float]:
    """``clients`` clients for so long: requests, errors, and their waits."""
    waits: list[float] = []
    bad: list[int] = []
    todo = iter(bodies * 1000)

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
        while time.perf_counter() < until:
            began = time.perf_counter()
            status, _ = await asked(reader, writer, next(todo))
            waits.append(time.perf_counter() - began)
            if status != 200:
                bad.append(status)
        writer.close()

    began = time.perf_counter()
    until = began + seconds
    await asyncio.gather(*(client() for _ in range(clients)))
    took = time.perf_counter() - began
    p50, p95, p99 = np.percentile(waits, (50, 95, 99)) * 1000
    return {"rate": len(waits) / took, "p50": p50, "p95": p95, "p99": p99, "errors": len(bad), "count": len(waits)}


def memory(process: subprocess.Popen[bytes]) -> float:
    """What a process holds, in MB."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def spent(process: subprocess.Popen[bytes]) -> float:
    """Seconds of processor time that a process has had, with all of its threads."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(name: str, model: str, bodies: list[bytes], seconds: float) -> dict[str, float]:
    process, port = started(name, model)
    try:
        asyncio.run(load(port, bodies[:200], 3, CLIENTS))  # what the first requests cost belongs to nobody
        before, cpu = memory(process), spent(process)
        found = asyncio.run(load(port, bodies, seconds, CLIENTS))
        cpu = (spent(process) - cpu) / found["count"] * 1000
        return found | {"before": before, "after": memory(process), "cpu": cpu}
    finally:
        process.terminate()
        process.wait()


def alone(model: str, texts: list[str], precision: str) -> list[tuple[str, float, float]]:
    """The median wait of one client and of a call of the library, in ms, for a short text, a long one, and eight."""
    from sememe.encoders.load import load_encoder

    encoder = load_encoder(Path(model), precision=precision)
    process, port = started(f"sememe-{precision}", model)
    short, long = [text for text in texts if len(text) < 120][:100], [text for text in texts if 600 < len(text) < 900]
    rows = []
    try:
        for label, asks in (
            ("a sentence", [[text] for text in short]),
            ("a paragraph", [[text] for text in long[:100]]),
            ("eight paragraphs", [long[at : at + 8] for at in range(0, 400, 8)]),
        ):
            rows.append((label, *asyncio.run(in_turn(port, encoder, asks))))
    finally:
        process.terminate()
        process.wait()
    return rows


async def in_turn(port: int, encoder: object, asks: list[list[str]]) -> tuple[float, float]:
    """Each of ``asks`` over HTTP and by the library, one after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    over, direct = [], []
    for ask in [*asks[:10], *asks]:
        body = json.dumps({"model": DEFAULT, "input": ask, "truncate": True, "encoding_format": "base64"}).encode()
        began = time.perf_counter()
        await asked(reader, writer, body)
        between = time.perf_counter()
        encoder.encode(ask, on_long="cut")  # type: ignore[attr-defined]
        over.append(between - began)
        direct.append(time.perf_counter() - between)
    writer.close()
    return statistics.median(over[10:]) * 1000, statistics.median(direct[10:]) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=None)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=CONTENDERS, choices=(*CONTENDERS, "alone"))
    args = parser.parse_args()
    model = args.model or str(resolve(DEFAULT, home=settings.load().home))
    texts = texts_of(args.data, 6000)
    bodies = bodies_of(texts, 4000)
    print(f"{CLIENTS} clients, {args.seconds:g} s a round, load {os.getloadavg()[0]:.1f} before")
    print("| server | requests/s | p50 ms | p95 ms | p99 ms | CPU ms each | errors | requests | MB before | MB after |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for _ in range(args.rounds):
        for name in (one for one in args.only if one != "alone"):
            f = measure(name, model, bodies, args.seconds)
            print(
                f"| {name} | {f['rate']:.0f} | {f['p50']:.0f} | {f['p95']:.0f} | {f['p99']:.0f} | {f['cpu']:.1f} | "
                f"{f['errors']:.0f} | {f['count']:.0f} | {f['before']:.0f} | {f['after']:.0f} |",
                flush=True,
            )
    if "alone" in args.only or args.only is CONTENDERS:
        for precision in ("bf16", "f32"):
            for label, over, direct in alone(model, texts, precision):
                print(
                    f"one client, {precision}, {label}: {over:.1f} ms, library {direct:.1f} ms, {over / direct:.2f} x"
                )


if __name__ == "__main__":
    main()
