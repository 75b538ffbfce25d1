"""Files that vectors come in by: what kind one is, its rows one by one, and the way of these into a store.

Exports of ours carry a manifest; what others wrote (`foreign`) does not say which encoder made it. Every file is
hostile until each of its rows has been looked at.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np

from sememe.errors import DataError
from sememe.extras import require
from sememe.progress import Phase, amount
from sememe.shapes import Record, Vectors
from sememe.store.exchange import foreign
from sememe.store.exchange.layout import checked_manifest, unflat
from sememe.store.exchange.snapshot import rows_at_once
from sememe.store.exchange.writers import KEY, MANIFEST, RECORDS, VECTORS
from sememe.store.local.store import LocalStore

MAX_LINE = 64_000_000
#: what one row group of a Parquet file may unpack to, in bytes
MAX_GROUP = 4_000_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """One row; ``where`` says which, for a message, and ``vector`` is whatever stood in its place."""

    where: str
    id: str
    vector: Any
    record: Record


@dataclass
class Incoming:
    """A file that is being read. ``manifest``: of an export of ours, None of what others wrote; ``notes``: what was
    chosen, for a person to know."""

    name: str
    kind: str
    manifest: Mapping[str, Any] | None
    rows: Iterator[Row]
    notes: list[str] = field(default_factory=list)

    @property
    def count(self) -> int | None:
        """How many rows there should be, if the file says so."""
        return None if self.manifest is None else int(self.manifest["count"])

    def width(self) -> int:
        """The width of its vectors: as the manifest says, or that of the first one.

        Raises:
            DataError: there is none.
        """
        if self.manifest is not None:
            return int(self.manifest["dim"])
        first = next(self.rows, None)
        if first is None:
            raise DataError(f"{self.name} holds no vectors")
        self.rows = chain([first], self.rows)
        return len(numbers(first, None))


@contextmanager
def incoming(path: Path, columns: foreign.Columns = foreign.UNNAMED) -> Iterator[Incoming]:
    """Open an export of ours (parquet, jsonl, npy) or of Chroma, Qdrant or LanceDB; known by its content.

    Raises:
        DataError: it is none of these, or damaged.
        MissingExtraError: it is Parquet or Arrow, and pyarrow is not installed.
    """
    if path.is_dir():
        with _npy(path) as found:
            yield found
        return
    if not path.is_file():
        raise DataError(f'there is no file or folder "{path}"')
    with path.open("rb") as file:
        start = file.read(8)
        file.seek(0)
        if start.startswith((b"PAR1", b"ARROW1")):
            with foreign.table_errors(path.name):
                yield _arrow(file, path, columns, parquet=start.startswith(b"PAR1"))
        else:
            yield _json(file, path, columns)


def fill(store: LocalStore, found: Incoming, phase: Phase) -> int:
    """Put all rows into ``store``, which is empty; says how many there were.

    Raises:
        DataError: a row is not what it should be; the rows before it are in the store.
    """
    step, total, part = rows_at_once(store.dim), 0, list[Row]()
    for row in found.rows:
        part.append(row)
        if len(part) == step:
            _put(store, part, phase)
            total, part = total + step, []
    if part:
        _put(store, part, phase)
    total += len(part)
    if found.count not in (None, total):
        raise cut_off(found, total)
    return total


def cut_off(found: Incoming, rows: int) -> DataError:
    """The error for a file that has not so many rows as it says."""
    return DataError(
        f"{found.name} is cut off, or was changed",
        why=[("rows", str(rows)), ("its manifest says", str(found.count))],
        do=["export it again"],
    )


def _put(store: LocalStore, part: list[Row], phase: Phase) -> None:
    ids = [row.id for row in part]
    seen: dict[str, Row] = {}
    for row, before in zip(part, store.get(ids), strict=True):
        if not row.id:
            raise DataError(f"{row.where}: the id is empty")
        if before is not None or row.id in seen:
            raise DataError(f'{row.where}: the id "{row.id}" was there before', do=["ids name one row each"])
        seen[row.id] = row
    vectors = np.stack([numbers(row, store.dim) for row in part])
    try:
        store.put(ids, vectors, [row.record for row in part])
    except DataError as error:
        raise DataError(f"{part[0].where} to {part[-1].where}: {error.what}", why=error.why, do=error.do) from None
    phase.advance(len(part))


def numbers(row: Row, dim: int | None) -> Vectors:
    """The vector of a row, float32 ``(dim,)``.

    Raises:
        DataError: it is no list of numbers, of another width, or holds NaN or infinity.
    """
    try:
        given = np.asarray(row.vector)
    except (ValueError, TypeError, OverflowError):
        given = np.asarray(None)
    if given.dtype.kind not in "fiu" or given.ndim != 1 or not len(given):
        raise DataError(f"{row.where}: the vector is no list of numbers")
    if dim is not None and len(given) != dim:
        raise DataError(f"{row.where}: the vector has {len(given)} numbers, not {dim}")
    with np.errstate(over="ignore"):
        out = given.astype(np.float32)
    if not np.isfinite(out).all():
        raise DataError(f"{row.where}: the vector holds NaN or infinity")
    return out


# --- the forms -------------------------------------------------------------------------------------------------------


@contextmanager
def _npy(path: Path) -> Iterator[Incoming]:
    for name in (MANIFEST, RECORDS, VECTORS):
        if not (path / name).is_file():
            raise DataError(f"{path} is no export: it has no {name}")
    with (path / MANIFEST).open("rb") as file:
        manifest = checked_manifest(_parsed(file.read(MAX_LINE), f"{path.name}/{MANIFEST}"), path.name)
    try:
        vectors = np.load(path / VECTORS, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError, TypeError) as error:
        raise DataError(f"{path.name}/{VECTORS} is no array that can be read", why=[str(error)[:200]]) from None
    wanted = (manifest["count"], manifest["dim"])
    if vectors.dtype != np.dtype("<f4") or vectors.shape != wanted:
        raise DataError(
            f"{path.name}/{VECTORS} is another array than the manifest says",
            why=[("expected", f"float32 {wanted}"), ("found", f"{vectors.dtype} {vectors.shape}")],
        )
    with (path / RECORDS).open("rb") as file:
        yield Incoming(path.name, "npy", manifest, _npy_rows(file, path.name, vectors))


def _npy_rows(file: IO[bytes], name: str, vectors: Vectors) -> Iterator[Row]:
    for number, value in enumerate(_objects(_lines(file, f"{name}/{RECORDS}"))):
        where, row = value
        if number >= len(vectors):
            raise DataError(f"{where}: there are only {len(vectors)} vectors")
        id, record = unflat(row, where)
        yield Row(where, id, vectors[number], record)


def _json(file: IO[bytes], path: Path, columns: foreign.Columns) -> Incoming:
    first = file.readline(MAX_LINE + 1)
    head: Any = None
    if first.lstrip().startswith(b'{"' + KEY.encode() + b'"'):
        head = _parsed(first, f"{path.name}, line 1")
    if isinstance(head, dict) and set(head) == {KEY}:
        manifest = checked_manifest(head[KEY], path.name)
        rows = _jsonl_rows(_objects(_lines(file, path.name, start=2)))
        return Incoming(path.name, "jsonl", manifest, rows)
    file.seek(0)
    return _others(path.name, *foreign.from_json(file, path, columns))


def _jsonl_rows(lines: Iterator[tuple[str, dict[str, Any]]]) -> Iterator[Row]:
    for where, row in lines:
        vector = row.get("vector")
        if isinstance(vector, str):
            try:
                vector = np.frombuffer(base64.b64decode(vector, validate=True), "<f4")
            except (binascii.Error, ValueError):
                raise DataError(f"{where}: the vector is no base64 of float32") from None
        id, record = unflat(row, where)
        yield Row(where, id, vector, record)


def _arrow(file: IO[bytes], path: Path, columns: foreign.Columns, *, parquet: bool) -> Incoming:
    arrow = require("pyarrow", extra="parquet", purpose="reading Parquet and Arrow files")
    if parquet:
        table = require("pyarrow.parquet", extra="parquet", purpose="reading Parquet files").ParquetFile(file)
        groups = [table.metadata.row_group(n).total_byte_size for n in range(table.metadata.num_row_groups)]
        if groups and max(groups) > MAX_GROUP:
            raise DataError(f"{path.name}: a row group of {amount(max(groups), 'bytes')} is too much for the memory")
        schema, batches = table.schema_arrow, table.iter_batches(batch_size=256)
    else:
        reader = arrow.ipc.open_file(file)
        schema = reader.schema
        batches = (reader.get_batch(n) for n in range(reader.num_record_batches))
    about = (schema.metadata or {}).get(KEY.encode())
    if about is None:
        return _others(path.name, *foreign.from_table(schema, batches, path, columns))
    manifest = checked_manifest(_parsed(about, f"{path.name}, its metadata"), path.name)
    if len(set(schema.names)) < len(schema.names) or not {"id", "text", "meta", "vector"} <= set(schema.names):
        raise DataError(f"{path.name}: its columns are not those of an export", why=[", ".join(schema.names)[:200]])
    return Incoming(path.name, "parquet", manifest, _parquet_rows(batches, path.name))


def _parquet_rows(batches: Iterator[Any], name: str) -> Iterator[Row]:
    number = 0
    for batch in batches:
        kept = [column for column in batch.schema.names if column != "vector" and not column.startswith("meta.")]
        cells = batch.select(kept).to_pylist()
        with foreign.table_errors(name):
            vectors = foreign.vectors_of(batch.column("vector"))
        for row, vector in zip(cells, vectors, strict=True):
            number += 1
            where = f"{name}, row {number}"
            row["meta"] = _parsed(str(row["meta"]).encode("utf-8", "surrogatepass"), f"{where}, meta")
            id, record = unflat(row, where)
            yield Row(where, id, vector, record)


def _others(name: str, kind: str, rows: Iterator[foreign.Found], notes: list[str]) -> Incoming:
    return Incoming(name, kind, None, (Row(row.where, row.id, row.vector, row.record) for row in rows), notes)


def _lines(file: IO[bytes], name: str, *, start: int = 1) -> Iterator[tuple[str, bytes]]:
    number = start
    while line := file.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise DataError(f"{name}, line {number}: longer than {amount(MAX_LINE, 'bytes')}")
        yield f"{name}, line {number}", line
        number += 1


def _objects(lines: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, line in lines:
        value = _parsed(line, where)
        if not isinstance(value, dict):
            raise DataError(f"{where}: no JSON object")
        yield where, value


def _parsed(data: bytes, where: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON", why=[str(error)[:200]]) from None
