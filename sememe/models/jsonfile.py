"""JSON files of a model, read without trusting them: bounded, no key twice, and every error names the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sememe.errors import ModelError

#: a config is some kilobytes; a tokenizer, the largest JSON file of a model, is not read through here
LIMIT = 8_000_000


def parse(text: bytes | str, *, source: str) -> Any:
    """The value of a JSON text that came from outside.

    Raises:
        ModelError: not UTF-8, not JSON, a key twice in one object, nested too deeply.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{source} is not valid JSON", why=[_short(str(error))]) from None


def read_object(path: Path, *, limit: int = LIMIT) -> dict[str, Any]:
    """The JSON object in ``path``; `ModelError` when the file is missing, too large, broken or holds something else."""
    value = read_value(path, limit=limit)
    if not isinstance(value, dict):
        raise ModelError(f"{path} should hold a JSON object, but holds {_kind(value)}")
    return value


def read_value(path: Path, *, limit: int = LIMIT) -> Any:
    """Any JSON value in ``path``, with the checks of `read_object`."""
    try:
        with path.open("rb") as file:
            raw = file.read(limit + 1)
    except OSError as error:
        raise ModelError(f"{path} cannot be read", why=[error.strerror or str(error)]) from None
    if len(raw) > limit:
        raise ModelError(f"{path} is larger than such a file ever is", why=[f"more than {limit} bytes"])
    return parse(raw, source=str(path))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {_short(repr(twice))} stands twice in one object")
    return result


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a string", type(None): "null", bool: "a truth value"}
    return names.get(type(value), "a number")


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:199] + "…"
