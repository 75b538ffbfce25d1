"""Filters as Qdrant's conditions, where these mean exactly the same.

Qdrant has no order of texts and no patterns, and its numbers are floats. A filter with a test of such a kind is not
translated at all: the store then reads every item and asks `sememe.store.filters.matches`.
"""

from __future__ import annotations

from typing import Any

from sememe.shapes import Scalar
from sememe.store.filter_tree import BUILT_IN, And, Expr, Not, Test, kind_of, meta_key
from sememe.store.servers.qdrant_points import Json, fact_key, rough

_RANGES = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}


class Untranslatable(Exception):
    """Qdrant has no condition that means the same."""


def condition(expr: Expr, rough_numbers: frozenset[str]) -> Json | bool:
    """A condition, or what is always true or never: an empty list of conditions means something else in every place.

    Args:
        rough_numbers: the meta fields whose numbers Qdrant does not compare exactly.

    Raises:
        Untranslatable: there is none.
    """
    if isinstance(expr, Not):
        return _not(condition(expr.part, rough_numbers))
    if isinstance(expr, Test):
        return _own(expr) if expr.field in BUILT_IN else _meta(expr, rough_numbers)
    parts = [condition(part, rough_numbers) for part in expr.parts]
    return _all(parts) if isinstance(expr, And) else _any(parts)


def _not(part: Json | bool) -> Json | bool:
    return not part if isinstance(part, bool) else {"must_not": [part]}


def _all(parts: list[Json | bool]) -> Json | bool:
    if False in parts:
        return False
    return {"must": kept} if (kept := [part for part in parts if part is not True]) else True


def _any(parts: list[Json | bool]) -> Json | bool:
    if True in parts:
        return True
    return {"should": kept} if (kept := [part for part in parts if part is not False]) else False


def _own(test: Test) -> Json | bool:
    """A test of a field that every record has as a text."""
    if test.op in ("exists", "is null", "is true"):
        return test.op == "exists"
    wanted = [value for value in _wanted(test) if kind_of(value) == "text"]
    if not wanted:
        return False
    if test.op not in ("=", "in"):
        raise Untranslatable
    return {"key": test.field, "match": {"any": wanted}}


def _meta(test: Test, rough_numbers: frozenset[str]) -> Json | bool:
    field = str(meta_key(test.field))
    key = f"facts.{fact_key(field)}"
    if test.op == "exists":
        return _among("has", field)
    if test.op == "is null":
        return _any([_among("null", field), _not(_among("has", field))])
    if test.op == "is true":
        return _among("yes", field)
    texts: list[Any] = []
    parts: list[Json | bool] = []
    for value in _wanted(test):
        kind = kind_of(value)
        if kind == "number":
            if field in rough_numbers or rough(value):
                raise Untranslatable
            bounds = {_RANGES[test.op]: value} if test.op in _RANGES else {"gte": value, "lte": value}
            parts.append({"key": key, "range": bounds})
        elif kind == "text" and test.op in ("=", "in"):
            texts.append(value)
        elif kind == "yes/no" and test.op in ("=", "in"):
            parts.append(_among("yes" if value else "no", field))
        else:
            raise Untranslatable
    if texts:
        parts.append({"key": key, "match": {"any": texts}})
    return _any(parts)


def _among(key: str, value: str) -> Json:
    return {"key": key, "match": {"any": [value]}}


def _wanted(test: Test) -> tuple[Scalar, ...]:
    return test.value if isinstance(test.value, tuple) else (test.value,)
