"""What indexing would cost, before it is done: a few files are read, a few chunks encoded, the rest is proportion."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sememe.collection.indexing import pieces_of
from sememe.encoders.hosted import hosted, price_of
from sememe.readers.read import read
from sememe.readers.source import ReadOptions, Source

if TYPE_CHECKING:
    from sememe.collection.binding import Binding
    from sememe.collection.refresh import Plan
    from sememe.encoders.contract import Encoder

#: files that are looked into, and bytes of these, at most
FILES, BYTES = 24, 4_000_000
#: chunks that are encoded for the speed
CHUNKS = 64


@dataclass(frozen=True, slots=True)
class Estimate:
    """``files`` to read with ``size`` bytes, about so many ``chunks``, ``tokens`` and ``seconds``, and ``bytes`` that
    the collection would grow by. ``sampled``: how many of the files it was judged by. ``cost``: what a hosted encoder
    would be paid; ``seconds`` are then those of reading alone, since nothing is sent for an estimate."""

    files: int
    size: int
    chunks: int
    tokens: int
    seconds: float
    bytes: int
    sampled: int
    cost: str = ""


def estimate(plan: Plan, options: ReadOptions, encoder: Encoder, binding: Binding) -> Estimate:
    """Look into some files of ``plan``, spread evenly."""
    started = time.perf_counter()
    texts: list[str] = []
    seen = chunks = characters = 0
    sample = _sample(plan.changed)
    for source in sample:
        seen += source.size
        reading = read(source, options)
        for piece in pieces_of(reading, encoder, size=binding.chunk_size, overlap=binding.chunk_overlap):
            chunks += len(piece.parts)
            characters += sum(len(part.record.text) for part in piece.parts)
            texts += [part.text for part in piece.parts]
    reading_seconds = time.perf_counter() - started
    tried = texts[:: max(1, len(texts) // CHUNKS)][:CHUNKS]
    counts = encoder.tokenizer.count(tried, specials=True)
    served, per_chunk = hosted(encoder), 0.0
    if served is None:
        started = time.perf_counter()
        encoder.encode(tried, on_long="cut")
        per_chunk = (time.perf_counter() - started) / max(1, len(tried))
    factor = plan.bytes / seen if seen else 0.0
    expected = round(chunks * factor)
    tokens = round(float(counts.mean()) * expected) if len(tried) else 0
    return Estimate(
        files=len(plan.changed),
        size=plan.bytes,
        chunks=expected,
        tokens=tokens,
        seconds=reading_seconds * factor + per_chunk * expected,
        bytes=round(expected * encoder.dim * 4 + 2.5 * characters * factor),
        sampled=len(sample),
        cost="" if served is None else price_of(served, tokens),
    )


def _sample(sources: Sequence[Source]) -> list[Source]:
    step = max(1, len(sources) // FILES)
    sample: list[Source] = []
    room = BYTES
    for source in sources[::step][:FILES]:
        if sample and source.size > room:
            continue
        sample.append(source)
        room -= source.size
    return sample
