"""Items as rows of Milvus, and back again.

A row has the record as it was put (``record``, JSON; what is longer than Milvus takes goes on in ``parts`` rows of the
log, from the number ``rest`` on), what it is looked up by (hashes of the id, the source, the item and the content),
what filters look at (``tokens``, ``bounds``), the vector, a checksum over all that was put, and whether the vector's
length is ``odd``: such rows are not searched in Milvus but scored here, for in float32 the squares of very long and
very short vectors overflow or vanish.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sememe.errors import DataError, UsageError
from sememe.shapes import Record, Vectors
from sememe.store.batch import Batch
from sememe.store.record_rows import record_of, row_of
from sememe.store.scan import ODD
from sememe.store.servers.milvus_filter import bounds_of, digest, tokens_of
from sememe.store.servers.milvus_session import NARROWEST, WIDEST, WIDEST_TEXT, Row, Session

#: Milvus's own limits: members of one array, bytes of one JSON value
MOST_TOKENS, WIDEST_JSON = 4096, 65_536
_HASH = {"type": "VARCHAR", "max_length": 32}
COLUMNS: dict[str, dict[str, Any]] = {
    "number": {"type": "INT64", "is_primary": True},
    "change": {"type": "INT64"},
    "id": {"type": "VARCHAR", "max_length": WIDEST_TEXT},
    "key": _HASH,
    "source": _HASH,
    "item": _HASH,
    "hash": _HASH,
    "odd": {"type": "BOOL"},
    "crc": {"type": "INT64"},
    "tokens": {"type": "ARRAY", "element_type": "VARCHAR", "max_capacity": MOST_TOKENS, "max_length": 32},
    "bounds": {"type": "JSON"},
    "record": {"type": "VARCHAR", "max_length": WIDEST_TEXT},
    "rest": {"type": "INT64"},
    "parts": {"type": "INT64"},
}
#: letters of one part of a long record: at most four bytes each
LETTERS = WIDEST_TEXT // 4
LOOKED_UP = ("key", "source", "item", "hash")
#: of each kind of index: how it is built, and how it is asked for `wide` candidates
KINDS: dict[str, dict[str, Any]] = {
    "exact": {"index_type": "FLAT"},
    "hnsw": {"index_type": "HNSW", "params": {"M": 16, "efConstruction": 200}},
}


def columns(dim: int) -> dict[str, dict[str, Any]]:
    """The columns of items, each with its type and limits."""
    return {**COLUMNS, "vector": {"type": "FLOAT_VECTOR", "dim": dim}}


def indexes(kind: str) -> dict[str, dict[str, Any]]:
    """The indexes of items: one of the kinds for the vectors, and what rows are looked up by."""
    looked_up = {name: {"index_type": "INVERTED"} for name in LOOKED_UP}
    return {"vector": {**KINDS[kind], "metric_type": "COSINE"}, **looked_up}


def width(dim: int, *, record: bool = True) -> int:
    """Bytes of a row at the most."""
    return 4 * dim + (2 * WIDEST_TEXT if record else 1000)


def rows_of(batch: Batch, records: Sequence[Record]) -> list[Row]:
    """The rows of what is put, without their numbers.

    Raises:
        DataError: one is larger than Milvus can hold.
    """
    odds = odd_rows(batch.vectors)
    return [
        row(id, record, batch.vectors[place], bool(odds[place]))
        for place, (id, record) in enumerate(zip(batch.ids, records, strict=True))
    ]


def row(id: str, record: Record, vector: Vectors, odd: bool) -> Row:
    """One row."""
    written = json.dumps(row_of(record), ensure_ascii=False)
    tokens, bounds = tokens_of(id, record), bounds_of(record)
    limits = {
        "bytes of the id": (len(id.encode()), WIDEST_TEXT),
        "values in the meta": (len(tokens), MOST_TOKENS),
        "bytes of the bounds of its numbers": (len(json.dumps(bounds)), WIDEST_JSON),
    }
    if wide := {name: pair for name, pair in limits.items() if pair[0] > pair[1]}:
        raise DataError(
            f'the record of "{id[:80]}" is larger than Milvus can hold',
            why=[(name, f"{given:,}, at most {most:,}") for name, (given, most) in wide.items()],
            do=["cut the text into chunks, or keep it in a store in a folder"],
        )
    return {
        "id": id,
        "key": digest(id),
        "source": digest(record.place.source),
        "item": digest(record.item),
        "hash": digest(record.hash),
        "odd": odd,
        "crc": checksum(id, written, vector),
        "tokens": tokens,
        "bounds": bounds,
        "record": written,
        "rest": 0,
        "parts": 0,
        "vector": vector.tolist(),
    }


def checksum(id: str, written: str, vector: Vectors) -> int:
    """CRC-32 of all that was put."""
    return zlib.crc32(vector.astype("<f4").tobytes(), zlib.crc32(written.encode(), zlib.crc32(id.encode())))


def parts_of(written: str) -> list[str]:
    """A record in parts that Milvus takes."""
    if len(written.encode()) <= WIDEST_TEXT:
        return [written]
    return [written[start : start + LETTERS] for start in range(0, len(written), LETTERS)]


def read(session: Session, condition: str, columns: Sequence[str], dim: int) -> Iterator[list[Row]]:
    """The items that satisfy a condition, some at a time, their records whole."""
    wanted = [*columns, "rest", "parts"] if "record" in columns else list(columns)
    size = width(dim if "vector" in columns else 0, record="record" in columns)
    for part in session.rows(session.items, condition, wanted, width=size):
        for one in part:
            if one.get("parts"):
                after = f"number >= {one['rest']} and number < {one['rest'] + one['parts']}"
                others = session.rows(session.log, after, ["body"], width=WIDEST_TEXT)
                one["record"] += "".join(other["body"] for page in others for other in page)
        yield part


def record_from(found: Row) -> Record:
    """The record of a row."""
    return record_of(json.loads(found["record"]))


def vectors_from(found: Sequence[Row], dim: int) -> Vectors:
    """float32 ``(n, dim)``."""
    rows = np.array([one["vector"] for one in found], np.float32)
    return np.ascontiguousarray(rows.reshape(len(found), dim))


def odd_rows(vectors: Vectors) -> Any:
    """bool ``(n,)``: which rows are too long or too short (zero among them) for products in float32."""
    wide = vectors.astype(np.float64)
    lengths = np.sqrt((wide * wide).sum(axis=1))
    return (lengths < ODD[0]) | (lengths > ODD[1])


def check_shape(dim: int, index: str) -> None:
    """Refuse what Milvus cannot hold.

    Raises:
        UsageError: a width or the name of an index that it does not have.
    """
    if index not in KINDS:
        raise UsageError(f'index="{index}" is not known', do=[f"use one of: {', '.join(KINDS)}"])
    if not NARROWEST <= dim <= WIDEST:
        raise UsageError(f"Milvus holds vectors of {NARROWEST} to {WIDEST:,} numbers, not of {dim}")
