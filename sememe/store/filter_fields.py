"""Whether a store has the fields that a filter asks for, and values that can be compared with it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from sememe.errors import UsageError
from sememe.store.filter_tree import BUILT_IN, Expr, kind_of, meta_key, tests


def check_fields(expr: Expr, pairs: Iterable[tuple[str, str]]) -> None:
    """Refuse a field that no record has, and a comparison with a type that the field never holds.

    Args:
        pairs: the meta fields of the store, each beside a kind of value that was ever put there.

    Raises:
        UsageError: with the fields, and the nearest name.
    """
    known: dict[str, set[str]] = {}
    for name, kind in pairs:
        known.setdefault(name, set()).add(kind)
    for test in tests(expr):
        key = meta_key(test.field)
        if key is None:
            continue
        if key not in known:
            fields = [*BUILT_IN, *sorted(known)]
            near = difflib.get_close_matches(key, fields, n=1, cutoff=0.6)
            raise UsageError(
                f'no record has a field "{key}"',
                why=[("fields", ", ".join(fields))],
                do=[("did you mean", near[0])] if near else [],
            )
        held = known[key]
        wanted = test.value if isinstance(test.value, tuple) else () if test.value is None else (test.value,)
        asked = {"yes/no"} if test.op == "is true" else {kind_of(one) for one in wanted}
        if asked and held and not asked & held:
            raise UsageError(
                f'"{key}" holds {_named(held)}, and the filter compares it with {_named(asked)}',
                do=[_hint(key, held)],
            )


def _named(kinds: set[str]) -> str:
    plural = {"text": "texts", "number": "numbers", "yes/no": "true or false", "null": "nothing but null"}
    shown = [plural[kind] for kind in sorted(kinds) if kind != "null" or len(kinds) == 1]
    return " and ".join(shown)


def _hint(key: str, held: set[str]) -> str:
    if "number" in held:
        return f"write a number without quotes:  {key} = 1"
    if "text" in held:
        return f'write a text in quotes:  {key} = "…"'
    return f"ask for it alone:  {key}" if "yes/no" in held else f"write:  {key} is null"
