"""What is put into a store or named to it, checked before anything is written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sememe.errors import DataError, UsageError
from sememe.shapes import Place, Record, Scalar, Vectors
from sememe.store.filter_tree import kind_of, storable
from sememe.store.record_rows import row_of

#: characters of one record: stores take about a billion bytes of one, and a character has up to four
LARGEST = 200_000_000
#: whole numbers up to here are also floats
MOST = 10**308


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
    try:
        given = np.asarray(vectors)
    except ValueError as error:
        raise DataError("vectors are rows of one width", why=[str(error)]) from error
    if np.ma.is_masked(vectors):
        raise DataError("some numbers of the vectors are masked", do=["fill them in, or leave their rows out"])
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
    if isinstance(ids, str) or not (isinstance(ids, Sequence) and isinstance(records, Sequence)):
        raise UsageError("ids and records are lists")
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
        _shaped(id, record)
        fields |= fields_of(id, record)
        row = row_of(record)
        if not all(storable(value) for value in row if isinstance(value, str)):
            raise DataError(f'the record of "{id}" holds a NUL or half of a surrogate pair, which is no text')
        if sum(len(value) for value in row if isinstance(value, str)) > LARGEST:
            raise DataError(f'the record of "{id}" has more than {LARGEST:,} characters', do=["cut it into chunks"])
        rows.append(row)
    return Batch(list(ids), out, rows, fields)


def _shaped(id: str, record: Record) -> None:
    """A record whose values are of the kinds that its types say, whoever made it."""
    if not isinstance(record, Record) or not isinstance(record.place, Place):
        raise DataError(f'what came with "{id}" is no Record with a Place, but {str(record)[:100]!r}')
    place, span = record.place, record.span
    texts = (record.text, record.title, record.item, record.hash, place.source, place.unit)
    if not all(isinstance(text, str) for text in texts):
        raise DataError(f'the record of "{id}" holds something else where a text belongs')
    numbers = (place.start, place.end, *(span if isinstance(span, tuple) and len(span) == 2 else (None,)))
    if not all(isinstance(number, int) and -(2**63) <= number < 2**63 for number in numbers):
        raise DataError(f'the record of "{id}" has a place or a span that is no two whole numbers of 64 bits')
    if not isinstance(record.meta, Mapping):
        raise DataError(f'the record of "{id}" has a meta that is no mapping, but a {type(record.meta).__name__}')


def names(given: Iterable[str], what: str = "ids") -> list[str]:
    """Those of ``given`` that can be in a store at all.

    Raises:
        UsageError: it is one text instead of a list of texts, or holds something else.
    """
    if isinstance(given, str):
        raise UsageError(f"{what} are a list, not one text", do=[f"write [{given[:50]!r}]"])
    listed = list(given)
    for one in listed:
        if not isinstance(one, str):
            raise UsageError(f"{what} are texts, and there is a {type(one).__name__} among them")
    return [one for one in listed if storable(one)]


def stamps(sources: Mapping[str, str] | None) -> dict[str, str]:
    """``sources`` that are complete, each with its hash.

    Raises:
        DataError: there is something else in it than texts that can be kept.
    """
    for pair in (sources or {}).items():
        if not all(isinstance(part, str) and storable(part) for part in pair):
            raise DataError(f"a source and its hash are texts, without NUL or halves of surrogate pairs, not {pair!r}")
    return dict(sources or {})


def fields_of(id: str, record: Record) -> set[tuple[str, str]]:
    """The fields of a record's meta with the kinds that they hold, each looked at."""
    fields = set()
    for key, value in record.meta.items():
        if not (isinstance(key, str) and storable(key)):
            raise DataError(f'the record of "{id}" has a field whose name is {str(key)[:100]!r}')
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
            if isinstance(one, int) and not -MOST < one < MOST:
                raise DataError(f'the record of "{id}" holds a number of more than 308 digits in "{key}"')
            fields.add((key, kind_of(one)))
        if not members:
            fields.add((key, "null"))
    return fields
