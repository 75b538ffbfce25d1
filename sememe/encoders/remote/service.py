"""One HTTP client for every provider: a request goes out, is sent again when that may help, and ends in JSON or in one
`ServiceError` that says what happened. No redirects are followed, nothing endless is read, and no error holds a header.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from sememe.encoders.remote.keys import Place, authorizing, hidden, scrubbed
from sememe.encoders.remote.naming import is_here
from sememe.encoders.remote.provider import Provider
from sememe.errors import ServiceError

#: how often a request is sent at most; the longest pause in seconds, of ours and of what a server may ask for
ATTEMPTS, PAUSE, PATIENCE = 6, 20.0, 60.0
#: seconds to connect, between two parts of an answer, and for all of it
CONNECT, READ, WHOLE = 10.0, 60.0, 180.0
#: bytes of an answer
LARGEST = 1 << 28
_AGAIN = (408, 409, 425, 429, 500, 502, 503, 504, 529)
#: what a 429 says when waiting does not help
_SPENT = ("insufficient_quota", "billing_hard_limit_reached")


@dataclass(frozen=True, slots=True)
class Clock:
    """Time, as it is asked for: seconds since 1970, seconds that only go forward, a pause that an event cuts short."""

    now: Callable[[], float] = time.time
    ticks: Callable[[], float] = time.monotonic
    pause: Callable[[threading.Event, float], object] = threading.Event.wait


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds to connect, to wait for the next part of an answer, and for all of it."""

    connect: float = CONNECT
    read: float = READ
    whole: float = WHOLE


@dataclass(frozen=True, slots=True)
class _Heard:
    """What came of one attempt: an answer, or the reason why there is none."""

    status: int
    body: bytes
    retry_after: str
    broken: str = ""


class Service:
    """One provider at one place. Safe to share between threads and across a fork.

    Args:
        chance: numbers from 0 to 1 that spread out the pauses.
    """

    def __init__(
        self,
        provider: Provider,
        place: Place,
        *,
        waits: Waits | None = None,
        clock: Clock | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.provider, self.place = provider, place
        self.waits, self.clock, self.chance = waits or Waits(), clock or Clock(), chance
        self._authorize = authorizing(provider, place, now=self.clock.now)
        self._turn = threading.Lock()
        self._client: Any = None
        self._process = 0

    def __repr__(self) -> str:
        return f"<{self.provider.title} at {self.place.address}>"

    def post(self, path: str, body: Mapping[str, Any], *, stop: threading.Event) -> Any:
        """The JSON value that comes back.

        Args:
            stop: when it is set, nothing is sent again.

        Raises:
            ServiceError: it cannot be reached, refuses, failed until the end, or answers no JSON.
        """
        content = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        for attempt in range(1, ATTEMPTS + 1):
            heard = self._send(self.place.address + path, content)
            if not heard.broken and 200 <= heard.status < 300:
                return self._read(heard.body)
            wait = self._pause_before_next(heard, attempt)
            if wait is None or stop.is_set():
                raise self._failure(heard, attempt)
            self.clock.pause(stop, wait)
            if stop.is_set():
                raise self._failure(heard, attempt)
        raise AssertionError  # the last attempt has returned or raised

    def _pause_before_next(self, heard: _Heard, attempt: int) -> float | None:
        """Seconds until it is sent again; None: it is not."""
        if attempt == ATTEMPTS or not (heard.broken or heard.status in _AGAIN):
            return None
        if heard.status == 429 and any(word.encode() in heard.body for word in _SPENT):
            return None
        asked = self._asked(heard.retry_after)
        if asked is not None:
            return asked if asked <= PATIENCE else None
        # Half by chance, so that many who were sent away together do not come back together.
        return min(PAUSE, 0.5 * 2.0**attempt) * (1 + self.chance()) / 2

    def _asked(self, text: str) -> float | None:
        """A ``Retry-After`` in seconds, given as seconds or as a date."""
        if not text:
            return None
        try:
            return max(0.0, float(text))
        except ValueError:
            pass
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - self.clock.now())
        except (ValueError, OverflowError):
            return None

    def _send(self, url: str, content: bytes) -> _Heard:
        import httpx2

        headers = {"Content-Type": "application/json"}

        def let_in(request: Any) -> Any:  # a header that is set here stands in no frame of ours
            request.headers.update(self._authorize(url, headers, content))
            return request

        began = self.clock.ticks()
        try:
            with self._opened().stream("POST", url, content=content, headers=headers, auth=let_in) as response:
                parts, size = [], 0
                for part in response.iter_bytes():
                    size += len(part)
                    parts.append(part)
                    if size > LARGEST:
                        return _Heard(0, b"", "", f"its answer has more than {LARGEST} bytes")
                    if self.clock.ticks() - began > self.waits.whole:
                        return _Heard(0, b"", "", f"its answer took more than {self.waits.whole:g} s")
                retry = response.headers.get("retry-after", "")
                return _Heard(response.status_code, hidden(b"".join(parts), self.provider), retry)
        except (httpx2.TransportError, httpx2.InvalidURL, httpx2.DecodingError) as error:
            broken = f"{type(error).__name__}: {error}"
        return _Heard(0, b"", "", scrubbed(broken, self.provider))

    def _opened(self) -> Any:
        import httpx2

        with self._turn:
            if self._client is None or self._process != os.getpid():
                # A parent's connections are its own. A proxy is for what is not on this machine.
                self._client = httpx2.Client(
                    headers={"Accept": "application/json", "User-Agent": "sememe"},
                    timeout=httpx2.Timeout(self.waits.read, connect=self.waits.connect),
                    follow_redirects=False,
                    trust_env=not is_here(self.place.address),
                )
                self._process = os.getpid()
            return self._client

    def _read(self, said: bytes) -> Any:
        try:
            return json.loads(said, parse_constant=_no_number)
        except (ValueError, RecursionError):
            pass
        raise self.strange(f"it is no JSON: {said[:120].decode('utf-8', 'replace')}")

    def strange(self, reason: str) -> ServiceError:
        """The answer is none that this provider gives."""
        return ServiceError(
            f"{self.provider.title} answers with what it does not say by its documentation",
            why=[("asked", self.place.address), ("the answer", scrubbed(reason, self.provider))],
            do=["see that the address is that of the service and not of something before it"],
        )

    def _failure(self, heard: _Heard, attempts: int) -> ServiceError:
        title, address = self.provider.title, self.place.address
        tried = ("tried", f"{attempts} time{'s' if attempts > 1 else ''}")
        if heard.broken:
            return ServiceError(
                f"{title} cannot be reached, or its answer broke off",
                why=[("asked", address), ("reason", heard.broken), tried],
                do=["see that the address is right and the network there; what was paid for so far is in the cache"],
            )
        said = scrubbed(_message(heard.body), self.provider)
        why = [("asked", address), ("it says", f"{heard.status} {said}".strip())]
        if heard.status in (401, 403):
            return ServiceError(f"{title} does not let us in", why=[*why, ("the key", self._key())], do=self._remedy())
        if heard.status == 429:
            after = f"; it wants us to come back after {heard.retry_after}" if heard.retry_after else ""
            return ServiceError(f"{title} takes no more for now", why=[*why, tried], do=[f"do it again later{after}"])
        if heard.status in _AGAIN:
            return ServiceError(f"{title} failed", why=[*why, tried], do=["do it again later"])
        return ServiceError(f"{title} refuses", why=why, do=["see that model, width and address are right"])

    def _key(self) -> str:
        variable = self.provider.key_variable
        if not self.place.keyed:
            return "none was sent: the address stands in the name alone"
        return f"{variable} was sent and not accepted" if os.environ.get(variable) else f"{variable} is not set"

    def _remedy(self) -> list[str]:
        if self.place.keyed:
            return [f"set {self.provider.key_variable} in the environment"]
        variable = self.provider.address_variable
        return [f"if the key of {self.provider.title} is meant for it:  export {variable}={self.place.address}"]

    def close(self) -> None:
        """Close the connections; the next request opens others."""
        with self._turn:
            if self._client is not None and self._process == os.getpid():
                self._client.close()
            self._client = None


def _message(said: bytes) -> str:
    """What an error says, wherever in its JSON it stands; else its text."""
    text = said[:2000].decode("utf-8", "replace")
    try:
        value = json.loads(said)
    except (ValueError, RecursionError):
        return text
    for path in (("error", "message"), ("message",), ("detail",), ("error",)):
        found = value
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, str):
            return found
    return text


def _no_number(constant: str) -> Any:
    raise ValueError(constant)
