"""Questions and answers as JSON over HTTP, for the stores whose servers speak that: with the key, within a time, again
when the server is busy, and with every failure in our words.

Every request of these stores may be sent twice without harm, so one that broke off is sent again. The key goes to the
server of the address and to nobody else: redirects are not followed.
"""

from __future__ import annotations

import functools
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from sememe.errors import DamagedError, StoreError
from sememe.store.servers.web_address import WebAddress

#: how often a request is sent at most, and the longest pause in between, in seconds
ATTEMPTS, LONGEST = 5, 20.0
#: answers that are larger are not read: nothing that is asked for here is
LARGEST = 1 << 29
_AGAIN = (408, 425, 429, 500, 502, 503, 504)


class Rest:
    """One server. Safe to share between threads and across a fork.

    Args:
        name: what the server is called in messages.
        header: the header that carries the key.
        headers: others that every request has.
        timeout: seconds for one request.
    """

    def __init__(
        self,
        address: WebAddress,
        *,
        name: str,
        header: str,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
    ) -> None:
        self.address, self.name, self.timeout = address, name, timeout
        self.pause: Callable[[float], None] = time.sleep
        self._headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "sememe"}
        self._headers |= dict(headers or {})
        if address.key:
            self._headers[header] = address.key
        self._turn = threading.Lock()
        self._client: Any = None
        self._process = 0

    def __repr__(self) -> str:
        return f"Rest({self.address.shown})"

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str | Sequence[str]] | None = None,
        absent: tuple[int, ...] = (),
        heard: Callable[[Mapping[str, str]], None] | None = None,
    ) -> Any:
        """The answer's JSON value; None for a status in ``absent``.

        Args:
            path: below the address; its parts quoted by the caller (`quoted`).
            body: a JSON value.
            heard: is told the headers of an answer that is no error.

        Raises:
            StoreError: the server cannot be reached, refuses, or failed until the end.
        """
        content = None if body is None else json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                status, said, headers = self._send(method, path, content, query)
            except self._broken as error:
                if attempt == ATTEMPTS:
                    raise self._unreachable(error) from None
                headers = {}
            else:
                if status in absent:
                    return None
                if 200 <= status < 300:
                    if heard is not None:
                        heard(headers)
                    return self._read(said)
                if status not in _AGAIN or attempt == ATTEMPTS:
                    raise self._refusal(status, said, attempt)
            # Half by chance, so that many who were sent away together do not come back together.
            wait = _seconds(headers.get("retry-after"))
            usual = 0.1 * 2**attempt * (1 + random.random()) / 2
            self.pause(min(LONGEST, usual if wait is None else wait))
        raise AssertionError  # the last attempt has returned or raised

    @property
    def _broken(self) -> tuple[type[Exception], ...]:
        import httpx2

        return (httpx2.TransportError, httpx2.InvalidURL, httpx2.DecodingError)

    def _send(
        self, method: str, path: str, content: bytes | None, query: Mapping[str, str | Sequence[str]] | None
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Status, body and headers."""
        headers = {} if content is None else {"Content-Type": "application/json"}
        url = self.address.base + path
        with self._opened().stream(method, url, params=query, content=content, headers=headers) as response:
            parts, size = [], 0
            for part in response.iter_bytes():
                size += len(part)
                if size > LARGEST:
                    raise StoreError(f"{self.address.shown} answers with more than {LARGEST} bytes")
                parts.append(part)
            return response.status_code, b"".join(parts), response.headers

    def _opened(self) -> Any:
        import httpx2

        with self._turn:
            if self._client is None or self._process != os.getpid():
                # A parent's connections are its own: closing them here would end them there.
                self._client = httpx2.Client(
                    headers=self._headers, timeout=self.timeout, follow_redirects=False, verify=_trusted()
                )
                self._process = os.getpid()
            return self._client

    def _read(self, said: bytes) -> Any:
        try:
            return json.loads(said, parse_constant=_no_number) if said else {}
        except (ValueError, RecursionError):
            raise self.strange(said[:200].decode("utf-8", "replace")) from None

    @contextmanager
    def understood(self) -> Iterator[None]:
        """Around taking an answer apart: one of another shape is the server's fault, not ours."""
        try:
            yield
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise self.strange(f"{type(error).__name__}: {error}") from None

    def strange(self, said: str) -> DamagedError:
        """The answer is none that this server gives."""
        return DamagedError(
            f"{self.address.shown} answers with what {self.name} does not say",
            why=[("it was", self.address.scrubbed(said))],
            do=["see that the address is that of the server and not of something before it"],
        )

    def _refusal(self, status: int, said: bytes, attempts: int) -> StoreError:
        shown = self.address.shown
        why = [(f"{self.name} says", f"{status} {self.address.scrubbed(_message(said))}".strip())]
        if status in (401, 403):
            given = "is not accepted" if self.address.key else "is not set"
            return StoreError(
                f"{shown} does not let us in",
                why=[*why, ("the key", f"{self.address.variable} {given}")],
                do=[("set it", f"export {self.address.variable}=…")],
            )
        if status in _AGAIN:
            what = "is busy" if status == 429 else "failed"
            return StoreError(
                f"{shown} {what}",
                why=[
                    *why,
                    ("tried", f"{attempts} times"),
                    "a change that was on its way may or may not have been kept",
                ],
                do=["do it again later: doing the same again changes nothing"],
            )
        if status == 404:
            return StoreError(f"{shown} is not there", why=why, do=["see that the address is right"])
        return StoreError(f"{self.name} did not do it", why=[*why, ("asked of", shown)])

    def _unreachable(self, error: Exception) -> StoreError:
        reason = self.address.scrubbed(f"{type(error).__name__}: {error}")
        return StoreError(
            f"{self.address.shown} cannot be reached",
            why=[reason, ("tried", f"{ATTEMPTS} times"), "a change that was on its way may or may not have been kept"],
            do=[
                "see that the server runs, that host and port are right, and whether it wants TLS (tls=on, tls=off)",
                "do it again: doing the same again changes nothing",
            ],
        )

    def close(self) -> None:
        """Close the connections; the next question opens others."""
        with self._turn:
            if self._client is not None and self._process == os.getpid():
                self._client.close()
            self._client = None


def quoted(part: str) -> str:
    """One part of a path."""
    return quote(part, safe="")


def _seconds(text: str | None) -> float | None:
    """A ``Retry-After`` in seconds; a date is not worth a clock that both agree on."""
    try:
        return max(0.0, float(text)) if text is not None else None
    except ValueError:
        return None


def _message(said: bytes) -> str:
    """What a server's error says, wherever in its JSON it stands; else its text."""
    text = said[:2000].decode("utf-8", "replace")
    try:
        value = json.loads(said)
    except (ValueError, RecursionError):
        return text
    for path in (("status", "error"), ("error", "message"), ("message",)):
        found = value
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, str):
            return found
    return text


@functools.cache
def _trusted() -> Any:
    """Whom TLS connections trust; reading all certificates takes longer than opening a store, so it is done once."""
    import httpx2

    return httpx2.create_ssl_context()


def _no_number(constant: str) -> Any:
    raise ValueError(constant)
