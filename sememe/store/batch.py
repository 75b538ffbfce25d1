"""What is put into a store, checked before anything is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sememe.errors import DataError, UsageError
from sememe.shapes import Record, Scalar, Vectors
from sememe.store.filter_tree import kind_of, storable
from sememe.store.record_rows import row_of


@dataclass(frozen=True, slots=True)
class Batch:
    """What passed every check: ``rows`` are the values of `COLUMNS`."""

    ids: list[str]
    vectors: Vectors
    rows: list[tuple[Scalar, ...]]
    fields: set[tuple[str, str]]


def matrix(vectors: Any, dim: int) -> Vectors:
    """``vectors`` as float32 ``(n, dim)``, C-contiguous.

    Raises:
        DataError: another shape or width, no numbers, NaN or infinity.
    """
    given = np.asarray(vectors)
    if given.dtype.kind not in "fiu":
        raise DataError(f"vectors are numbers, not {given.dtype}")
    if given.ndim != 2 or given.shape[1] != dim:
        raise DataError("the vectors have another shape", why=[("expected", f"(n, {dim})"), ("got", str(given.shape))])
    with np.errstate(over="ignore"):
        out = np.ascontiguousarray(given, dtype=np.float32)
    bad = np.flatnonzero(~np.isfinite(out).all(axis=1))
    if len(bad):
        raise DataError(
            f"{len(bad)} of {len(out)} vectors hold NaN or infinity",
            why=[("rows", ", ".join(map(str, bad[:10])) + (" …" if len(bad) > 10 else ""))],
        )
    return out


def checked(ids: Sequence[str], vectors: Vectors, records: Sequence[Record], dim: int) -> Batch:
    """Everything that can be wrong with a put, found before anything is written."""
    out = matrix(vectors, dim)
    if not len(ids) == len(out) == len(records):
        raise UsageError(f"{len(ids)} ids came with {len(out)} vectors and {len(records)} records")
    seen: set[str] = set()
    for id in ids:
        if not isinstance(id, str) or not id:
            raise UsageError(f"an id is a text that is not empty, not {id!r}")
        if id in seen:
            raise UsageError(f'the id "{id}" comes twice in one call')
        if not storable(id):
            raise DataError(f"the id {id!r} holds a NUL or half of a surrogate pair")
        seen.add(id)
    rows, fields = [], set()
    for id, record in zip(ids, records, strict=True):
        fields |= fields_of(id, record)
        row = row_of(record)
        if not all(storable(value) for value in row if isinstance(value, str)):
            raise DataError(f'the record of "{id}" holds a NUL or half of a surrogate pair, which is no text')
        rows.append(row)
    return Batch(list(ids), out, rows, fields)


def fields_of(id: str, record: Record) -> set[tuple[str, str]]:
    """The fields of a record's meta with the kinds that they hold, each looked at."""
    fields = set()
    for key, value in record.meta.items():
        if not isinstance(key, str):
            raise DataError(f'the record of "{id}" has a field whose name is {key!r}')
        members = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        for one in members:
            if not (one is None or isinstance(one, (str, int, float))):
                raise DataError(
                    f'the record of "{id}" holds a {type(one).__name__} in "{key}"',
                    do=["keep texts, numbers, true, false, null, and lists of these"],
                )
            if isinstance(one, str) and not storable(one):
                raise DataError(f'the record of "{id}" holds a NUL or half of a surrogate pair in "{key}"')
            if isinstance(one, float) and not math.isfinite(one):
                raise DataError(f'the record of "{id}" holds {one} in "{key}"', do=["leave the field out, or use null"])
            fields.add((key, kind_of(one)))
        if not members:
            fields.add((key, "null"))
    return fields
