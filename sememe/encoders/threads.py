"""The threads that networks run on: one pool for all encoders of the process that have the same number of streams.

Each call that has more than one batch stands in a line of its own, and the pool takes one batch of each line in turn.
So two encoders at work share the cores instead of doubling the threads, and a small call beside a large one waits for
a batch or two, not for all that stood there before it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar
from weakref import WeakSet

Result = TypeVar("Result")
_Task = Callable[[], None]


class Line:
    """What one call has to do, in its order."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._pool: _Pool | None = None
        self._tasks: deque[_Task] = deque()

    def submit(self, work: Callable[..., Result], *given: Any) -> Future[Result]:
        """``work(*given)`` when it is its turn; what is cancelled before that is passed over."""
        future: Future[Result] = Future()
        with _LOCK:
            pool = _POOLS.get(self._crew.streams)
            if pool is None:
                pool = _POOLS[self._crew.streams] = _Pool(self._crew.streams)
            if pool is not self._pool:  # a pool that ends still does what stood in its own lines
                self._pool, self._tasks = pool, deque()
            pool.threads.submit(pool.next)
            pool.crews.add(self._crew)
            if not self._tasks:
                pool.waiting.append(self._tasks)
            self._tasks.append(partial(_do, future, work, given))
        return future


class Crew:
    """One encoder's part in the threads of the process."""

    def __init__(self, streams: int) -> None:
        self.streams = streams

    def line(self) -> Line:
        """A line for one call."""
        return Line(self)

    def close(self) -> None:
        """Let go. The threads end, after what stands in the lines, with the last one who does; `Line.submit` starts
        them again."""
        with _LOCK:
            pool = _POOLS.get(self.streams)
            if pool is None:
                return
            pool.crews.discard(self)
            if pool.crews:
                return
            del _POOLS[self.streams]
        pool.threads.shutdown()


class _Pool:
    def __init__(self, streams: int) -> None:
        self.threads = ThreadPoolExecutor(streams, thread_name_prefix="sememe-encode")
        #: lines that are not empty, the one whose turn it is first
        self.waiting: deque[deque[_Task]] = deque()
        #: who has used it and not let go; an encoder that nobody holds any more is none
        self.crews: WeakSet[Crew] = WeakSet()

    def next(self) -> None:
        """One task of the line whose turn it is. There are as many calls of this as tasks."""
        with _LOCK:
            tasks = self.waiting.popleft()
            task = tasks.popleft()
            if tasks:
                self.waiting.append(tasks)
        task()


_LOCK = threading.Lock()
_POOLS: dict[int, _Pool] = {}


def _do(future: Future[Result], work: Callable[..., Result], given: tuple[Any, ...]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work(*given)
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
