"""Filters as parameterised SQL over the records of a SQLite store.

No text of a filter ever becomes SQL: fields and values are bound parameters, operators come from a fixed list.
Expects the columns ``id, source, title, text`` and ``meta`` (a JSON object of scalars and lists of scalars).
"""

from __future__ import annotations

import json

from sememe.shapes import Scalar
from sememe.store.filter_tree import BUILT_IN, And, Expr, Not, Test, kind_of, meta_key

Sql = tuple[str, list[Scalar]]

_TYPES = {"text": "('text')", "number": "('integer', 'real')", "yes/no": "('true', 'false')"}
_COMPARED = {"=": "= ?", "<": "< ?", "<=": "<= ?", ">": "> ?", ">=": ">= ?", "like": "LIKE ? ESCAPE '\\'"}


def compile_filter(expr: Expr) -> Sql:
    """An SQL condition that is always 0 or 1, and its parameters."""
    if isinstance(expr, Not):
        sql, values = compile_filter(expr.part)
        return f"NOT ({sql})", values
    if isinstance(expr, Test):
        return _own(expr) if expr.field in BUILT_IN else _meta(expr)
    if not expr.parts:
        return ("1" if isinstance(expr, And) else "0"), []
    compiled = [compile_filter(part) for part in expr.parts]
    joint = " AND " if isinstance(expr, And) else " OR "
    return joint.join(f"({sql})" for sql, _ in compiled), [value for _, values in compiled for value in values]


def _own(test: Test) -> Sql:
    column = {"id": "id", "source": "source", "title": "title", "text": "text"}[test.field]
    if test.op == "exists":
        return "1", []
    if test.op in ("is null", "is true"):
        return "0", []
    if test.op == "in":
        return f"{column} IN (SELECT value FROM json_each(?) WHERE type = 'text')", [_listed(test)]
    if kind_of(_single(test)) != "text":
        return "0", []
    return f"{column} {_COMPARED[test.op]}", [_single(test)]


def _meta(test: Test) -> Sql:
    key = str(meta_key(test.field))
    path = f'$."{key}"'
    if '"' in key or "\\" in key or any(ord(letter) < 32 for letter in key):
        # SQLite's JSON paths have no escape for such a key; look it up among the members instead.
        member = "(SELECT {0} FROM json_each(meta) WHERE key = ? LIMIT 1)"
        kind, value, each, name = member.format("type"), member.format("atom"), member.format("value"), key
        array = f"json_each({each})"
    else:
        kind, value, array, name = "json_type(meta, ?)", "json_extract(meta, ?)", "json_each(meta, ?)", path
    if test.op == "exists":
        return f"{kind} IS NOT NULL", [name]
    if test.op == "is null":
        return f"ifnull({kind}, 'null') = 'null'", [name]
    if test.op == "is true":
        found = f"EXISTS (SELECT 1 FROM {array} WHERE type = 'true')"
        return f"CASE {kind} WHEN 'true' THEN 1 WHEN 'array' THEN {found} ELSE 0 END", [name, name]
    if test.op == "in":
        return _meta_in(test, (kind, value, array, name))
    wanted = _bound(_single(test))
    compared = _COMPARED[test.op]
    types = _TYPES[kind_of(_single(test))]
    found = f"EXISTS (SELECT 1 FROM {array} WHERE type IN {types} AND atom {compared})"
    sql = f"CASE WHEN {kind} IN {types} THEN {value} {compared} WHEN {kind} = 'array' THEN {found} ELSE 0 END"
    return sql, [name, name, wanted, name, name, wanted]


def _meta_in(test: Test, access: tuple[str, str, str, str]) -> Sql:
    kind, value, array, name = access
    sql: list[str] = []
    values: list[Scalar] = []
    for group, types in _TYPES.items():
        listed = _listed(test, group)
        if listed == "[]":
            continue
        chosen = "(SELECT value FROM json_each(?))"
        sql.append(
            f"(CASE WHEN {kind} IN {types} THEN {value} IN {chosen} WHEN {kind} = 'array' THEN"
            f" EXISTS (SELECT 1 FROM {array} WHERE type IN {types} AND atom IN {chosen}) ELSE 0 END)"
        )
        values += [name, name, listed, name, name, listed]
    return (" OR ".join(sql) or "0"), values


def _single(test: Test) -> Scalar:
    assert not isinstance(test.value, tuple)
    return test.value


def _listed(test: Test, kind: str = "text") -> str:
    assert isinstance(test.value, tuple)
    return json.dumps([one for one in test.value if kind_of(one) == kind], ensure_ascii=False)


def _bound(value: Scalar) -> Scalar:
    # SQLite reads a JSON integer beyond 64 bits as a float, so the other side of the comparison becomes one too.
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float(value)
    return value
