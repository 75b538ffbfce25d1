"""Filters as expressions of Milvus over what a row says about its record: ``tokens`` and ``bounds``.

Milvus's own comparisons of JSON are not ours: of lists, of what is absent, of 1 and true, of large integers. So a row
has a token (a hash) for every fact that a filter may ask for: "the field year is there", "year holds the number 1999";
and for every field that holds numbers its least and its greatest. Tests become "this token is among them" and "the
least is below", which have one meaning in every version, negated too. No text of a filter becomes part of an
expression, only hashes and numbers do.

Patterns (``like``) and the order of texts have no such form. An expression is then wider than the filter (`Compiled`
says so), and whoever asks looks at each record itself.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sememe.shapes import Record, Scalar
from sememe.store.facets import plain
from sememe.store.filter_tree import And, Expr, Not, Test, kind_of, meta_key

ALL, NONE = "number >= 0", "number < 0"
#: values of one ``in`` beyond which the server is asked for the field alone
MOST_VALUES = 2000
#: the kind that stands beside a field which holds an integer that no float is equal to
LARGE = "large"
_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}


@dataclass(frozen=True, slots=True)
class Compiled:
    """``text`` is true of every row that satisfies the filter, and if it is ``exact`` of no other."""

    text: str
    exact: bool


def digest(*parts: str) -> str:
    """128 bits in hex: what an id, a source or a fact is looked up by."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def tokens_of(id: str, record: Record) -> list[str]:
    """All that can be asked for by a token, ascending."""
    own = {"id": id, "source": record.place.source, "title": record.title}
    found = {_held(f"own {name}", value) for name, value in own.items()}
    for key, value in record.meta.items():
        found.add(digest(key, "exists"))
        members = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        if value is not None:
            found.add(digest(key, "not null"))
        for one in members:
            if one is not None:
                found |= {_held(f"meta {key}", one), digest(key, "kind", kind_of(one))}
    return sorted(found)


def bounds_of(record: Record) -> dict[str, float]:
    """Of each field that holds numbers the least and the greatest; floats, for Milvus compares no kinds of number."""
    found: dict[str, float] = {}
    for key, value in record.meta.items():
        members = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        numbers = [_float(one) for one in members if isinstance(one, (int, float)) and not isinstance(one, bool)]
        if numbers:
            found[_least(key)], found[_greatest(key)] = min(numbers), max(numbers)
    return found


def large_fields(records: Iterable[Record]) -> set[tuple[str, str]]:
    """The fields that hold integers which bounds cannot tell from their neighbours."""
    return {
        (key, LARGE)
        for record in records
        for key, value in record.meta.items()
        for one in (value if isinstance(value, Sequence) and not isinstance(value, str) else [value])
        if isinstance(one, int) and not _is_float(one)
    }


def compiled(expr: Expr | None, large: frozenset[str]) -> Compiled:
    """The expression of a filter.

    Args:
        large: the fields that ever held an integer which no float is equal to.
    """
    return Compiled(ALL, True) if expr is None else _any(expr, False, large)


def _any(expr: Expr, negated: bool, large: frozenset[str]) -> Compiled:
    if isinstance(expr, Not):
        return _any(expr.part, not negated, large)
    if isinstance(expr, Test):
        return _test(expr, negated, large)
    joined_by_and = isinstance(expr, And) != negated
    parts = [_any(part, negated, large) for part in expr.parts]
    if not parts:
        return Compiled(ALL if joined_by_and else NONE, True)
    joint = " and " if joined_by_and else " or "
    return Compiled("(" + joint.join(part.text for part in parts) + ")", all(part.exact for part in parts))


def _test(test: Test, negated: bool, large: frozenset[str]) -> Compiled:
    key = meta_key(test.field)
    if test.op in ("exists", "is null") and key is None:
        return Compiled(ALL if (test.op == "exists") != negated else NONE, True)
    if test.op == "exists":
        return Compiled(_among([digest(str(key), "exists")], negated), True)
    if test.op == "is null":
        return Compiled(_among([digest(str(key), "not null")], not negated), True)
    if test.op in ("=", "in", "is true") and test.field != "text":
        name = f"own {test.field}" if key is None else f"meta {key}"
        wanted = (True,) if test.op == "is true" else test.value if isinstance(test.value, tuple) else (test.value,)
        if key is None:
            wanted = tuple(one for one in wanted if isinstance(one, str))
        if len(wanted) <= MOST_VALUES:
            return Compiled(_among([_held(name, one) for one in wanted], negated), True)
    if key is not None and test.op in _OPPOSITE and kind_of(_single(test)) == "number":
        return _bounded(key, test, negated, large)
    if key is None or negated:
        return Compiled(ALL, False)
    return Compiled(_among([digest(key, "exists")], False), False)


def _bounded(key: str, test: Test, negated: bool, large: frozenset[str]) -> Compiled:
    """Some number is below if the least is. Where there is none, the bounds are not looked at: they are not there."""
    wanted = _single(test)
    assert isinstance(wanted, (int, float))
    numeric = _among([digest(key, "kind", "number")], negated)
    if key in large or not _is_float(wanted):
        return Compiled(ALL if negated else numeric, False)
    if math.isinf(wanted):
        never = (wanted > 0) != (test.op in ("<", "<="))
        return Compiled((ALL if negated else NONE) if never else numeric, True)
    bound = _least(key) if test.op in ("<", "<=") else _greatest(key)
    op, joint = (_OPPOSITE[test.op], "or") if negated else (test.op, "and")
    return Compiled(f'({numeric} {joint} bounds["{bound}"] {op} {float(wanted)!r})', True)


def _single(test: Test) -> Scalar:
    assert not isinstance(test.value, tuple)
    return test.value


def _among(tokens: Sequence[str], negated: bool) -> str:
    if not tokens:
        return ALL if negated else NONE
    listed = ", ".join(f'"{token}"' for token in sorted(set(tokens)))
    held = f"array_contains_any(tokens, [{listed}])"
    return f"(not {held})" if negated else held


def _held(name: str, value: Scalar) -> str:
    """The token of a value; equal numbers have the same."""
    return digest(name, kind_of(value), str(plain(value)))


def _least(key: str) -> str:
    return "l" + digest(key)[:16]


def _greatest(key: str) -> str:
    return "g" + digest(key)[:16]


def _is_float(number: float) -> bool:
    try:
        return float(number) == number
    except OverflowError:
        return False


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return sys.float_info.max if number > 0 else -sys.float_info.max
