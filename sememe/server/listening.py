"""Sockets: where the server listens, how long slow ones are waited for, and how it stops."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from sememe.errors import UsageError
from sememe.server.gate import is_loopback
from sememe.server.serving import Limits

#: connections at once; more are answered 503
CONNECTIONS = 1000
#: seconds that requests under way have to finish when the server stops
GRACE = 10
#: seconds that a connection may rest between two requests
KEEP_ALIVE = 30
#: bytes of a request's line and headers
HEADERS = 32_768


class Listener:
    """A listening socket and what answers on it."""

    def __init__(self, app: ASGIApp, limits: Limits, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.socket = _bound(host, port)
        config = uvicorn.Config(
            app,
            http=type("Protocol", (Patient,), {"limits": limits}),
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            date_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=GRACE,
            timeout_keep_alive=KEEP_ALIVE,
            h11_max_incomplete_event_size=HEADERS,
        )
        self._server = _Server(config)

    @property
    def url(self) -> str:
        """Where it can be reached."""
        host, port = self.socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def run(self) -> None:
        """Answer until `stop`, Ctrl-C, or a SIGTERM; requests under way are finished first."""
        try:
            self._server.run(sockets=[self.socket])
        finally:
            self.socket.close()

    def stop(self) -> None:
        """Make `run` end; from any thread."""
        self._server.should_exit = True


def check_open(host: str, *, token: str, open_without_token: bool) -> bool:
    """Whether ``host`` is this machine alone.

    Raises:
        UsageError: others could reach it, no token is set, and nobody said that this is meant.
    """
    if is_loopback(host):
        return True
    if not token and not open_without_token:
        raise UsageError(
            f"on {host} others could reach it, and no token is set",
            do=[
                ("set one", "--token-file FILE, or SEMEME_SERVER_TOKEN in the environment"),
                ("or stay on this machine", "--host 127.0.0.1"),
                ("or say that anybody may ask", "--open-without-token"),
            ],
        )
    return False


class _Server(uvicorn.Server):
    """uvicorn's, but that a signal which was heeded is not raised again: to stop when told to is no failure."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except (OSError, OverflowError, UnicodeError) as error:
        raise UsageError(
            f"{host}:{port} cannot be listened on", why=[str(getattr(error, "strerror", None) or error)],
            do=["choose another --port (0 takes a free one) or --host"],
        ) from None  # fmt: skip


class Patient(H11Protocol):
    """uvicorn's protocol, with an end to its patience: headers, bodies and readers that come to no end."""

    limits = Limits()
    _timer: asyncio.TimerHandle | None = None
    _awaited: Any = None
    _reader: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        # Head and body of an answer are two packets; without this the second waits for a receipt of the first, 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._await(h11.IDLE, self.limits.header_seconds)

    def handle_events(self) -> None:
        super().handle_events()
        state = self.conn.their_state
        if state is h11.IDLE and self.conn.trailing_data[0]:
            self._await(state, self.limits.header_seconds)
        elif state is h11.SEND_BODY:
            # The route that reads it says 408 somewhat earlier; this is for who goes on after an answer.
            self._await(state, self.limits.body_seconds + 5)
        else:
            self._await(None, 0)

    def send_400_response(self, msg: str) -> None:
        # Of a body that is no HTTP after all the route hears that nobody is there: this is the answer, not its own.
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:  # an answer had begun
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._await(None, 0)
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._reader is None:
            self._reader = self.loop.call_later(self.limits.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    def _await(self, state: Any, seconds: float) -> None:
        """Give what is awaited so many seconds, from when it began to be awaited."""
        if state is self._awaited:
            return
        self._awaited = state
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if state is not None:
            self._timer = self.loop.call_later(seconds, self.transport.abort)
