"""The tables of one collection, in a schema of its own, and how rows get into them and out again.

``items`` holds records and vectors: the meta as it was put (``meta``) and as filters look at it (``facts``), the vector
with the checksum of its bytes, and whether its length is ``odd``: pgvector computes in float32, where the squares of
very long and very short vectors overflow or vanish; such rows are scored here.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sememe.errors import DataError, StoreError, UsageError
from sememe.shapes import Place, Record, Scalar, Vectors
from sememe.store.batch import Batch
from sememe.store.filter_tree import storable
from sememe.store.scan import ODD
from sememe.store.servers.postgres_filter import facts_of

LAYOUT = 1
#: pgvector's own limits: of the type, and of its HNSW index
WIDEST, WIDEST_HNSW = 16_000, 2_000
#: up to this width a vector stands in its row and not beside it (TOAST), which searches would have to look up
INLINE = 1024
COLUMNS = "source, first, last, unit, title, item, span_start, span_end, hash, meta, text"

_TABLES = """
CREATE SCHEMA {schema};
CREATE TABLE {schema}.layout (version int NOT NULL);
CREATE TABLE {schema}.manifest (key text PRIMARY KEY, value json NOT NULL);
CREATE TABLE {schema}.sources (source text COLLATE "C" PRIMARY KEY, hash text NOT NULL);
CREATE TABLE {schema}.fields (name text COLLATE "C", kind text, PRIMARY KEY (name, kind));
CREATE TABLE {schema}.items (
    id text COLLATE "C" PRIMARY KEY, source text COLLATE "C" NOT NULL, first bigint NOT NULL, last bigint NOT NULL,
    unit text NOT NULL, title text COLLATE "C" NOT NULL, item text COLLATE "C" NOT NULL, span_start bigint NOT NULL,
    span_end bigint NOT NULL, hash text COLLATE "C" NOT NULL, meta json NOT NULL, text text COLLATE "C" NOT NULL,
    facts jsonb NOT NULL, vector vector({dim}) NOT NULL, crc bigint NOT NULL, odd boolean NOT NULL
);
CREATE INDEX items_source ON {schema}.items (source);
CREATE INDEX items_item ON {schema}.items (item);
CREATE INDEX items_hash ON {schema}.items (hash);
CREATE INDEX items_odd ON {schema}.items (id) WHERE odd;
CREATE TABLE {schema}.quarantine (id text, source text, title text, meta json, text text);
"""


def create_tables(cursor: Any, schema: str, dim: int, manifest: Mapping[str, Any], index: str) -> None:
    """Make them, empty.

    Raises:
        StoreError: they are there already, or the database is none for text in UTF-8.
    """
    (encoding,) = cursor.execute("SHOW server_encoding").fetchone()
    if encoding != "UTF8":
        raise StoreError("the database does not keep texts as UTF-8", why=[("its encoding", encoding)])
    if cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [schema.strip('"')]).fetchone():
        raise StoreError("there is a collection of this name already")
    cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
    cursor.execute(_TABLES.format(schema=schema, dim=int(dim)))
    if dim <= INLINE:
        cursor.execute(f"ALTER TABLE {schema}.items ALTER COLUMN vector SET STORAGE PLAIN")
    if index == "hnsw":
        cursor.execute(f"CREATE INDEX items_hnsw ON {schema}.items USING hnsw (vector vector_cosine_ops)")
    cursor.execute(f"INSERT INTO {schema}.layout VALUES (%s)", [LAYOUT])
    cursor.executemany(
        f"INSERT INTO {schema}.manifest VALUES (%s, %s::json)",
        [(key, json.dumps(value)) for key, value in manifest.items()],
    )


def put_rows(
    cursor: Any,
    schema: str,
    batch: Batch,
    records: Sequence[Record],
    *,
    drop: Iterable[str],
    sources: Mapping[str, str],
) -> None:
    """Rows out and in, and the sources that are complete, inside of the caller's transaction."""
    for text in (*sources, *sources.values()):
        if not storable(text):
            raise DataError(f"the source {text!r} holds a NUL or half of a surrogate pair")
    gone = [*batch.ids, *(id for id in drop if storable(id))]
    cursor.execute(f"DELETE FROM {schema}.items WHERE id = ANY (%s::text[])", [gone])
    if batch.ids:
        with cursor.copy(f"COPY {schema}.items FROM STDIN (FORMAT binary)") as copy:
            for part in _copied(batch, records):
                copy.write(part)
        _upsert(cursor, schema, "fields", "name, kind", sorted(batch.fields), "NOTHING")
    _upsert(cursor, schema, "sources", "source, hash", list(sources.items()), "UPDATE SET hash = excluded.hash")


def _upsert(
    cursor: Any, schema: str, table: str, columns: str, pairs: Sequence[tuple[str, str]], otherwise: str
) -> None:
    target = f"({columns if table == 'fields' else columns.split(',')[0]})"
    cursor.execute(
        f"INSERT INTO {schema}.{table} ({columns}) SELECT * FROM unnest(%s::text[], %s::text[])"
        f" ON CONFLICT {target} DO {otherwise}",
        [[first for first, _ in pairs], [second for _, second in pairs]],
    )


def _copied(batch: Batch, records: Sequence[Record]) -> Iterator[bytes]:
    """PostgreSQL's binary copy format, row by row, in the order of the columns of ``items``."""
    yield b"PGCOPY\n\xff\r\n\0" + bytes(8)
    dim = batch.vectors.shape[1]
    head = struct.pack(">HH", dim, 0)
    odds, crcs = odd_rows(batch.vectors), checksums(batch.vectors)
    bodies = batch.vectors.astype(">f4")
    for number, (id, record) in enumerate(zip(batch.ids, records, strict=True)):
        fields = [*_columns(id, record), head + bodies[number].tobytes(), crcs[number], bool(odds[number])]
        yield struct.pack(">h", len(fields)) + b"".join(_field(field) for field in fields)
    yield struct.pack(">h", -1)


def _columns(id: str, record: Record) -> list[str | int | bytes]:
    place = record.place
    plain = {k: v if v is None or isinstance(v, (str, int, float)) else list(v) for k, v in record.meta.items()}
    meta = json.dumps(plain, ensure_ascii=False, allow_nan=False)
    where: tuple[str | int, ...] = (place.source, place.start, place.end, place.unit)
    facts = b"\x01" + facts_of(record.meta).encode()  # jsonb's version comes first
    return [id, *where, record.title, record.item, *record.span, record.hash, meta, record.text, facts]


def _field(value: str | int | bytes | bool) -> bytes:
    if isinstance(value, bool):
        body = b"\x01" if value else b"\x00"
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise DataError(f"a place or a span counts to {value}, which is beyond 64 bits")
        body = struct.pack(">q", value)
    else:
        body = value if isinstance(value, bytes) else value.encode()
    return struct.pack(">i", len(body)) + body


def odd_rows(vectors: Vectors) -> Any:
    """bool ``(n,)``: which rows are too long or too short (zero among them) for products in float32."""
    wide = vectors.astype(np.float64)
    lengths = np.sqrt((wide * wide).sum(axis=1))
    return (lengths < ODD[0]) | (lengths > ODD[1])


def checksums(vectors: Vectors) -> list[int]:
    """CRC-32 of each row's float32 bytes, little-endian."""
    return [zlib.crc32(row.tobytes()) for row in vectors.astype("<f4", copy=False)]


def vectors_of(values: Sequence[bytes], dim: int) -> Vectors:
    """float32 ``(n, dim)`` of what a binary cursor gives for the type vector."""
    rows = np.frombuffer(b"".join(value[4:] for value in values), ">f4")
    return np.ascontiguousarray(rows.reshape(len(values), dim), dtype=np.float32)


def record_of(row: Sequence[Any]) -> Record:
    """A record from the values of `COLUMNS`."""
    source, first, last, unit, title, item, start, end, digest, meta, text = row
    return Record(text, Place(source, first, last, unit), title, item, (start, end), digest, meta)


def check_shape(dim: int, index: str) -> None:
    """Refuse what pgvector cannot hold.

    Raises:
        UsageError: a width or the name of an index that it does not have.
    """
    if index not in ("exact", "hnsw"):
        raise UsageError(f'index="{index}" is not known', do=["use one of: exact, hnsw"])
    widest = WIDEST if index == "exact" else WIDEST_HNSW
    if not 1 <= dim <= widest:
        raise UsageError(f"pgvector holds vectors of 1 to {widest} numbers ({index}), not of {dim}")


def texts(values: Iterable[Scalar]) -> list[str]:
    """Those that PostgreSQL can look for; no other was ever put."""
    return [value for value in values if isinstance(value, str) and storable(value)]
