"""GloVe (Pennington et al., 2014): vectors whose products are the logarithms of how often words stand together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sememe.errors import UsageError
from sememe.extras import require
from sememe.shapes import Vectors
from sememe.space.space import Space
from sememe.train.corpus import Texts
from sememe.train.journal import journal_of
from sememe.train.options import Running
from sememe.train.stream import read_stream

#: pairs that follow each other in the file stay together; this many pages, from all over it, are mixed at a time
PAGE, PAGES = 1024, 512


@dataclass(frozen=True, slots=True, kw_only=True)
class GloveOptions:
    """``window``: words on either side. A pair seen ``full`` times or more has the weight 1 in the loss, a rarer one
    ``(count / full) ** power``. ``memory``: bytes for counting; what does not fit is sorted on disk."""

    dim: int = 100
    window: int = 10
    epochs: int = 15
    rate: float = 0.05
    min_count: int = 5
    max_words: int | None = None
    full: float = 10.0
    power: float = 0.75
    memory: int = 1 << 29

    def __post_init__(self) -> None:
        for name, least in (("dim", 1), ("window", 1), ("epochs", 1), ("min_count", 1), ("memory", 1 << 15)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is at least {least}, not {getattr(self, name)}")
        if min(self.rate, self.full) <= 0:
            raise UsageError(f"rate and full are above 0, not {self.rate} and {self.full}")


class Model(NamedTuple):
    """Words, contexts, and the sums of their squared slopes: matrices ``(n, dim)``, biases ``(n,)``."""

    matrices: tuple[Vectors, Vectors, Vectors, Vectors]
    biases: tuple[Vectors, Vectors, Vectors, Vectors]


class Batch(NamedTuple):
    """Pairs in the order in which they are learned, each in both directions."""

    firsts: npt.NDArray[np.int64]
    seconds: npt.NDArray[np.int64]
    logs: Vectors
    shares: Vectors


def glove(texts: Texts, options: GloveOptions | None = None, running: Running | None = None) -> Space:
    """Learn a vector for each word from how often it stands near others; the sum of its two, as word and as context.

    The same seed and the same number of threads give the same bits: threads never meet at a row.

    Raises:
        MissingExtraError: Numba is not installed.
        UsageError: a checkpoint is asked for, which GloVe does not write.
    """
    options, running = options or GloveOptions(), running or Running()
    if running.checkpoint is not None or running.stop_after is not None:
        raise UsageError("GloVe writes no checkpoints", do=["leave checkpoint and stop_after out"])
    require("numba", extra="train", purpose="learning vectors")
    from sememe.train.cooccurrence import count

    vocabulary, stream = read_stream(
        texts, min_count=options.min_count, max_words=options.max_words, progress=running.progress
    )
    counted = count(stream, window=options.window, memory=options.memory, progress=running.progress)
    model = start(len(vocabulary), options.dim, running.seed)
    total = options.epochs * len(counted.pairs)
    with journal_of(running) as write, running.progress.phase("learn", total=total, unit="pairs") as phase:
        for epoch in range(options.epochs):
            begun, loss = time.monotonic(), 0.0
            for batch in batches(counted.pairs, options, (running.seed, epoch)):
                loss += learn(model, batch, options.rate, running.threads)
                phase.advance(len(batch.firsts) // 2)
            write(
                epoch=epoch + 1,
                loss=round(loss / max(2 * len(counted.pairs), 1), 6),
                pairs=len(counted.pairs),
                seconds=round(time.monotonic() - begun, 3),
            )
    provenance = {
        "model": "GloVe",
        "window": str(options.window),
        "epochs": str(options.epochs),
        "seed": str(running.seed),
        "words": f"{vocabulary.total} running, {vocabulary.dropped} too rare",
        "pairs": str(len(counted.pairs)),
        "corpus": f"CRC-32 {stream.checksum:08x}",
    }
    return Space(vocabulary.words, model.matrices[0] + model.matrices[1], provenance)


def start(words: int, dim: int, seed: int) -> Model:
    """Small random numbers; squared slopes begin at 1."""
    chance = np.random.default_rng(seed)
    matrices = [((chance.random((words, dim)) - 0.5) / dim).astype(np.float32) for _ in range(2)]
    biases = [((chance.random(words) - 0.5) / dim).astype(np.float32) for _ in range(2)]
    ones = [np.ones((words, dim), np.float32) for _ in range(2)], [np.ones(words, np.float32) for _ in range(2)]
    return Model((matrices[0], matrices[1], *ones[0]), (biases[0], biases[1], *ones[1]))  # type: ignore[arg-type]


def batches(pairs: Any, options: GloveOptions, seeds: tuple[int, int]) -> Iterator[Batch]:
    """All pairs in random order: random pages together, and mixed. ``pairs`` as of `cooccurrence.PAIR`."""
    chance = np.random.default_rng(seeds)
    pages = chance.permutation(-(-len(pairs) // PAGE))
    for first in range(0, len(pages), PAGES):
        some = np.concatenate([pairs[page * PAGE : (page + 1) * PAGE] for page in pages[first : first + PAGES]])
        low, high = (
            (some["key"] >> np.uint64(32)).astype(np.int64),
            (some["key"] & np.uint64(0xFFFFFFFF)).astype(np.int64),
        )
        other = low != high
        order = chance.permutation(len(some) + int(other.sum()))
        weights = np.concatenate([some["weight"], some["weight"][other]])[order]
        yield Batch(
            np.concatenate([low, high[other]])[order],
            np.concatenate([high, low[other]])[order],
            np.log(weights).astype(np.float32),
            np.minimum((weights / options.full) ** options.power, 1).astype(np.float32),
        )


def learn(model: Model, batch: Batch, rate: float, threads: int) -> float:
    """Learn from a batch; its loss. Threads take pairs whose words and whose contexts are theirs alone."""
    from sememe.train.glove_kernel import fit

    if threads == 1:
        return float(fit(model.matrices, model.biases, *batch, rate))
    word, context = batch.firsts % threads, batch.seconds % threads
    loss = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for turn in range(threads):
            chosen = [np.flatnonzero((word == n) & (context == (n + turn) % threads)) for n in range(threads)]
            parts = [
                Batch(batch.firsts[rows], batch.seconds[rows], batch.logs[rows], batch.shares[rows]) for rows in chosen
            ]
            loss += sum(pool.map(lambda part: float(fit(model.matrices, model.biases, *part, rate)), parts))
    return loss
