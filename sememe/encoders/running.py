"""Batches through a network, side by side on its threads, in their order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from itertools import chain, islice
from typing import Any

import numpy as np

from sememe.encoders.batches import Rows
from sememe.encoders.threads import Crew
from sememe.ops.contract import Inputs
from sememe.ops.openvino import Network

Found = tuple[Rows, list[Any]]


class Runner:
    """One network on the threads of the process. Safe to share; what it gives are copies."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._local = threading.local()
        self._crew = Crew(network.streams)

    def run(self, batches: Iterable[tuple[Rows, Inputs]]) -> Iterator[Found]:
        """The rows of each batch with the network's outputs for it; a few batches ahead of who asks."""
        todo = iter(batches)
        first = list(islice(todo, 2))
        if len(first) == 1:  # no hand-over delays a single batch
            yield first[0][0], self._one(first[0][1])
            return
        waiting: deque[tuple[Rows, Future[list[Any]]]] = deque()
        line = self._crew.line()
        try:
            for rows, inputs in chain(first, todo):
                waiting.append((rows, line.submit(self._one, inputs)))
                if len(waiting) > 2 * self.network.streams:
                    yield _landed(waiting.popleft())
            while waiting:
                yield _landed(waiting.popleft())
        finally:
            for _, future in waiting:
                future.cancel()

    def close(self) -> None:
        """Let the threads go; the next call starts them again."""
        self._crew.close()
        self._local = threading.local()

    def _one(self, inputs: Inputs) -> list[Any]:
        request: Callable[[Inputs], list[Any]] | None = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self.network.request()
        return [np.array(array) for array in request(inputs)]


def _landed(waited: tuple[Rows, Future[list[Any]]]) -> Found:
    rows, future = waited
    return rows, future.result()
