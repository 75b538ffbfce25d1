"""What servers of plain JSON values keep of an item, so that it comes back bit by bit: a payload of texts and one
checksum, beside the vector that they compare. Numbers that such a server would round are written as text.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sememe.errors import DamagedError
from sememe.shapes import Record, Scalar, Vectors
from sememe.store.batch import Batch
from sememe.store.filter_tree import kind_of
from sememe.store.record_rows import record_of, row_of

Json = dict[str, Any]


def packed(batch: Batch, records: Sequence[Record]) -> Iterator[tuple[Json, list[float]]]:
    """Of each item its payload, and the vector ``(dim,)`` that the server compares: of length one, or zero."""
    units, same = compared(batch.vectors)
    for number, (id, record) in enumerate(zip(batch.ids, records, strict=True)):
        row = row_of(record)
        body = batch.vectors[number].astype("<f4", copy=False).tobytes()
        payload: Json = {
            "id": id, "source": record.place.source, "item": record.item, "hash": record.hash, "title": record.title,
            "text": record.text, "row": _written(row), "sum": _checksum(id, row, body),
        }  # fmt: skip
        if not same[number]:
            payload["vector"] = base64.b64encode(body).decode()
        yield payload, units[number]


def compared(vectors: Vectors) -> tuple[list[list[float]], list[bool]]:
    """Each row ``(dim,)`` made one long, zero stays zero; and whether it is the row itself."""
    rows = vectors.astype(np.float64)
    lengths = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    # float32 rows that an encoder made one long are off by a few roundings; such a row is kept as it is.
    same = np.abs(lengths[:, 0] - 1) < 1e-5
    units = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0).astype(np.float32)
    units[same] = vectors[same]
    return units.tolist(), same.tolist()


def vector_in(payload: Json, values: Any, dim: int) -> Vectors:
    """float32 ``(dim,)`` as it was put; ``values`` is what the server compares.

    Raises:
        DamagedError: it is not what was written.
    """
    try:
        body = payload.get("vector")
        given = np.frombuffer(base64.b64decode(body), "<f4") if body else values
        with np.errstate(over="ignore"):
            vector = np.asarray(given, np.float32).reshape(dim)
    except (TypeError, ValueError):
        raise _damaged(payload) from None
    if not np.isfinite(vector).all():
        raise _damaged(payload)
    return vector


def record_in(payload: Json) -> Record:
    """The record of a payload.

    Raises:
        DamagedError: it is not what was written.
    """
    try:
        return record_of(_row_in(payload))
    except (KeyError, TypeError, ValueError):
        raise _damaged(payload) from None


def whole(payload: Json, values: Any, dim: int) -> bool:
    """Whether record and vector are what was put, and what the server compares belongs to them."""
    try:
        vector = vector_in(payload, values, dim)
        row = _row_in(payload)
        record_of(row)
        given = np.asarray(values, np.float32).reshape(dim)
        total = int(payload["sum"])
        id = str(payload["id"])
    except (DamagedError, KeyError, TypeError, ValueError):
        return False
    right = np.asarray(compared(vector[np.newaxis])[0][0], np.float32)
    # A server that knows no zero vector compares another in its place.
    near = bool(np.allclose(given, right, atol=1e-6)) or not right.any()
    return near and total == _checksum(id, row, vector.astype("<f4", copy=False).tobytes())


def _row_in(payload: Json) -> tuple[Scalar, ...]:
    """The values of `sememe.store.record_rows.COLUMNS`."""
    first, last, unit, start, end, meta = json.loads(payload["row"])
    own = (payload["title"], payload["item"], start, end, payload["hash"], meta, payload["text"])
    return (payload["source"], first, last, unit, *own)


def _written(row: tuple[Scalar, ...]) -> str:
    """What of a row has no payload key of its own, exactly: a server's numbers have 64 bits."""
    _, first, last, unit, _, _, start, end, _, meta, _ = row
    return json.dumps([first, last, unit, start, end, meta], ensure_ascii=False)


def _checksum(id: str, row: tuple[Scalar, ...], vector: bytes) -> int:
    """CRC-32 of an item: of its id, its record, and the float32 bytes of its vector, little-endian."""
    return zlib.crc32(vector, zlib.crc32(json.dumps([id, *row]).encode()))


def _damaged(payload: Json) -> DamagedError:
    id = payload.get("id", "?")
    return DamagedError(f'the item "{id}" is not what was written', do=["repair the store; it names what is touched"])


def members_of(value: Scalar | Sequence[Scalar]) -> list[Scalar]:
    """The values of a meta field: of a list its members."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def rough(value: Scalar) -> bool:
    """Whether a number may be another one after a way through a server's JSON: an integer that is no float, or a float
    with more digits than a plain reader gets right."""
    if isinstance(value, int):
        return abs(value) > 2**53
    if not isinstance(value, float) or not math.isfinite(value):
        return True
    short = f"{value:.14e}"
    return float(short) != value or abs(int(short.partition("e")[2])) > 22


def rough_fields(records: Sequence[Record]) -> set[str]:
    """The meta fields that hold such a number: their numbers are compared here and not by the server."""
    return {
        key
        for record in records
        for key, value in record.meta.items()
        if any(kind_of(one) == "number" and rough(one) for one in members_of(value))
    }
