"""Filters in Pinecone's own words, as far as they mean the same.

Pinecone says what a filter holds for a field that is there. What it says for one that is not there is not written down,
and it has no patterns, no order of texts and no negation of a whole. A filter with a test of such a kind is not
translated at all: the store then reads every item and asks `sememe.store.filters.matches`.
"""

from __future__ import annotations

from sememe.store.filter_tree import BUILT_IN, And, Expr, Not, Test, kind_of, meta_key
from sememe.store.servers.packed import Json, rough
from sememe.store.servers.qdrant_filter import Untranslatable, joined

_RANGES = {"<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte", "=": "$eq", "in": "$eq"}


def pinecone_filter(expr: Expr, unseen: frozenset[str]) -> Json | bool:
    """A filter, or what is always true or never.

    Args:
        unseen: the meta fields whose numbers Pinecone does not see as they are.

    Raises:
        Untranslatable: there is none.
    """
    if isinstance(expr, Not):
        raise Untranslatable
    if isinstance(expr, Test):
        return _test(expr, unseen)
    both = isinstance(expr, And)
    parts = [pinecone_filter(part, unseen) for part in expr.parts]
    return joined(parts, "$and" if both else "$or", decides=not both)


def _test(test: Test, unseen: frozenset[str]) -> Json | bool:
    key = meta_key(test.field)
    if test.op == "is null":
        raise Untranslatable
    if key is None and test.op in ("exists", "is true"):
        return test.op == "exists"
    if test.op in ("exists", "is true"):
        return {"has" if test.op == "exists" else "yes": {"$in": [key]}}
    wanted = test.value if isinstance(test.value, tuple) else (test.value,)
    texts = [value for value in wanted if isinstance(value, str)]
    if texts and test.op not in ("=", "in"):
        raise Untranslatable
    parts: list[Json | bool] = [{f"t:{key}" if key is not None else test.field: {"$in": texts}}] if texts else []
    for value in wanted if key is not None and test.field not in BUILT_IN else ():
        if kind_of(value) == "number":
            if key in unseen or rough(value):
                raise Untranslatable
            parts.append({f"n:{key}": {_RANGES[test.op]: value}})
        elif kind_of(value) == "yes/no":
            if test.op not in ("=", "in"):
                raise Untranslatable
            parts.append({"yes" if value else "no": {"$in": [key]}})
    return joined(parts, "$or", decides=True)
