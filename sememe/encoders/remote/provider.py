"""What one provider is: its address, where its key goes, and two pure functions, one for what is sent and one for what
comes back. A new provider is one small file with a `Provider` in it, and a line in ``open.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sememe.shapes import Vectors


class Payload(Protocol):
    """The body of one request as JSON values; ``dims`` is 0 for the width that the model has by itself."""

    def __call__(self, model: str, texts: Sequence[str], *, role: str, dims: int) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may hold: ``texts``, and ``tokens`` of all of them by our estimate."""

    texts: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider.

    Attributes:
        title: what it is called in messages.
        address: where its own service is; "" where only the user knows.
        address_variable: the environment variable that names another address, which then also gets the key.
        key_variable: the environment variable that holds the key.
        key_header: the header that carries it, after ``key_prefix``; "" where requests are signed (`signed`).
        key_needed: its own service answers nobody without a key.
        path: what follows the address, by model.
        payload, parse: what is sent, and the vectors (float32 ``(d,)``, in order) of what comes back; `parse` raises
            ValueError for another shape.
        roles: what a role is called there, by model; empty where a role makes no difference.
        limits: of one request, by model.
    """

    name: str
    title: str
    address: str
    address_variable: str
    key_variable: str
    path: Callable[[str], str]
    payload: Payload
    parse: Callable[[Any], list[Vectors]]
    limits: Callable[[str], Limits]
    roles: Callable[[str], Mapping[str, str]] = lambda model: {}
    key_header: str = "Authorization"
    key_prefix: str = "Bearer "
    key_needed: bool = True
    signed: bool = False
