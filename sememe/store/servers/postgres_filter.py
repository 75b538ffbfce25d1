"""Filters as parameterised SQL over the table ``items`` of a PostgreSQL store.

No text of a filter ever becomes SQL: fields and values are bound parameters, operators come from fixed lists. Expects
the columns ``id, source, title, text`` (collation "C") and ``facts``, the meta as `facts_of` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sememe.shapes import Meta, Scalar
from sememe.store.filter_tree import BUILT_IN, And, Expr, Not, Test, kind_of, meta_key

#: of each kind: its name among jsonb's types, the type that it is compared as, and how to get there from jsonb
_KINDS: dict[str, tuple[str, str, str]] = {
    "text": ("'string'", "text", "({0} #>> '{{}}') COLLATE \"C\""),
    "number": ("'number'", "numeric", "({0})::numeric"),
    "yes/no": ("'boolean'", "boolean", "({0})::boolean"),
}
_COMPARED: dict[str, str] = {
    "=": "=",
    "<": "<",
    "<=": "<=",
    ">": ">",
    ">=": ">=",
    "like": "ILIKE",  # of the collation "C": only ASCII letters are the same in either case
}
_COLUMNS: dict[str, str] = {"id": "id", "source": "source", "title": "title", "text": "text"}


def facts_of(meta: Meta) -> str:
    """``meta`` as JSON for jsonb. Floats beyond 2**53 are written as the integers that they are, for jsonb compares
    decimals exactly: 1e23 would be another number than the float that is called so."""
    plain = {
        key: [_exact(one) for one in value]
        if isinstance(value, Sequence) and not isinstance(value, str)
        else _exact(value)
        for key, value in meta.items()
    }
    return json.dumps(plain, ensure_ascii=False, allow_nan=False)


def _exact(value: Scalar) -> Scalar:
    return int(value) if isinstance(value, float) and abs(value) >= 2**53 else value


class Compiled:
    """An SQL condition that is always true or false, and its named parameters."""

    def __init__(self, expr: Expr | None) -> None:
        self.values: dict[str, Any] = {}
        self.sql = "true" if expr is None else self._any(expr)

    def _any(self, expr: Expr) -> str:
        if isinstance(expr, Not):
            return f"NOT ({self._any(expr.part)})"
        if isinstance(expr, Test):
            return self._own(expr) if expr.field in BUILT_IN else self._meta(expr)
        if not expr.parts:
            return "true" if isinstance(expr, And) else "false"
        joint = " AND " if isinstance(expr, And) else " OR "
        return joint.join(f"({self._any(part)})" for part in expr.parts)

    def _own(self, test: Test) -> str:
        if test.op in ("exists", "is null", "is true"):
            return "true" if test.op == "exists" else "false"
        return self._fits(test, "text", _COLUMNS[test.field]) or "false"

    def _meta(self, test: Test) -> str:
        field = f"(facts -> {self._bound(meta_key(test.field), 'text')})"
        if test.op == "exists":
            return f"{field} IS NOT NULL"
        if test.op == "is null":
            return f"coalesce(jsonb_typeof({field}), 'null') = 'null'"
        alone = self._cases(test, field)
        if not alone:
            return "false"
        fits = f"CASE jsonb_typeof(one) {self._cases(test, 'one')} ELSE false END"
        listed = f"EXISTS (SELECT 1 FROM jsonb_array_elements({field}) AS list (one) WHERE {fits})"
        return f"CASE jsonb_typeof({field}) {alone} WHEN 'array' THEN {listed} ELSE false END"

    def _cases(self, test: Test, value: str) -> str:
        """A WHEN for each kind that may fit. CASE, because the cast of another kind would be an error."""
        if test.op == "is true":
            return "WHEN 'boolean' THEN " + _KINDS["yes/no"][2].format(value)
        fits = {kind: self._fits(test, kind, get.format(value)) for kind, (_, _, get) in _KINDS.items()}
        return " ".join(f"WHEN {_KINDS[kind][0]} THEN {sql}" for kind, sql in fits.items() if sql)

    def _fits(self, test: Test, kind: str, value: str) -> str:
        """The comparison with the values of one kind; empty if the test has none."""
        wanted = test.value if isinstance(test.value, tuple) else (test.value,)
        chosen = [_number(one) if kind == "number" else one for one in wanted if kind_of(one) == kind]
        if not chosen:
            return ""
        type_ = _KINDS[kind][1]
        if test.op == "in":
            return f"{value} = ANY ({self._bound(chosen, type_ + '[]')})"
        escape = r" ESCAPE '\'" if test.op == "like" else ""
        return f"{value} {_COMPARED[test.op]} {self._bound(chosen[0], type_)}{escape}"

    def _bound(self, value: Any, type_: str) -> str:
        name = f"f{len(self.values)}"
        self.values[name] = value
        return f"%({name})s::{type_}"


def _number(value: Scalar) -> str:
    """A number as PostgreSQL reads it, exactly."""
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value == float("inf") else "-Infinity"
    return repr(_exact(value))
