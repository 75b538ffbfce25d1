"""The tree that a filter is, whoever wrote it: as text, as JSON, or a test. Its meaning stands in `filters`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sememe.errors import UsageError
from sememe.shapes import Scalar

BUILT_IN = ("id", "source", "title", "text")


COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")


OPERATORS = (*COMPARISONS, "in", "not in", "like", "not like", "is null", "is not null", "exists", "is true")


#: deeper nesting than anyone writes, and shallow enough for Python's and SQLite's stacks
MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class Test:
    """One field against a value; ``value`` is a tuple for ``in`` and None where the operator takes none."""

    __test__ = False  # pytest collects classes by this name

    field: str
    op: str
    value: Scalar | tuple[Scalar, ...] = None


@dataclass(frozen=True, slots=True)
class And:
    """All of the parts; true without any."""

    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of the parts; false without any."""

    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    part: Expr


Expr = Test | And | Or | Not


def build(field: str, op: str, value: Any) -> Expr:
    """One test, with what the operators share settled here: negations are spelt out, ``= null`` is ``is null``."""
    if op in ("!=", "not in", "not like"):
        return Not(build(field, {"!=": "=", "not in": "in", "not like": "like"}[op], value))
    if op == "is not null":
        return Not(Test(field, "is null"))
    if op == "=" and value is None:
        return Test(field, "is null")
    if op == "in":
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise UsageError(f"{field} in … needs a list, not {shown(value)}")
        values = tuple(_scalar(field, one) for one in value)
        tests: list[Expr] = [Test(field, "in", tuple(one for one in values if one is not None))]
        if None in values:
            tests.append(Test(field, "is null"))
        return tests[0] if len(tests) == 1 else Or(tuple(tests))
    if op == "like":
        if not isinstance(value, str):
            raise UsageError(f"{field} like … needs a text, not {shown(value)}")
        if re.search(r"(?:^|[^\\])(?:\\\\)*\\$", value):
            raise UsageError(f'{field} like "{value}": the pattern ends in a lone backslash', do=[r"write \\ for one"])
        value = _scalar(field, value)
    elif op in COMPARISONS:
        value = _scalar(field, value)
        if value is None:
            raise UsageError(f"{field} {op} null compares with nothing", do=["write: is null, or: is not null"])
    return Test(field, op, value)


def _scalar(field: str, value: Any) -> Scalar:
    if value is None or isinstance(value, (str, bool, int, float)):
        if isinstance(value, float) and value != value:
            raise UsageError(f"{field}: NaN compares with nothing")
        if isinstance(value, str) and not storable(value):
            raise UsageError(f"{field}: a text has no NUL and no half of a surrogate pair in it", why=[shown(value)])
        return value
    raise UsageError(f"{field}: a value is a text, a number, true, false or null, not {shown(value)}")


def storable(text: str) -> bool:
    """Whether ``text`` can be written as UTF-8 and has no NUL, where SQLite's functions would cut it."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(value: Any) -> str:
    """A value as an error message quotes it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def tests(expr: Expr) -> list[Test]:
    """Every test of a filter, in order."""
    if isinstance(expr, Test):
        return [expr]
    if isinstance(expr, Not):
        return tests(expr.part)
    return [test for part in expr.parts for test in tests(part)]


def meta_key(field: str) -> str | None:
    """The meta key that a filter's field names, None for a field of the record itself."""
    if field in BUILT_IN:
        return None
    return field.removeprefix("meta.")


def kind_of(value: Scalar) -> str:
    """``text``, ``number``, ``yes/no`` or ``null``: what compares with what."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "yes/no"
    return "text" if isinstance(value, str) else "number"
