"""The points of one collection in Qdrant: how items and sources become points, and records come out again.

Qdrant changes points one at a time, and knows no transaction. So no point of an item is ever changed into another:
every change has a number, what it puts is ``born`` with that number under a point id of its own, what it replaces or
deletes has ``died`` with it, and the point ``HEAD`` says the number of the last change that is whole. What was born
later does not exist yet, what died later still does. Writing that one number is the commit.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sememe.shapes import Meta, Record, Vectors
from sememe.store.batch import Batch
from sememe.store.filter_tree import kind_of
from sememe.store.servers.packed import Json, members_of, packed, rough, vector_in

_SPACE = uuid.UUID("5a0d1c1e-7f0e-5c0b-9c39-6c6f6e6f6d65")
#: the point that says which change is the last one that is whole
HEAD = str(uuid.uuid5(_SPACE, "head"))
#: the name of the vector; points without one, such as the head, are never among the nearest
VECTOR = "v"
#: payload keys that Qdrant keeps an index of: all that filters of ours name, for a server may refuse others
INDEXES = {
    "what": "keyword", "id": "keyword", "source": "keyword", "item": "keyword", "hash": "keyword", "title": "keyword",
    "has": "keyword", "null": "keyword", "yes": "keyword", "no": "keyword", "store": "keyword", "writer": "keyword",
    "beat": "integer", "born": "integer", "died": "integer",
}  # fmt: skip
#: and those of meta fields, by the kind of value that came first
FACT_INDEXES = {"text": "keyword", "number": "float"}
_PLAIN_KEY = re.compile(r"(?!key_)[A-Za-z_][A-Za-z0-9_-]*")


def item_points(batch: Batch, records: Sequence[Record], change: int) -> list[Json]:
    """The points of a batch, born with ``change``."""
    return [
        {
            "id": _point_id(change, "item", payload["id"]),
            "vector": {VECTOR: unit},
            "payload": {**payload, **facts_of(record.meta), "what": "item", "born": change},
        }
        for (payload, unit), record in zip(packed(batch, records), records, strict=True)
    ]


def source_points(sources: Mapping[str, str], change: int) -> list[Json]:
    """The points that say which sources are complete; they have no vector."""
    return [
        {
            "id": _point_id(change, "source", name),
            "vector": {},
            "payload": {"what": "source", "source": name, "hash": digest, "born": change},
        }
        for name, digest in sources.items()
    ]


def _point_id(change: int, what: str, name: str) -> str:
    return str(uuid.uuid5(_SPACE, f"{change} {what} {name}"))


def vectors_of(points: Sequence[Json], dim: int) -> Vectors:
    """float32 ``(n, dim)``, as they were put.

    Raises:
        DamagedError: one is not what was written.
    """
    rows = [vector_in(point["payload"], point["vector"].get(VECTOR), dim) for point in points]
    return np.stack(rows) if rows else np.empty((0, dim), np.float32)


# --- what filters look at --------------------------------------------------------------------------------------------


def fact_key(field: str) -> str:
    """The payload key of a meta field; of one that Qdrant's paths have no plain way to write, its bytes in hex."""
    return field if _PLAIN_KEY.fullmatch(field) else "key_" + field.encode().hex()


def facts_of(meta: Meta) -> Json:
    """The meta as Qdrant's conditions see it: ``facts`` with its texts and numbers; and the keys of which it ``has`` a
    value, those whose value is ``null``, and those that hold ``yes`` or ``no``. (For Qdrant null, an empty list and
    nothing are all the same.)"""
    facts: Json = {}
    out: dict[str, Any] = {"facts": facts, "has": sorted(meta), "null": [], "yes": [], "no": []}
    for key in sorted(meta):
        members = members_of(meta[key])
        kept = [one for one in members if kind_of(one) == "text" or (kind_of(one) == "number" and not rough(one))]
        if kept:
            facts[fact_key(key)] = kept[0] if len(kept) == 1 else kept
        if meta[key] is None:
            out["null"].append(key)
        for name, value in (("yes", True), ("no", False)):
            if any(one is value for one in members):
                out[name].append(key)
    return out
