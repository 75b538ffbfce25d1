"""The HTTP client of hosted encoders, against a stand-in that misbehaves on purpose. Pauses are counted, not slept."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from sememe.encoders.remote.encoder import CONCURRENCY, RemoteEncoder
from sememe.encoders.remote.keys import find_place
from sememe.encoders.remote.known import Known
from sememe.encoders.remote.naming import RemoteName
from sememe.encoders.remote.open import provider_of
from sememe.encoders.remote.service import ATTEMPTS, Clock, Service, Waits
from sememe.errors import ServiceError
from tests.remote_server import KEY, Mishap, RemoteServer, environment, serving

NOW = datetime(2026, 11, 22, tzinfo=UTC).timestamp()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RemoteServer]:
    with serving() as one:
        for provider in ("openai", "ollama", "bedrock"):
            for name, value in environment(one, provider).items():
                monkeypatch.setenv(name, value)
        yield one
        one.released.set()


OPENED: list[RemoteEncoder] = []


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


class Opened:
    """An encoder with a clock that only counts."""

    def __init__(self, name: str = "openai:m", *, waits: Waits | None = None, ticks: Any = None) -> None:
        self.pauses: list[float] = []
        read = RemoteName(*name.split(":", 1))
        provider = provider_of(read)
        clock = Clock(now=lambda: NOW, ticks=ticks or (lambda: 0.0), pause=lambda stop, wait: self.pauses.append(wait))
        service = Service(provider, find_place(provider, ""), waits=waits, clock=clock, chance=lambda: 1.0)
        self.encoder = RemoteEncoder(read, service, Known(), longest=64)
        OPENED.append(self.encoder)

    def encode(self, *texts: str) -> Any:
        return self.encoder.encode(list(texts))


# --- what is tried again


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_sent_again_after_longer_and_longer_pauses(server: RemoteServer, status: int) -> None:
    opened = Opened()
    server.script.extend([Mishap(status)] * 3)
    assert opened.encode("a").shape == (1, 24)
    assert opened.pauses == [1, 2, 4]
    assert len({str(asked.body) for asked in server.asked}) == 1


def test_retry_after_is_obeyed_in_seconds_and_as_a_date(server: RemoteServer) -> None:
    opened = Opened()
    for said in ("7", "0.25", "Sun, 22 Nov 2026 00:00:31 GMT", "Sat, 21 Nov 2026 00:00:00 GMT", "soon"):
        server.script.append(Mishap(429, headers={"Retry-After": said}))
    opened.encode("a")
    assert opened.pauses == [7, 0.25, 31, 0, 16]


def test_who_wants_us_back_much_later_is_not_waited_for(server: RemoteServer) -> None:
    server.script.append(Mishap(429, headers={"Retry-After": "3600"}))
    opened = Opened()
    with pytest.raises(ServiceError, match="no more for now") as caught:
        opened.encode("a")
    assert "3600" in str(caught.value)
    assert (len(server.asked), opened.pauses) == (1, [])


def test_a_spent_quota_is_not_asked_again(server: RemoteServer) -> None:
    body = b'{"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}'
    server.script.append(Mishap(429, body))
    with pytest.raises(ServiceError) as caught:
        Opened().encode("a")
    assert "exceeded your current quota" in str(caught.value)
    assert len(server.asked) == 1


def test_after_the_last_attempt_the_error_says_what_and_how_often(server: RemoteServer) -> None:
    server.script.extend([Mishap(503, b'{"message": "loading"}')] * 99)
    opened = Opened()
    with pytest.raises(ServiceError, match="OpenAI failed") as caught:
        opened.encode("a")
    assert "503 loading" in str(caught.value)
    assert f"{ATTEMPTS} times" in str(caught.value)
    assert opened.pauses == [1, 2, 4, 8, 16]
    assert len(server.asked) == ATTEMPTS


@pytest.mark.parametrize(
    ("status", "said"), [(400, "refuses"), (401, "let us in"), (403, "let us in"), (404, "refuses")]
)
def test_what_will_not_pass_is_not_sent_again(server: RemoteServer, status: int, said: str) -> None:
    server.script.append(Mishap(status, b'{"error": {"message": "no such thing"}}'))
    with pytest.raises(ServiceError, match=said) as caught:
        Opened().encode("a")
    assert f"{status} no such thing" in str(caught.value)
    assert len(server.asked) == 1


@pytest.mark.parametrize("cut", [0, 1, 40])
def test_an_answer_that_breaks_off_is_asked_for_again(server: RemoteServer, cut: int) -> None:
    server.script.extend([Mishap(cut=cut)] * 2)
    opened = Opened()
    expected = Opened().encode("b")
    server.script.extend([Mishap(cut=cut)] * 2)
    np.testing.assert_array_equal(opened.encode("b"), expected)
    assert opened.pauses == [1, 2]


def test_a_silent_server_is_left(server: RemoteServer) -> None:
    server.script.extend([Mishap(hang=server.released)] * ATTEMPTS)
    with pytest.raises(ServiceError, match="cannot be reached, or its answer broke off") as caught:
        opened = Opened(waits=Waits(read=0.02))
        opened.encode("a")
    assert "ReadTimeout" in str(caught.value)
    assert len(opened.pauses) == ATTEMPTS - 1


def test_an_answer_that_takes_too_long_in_all_is_left(server: RemoteServer) -> None:
    ticks = iter(range(0, 10**9, 1000))
    with pytest.raises(ServiceError) as caught:
        Opened(ticks=lambda: float(next(ticks))).encode("a")
    assert "more than 180 s" in str(caught.value)


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as held:  # nobody listens, and nobody else can have the port
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        with pytest.raises(ServiceError, match="cannot be reached") as caught:
            Opened().encode("a")
    assert url in str(caught.value)


def test_redirects_are_not_followed(server: RemoteServer) -> None:
    server.script.append(Mishap(307, headers={"Location": server.url + "/openai/v1/embeddings"}))
    with pytest.raises(ServiceError, match="refuses"):
        Opened().encode("a")
    assert len(server.asked) == 1


# --- what is not believed


def _without_last(answer: Any) -> Any:
    return answer | {"data": answer["data"][:-1]}


def _twice(answer: Any) -> Any:
    return answer | {"data": [entry | {"index": 0} for entry in answer["data"]]}


def _narrow(answer: Any) -> Any:
    entries = answer["data"]
    return answer | {"data": [*entries[:-1], entries[-1] | {"embedding": [1.0, 2.0]}]}


STRANGE = {
    "no JSON": Mishap(body=b"<html>Welcome to the proxy</html>"),
    "nothing": Mishap(body=b""),
    "half": Mishap(body=b'{"data": ['),
    "deep": Mishap(body=b"[" * 100_000),
    "NaN": Mishap(body=b'{"data": [{"index": 0, "embedding": [NaN]}]}'),
    "another shape": Mishap(body=b'{"vectors": []}'),
    "one is missing": Mishap(change=_without_last),
    "a place twice": Mishap(change=_twice),
    "one is narrow": Mishap(change=_narrow),
    "not UTF-8": Mishap(body=b"\xff\xfe\xff"),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_a_strange_answer_is_refused_with_its_reason(server: RemoteServer, kind: str) -> None:
    server.script.append(STRANGE[kind])
    with pytest.raises(ServiceError, match="does not say by its documentation") as caught:
        Opened().encode("a", "b", "c")
    assert "the answer" in str(caught.value)
    assert len(server.asked) == 1


def test_a_width_that_changes_is_refused(server: RemoteServer) -> None:
    opened = Opened()
    opened.encode("a")
    server.script.append(Mishap(body=b'{"data": [{"index": 0, "embedding": [1, 2, 3]}]}'))
    with pytest.raises(ServiceError, match="documentation") as caught:
        opened.encode("b")
    assert "3 numbers, not 24" in str(caught.value)


# --- the end of a call


def test_after_an_error_nothing_more_is_sent(server: RemoteServer) -> None:
    server.script.extend([Mishap(400)] * 8)
    with pytest.raises(ServiceError):
        Opened("bedrock:amazon.titan-embed-text-v2:0").encode(*[f"text {n}" for n in range(500)])
    assert len(server.asked) <= 2 * CONCURRENCY


def test_a_pause_ends_when_the_call_does(server: RemoteServer) -> None:
    paused = threading.Event()
    cut_short: list[bool] = []

    def pause(stop: threading.Event, wait: float) -> None:
        paused.set()
        cut_short.append(stop.wait(120))

    class Interrupting:
        @contextmanager
        def phase(self, name: str, *, total: int | None, unit: str) -> Iterator[Any]:
            yield self

        def advance(self, n: int = 1) -> None:
            assert paused.wait(120)
            raise KeyboardInterrupt

        def note(self, text: str) -> None: ...

    encoder = Opened("bedrock:amazon.titan-embed-text-v2:0").encoder
    encoder.service.clock = Clock(now=lambda: NOW, ticks=lambda: 0.0, pause=pause)
    server.by_text["b"] = Mishap(429, headers={"Retry-After": "60"})
    with pytest.raises(KeyboardInterrupt):
        encoder.encode(["a", "b"], progress=Interrupting())
    encoder.close()
    assert cut_short == [True]
    assert len(server.asked) == 2


def test_the_key_is_in_its_header_and_nowhere_else(server: RemoteServer) -> None:
    Opened().encode("a")
    (asked,) = server.asked
    assert [name for name, value in asked.headers.items() if KEY in value] == ["authorization"]
    assert KEY not in asked.path + str(asked.body)
