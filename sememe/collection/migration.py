"""What moving a collection to another encoder takes, said before it is done: texts are counted, a sample is encoded and
timed, the rest is proportion."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sememe.collection.indexing import encoded_text
from sememe.encoders.hosted import hosted, price_of
from sememe.errors import DataError, StoreError, UsageError
from sememe.progress import Progress
from sememe.shapes import Record, content_hash
from sememe.store.vector_type import find

if TYPE_CHECKING:
    from sememe.encoders.contract import Encoder
    from sememe.store.local.beside import Beside
    from sememe.store.local.store import LocalStore

#: chunks whose tokens are counted for an estimate, and chunks that are encoded for the speed
COUNTED, TIMED = 4096, 256
#: chunks whose tokens are counted at a time, and about what one takes on the disk besides its vector
BATCH, ROW = 4096, 32


@dataclass(frozen=True, slots=True)
class Cost:
    """What a migration takes.

    ``chunks`` are in the collection, ``done`` of them have their new vector already, from a run that was cut short or
    from before. The rest has about so many ``tokens`` and takes about so many ``seconds``; the new vectors take
    ``bytes``, and until they are let go, the old ones ``kept`` bytes besides. ``long`` chunks have more tokens than the
    encoder takes, which are ``max_tokens``; the longest has ``longest``. ``sampled``: how many it was judged by.
    ``cost``: what a hosted encoder would be paid; its ``seconds`` are not known, since nothing is sent for an estimate.
    """

    encoder: str
    dim: int
    chunks: int
    done: int
    tokens: int
    seconds: float
    bytes: int
    kept: int
    long: int
    longest: int
    max_tokens: int
    sampled: int
    cost: str = ""


def cost(store: LocalStore, beside: Beside | None, encoder: Encoder) -> Cost:
    """``beside``: what an earlier run has made, None if there was none."""
    from sememe.store.local.beside import sample as sample_of
    from sememe.store.local.beside import spread

    chunks = rest = store.count()
    if beside is None:
        sample = sample_of(store, COUNTED)
    else:
        numbers = beside.missing().tolist()
        rest, sample = len(numbers), beside.versions(spread(numbers, COUNTED))
    counts = tokens_of(encoder, [text_of(one.record) for one in sample])
    tried = sample[:: max(1, len(sample) // TIMED)][:TIMED]
    seconds, served = 0.0, hosted(encoder)
    if tried and served is None:
        texts = [text_of(one.record) for one in tried]
        encoder.encode(texts[:1], on_long="cut")  # the first call of an encoder has more to do
        started = time.perf_counter()
        encoder.encode(texts, on_long="cut")
        seconds = (time.perf_counter() - started) / len(texts) * rest
    long = int(np.count_nonzero(counts > encoder.max_tokens))
    share = rest / max(1, len(sample))
    return Cost(
        encoder=encoder.name,
        dim=encoder.dim,
        chunks=chunks,
        done=chunks - rest,
        tokens=(tokens := round(float(counts.sum()) * share)),
        seconds=seconds,
        bytes=rest * width(store, encoder.dim),
        kept=chunks * width(store, store.dim),
        long=round(long * share),
        longest=int(counts.max(initial=0)),
        max_tokens=encoder.max_tokens,
        sampled=len(sample),
        cost="" if served is None else price_of(served, tokens),
    )


def check(beside: Beside, encoder: Encoder, name: str, *, on_long: str, progress: Progress) -> None:
    """Refuse before anything is encoded what could not be done in the end.

    Raises:
        DataError: there are chunks without a text, or longer than the encoder takes.
        StoreError: the disk has no room for the vectors.
    """
    numbers = beside.missing()
    wanted, free = len(numbers) * width(beside.store, encoder.dim), shutil.disk_usage(beside.folder).free
    if wanted > free:
        raise StoreError(
            f"there is no room for the vectors by {encoder.name}",
            why=[("they take", f"{wanted / 1e6:.1f} MB"), ("free", f"{free / 1e6:.1f} MB in {beside.store.folder}")],
        )
    without: list[str] = []
    long: list[tuple[int, str]] = []
    with progress.phase("count", total=len(numbers), unit="chunks") as phase:
        for start in range(0, len(numbers), BATCH):
            part = beside.versions(numbers[start : start + BATCH].tolist())
            without += [one.id for one in part if not one.record.text.strip()]
            texts = [text_of(one.record) for one in part]
            counts = tokens_of(encoder, texts).tolist() if on_long == "error" else []
            long += [(n, one.id) for n, one in zip(counts, part, strict=False) if n > encoder.max_tokens]
            phase.advance(len(part))
    if without:
        raise DataError(
            f"{len(without)} of {beside.store.count()} chunks of {name} have no text that could be encoded",
            why=[shown(without)],
            do=["import the vectors of the other encoder too", "or delete these chunks first"],
        )
    if long:
        raise too_long(long, encoder, name)


def too_long(long: Sequence[tuple[int, str]], encoder: Encoder, name: str) -> DataError:
    """The error for chunks, each with its tokens, that do not fit."""
    worst = max(long)
    return DataError(
        f"{len(long)} chunks of {name} are longer than {encoder.name} takes",
        why=[
            ("it takes", f"{encoder.max_tokens} tokens"),
            ("the longest has", f"{worst[0]} tokens: {worst[1]}"),
            ("chunks", shown([id for _, id in long])),
        ],
        do=[
            ("average windows", f"sememe collections migrate {name} --to {encoder.name} --long mean"),
            ("or cut everything anew", f"sememe index PATH … -c {name} --rebuild -m {encoder.name}"),
        ],
    )  # fmt: skip


def tokens_of(encoder: Encoder, texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """How many tokens each has for this encoder, special ones and prompt included: int64 ``(n,)``."""
    if not texts:
        return np.zeros(0, np.int64)
    # What a prompt takes is told by no encoder, so one text is asked about.
    made = encoder.encode_report(texts[:1], on_long="cut")
    prompt = int(made.used[0] + made.dropped[0]) - int(encoder.tokenizer.count(texts[:1])[0])
    return encoder.tokenizer.count(texts).astype(np.int64) + max(prompt, 0)


def text_of(record: Record) -> str:
    """What was encoded of a record: its text, with as much of the title before it as the hash says."""
    whole = encoded_text(record.title, record.text)
    if not record.hash or content_hash(whole) == record.hash:
        return whole
    for end in range(len(record.title), -1, -1):
        text = encoded_text(record.title[:end], record.text)
        if content_hash(text) == record.hash:
            return text
    return whole


def width(store: LocalStore, dim: int) -> int:
    """Bytes that a vector takes on the disk, kept as the store keeps its own."""
    return find(store.vector_type).width(dim) + ROW


def shown(ids: Sequence[str]) -> str:
    """The first of them."""
    return ", ".join(ids[:5]) + (" …" if len(ids) > 5 else "")


def same_encoder(name: str, encoder: Encoder) -> UsageError:
    """The error for a migration to where it is already."""
    return UsageError(f"the vectors of {name} come from {encoder.name} already, with this very recipe")
