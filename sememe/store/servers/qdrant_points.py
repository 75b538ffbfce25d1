"""The points of one collection in Qdrant: how items and sources become points, and records come out again.

Qdrant changes points one at a time, and knows no transaction. So no point of an item is ever changed into another:
every change has a number, what it puts is ``born`` with that number under a point id of its own, what it replaces or
deletes has ``died`` with it, and the point ``HEAD`` says the number of the last change that is whole. What was born
later does not exist yet, what died later still does. Writing that one number is the commit.
"""

from __future__ import annotations

import base64
import json
import math
import re
import uuid
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sememe.errors import DamagedError
from sememe.shapes import Meta, Record, Scalar, Vectors
from sememe.store.batch import Batch
from sememe.store.filter_tree import kind_of
from sememe.store.record_rows import record_of, row_of

Json = dict[str, Any]

_SPACE = uuid.UUID("5a0d1c1e-7f0e-5c0b-9c39-6c6f6e6f6d65")
#: the point that says which change is the last one that is whole
HEAD = str(uuid.uuid5(_SPACE, "head"))
#: the name of the vector; points without one, such as the head, are never among the nearest
VECTOR = "v"
#: payload keys that Qdrant keeps an index of
INDEXES = {
    "what": "keyword", "id": "keyword", "source": "keyword", "item": "keyword", "hash": "keyword",
    "born": "integer", "died": "integer",
}  # fmt: skip
_PLAIN_KEY = re.compile(r"(?!key_)[A-Za-z_][A-Za-z0-9_-]*")


def item_points(batch: Batch, records: Sequence[Record], change: int) -> list[Json]:
    """The points of a batch, born with ``change``."""
    units, whole = searched_for(batch.vectors)
    out = []
    for number, (id, record) in enumerate(zip(batch.ids, records, strict=True)):
        row = row_of(record)
        body = batch.vectors[number].astype("<f4", copy=False).tobytes()
        payload: Json = {
            "what": "item", "id": id, "source": record.place.source, "item": record.item, "hash": record.hash,
            "title": record.title, "text": record.text, "row": _written(row), "sum": checksum(id, row, body),
            "born": change, **facts_of(record.meta),
        }  # fmt: skip
        if not whole[number]:
            payload["vector"] = base64.b64encode(body).decode()
        out.append({"id": _point_id(change, "item", id), "vector": {VECTOR: units[number]}, "payload": payload})
    return out


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


def searched_for(vectors: Vectors) -> tuple[list[list[float]], list[bool]]:
    """What Qdrant compares: each row ``(dim,)`` made one long, zero stays zero; and whether it is the row itself."""
    rows = vectors.astype(np.float64)
    lengths = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    # float32 rows that an encoder made one long are off by a few roundings; such a row is kept as it is.
    whole = np.abs(lengths[:, 0] - 1) < 1e-5
    units = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0).astype(np.float32)
    units[whole] = vectors[whole]
    return units.tolist(), whole.tolist()


def vectors_of(points: Sequence[Json], dim: int) -> Vectors:
    """float32 ``(n, dim)``, as they were put.

    Raises:
        DamagedError: one is not what was written.
    """
    out = np.zeros((len(points), dim), np.float32)
    for number, point in enumerate(points):
        try:
            packed = point["payload"].get("vector")
            given = np.frombuffer(base64.b64decode(packed), "<f4") if packed else point["vector"][VECTOR]
            out[number] = np.asarray(given, np.float32).reshape(dim)
        except (KeyError, TypeError, ValueError):
            raise _damaged(point) from None
    return out


def record_in(payload: Json) -> Record:
    """The record of an item's payload.

    Raises:
        DamagedError: it is not what was written.
    """
    try:
        return record_of(row_in(payload))
    except (KeyError, TypeError, ValueError):
        raise _damaged({"payload": payload}) from None


def row_in(payload: Json) -> tuple[Scalar, ...]:
    """The values of `sememe.store.record_rows.COLUMNS`."""
    first, last, unit, start, end, meta = json.loads(payload["row"])
    own = (payload["title"], payload["item"], start, end, payload["hash"], meta, payload["text"])
    return (payload["source"], first, last, unit, *own)


def _written(row: tuple[Scalar, ...]) -> str:
    """What of a row has no payload key of its own, exactly: Qdrant's numbers have 64 bits."""
    _, first, last, unit, _, _, start, end, _, meta, _ = row
    return json.dumps([first, last, unit, start, end, meta], ensure_ascii=False)


def checksum(id: str, row: tuple[Scalar, ...], vector: bytes) -> int:
    """CRC-32 of an item: of its id, its record, and the float32 bytes of its vector, little-endian."""
    return zlib.crc32(vector, zlib.crc32(json.dumps([id, *row]).encode()))


def _damaged(point: Json) -> DamagedError:
    id = (point.get("payload") or {}).get("id", "?")
    return DamagedError(f'the item "{id}" is not what was written', do=["repair the store; it names what is touched"])


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


def members_of(value: Scalar | Sequence[Scalar]) -> list[Scalar]:
    """The values of a field: of a list its members."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def rough(value: Scalar) -> bool:
    """Whether a number may be another one after a way through Qdrant's JSON: an integer that is no float, or a float
    with more digits than a plain reader gets right."""
    if isinstance(value, int):
        return abs(value) > 2**53
    if not isinstance(value, float) or not math.isfinite(value):
        return True
    short = f"{value:.14e}"
    return float(short) != value or abs(int(short.partition("e")[2])) > 22


def rough_fields(records: Sequence[Record]) -> set[str]:
    """The meta fields that hold such a number: their numbers are compared here and not by Qdrant."""
    return {
        key
        for record in records
        for key, value in record.meta.items()
        if any(kind_of(one) == "number" and rough(one) for one in members_of(value))
    }
