"""One pool of threads for all encoders: turns, cancelling, errors, and who lets go last."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from sememe.encoders import threads
from sememe.encoders.load import load_encoder
from sememe.encoders.threads import Crew
from tests import tiny_bert

#: a number of streams that no encoder of these tests has
ALONE = 1009


class Gate:
    """Work that says when it has begun and goes on when it is let."""

    def __init__(self) -> None:
        self.begun, self.open = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self.open.wait(60)
        return "through"


@pytest.fixture(autouse=True)
def one_thread_in_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    real = ThreadPoolExecutor
    monkeypatch.setattr(threads, "ThreadPoolExecutor", lambda count, **how: real(1 if count == ALONE else count, **how))


def test_lines_take_turns_and_each_keeps_its_order() -> None:
    large, small = Crew(ALONE), Crew(ALONE)
    gate = Gate()
    seen: list[object] = []
    first, second = large.line(), small.line()
    held = first.submit(gate)
    assert gate.begun.wait(60)
    long = [first.submit(seen.append, f"large {at}") for at in range(5)]
    short = [second.submit(seen.append, f"small {at}") for at in range(2)]
    gate.open.set()
    for future in (*long, *short):
        future.result(60)
    assert held.result(60) == "through"
    assert seen == ["large 0", "small 0", "large 1", "small 1", "large 2", "large 3", "large 4"]
    large.close()
    small.close()


def test_what_is_cancelled_is_passed_over_and_an_error_reaches_who_asked() -> None:
    crew, gate = Crew(ALONE), Gate()
    seen: list[object] = []
    line = crew.line()
    line.submit(gate)
    assert gate.begun.wait(60)
    out = line.submit(seen.append, 1)
    assert out.cancel()
    bad = line.submit(int, "no number")
    last = line.submit(seen.append, 2)
    gate.open.set()
    with pytest.raises(ValueError, match="no number"):
        bad.result(60)
    last.result(60)
    assert seen == [2]
    crew.close()


def test_the_threads_end_with_the_last_who_lets_go_and_come_back() -> None:
    one, other = Crew(ALONE), Crew(ALONE)
    assert ALONE not in threads._POOLS
    thread = one.line().submit(threading.current_thread).result(60)
    line = other.line()
    assert line.submit(threading.current_thread).result(60) is thread
    one.close()
    one.close()
    assert line.submit(threading.current_thread).result(60) is thread
    other.close()
    assert not thread.is_alive()
    assert line.submit(len, "abc").result(60) == 3  # the line goes on in a new pool
    other.close()
    assert ALONE not in threads._POOLS


def test_closing_waits_for_what_stands_in_the_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    crew, gate, ending = Crew(ALONE), Gate(), threading.Event()
    line = crew.line()
    held, next_ = line.submit(gate), line.submit(len, "ab")
    assert gate.begun.wait(60)
    pool = threads._POOLS[ALONE].threads
    end = pool.shutdown

    def ends() -> None:
        ending.set()
        end()

    monkeypatch.setattr(pool, "shutdown", ends)
    closing = threading.Thread(target=crew.close)
    closing.start()
    assert ending.wait(60)
    assert line.submit(len, "abc").result(60) == 3  # in a new pool, while the old one still waits
    assert not held.done()
    gate.open.set()
    closing.join(60)
    assert held.done()
    assert next_.result(0) == 2
    crew.close()


def test_two_encoders_at_once_give_what_each_gives_alone(tmp_path: Path) -> None:
    folders = [tiny_bert.write(tmp_path / str(seed), seed=seed) for seed in range(2)]
    one, other = (load_encoder(folder, precision="f32", threads=2, home=tmp_path, offline=True) for folder in folders)
    texts = tiny_bert.texts(400, longest=5)
    expected = one.encode(texts), other.encode(texts)
    got: dict[int, list[np.ndarray]] = {0: [], 1: []}

    def work(at: int) -> None:
        got[at] += [(one, other)[at].encode(texts) for _ in range(3)]

    workers = [threading.Thread(target=work, args=(at,)) for at in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    for at in (0, 1):
        assert len(got[at]) == 3
        for vectors in got[at]:
            np.testing.assert_allclose(vectors, expected[at], atol=1e-5)
    one.close()
    np.testing.assert_allclose(one.encode(texts), expected[0], atol=1e-5)
