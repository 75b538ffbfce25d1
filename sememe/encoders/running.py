"""Batches through a network, side by side on its threads, in their order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import Any

import numpy as np

from sememe.encoders.batches import Rows
from sememe.ops.contract import Inputs
from sememe.ops.openvino import Network

Found = tuple[Rows, list[Any]]


class Runner:
    """One network with its threads. Safe to share; what it gives are copies."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._local = threading.local()
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def run(self, batches: Iterable[tuple[Rows, Inputs]]) -> Iterator[Found]:
        """The rows of each batch with the network's outputs for it; a few batches ahead of who asks."""
        todo = iter(batches)
        first = list(islice(todo, 2))
        if len(first) == 1:  # no hand-over delays a single batch
            yield first[0][0], self._one(first[0][1])
            return
        waiting: deque[tuple[Rows, Future[list[Any]]]] = deque()
        try:
            for rows, inputs in chain(first, todo):
                waiting.append((rows, self._threads().submit(self._one, inputs)))
                if len(waiting) > 2 * self.network.streams:
                    yield _landed(waiting.popleft())
            while waiting:
                yield _landed(waiting.popleft())
        finally:
            for _, future in waiting:
                future.cancel()

    def close(self) -> None:
        """Let the threads go; the next call starts them again."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.network.streams, thread_name_prefix="sememe-run")
            return self._pool

    def _one(self, inputs: Inputs) -> list[Any]:
        request: Callable[[Inputs], list[Any]] | None = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self.network.request()
        return [np.array(array) for array in request(inputs)]


def _landed(waited: tuple[Rows, Future[list[Any]]]) -> Found:
    rows, future = waited
    return rows, future.result()
