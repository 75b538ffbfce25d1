"""Parquet: one item a row, read in batches; needs pyarrow (the extra ``parquet``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sememe.extras import require
from sememe.progress import amount
from sememe.readers.source import Document, Found, ReadOptions, Unreadable
from sememe.readers.table import MAX_ROWS, Row, table_of

BATCH = 256
#: what all columns may unpack to, in bytes
MAX_UNPACKED = 4_000_000_000


def read_parquet(document: Document, options: ReadOptions) -> Found:
    """Columns as in any table; their types are the file's."""
    arrow = require("pyarrow", extra="parquet", purpose="reading Parquet files")
    parquet = require("pyarrow.parquet", extra="parquet", purpose="reading Parquet files")
    found = Found()
    try:
        file = parquet.ParquetFile(document.stream)
        meta = file.metadata
        unpacked = sum(meta.row_group(n).total_byte_size for n in range(meta.num_row_groups))
        if meta.num_rows > MAX_ROWS or unpacked > MAX_UNPACKED:
            raise Unreadable(f"{meta.num_rows} rows of {amount(unpacked, 'bytes')}: too much for one file")
        names = tuple(file.schema_arrow.names)
        if len(set(names)) < len(names):
            raise Unreadable("two of its columns have the same name")
        table_of(document.source, _rows(file, names), "row", columns=names).into(found, options)
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise Unreadable(f"not a Parquet file that can be read ({str(error).strip().splitlines()[0][:120]})") from None
    return found


def _rows(file: Any, names: tuple[str, ...]) -> Iterator[Row]:
    number = 0
    for batch in file.iter_batches(batch_size=BATCH):
        columns = [column.to_pylist() for column in batch.columns]
        for cells in zip(*columns, strict=True):
            number += 1
            yield Row(number, dict(zip(names, cells, strict=True)))
