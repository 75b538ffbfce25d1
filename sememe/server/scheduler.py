"""Many requests, one network: pieces of all of them go into batches together, and no request waits behind a large one.

A worker that has nothing to do makes a round of what is waiting at that moment: each request in turn gives pieces worth
a share of tokens, until the round is full. The round is sorted into batches of similar length, the cheapest first. So a
lone request is run at once, a crowd shares batches, and a request of thousands of texts only ever has its share. There
is no timer anywhere. Nothing in here knows of HTTP.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sememe.encoders.batches import plan
from sememe.errors import SememeError

#: what is run: pieces of one batch, and a result for each
Run = Callable[[Sequence[Any]], Sequence[Any]]


class QueueFull(SememeError):
    """More is waiting than may wait. ``seconds``: when to ask again, by the speed of late."""

    def __init__(self, waiting: int, limit: int, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(
            "too much is waiting already",
            why=[f"{waiting} tokens wait, at most {limit} may"],
            do=[f"ask again in {seconds} s"],
        )


class Closed(SememeError):
    """The queue takes nothing any more."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How batches are made, in tokens.

    ``batch``: padded tokens of a batch; ``step``: widths are rounded up to its multiples; ``round``: what is taken from
    the queue and sorted at once; ``share``: what one request gives before the next one's turn; ``waiting``: the most
    that may wait, though a request that finds nobody waiting is always taken; ``requests``: how many requests may wait.
    """

    batch: int = 1024
    step: int = 8
    round: int = 4096
    share: int = 512
    waiting: int = 400_000
    requests: int = 1024


@dataclass(eq=False, slots=True)
class _Job:
    """One request: its pieces, which of them still wait, and what came of the others."""

    pieces: Sequence[Any]
    costs: Sequence[int]
    waiting: deque[int]
    results: list[Any]
    left: int
    future: Future[list[Any]] = field(default_factory=Future)
    credit: int = 0


_Batch = list[tuple[_Job, int]]


class Scheduler:
    """A queue with ``workers`` threads, each of which runs one batch at a time. Safe to share between threads."""

    def __init__(self, run: Run, *, workers: int = 1, shape: Shape | None = None, name: str = "") -> None:
        self._run, self.shape = run, shape or Shape()
        self._lock = threading.Condition()
        self._ring: deque[_Job] = deque()
        self._ready: deque[_Batch] = deque()
        self._closing = False
        self._jobs = 0
        self._waiting = 0
        self._speed = 0.0
        self.batches = self.tokens = 0
        self._threads = [
            threading.Thread(target=self._work, name=f"sememe-serve-{name}-{at}", daemon=True) for at in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> tuple[int, int]:
        """Tokens that wait, and requests that are not finished."""
        return self._waiting, self._jobs

    def submit(self, pieces: Sequence[Any], costs: Sequence[int]) -> Future[list[Any]]:
        """A result for each piece, in their order; cancelling it drops what still waits.

        Args:
            costs: tokens of each piece.

        Raises:
            QueueFull: more would wait than may.
            Closed: after `close`.
        """
        # Pieces of similar length leave together, so that the batches of a large request are full.
        order = sorted(range(len(pieces)), key=lambda at: costs[at])
        job = _Job(pieces, costs, deque(order), [None] * len(pieces), len(pieces))
        if not pieces:
            job.future.set_result([])
            return job.future
        total = sum(costs)
        with self._lock:
            if self._closing:
                raise Closed("the server is stopping")
            crowded = self._waiting and self._waiting + total > self.shape.waiting
            if crowded or self._jobs >= self.shape.requests:
                raise QueueFull(self._waiting, self.shape.waiting, self._seconds())
            self._ring.append(job)
            self._jobs += 1
            self._waiting += total
            self._lock.notify()
        job.future.add_done_callback(lambda _: self._over(job))
        return job.future

    def close(self) -> None:
        """Finish what was taken, take no more, and end the threads."""
        with self._lock:
            self._closing = True
            self._lock.notify_all()
        for thread in self._threads:
            thread.join()

    def _seconds(self) -> int:
        return min(60, max(1, math.ceil(self._waiting / self._speed))) if self._speed else 1

    def _over(self, job: _Job) -> None:
        """Done, failed or cancelled: what still waits of it leaves the queue."""
        with self._lock:
            self._jobs -= 1
            self._waiting -= sum(job.costs[at] for at in job.waiting)
            with suppress(ValueError):
                self._ring.remove(job)

    def _work(self) -> None:
        while True:
            with self._lock:
                while not self._ready:
                    if self._ring:
                        self._make_round()
                    elif self._closing:
                        return
                    else:
                        self._lock.wait()
                batch = self._ready.popleft()
                if self._ready or self._ring:
                    self._lock.notify()
                batch = [(job, at) for job, at in batch if not job.future.done()]
            if batch:
                self._do(batch)

    def _make_round(self) -> None:
        """Pieces of the requests in turn, sorted into batches. A request that took more than its share, since a piece
        is not divided, has less in its next turn."""
        taken: _Batch = []
        room = self.shape.round
        while self._ring and room > 0:
            job = self._ring.popleft()
            job.credit += self.shape.share
            while job.waiting and job.credit > 0 and room > 0:
                at = job.waiting.popleft()
                job.credit -= job.costs[at]
                room -= job.costs[at]
                self._waiting -= job.costs[at]
                taken.append((job, at))
            if job.waiting:
                self._ring.append(job)
        costs = [max(1, job.costs[at]) for job, at in taken]
        for rows in reversed(plan(costs, budget=self.shape.batch, step=self.shape.step)):
            self._ready.append([taken[row] for row in rows])

    def _do(self, batch: _Batch) -> None:
        began = time.monotonic()
        try:
            results = self._run([job.pieces[at] for job, at in batch])
        except Exception as error:
            self._failed(batch, error)
            return
        tokens = sum(job.costs[at] for job, at in batch)
        finished = []
        with self._lock:
            self.batches += 1
            self.tokens += tokens
            late = tokens / max(time.monotonic() - began, 1e-6) * len(self._threads)
            self._speed = late if not self._speed else 0.9 * self._speed + 0.1 * late
            for (job, at), result in zip(batch, results, strict=True):
                job.results[at] = result
                job.left -= 1
                if not job.left:
                    finished.append(job)
        for job in finished:
            with suppress(InvalidStateError):  # cancelled meanwhile
                job.future.set_result(job.results)

    def _failed(self, batch: _Batch, error: Exception) -> None:
        """A request's own fault is not its neighbours': each is run alone, and only the guilty one fails."""
        jobs = list(dict.fromkeys(job for job, _ in batch))
        if len(jobs) == 1:
            with suppress(InvalidStateError):
                jobs[0].future.set_exception(error)
            return
        for job in jobs:
            self._do([(one, at) for one, at in batch if one is job])
