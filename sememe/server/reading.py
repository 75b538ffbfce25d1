"""Requests into checked values, and values into answers. Everything that comes in is hostile until it was looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import orjson
from starlette.requests import Request
from starlette.responses import Response

from sememe.server.refusals import Refusal

T = TypeVar("T")
#: what `while_connected` raises has no answer, since there is nobody to hear it
GONE = 499


class ClientGone(Exception):
    """Whoever asked has left."""


async def read_body(request: Request, *, most: int, seconds: float) -> bytes:
    """The whole body.

    Raises:
        Refusal: 413, it has more than ``most`` bytes; 408, it took longer than ``seconds``.
        ClientGone: it broke off.
    """
    too_large = Refusal(413, f"the body has more than {most:,} bytes", code="body_too_large")
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > most:
        raise too_large
    parts, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                part = message.get("body", b"")
                size += len(part)
                if size > most:
                    raise too_large
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise Refusal(408, f"the body did not arrive within {seconds:g} s", code="slow_body") from None


def parse(body: bytes) -> dict[str, Any]:
    """The object that a body is.

    Raises:
        Refusal: it is no JSON, no UTF-8, nested too deep, or no object.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"the body is not JSON: {error}"[:300], code="invalid_json") from None
    if not isinstance(value, dict):
        raise Refusal(400, f"the body is a {_kind(value)}, an object is needed", code="invalid_json")
    return value


def answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """``value`` as JSON; NumPy arrays are lists of numbers."""
    content = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(content, status, headers, media_type="application/json")


async def while_connected(request: Request, future: Future[T]) -> T:
    """What ``future`` gives; cancelled when the client leaves, so that nobody works for who is not there.

    Raises:
        ClientGone: it left.
    """
    waiting: asyncio.Future[Any] = asyncio.wrap_future(future)
    gone: asyncio.Future[Any] = asyncio.ensure_future(_until_gone(request))
    try:
        await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            raise ClientGone
        result: T = waiting.result()
        return result
    finally:
        gone.cancel()
        waiting.cancel()


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass  # of a route that reads no body


class Fields:
    """The fields of a body, taken out one by one with their types; what is of another type is refused by name."""

    def __init__(self, values: dict[str, Any], *, where: str = "") -> None:
        self.values, self.where = values, where

    def text(self, name: str, default: str | None = None, *, needed: bool = False) -> str | None:
        found: str | None = self._typed(name, str, "a text", default, needed=needed)
        return found

    def needed_text(self, name: str) -> str:
        found = self.text(name, needed=True)
        assert found is not None
        return found

    def flag(self, name: str, default: bool) -> bool:
        found: bool = self._typed(name, bool, "true or false", default)
        return found

    def number(self, name: str, default: float | None = None) -> float | None:
        found = self.values.get(name)
        if found is None:
            return default
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise self.wrong(name, "a number")
        return float(found)

    def whole(self, name: str, default: int | None = None, *, least: int = 1, most: int = 2**31) -> int | None:
        found = self.values.get(name)
        if found is None:
            return default
        if isinstance(found, bool) or not isinstance(found, int) or not least <= found <= most:
            raise self.wrong(name, f"a whole number from {least} to {most}")
        return found

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        found = self.values.get(name)
        if found is None:
            return default
        if found not in choices:
            raise self.wrong(name, "one of: " + ", ".join(choices))
        return str(found)

    def texts(self, name: str, *, most: int, needed: bool = True) -> list[str] | None:
        """A list of texts, or one text as a list of one."""
        found = self.values.get(name)
        if found is None and not needed:
            return None
        if isinstance(found, str):
            return [found]
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise self.wrong(name, "a text or a list of texts")
        self.check_count(name, len(found), most)
        return found

    def check_count(self, name: str, count: int, most: int) -> None:
        if count > most:
            raise Refusal(413, f"{self.where}{name} has {count} items, the most is {most}", name, "too_many_items")

    def object(self, name: str, *, needed: bool = False) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._typed(name, dict, "an object", None, needed=needed)
        return found

    def list(self, name: str, *, most: int, needed: bool = False) -> list[Any] | None:
        found: list[Any] | None = self._typed(name, list, "a list", None, needed=needed)
        if found is not None:
            self.check_count(name, len(found), most)
        return found

    def wrong(self, name: str, expected: str) -> Refusal:
        found = self.values.get(name)
        said = "is missing" if name not in self.values else f"is {_kind(found)}"
        return Refusal(400, f"{self.where}{name} {said}; it must be {expected}", name, "invalid_value")

    def _typed(self, name: str, kind: type, expected: str, default: Any, *, needed: bool = False) -> Any:
        found = self.values.get(name)
        if found is None and not needed:
            return default
        if not isinstance(found, kind):
            raise self.wrong(name, expected)
        return found


def is_ids(value: Any) -> bool:
    """Whether ``value`` is a list of whole numbers, as token ids are."""
    return isinstance(value, list) and bool(value) and all(type(one) is int for one in value)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if isinstance(value, bool | int | float):
        return repr(value)
    return "an object" if isinstance(value, dict) else "a list"
