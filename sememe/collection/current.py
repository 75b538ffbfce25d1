"""A collection that somebody else has moved to another encoder, or rebuilt, while it was open."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from sememe.errors import ReplacedError


class Closable(Protocol):
    """What opens again by itself when it is used after it was closed."""

    def close(self) -> None: ...


P = ParamSpec("P")
S = TypeVar("S", bound=Closable)
T = TypeVar("T")


def on_current(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Open the collection again and do it again where it was replaced meanwhile: nothing was changed until then, and no
    vector of the old encoder reaches the new ones. Opened for a certain encoder, it raises `MismatchError` then."""

    @functools.wraps(method)
    def wrapped(self: S, /, *args: P.args, **rest: P.kwargs) -> T:
        try:
            return method(self, *args, **rest)
        except ReplacedError:
            self.close()
            return method(self, *args, **rest)

    return wrapped
