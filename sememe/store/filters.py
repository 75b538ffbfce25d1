"""Filters: which records may answer. Parsed once into a small tree that SQL (`filter_sql`) and plain Python (`matches`)
both follow.

A filter is written as text, ``lang = "en" and (year >= 2020 or starred) and not path like "old/%"``, or as the same
in JSON, ``{"lang": "en", "or": [{"year": {">=": 2020}}, {"starred": true}], "not": {"path": {"like": "old/%"}}}``.

Every test is either true or false, never unknown. A comparison is true if the field holds a value of the same type
(text, number or yes/no) that fits; of a list any element may fit. ``!=``, ``not in`` and ``not like`` are the exact
negations of ``=``, ``in`` and ``like``, so they are true of a record that lacks the field. ``is null`` is true of a
field that is absent or null; ``exists`` of one that is present. A field alone is true if it holds ``true``.

The fields ``id``, ``source``, ``title`` and ``text`` are every record's own; all others come from its meta, and
``meta.title`` is the way to a meta field that has such a name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sememe.errors import UsageError
from sememe.shapes import Record, Scalar
from sememe.store.filter_text import parse_text
from sememe.store.filter_tree import COMPARISONS, MAX_DEPTH, And, Expr, Not, Or, Test, build, kind_of, meta_key, shown


def parse(where: str | Mapping[str, Any] | None) -> Expr | None:
    """The tree of a filter, None for no filter.

    Raises:
        UsageError: it is not a filter; of a text the position is shown.
    """
    if where is None:
        return None
    if isinstance(where, str):
        return parse_text(where)
    if isinstance(where, Mapping):
        return _from_mapping(where, 0)
    raise UsageError(f"a filter is a text or a mapping, not {type(where).__name__}")


def _from_mapping(where: Mapping[str, Any], depth: int) -> Expr:
    if depth > MAX_DEPTH:
        raise UsageError(f"the filter is nested deeper than {MAX_DEPTH} levels")
    parts: list[Expr] = []
    for key, value in where.items():
        if not isinstance(key, str):
            raise UsageError(f"a filter's keys are field names, not {shown(key)}")
        if key in ("and", "or"):
            if not isinstance(value, Sequence) or isinstance(value, str):
                raise UsageError(f'"{key}" needs a list of filters, not {shown(value)}')
            members = tuple(_from_mapping(_mapping(key, one), depth + 1) for one in value)
            parts.append(And(members) if key == "and" else Or(members))
        elif key == "not":
            parts.append(Not(_from_mapping(_mapping(key, value), depth + 1)))
        elif isinstance(value, Mapping):
            parts += [_operator(key, op, operand) for op, operand in value.items()]
        elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
            parts.append(build(key, "in", value))
        else:
            parts.append(build(key, "=", value))
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _mapping(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UsageError(f'"{key}" needs filters, not {shown(value)}')
    return value


def _operator(field: str, op: Any, operand: Any) -> Expr:
    if op == "exists":
        if not isinstance(operand, bool):
            raise UsageError(f'{field}: "exists" needs true or false, not {shown(operand)}')
        return Test(field, "exists") if operand else Not(Test(field, "exists"))
    if op in (*COMPARISONS, "in", "not in", "like", "not like"):
        return build(field, op, operand)
    raise UsageError(
        f"{field}: {shown(op)} is no operator",
        do=["use one of: " + ", ".join((*COMPARISONS, "in", "not in", "like", "not like", "exists"))],
    )


# --- the twin: what a filter means, in plain Python ------------------------------------------------------------------


def matches(expr: Expr | None, id: str, record: Record) -> bool:
    """Whether one record satisfies a filter. Slow and obvious: the SQL is tested against it."""
    if expr is None:
        return True
    if isinstance(expr, And):
        return all(matches(part, id, record) for part in expr.parts)
    if isinstance(expr, Or):
        return any(matches(part, id, record) for part in expr.parts)
    if isinstance(expr, Not):
        return not matches(expr.part, id, record)
    key = meta_key(expr.field)
    own = {"id": id, "source": record.place.source, "title": record.title, "text": record.text}
    fields: Mapping[str, Any] = own if key is None else record.meta
    name = expr.field if key is None else key
    value = fields.get(name)
    if expr.op == "exists":
        return name in fields
    if expr.op == "is null":
        return value is None
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return any(_fits(one, expr.op, expr.value) for one in values)


def _fits(value: Scalar, op: str, wanted: Any) -> bool:
    if op == "is true":
        return value is True
    if op == "in":
        return any(_fits(value, "=", one) for one in wanted)
    if value is None or kind_of(value) != kind_of(wanted):
        return False
    if op == "like":
        return _like(str(value), wanted)
    left: Any = value
    return bool(
        {
            "=": left == wanted,
            "<": left < wanted,
            "<=": left <= wanted,
            ">": left > wanted,
            ">=": left >= wanted,
        }[op]
    )


def _like(text: str, pattern: str) -> bool:
    parts = re.findall(r"\\(.)|(%)|(_)|(.)", pattern, re.DOTALL)
    translated = "".join(
        ".*" if run else "." if one else re.escape((escaped or plain).translate(_FOLD))
        for escaped, run, one, plain in parts
    )
    return re.fullmatch(translated, text.translate(_FOLD), re.DOTALL) is not None


#: SQLite's LIKE ignores the case of ASCII letters and of no others
_FOLD = {ord(upper): ord(upper.lower()) for upper in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
