"""The three forms of an export, each written row after row from one state into a path that is not there yet."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from sememe.extras import require
from sememe.shapes import Vectors
from sememe.store.exchange.layout import flat, manifest_of
from sememe.store.exchange.snapshot import Part, Snapshot

#: the files of the form npy
VECTORS, RECORDS, MANIFEST = "vectors.npy", "records.jsonl", "manifest.json"
#: key of the manifest in Parquet's own metadata, and in the first line of JSON lines
KEY = "sememe"

Moved = Callable[[int], None]


def to_jsonl(shot: Snapshot, path: Path, moved: Moved, *, packed: bool = False) -> None:
    """The manifest in the first line, then one object a line.

    Args:
        packed: vectors as base64 of little-endian float32, a quarter of the size of lists of numbers.
    """
    with _synced(path) as file:
        _line(file, {KEY: manifest_of(shot.manifest, count=shot.count, vectors=shot.kind.name)})
        for part in shot.parts():
            for id, record, vector in zip(part.ids, part.records, part.vectors, strict=True):
                # A float32 is written as the float64 that it exactly is: no digit is lost.
                numbers = base64.b64encode(vector.data).decode() if packed else vector.tolist()
                _line(file, {**flat(id, record), "vector": numbers})
            moved(len(part.ids))


def to_npy(shot: Snapshot, path: Path, moved: Moved) -> None:
    """A folder: ``vectors.npy`` float32 ``(n, dim)``, ``records.jsonl`` in the same order, ``manifest.json``."""
    path.mkdir()
    with _synced(path / MANIFEST) as file:
        _line(file, manifest_of(shot.manifest, count=shot.count, vectors=shot.kind.name))
    with _synced(path / VECTORS) as numbers, _synced(path / RECORDS) as file:
        shape = {"descr": "<f4", "fortran_order": False, "shape": (shot.count, shot.dim)}
        np.lib.format.write_array_header_1_0(numbers, shape)
        for part in shot.parts():
            numbers.write(part.vectors.data)
            for id, record in zip(part.ids, part.records, strict=True):
                _line(file, flat(id, record))
            moved(len(part.ids))


def to_parquet(shot: Snapshot, path: Path, moved: Moved) -> None:
    """A Parquet file: the columns of `flat` with ``meta`` as JSON, ``vector``, and a column ``meta.NAME`` for each
    field that holds scalars of one kind. The manifest stands in the file's metadata."""
    arrow = require("pyarrow", extra="parquet", purpose="writing Parquet files")
    parquet = require("pyarrow.parquet", extra="parquet", purpose="writing Parquet files")
    fields = shot.scalar_fields()
    schema = _schema(arrow, shot, fields)
    with _synced(path) as file:
        # No dictionary for the vectors: it would cost time, and could fold 0.0 and -0.0 into one.
        folded = [name for name in schema.names if name in ("title", "source", "unit") or name.startswith("meta.")]
        with parquet.ParquetWriter(file, schema, use_dictionary=folded) as writer:
            for part in shot.parts():
                writer.write_batch(_batch(arrow, schema, part, fields))
                moved(len(part.ids))


def _schema(arrow: Any, shot: Snapshot, fields: dict[str, str]) -> Any:
    types = {"text": arrow.string(), "int": arrow.int64(), "float": arrow.float64(), "yes/no": arrow.bool_()}
    columns = [(name, arrow.string()) for name in ("id", "text", "title", "source")]
    columns += [("start", arrow.int64()), ("end", arrow.int64()), ("unit", arrow.string()), ("item", arrow.string())]
    columns += [("span", arrow.list_(arrow.int64(), 2)), ("hash", arrow.string()), ("meta", arrow.string())]
    columns += [(f"meta.{name}", types[kind]) for name, kind in fields.items()]
    columns += [("vector", arrow.list_(arrow.float32(), shot.dim))]
    about = json.dumps(manifest_of(shot.manifest, count=shot.count, vectors=shot.kind.name), ensure_ascii=False)
    return arrow.schema(columns, metadata={KEY: about})


def _batch(arrow: Any, schema: Any, part: Part, fields: dict[str, str]) -> Any:
    rows = [flat(id, record) for id, record in zip(part.ids, part.records, strict=True)]
    arrays = []
    for column in schema:
        if column.name == "vector":
            arrays.append(_vectors(arrow, part.vectors))
        elif column.name == "meta":
            arrays.append(arrow.array([_text(row["meta"]) for row in rows], column.type))
        elif column.name.startswith("meta."):
            name = column.name.removeprefix("meta.")
            as_float = fields[name] == "float"
            values = [row["meta"].get(name) for row in rows]
            cells = [_float(value) if as_float and value is not None else value for value in values]
            arrays.append(arrow.array(cells, column.type))
        else:
            arrays.append(arrow.array([row[column.name] for row in rows], column.type))
    return arrow.record_batch(arrays, schema=schema)


def _float(value: Any) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None  # a whole number of more than 308 digits; the column "meta" has it


def _vectors(arrow: Any, vectors: Vectors) -> Any:
    return arrow.FixedSizeListArray.from_arrays(arrow.array(vectors.reshape(-1)), vectors.shape[1])


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _line(file: IO[bytes], value: Any) -> None:
    file.write(_text(value).encode() + b"\n")


@contextmanager
def _synced(path: Path) -> Iterator[IO[bytes]]:
    with path.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
