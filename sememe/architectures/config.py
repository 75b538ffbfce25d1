"""Numbers out of a model's config.json, checked where they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sememe.errors import ModelError


def positive(config: Mapping[str, Any], key: str, *, default: int | None = None, divides: str | None = None) -> int:
    """A whole number above 0; with ``divides``, one that divides the number of that key."""
    value = config.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ModelError(f'config.json: "{key}" must be a whole number above 0', why=[f"it is {value!r:.100}"])
    if divides is not None:
        whole = positive(config, divides)
        if whole % value:
            raise ModelError(f'config.json: "{divides}" {whole} cannot be split into "{key}" {value}')
    return value


def natural(config: Mapping[str, Any], key: str, *, default: int) -> int:
    """A whole number, 0 or above; null is the default."""
    value = config.get(key)
    value = default if value is None else value
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ModelError(f'config.json: "{key}" must be a whole number, 0 or above', why=[f"it is {value!r:.100}"])
    return value


def flag(config: Mapping[str, Any], key: str, *, default: bool) -> bool:
    """True or false; null is the default."""
    value = config.get(key)
    value = default if value is None else value
    if not isinstance(value, bool):
        raise ModelError(f'config.json: "{key}" must be true or false', why=[f"it is {value!r:.100}"])
    return value


def number(config: Mapping[str, Any], key: str, *, default: float) -> float:
    """A number above 0."""
    value = config.get(key, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
        raise ModelError(f'config.json: "{key}" must be a number above 0', why=[f"it is {value!r:.100}"])
    return float(value)


def choice(config: Mapping[str, Any], key: str, known: Sequence[str], *, default: str) -> str:
    """One of ``known``."""
    value = config.get(key, default)
    if value not in known:
        raise ModelError(
            f'config.json: "{key}" is {value!r:.100}, which sememe does not run', do=[f"known are: {', '.join(known)}"]
        )
    return str(value)
