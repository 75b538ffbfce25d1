"""Filters as Qdrant's conditions, where these mean exactly the same.

Qdrant has no order of texts and no patterns, and its numbers are floats. A filter with a test of such a kind is not
translated at all: the store then reads every item and asks `sememe.store.filters.matches`.
"""

from __future__ import annotations

from typing import Any

from sememe.shapes import Scalar
from sememe.store.filter_tree import BUILT_IN, And, Expr, Not, Test, kind_of, meta_key
from sememe.store.servers.packed import Json, rough
from sememe.store.servers.qdrant_points import fact_key

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
        return _negated(condition(expr.part, rough_numbers))
    if isinstance(expr, Test):
        return _own(expr) if expr.field in BUILT_IN else _meta(expr, rough_numbers)
    parts = [condition(part, rough_numbers) for part in expr.parts]
    both = isinstance(expr, And)
    return joined(parts, "must" if both else "should", decides=not both)


def _negated(part: Json | bool) -> Json | bool:
    return not part if isinstance(part, bool) else {"must_not": [part]}


def joined(parts: list[Json | bool], name: str, *, decides: bool) -> Json | bool:
    """The conditions under one name; what is always true or never is settled here.

    Args:
        decides: the part that settles it alone: True for "or", False for "and".
    """
    if any(part is decides for part in parts):
        return decides
    kept = [part for part in parts if not isinstance(part, bool)]
    return {name: kept} if kept else not decides


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
        return joined([_among("null", field), _negated(_among("has", field))], "should", decides=True)
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
    return joined(parts, "should", decides=True)


def _among(key: str, value: str) -> Json:
    return {"key": key, "match": {"any": [value]}}


def _wanted(test: Test) -> tuple[Scalar, ...]:
    return test.value if isinstance(test.value, tuple) else (test.value,)
