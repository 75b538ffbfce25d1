"""A record as a row of plain values, and back again: what tables and files keep of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sememe.shapes import Place, Record, Scalar

COLUMNS = "source, first, last, unit, title, item, span_start, span_end, hash, meta, text"


def record_of(row: Sequence[Any]) -> Record:
    """A record from the values of `COLUMNS`."""
    source, first, last, unit, title, item, start, end, digest, meta, text = row
    return Record(
        text=text,
        place=Place(source, first, last, unit),
        title=title,
        item=item,
        span=(start, end),
        hash=digest,
        meta=json.loads(meta),
    )


def _plain(value: Scalar | Sequence[Scalar]) -> Scalar | list[Scalar]:
    return value if value is None or isinstance(value, (str, int, float)) else list(value)


def row_of(record: Record) -> tuple[Scalar, ...]:
    """The values of `COLUMNS`."""
    place = record.place
    plain = {key: _plain(value) for key, value in record.meta.items()}
    meta = json.dumps(plain, ensure_ascii=False, allow_nan=False)
    where = (place.source, place.start, place.end, place.unit)
    return (*where, record.title, record.item, *record.span, record.hash, meta, record.text)
