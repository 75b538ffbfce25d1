"""The scheduler: what shares a batch, whose turn it is, what leaves the queue. Workers are held by events."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sememe.server.scheduler import Closed, QueueFull, Scheduler, Shape

SMALL = Shape(batch=16, step=1, round=32, share=8, waiting=100, requests=10)


class Held:
    """A network that stops at each batch until it is let go; ``batches`` are those it has begun."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def __call__(self, pieces: Sequence[Any]) -> list[Any]:
        self.batches.append(list(pieces))
        self.begun.release()
        assert self.go.acquire(timeout=30)
        return [f"={piece}" for piece in pieces]

    def let_all_go(self) -> None:
        self.go.release(10_000)


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
def make() -> Iterator[Callable[..., Scheduler]]:
    made = []

    def go(run: Any, shape: Shape = SMALL, workers: int = 1) -> Scheduler:
        made.append((Scheduler(run, workers=workers, shape=shape), run))
        return made[-1][0]

    yield go
    for queue, run in made:
        if isinstance(run, Held):
            run.let_all_go()
        queue.close()


def test_a_lone_request_is_run_at_once_and_those_that_come_meanwhile_share_a_batch(held: Held, make: Any) -> None:
    queue = make(held)
    first = queue.submit(["a"], [3])
    held.begun.acquire(timeout=30)
    others = [queue.submit([name], [3]) for name in "bcd"]
    held.let_all_go()
    assert first.result(30) == ["=a"]
    assert [one.result(30) for one in others] == [["=b"], ["=c"], ["=d"]]
    assert held.batches == [["a"], ["b", "c", "d"]]


def test_a_small_request_does_not_wait_for_a_large_one(held: Held, make: Any) -> None:
    queue = make(held)
    queue.submit(["first"], [1])
    held.begun.acquire(timeout=30)
    large = queue.submit([f"L{at}" for at in range(80)], [1] * 80)
    small = queue.submit(["s"], [1])
    held.go.release(3)  # the one that was running, and two batches: not half of the large one
    assert small.result(30) == ["=s"]
    assert not large.done()
    held.let_all_go()
    assert large.result(30) == [f"=L{at}" for at in range(80)]


def test_shares_are_by_tokens_and_what_was_too_much_is_paid_back(held: Held, make: Any) -> None:
    queue = make(held, Shape(batch=1000, step=1, round=48, share=8, waiting=1000, requests=10))
    queue.submit(["first"], [1])
    held.begun.acquire(timeout=30)
    queue.submit(["A1", "A2", "A3"], [12, 12, 12])  # two turns of 12 are 8 too much: no third one yet
    queue.submit([f"b{at}" for at in range(40)], [1] * 40)
    held.go.release()
    held.begun.acquire(timeout=30)
    got = held.batches[1]
    assert [name for name in got if name[0] == "A"] == ["A1", "A2"]
    assert sum(name[0] == "b" for name in got) == 24


def test_what_does_not_fit_waits_outside(held: Held, make: Any) -> None:
    queue = make(held)
    queue.submit(["running"], [90])
    held.begun.acquire(timeout=30)
    queue.submit(["waits"], [60])
    with pytest.raises(QueueFull, match="too much is waiting") as full:
        queue.submit(["too much"], [41])
    assert full.value.seconds >= 1
    queue.submit(["fits"], [40])
    assert queue.waiting == (100, 3)


def test_one_that_is_larger_than_the_queue_is_taken_when_nobody_waits(make: Any) -> None:
    assert make(list).submit(["x"], [1000]).result(30) == ["x"]


def test_so_many_requests_and_no_more(held: Held, make: Any) -> None:
    queue = make(held)
    for _ in range(SMALL.requests):
        queue.submit(["x"], [0])
    with pytest.raises(QueueFull):
        queue.submit(["x"], [0])


def test_what_was_cancelled_is_not_run_and_makes_room(held: Held, make: Any) -> None:
    queue = make(held)
    queue.submit(["running"], [1])
    held.begun.acquire(timeout=30)
    left, stayed = queue.submit(["left"] * 5, [20] * 5), queue.submit(["stayed"], [0])
    assert queue.waiting == (100, 3)
    assert left.cancel()
    assert queue.waiting == (0, 2)
    held.let_all_go()
    assert stayed.result(30) == ["=stayed"]
    with pytest.raises(CancelledError):
        left.result(30)
    assert held.batches == [["running"], ["stayed"]]


def test_what_was_cancelled_on_its_way_has_no_result(held: Held, make: Any) -> None:
    queue = make(held)
    left = queue.submit(["a"], [1])
    held.begun.acquire(timeout=30)
    assert left.cancel()
    held.let_all_go()
    assert queue.submit(["b"], [1]).result(30) == ["=b"]
    assert queue.waiting == (0, 0)


def test_what_was_cancelled_is_not_run_though_its_batch_was_made(held: Held, make: Any) -> None:
    queue = make(held)
    left = queue.submit(["a", "b"], [16, 16])  # one round, two batches
    held.begun.acquire(timeout=30)
    assert left.cancel()
    held.let_all_go()
    assert queue.submit(["c"], [1]).result(30) == ["=c"]
    assert held.batches == [["b"], ["c"]] or held.batches == [["a"], ["c"]]


def test_only_the_guilty_one_fails(held: Held, make: Any) -> None:
    def run(pieces: Sequence[Any]) -> list[Any]:
        if "first" in pieces:
            return held(pieces)
        if "bad" in pieces:
            raise ValueError("bad")
        return list(pieces)

    queue = make(run)
    queue.submit(["first"], [1])
    held.begun.acquire(timeout=30)
    good, bad, also = queue.submit(["g"], [1]), queue.submit(["bad"], [1]), queue.submit(["h"], [1])
    held.let_all_go()
    assert (good.result(30), also.result(30)) == (["g"], ["h"])
    with pytest.raises(ValueError, match="bad"):
        bad.result(30)
    assert queue.submit(["after"], [1]).result(30) == ["after"]


def test_closing_finishes_what_was_taken(held: Held, make: Any) -> None:
    queue = make(held)
    futures = [queue.submit([name], [10]) for name in "abcdef"]
    held.let_all_go()
    queue.close()
    assert [one.result(0) for one in futures] == [[f"={name}"] for name in "abcdef"]
    with pytest.raises(Closed):
        queue.submit(["x"], [1])


def test_workers_run_side_by_side(held: Held, make: Any) -> None:
    queue = make(held, workers=2)
    both = [queue.submit(["a"], [16]), queue.submit(["b"], [16])]
    assert held.begun.acquire(timeout=30)
    assert held.begun.acquire(timeout=30)  # the second began before the first was let go
    held.let_all_go()
    assert [one.result(30) for one in both] == [["=a"], ["=b"]]


def test_the_batches_of_one_request_run_side_by_side(held: Held, make: Any) -> None:
    made = make(held, workers=2).submit(["a", "b"], [16, 16])
    assert held.begun.acquire(timeout=10)
    assert held.begun.acquire(timeout=10)
    held.let_all_go()
    assert made.result(30) == ["=a", "=b"]


@given(st.lists(st.lists(st.integers(0, 40), max_size=30), max_size=12), st.integers(1, 3))
def test_every_piece_gets_its_own_result_in_its_place(costs: list[list[int]], workers: int) -> None:
    shape = Shape(batch=32, step=4, round=64, share=8, waiting=10**6, requests=100)
    widest: list[int] = []

    def run(pieces: Sequence[Any]) -> list[Any]:
        widest.append(max(cost for *_, cost in pieces) * len(pieces))
        return list(pieces)

    queue = Scheduler(run, workers=workers, shape=shape)
    asked = [[(job, at, cost) for at, cost in enumerate(one)] for job, one in enumerate(costs)]
    futures = [queue.submit(pieces, one) for pieces, one in zip(asked, costs, strict=True)]
    assert [future.result(30) for future in futures] == asked
    queue.close()
    assert queue.waiting == (0, 0)
    assert all(width <= 40 for width in widest)
