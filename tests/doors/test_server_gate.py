"""Who may ask, how large and how slow a request may be, and how the server stops. Held by events and sockets; where a
time-out is tried it is set to a fraction of a second and waited for, never raced."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sememe.errors import UsageError
from sememe.server.gate import Rules
from sememe.server.listening import check_open
from sememe.server.serving import Limits
from tests.doors.conftest import environment
from tests.doors.served import Served, serving, write_models

ASK = {"input": "the boat", "model": "tiny"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gate")
    write_models(folder)
    return folder


@pytest.fixture(scope="module")
def guarded(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """With a token, one page that may ask, small bodies, and no patience."""
    limits = Limits(body=100_000, bodies=250_000, items=50, header_seconds=0.4, body_seconds=0.4, waiting_tokens=5000)
    rules = Rules("s3cret", ("https://page.example",))
    with serving(models, tmp_path_factory.mktemp("home"), rules=rules, limits=limits, token_ids="reject") as running:
        yield running


@pytest.fixture(scope="module")
def open_to_all(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(models, tmp_path_factory.mktemp("home"), token_ids="trust") as running:
        yield running


TOKEN = {"Authorization": "Bearer s3cret"}


def test_a_token_is_asked_for_but_of_health(guarded: Served) -> None:
    assert guarded.ask("/health").status == 200
    assert guarded.ask("/v1/embeddings", ASK, headers=TOKEN).status == 200
    assert guarded.ask("/v1/embeddings", ASK, headers={"authorization": "bearer s3cret"}).status == 200
    wrong: list[dict[str, str]] = [
        {}, {"Authorization": "Bearer s3cre"}, {"Authorization": "Bearer s3cret2"}, {"Authorization": "Bearer "},
        {"Authorization": "Basic s3cret"}, {"Authorization": "s3cret"}, {"Authorization": "Bearer s\xe9cret"},
    ]  # fmt: skip
    for headers in wrong:
        for path in ("/v1/embeddings", "/v2/embed", "/api/embed", "/embed"):
            answer = guarded.ask(path, ASK, headers=headers)
            assert answer.status == 401, headers
            assert answer.headers["www-authenticate"] == "Bearer"
        assert guarded.ask("/metrics", headers=headers).status == 401
        assert guarded.ask("/no/such/route", headers=headers).status == 401
    assert guarded.ask("/v1/embeddings", ASK).json["error"]["code"] == "invalid_api_key"


def test_pages_may_ask_only_where_they_are_named(guarded: Served, open_to_all: Served) -> None:
    page = {"Origin": "https://page.example"}
    answer = guarded.ask("/v1/embeddings", ASK, headers={**TOKEN, **page})
    assert answer.headers["access-control-allow-origin"] == "https://page.example"
    answer = guarded.ask("/v1/embeddings", method="OPTIONS", headers={**page, "Access-Control-Request-Headers": "a"})
    assert answer.status == 204
    assert answer.headers["access-control-allow-headers"] == "a"
    for headers in ({"Origin": "https://other.example"}, {"Origin": "null"}):
        for method, body in (("POST", ASK), ("OPTIONS", None)):
            for one in (guarded, open_to_all):
                answer = one.ask("/v1/embeddings", body, method=method, headers={**TOKEN, **headers})
                assert answer.status == 403
                assert "access-control-allow-origin" not in answer.headers
    assert "access-control-allow-origin" not in open_to_all.ask("/health", headers=page).headers
    own = {"Origin": open_to_all.url}
    assert open_to_all.ask("/v1/embeddings", ASK, headers=own).status == 200


def test_a_name_that_was_made_to_point_here_is_refused(open_to_all: Served) -> None:
    for host, status in (("evil.example", 403), ("localhost:1", 200), ("127.0.0.1", 200), ("[::1]:80", 200),
                         ("10.0.0.1", 403), ("127.0.0.1.evil.example", 403)):  # fmt: skip
        assert open_to_all.ask("/health", headers={"Host": host}).status == status, host


def test_who_listens_to_others_wants_a_token() -> None:
    for host in ("127.0.0.1", "127.0.0.2", "localhost", "::1"):
        assert check_open(host, token="", open_without_token=False)
    for host in ("0.0.0.0", "::", "192.168.1.4", "example.org", ""):
        with pytest.raises(UsageError, match="no token is set"):
            check_open(host, token="", open_without_token=False)
        assert not check_open(host, token="x", open_without_token=False)
        assert not check_open(host, token="", open_without_token=True)


def test_ids_are_trusted_or_rejected_as_told(guarded: Served, open_to_all: Served) -> None:
    answer = guarded.ask("/v1/embeddings", {"model": "tiny", "input": [5, 6]}, headers=TOKEN)
    assert (answer.status, answer.json["error"]["code"]) == (400, "token_ids_rejected")
    tokenizer = open_to_all.desk.encoders[0].whole.tokenizer
    odd = [tokenizer.id("##a"), tokenizer.id("the")]
    assert open_to_all.ask("/v1/embeddings", {"model": "tiny", "input": odd}).status == 200
    assert open_to_all.ask("/v1/embeddings", {"model": "tiny", "input": [10**6]}).status == 400


def test_large_bodies_and_long_lists_are_refused(guarded: Served) -> None:
    answer = guarded.ask("/v1/embeddings", {**ASK, "user": "x" * 100_000}, headers=TOKEN)
    assert (answer.status, answer.json["error"]["code"]) == (413, "body_too_large")
    answer = guarded.ask("/embed", {"inputs": ["a"] * 51}, headers=TOKEN)
    assert (answer.status, answer.json["error_type"]) == (413, "Validation")
    # without a length, in pieces
    with raw(guarded) as (connection, file):
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            for _ in range(30):
                connection.sendall(b"1000\r\n" + b" " * 4096 + b"\r\n")
        assert b"413" in file.readline()


def test_memory_for_bodies_is_bounded(guarded: Served) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(2):  # two that announce nothing: each may be the largest
            connection, _file = stack.enter_context(raw(guarded))
            connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
            assert b"100" in _file.readline()  # it is being read
        answer = guarded.ask("/v1/embeddings", {**ASK, "user": "x" * 90_000}, headers=TOKEN)
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    until(lambda: guarded.desk.held == 0)
    assert guarded.ask("/v1/embeddings", {**ASK, "user": "x" * 90_000}, headers=TOKEN).status == 200


HEAD = b"POST /v1/embeddings HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer s3cret\r\n"


@contextlib.contextmanager
def raw(served: Served) -> Iterator[tuple[socket.socket, Any]]:
    with socket.create_connection(("127.0.0.1", served.port), 30) as connection, connection.makefile("rb") as file:
        yield connection, file


def test_slow_ones_are_not_waited_for(guarded: Served) -> None:
    with raw(guarded) as (connection, file):
        connection.sendall(b"POST /v1/embeddings HT")
        assert gone(file)
    with raw(guarded) as (_, file):  # not a word
        assert gone(file)
    with raw(guarded) as (connection, file):
        connection.sendall(HEAD + b"Content-Length: 100\r\n\r\n{")
        assert b"408" in file.readline()
    assert guarded.ask("/health").status == 200


def gone(file: Any) -> bool:
    """Whether the other side closes without a word; waits for it."""
    try:
        return file.read() == b""
    except ConnectionResetError:
        return True


def test_a_body_that_is_no_http_after_all_has_one_answer(guarded: Served, caplog: pytest.LogCaptureFixture) -> None:
    for head in (b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n", HEAD):
        with raw(guarded) as (connection, file):
            connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
            answer = file.read()
        assert answer.startswith(b"HTTP/1.1 400")
        assert answer.count(b"HTTP/1.1") == 1
    assert guarded.ask("/health").status == 200
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_connection_is_kept_for_the_next_request(guarded: Served) -> None:
    body = json.dumps(ASK).encode()
    with raw(guarded) as (connection, file):
        for _ in range(3):
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert b"200" in file.readline()
            length = 0
            while line := file.readline().strip().lower():
                length = int(line[15:]) if line.startswith(b"content-length:") else length
            assert json.loads(file.read(length))["object"] == "list"
        both = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
        connection.sendall(both + both.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nConnection: close\r\n"))
        assert file.read().count(b"HTTP/1.1 200") == 2


class Stuck:
    """Holds the network of an encoder until it is let go."""

    def __init__(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        queue = served.desk.encoders[0].queue
        run, self.begun, self.go = queue._run, threading.Semaphore(0), threading.Event()
        self.seen: list[int] = []

        def held(pieces: Any) -> Any:
            self.seen.append(len(pieces))
            self.begun.release()
            assert self.go.wait(30)
            return run(pieces)

        monkeypatch.setattr(queue, "_run", held)


def test_a_full_queue_says_when_to_come_again(guarded: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck, left = Stuck(guarded, monkeypatch), guarded.desk.metrics.gone
    long = {"model": "tiny", "input": ["the boat " * 11] * 50}  # 1,200 tokens
    threads = []
    for _ in range(2):  # both workers have something to do
        threads.append(threading.Thread(target=guarded.ask, args=("/v1/embeddings", ASK), kwargs={"headers": TOKEN}))
        threads[-1].start()
        stuck.begun.acquire(timeout=30)
    with contextlib.ExitStack() as stack:
        body = json.dumps(long).encode()
        queue = guarded.desk.encoders[0].queue
        for at in range(4):
            connection, _ = stack.enter_context(raw(guarded))
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            until(lambda at=at: queue.waiting[0] == 1200 * (at + 1))
        answer = guarded.ask("/v1/embeddings", long, headers=TOKEN)
        assert (answer.status, answer.json["error"]["code"]) == (429, "queue_full")
        assert int(answer.headers["retry-after"]) >= 1
        assert guarded.ask("/embed", long | {"inputs": long["input"]}, headers=TOKEN).json["error_type"] == "Overloaded"
    # All four have left: what they asked for is dropped, and never run.
    until(lambda: queue.waiting == (0, 2))
    until(lambda: guarded.desk.metrics.gone == left + 4)
    stuck.go.set()
    for thread in threads:
        thread.join()
    assert stuck.seen == [1, 1]
    assert guarded.ask("/v1/embeddings", long, headers=TOKEN).status == 200


def refused(port: int) -> bool:
    """Whether nobody listens there any more."""
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return True
    return False


def until(true: Any) -> None:
    """Wait for a state of the server; a state that never comes is a failure of the test's own time-out."""
    for _ in range(6000):
        if true():
            return
        threading.Event().wait(0.005)
    raise AssertionError("the state did not come")


def test_it_finishes_what_is_under_way(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = []
    with serving(models, tmp_path) as running:
        stuck = Stuck(running, monkeypatch)
        asking = threading.Thread(target=lambda: answers.append(running.ask("/v1/embeddings", ASK).status))
        asking.start()
        stuck.begun.acquire(timeout=30)
        threading.Thread(target=lambda: (until(lambda: refused(running.port)), stuck.go.set())).start()
    asking.join()
    assert answers == [200]


def test_a_fault_is_answered_and_its_text_is_not(open_to_all: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a secret of the inside")

    with monkeypatch.context() as patched:
        patched.setattr(open_to_all.desk, "beside", broken)
        answer = open_to_all.ask("/v1/embeddings", ASK)
    assert (answer.status, answer.json["error"]["code"]) == (500, "internal_error")
    assert b"secret" not in answer.body


def start(models: Path, tmp_path: Path, *extra: str, **env: str) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "sememe", "serve", "--port", "0", "-m", str(models / "tiny"), *extra]
    process = subprocess.Popen(
        command, env=environment({"SEMEME_HOME": str(tmp_path), **env}), cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    return process, process.stderr.readline()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_the_command_serves_until_it_is_told_to_stop(models: Path, tmp_path: Path, sign: int) -> None:
    process, line = start(models, tmp_path, "--reranker", str(models / "judge"), SEMEME_SERVER_TOKEN="word")
    try:
        url = line.partition(" at ")[2].split()[0]
        assert line.startswith("tiny, judge at http://127.0.0.1:")
        served = Served(url, None)  # type: ignore[arg-type]
        assert served.ask("/v1/embeddings", ASK).status == 401
        assert served.ask("/v1/embeddings", ASK, headers={"Authorization": "Bearer word"}).status == 200
    finally:
        process.send_signal(sign)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")


def test_the_command_refuses_what_is_not_safe(models: Path, tmp_path: Path, run: Any) -> None:
    serve = ("serve", "--port", "0", "-m", str(models / "tiny"))
    ran = run(*serve, "--host", "0.0.0.0")
    assert ran.code == 2
    assert "no token is set" in ran.err
    (tmp_path / "token").write_text("two words")
    assert run(*serve, "--token-file", str(tmp_path / "token")).code == 2
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = run("serve", "--port", str(port), "-m", str(models / "tiny"))
    assert ran.code == 2
    assert f"127.0.0.1:{port} cannot be listened on" in ran.err
