"""Going through a stream, epoch after epoch: who learns from which stretch, at which rate, and what is told of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from sememe.progress import Phase
from sememe.train import kernel
from sememe.train.merging import merge
from sememe.train.options import Options, Running
from sememe.train.stream import END, Stream

#: ids in a stretch: long enough that its start costs nothing, short enough to share work out evenly
STRETCH, SHORTEST = 50_000, 2_000
#: stretches that each thread learns alone before copies are merged, where runs must be deterministic
ALONE = 2


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one epoch: the mean loss of a positive pair with its negatives, words after thinning out, seconds."""

    loss: float
    used: int
    seconds: float


class Course:
    """Everything that stays the same from epoch to epoch."""

    def __init__(
        self, model: kernel.Model, tables: kernel.Tables, plan: kernel.Plan, stream: Stream, options: Options
    ) -> None:
        self.model, self.tables, self.plan = model, tables, plan
        self.options, self.ids = options, stream.ids
        size = min(max(len(stream.ids) // 64, SHORTEST), STRETCH)
        self.stretches = stream.segments(size)
        ends = [int((stream.ids[a:b] == END).sum()) for a, b in self.stretches]
        self.texts = [0, *np.cumsum(ends).tolist()]

    def epoch(self, number: int, running: Running, phase: Phase) -> Figures:
        """Learn from the whole stream once; ``number`` counts from 0."""
        started = time.monotonic()
        apart = running.deterministic and running.threads > 1
        tallies = (self._apart if apart else self._together)(number, running, phase)
        loss, pairs, used = (sum(column) for column in zip(*tallies, strict=True))
        return Figures(loss / max(pairs, 1), int(used), time.monotonic() - started)

    def _together(self, epoch: int, running: Running, phase: Phase) -> list[tuple[float, int, int]]:
        # All threads write to one model without a lock: they seldom meet at one row (Niu et al., 2011).
        desks = [kernel.make_desk(self.model, self.tables, self.plan) for _ in range(running.threads)]

        def work(thread: int) -> list[tuple[int, tuple[float, int, int]]]:
            return [(n, self._learn(self.model, desks[thread], (epoch, n), running, phase)) for n in waiting]

        waiting = _Line(len(self.stretches))
        if running.threads == 1:
            done = [work(0)]
        else:
            with ThreadPoolExecutor(running.threads) as pool:
                done = list(pool.map(work, range(running.threads)))
        return [tally for _, tally in sorted(pair for part in done for pair in part)]

    def _apart(self, epoch: int, running: Running, phase: Phase) -> list[tuple[float, int, int]]:
        threads = running.threads
        copies = [np.stack([matrix] * threads) for matrix in self.model]
        models = [kernel.Model(*(copy[thread] for copy in copies)) for thread in range(threads)]
        desks = [kernel.make_desk(self.model, self.tables, self.plan) for _ in range(threads)]
        tallies: list[tuple[float, int, int]] = []
        alone = max(1, min(ALONE, len(self.stretches) // (4 * threads)))

        def work(job: tuple[int, range]) -> list[tuple[float, int, int]]:
            thread, stretches = job
            return [self._learn(models[thread], desks[thread], (epoch, n), running, phase) for n in stretches]

        def mend(thread: int) -> None:
            for matrix, copy in zip(self.model, copies, strict=True):
                cut = [len(matrix) * part // threads for part in (thread, thread + 1)]
                merge(matrix, copy, cut[0], cut[1])

        with ThreadPoolExecutor(threads) as pool:
            for first in range(0, len(self.stretches), threads * alone):
                starts = [min(first + thread * alone, len(self.stretches)) for thread in range(threads + 1)]
                jobs = [(thread, range(starts[thread], starts[thread + 1])) for thread in range(threads)]
                tallies += [tally for part in pool.map(work, jobs) for tally in part]
                list(pool.map(mend, range(threads)))
        return tallies

    def _learn(
        self, model: kernel.Model, desk: kernel.Desk, turn: tuple[int, int], running: Running, phase: Phase
    ) -> tuple[float, int, int]:
        epoch, number = turn
        first, last = self.stretches[number]
        whole = len(self.ids) * self.options.epochs
        fall = self.options.rate - self.options.last_rate
        rates = [self.options.rate - fall * (epoch * len(self.ids) + place) / whole for place in (first, last)]
        seed = _seed(running.seed, epoch, number)
        stretch = kernel.Stretch(self.ids[first:last], self.texts[number], rates[0], rates[1], seed)
        tally = kernel.learn(model, self.tables, self.plan, desk, stretch)
        phase.advance(last - first - (self.texts[number + 1] - self.texts[number]))
        return float(tally[0]), int(tally[1]), int(tally[2])


class _Line:
    """Numbers handed out one by one to whoever asks; `next` of a range is one step of the interpreter."""

    def __init__(self, count: int) -> None:
        self.numbers = iter(range(count))

    def __iter__(self) -> Iterator[int]:
        return self.numbers


def _seed(seed: int, epoch: int, number: int) -> int:
    # Steps of splitmix64 keep the generators of neighbouring stretches far apart.
    value = seed
    for part in (epoch, number, 1):
        value = (value + part * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) % 2**64
        value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
        value ^= value >> 31
    return value >> 1  # fits into a signed number, too
