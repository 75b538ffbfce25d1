"""What others export: Chroma's ``collection.get`` as JSON, Qdrant's scroll as JSON, and tables with a column of
vectors, as LanceDB writes them to Parquet or Arrow. Which column holds the text is said, or clear; nothing
is guessed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from sememe.errors import DataError, SememeError
from sememe.progress import amount
from sememe.readers.columns import ID_NAMES, choose
from sememe.readers.encoding import storable
from sememe.readers.scalars import NoScalar, tidy
from sememe.readers.source import ReadOptions
from sememe.shapes import Place, Record, Scalar, content_hash

#: a JSON file that is one value has to be held as a whole
MAX_JSON = 2_000_000_000
#: rows that are looked at before the columns are chosen
SAMPLE = 1000


@dataclass(frozen=True, slots=True)
class Columns:
    """What is asked for by name: the columns of the text, the ids and the vector, and those to be kept (None: all)."""

    text: str | None = None
    id: str | None = None
    vector: str | None = None
    meta: tuple[str, ...] | None = None


UNNAMED = Columns()


@dataclass(frozen=True, slots=True)
class Found:
    """One row of a file of others, its record made."""

    where: str
    id: str
    vector: Any
    record: Record


@dataclass(frozen=True, slots=True)
class Raw:
    """One row before its columns are chosen. ``id`` and ``text`` None: they stand in ``cells``, if anywhere."""

    number: int
    id: Any
    vector: Any
    text: Any
    cells: Mapping[str, Any]


Told = tuple[str, Iterator[Found], list[str]]


def from_json(file: IO[bytes], path: Path, columns: Columns) -> Told:
    """The rows of a JSON file by Chroma or Qdrant."""
    size = path.stat().st_size
    if size > MAX_JSON:
        raise DataError(f"{path.name}: {amount(size, 'bytes')} of JSON in one value is too much for the memory")
    try:
        value = json.load(file)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path.name} is not JSON", why=[str(error)[:200]]) from None
    if isinstance(value, dict) and {"ids", "embeddings"} <= set(value):
        return "Chroma", *_found(_chroma(value, path.name), path.name, columns)
    points = _points(value)
    if points is not None:
        return "Qdrant", *_found(_qdrant(points, path.name, columns), path.name, columns)
    raise DataError(
        f"{path.name} is no export that is known",
        why=["it is JSON, but neither our jsonl, nor Chroma's get() with ids and embeddings, nor Qdrant's points"],
        do=["see docs/exchange.md for what each of them has to be asked for"],
    )


def _chroma(value: Mapping[str, Any], name: str) -> Iterator[Raw]:
    ids, vectors = value["ids"], value["embeddings"]
    texts, metas = value.get("documents"), value.get("metadatas")
    if not isinstance(ids, list) or not isinstance(vectors, list):
        raise DataError(f"{name}: ids or embeddings are missing", do=['ask Chroma for include=["embeddings", …]'])
    for key, column in (("embeddings", vectors), ("documents", texts), ("metadatas", metas)):
        if column is not None and (not isinstance(column, list) or len(column) != len(ids)):
            held = len(column) if isinstance(column, list) else "none"
            raise DataError(f"{name}: {len(ids)} ids came with {held} {key}")
    for n, (id, vector) in enumerate(zip(ids, vectors, strict=True)):
        cells = metas[n] if metas else None
        yield Raw(n + 1, id, vector, texts[n] if texts else None, _object(cells, f"{name}, row {n + 1}, metadata"))


def _points(value: Any) -> list[Any] | None:
    """The points of one answer of Qdrant's scroll, of a list of such answers, or a plain list of points."""
    if isinstance(value, dict):
        inner = value.get("result", value)
        points = inner.get("points") if isinstance(inner, dict) else None
        return points if isinstance(points, list) else None
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        if all("id" in one and "vector" in one for one in value):
            return value
        pages = [_points(one) for one in value]
        if all(page is not None for page in pages):
            return list(chain.from_iterable(page or [] for page in pages))
    return None


def _qdrant(points: list[Any], name: str, columns: Columns) -> Iterator[Raw]:
    for number, point in enumerate(points, 1):
        where = f"{name}, point {number}"
        if not isinstance(point, dict):
            raise DataError(f"{where}: no JSON object")
        vector = point.get("vector")
        if vector is None:
            raise DataError(f"{where}: it has no vector", do=["ask Qdrant's scroll for with_vector: true"])
        if isinstance(vector, dict):
            chosen = columns.vector or (next(iter(vector)) if len(vector) == 1 else None)
            if chosen not in vector:
                raise DataError(
                    f"{where}: it is not clear which of its vectors is meant",
                    why=[("vectors", ", ".join(map(repr, vector))[:200])],
                    do=[("name it", "--vector NAME")],
                )
            vector = vector[chosen]
        yield Raw(number, point.get("id"), vector, None, _object(point.get("payload"), f"{where}, payload"))


def from_table(schema: Any, batches: Iterator[Any], path: Path, columns: Columns) -> Told:
    """The rows of an Arrow schema and batches with a column of vectors."""
    names = schema.names
    if len(set(names)) < len(names):
        raise DataError(f"{path.name}: two of its columns have the same name")
    lists = [field.name for field in schema if _holds_floats(field.type)]
    vector = columns.vector or ("vector" if "vector" in lists else lists[0] if len(lists) == 1 else "")
    if vector not in lists:
        raise DataError(
            f"{path.name}: it is not clear which column holds the vectors",
            why=[("columns", ", ".join(names)[:200]), ("of lists of floats", ", ".join(lists)[:200] or "none")],
            do=[("name it", "--vector COL")],
        )
    return "LanceDB", *_found(_table(batches, vector, path.name), path.name, columns)


def _holds_floats(kind: Any) -> bool:
    inner = getattr(kind, "value_type", None)
    return inner is not None and str(inner) in ("float", "double", "halffloat")


def _table(batches: Iterator[Any], vector: str, name: str) -> Iterator[Raw]:
    number = 0
    for batch in batches:
        with table_errors(name):
            rest = [column for column in batch.schema.names if column != vector]
            cells, vectors = batch.select(rest).to_pylist(), vectors_of(batch.column(vector))
        for row, numbers in zip(cells, vectors, strict=True):
            number += 1
            yield Raw(number, None, numbers, None, row)


def vectors_of(column: Any) -> Iterator[Any]:
    """Each cell of an Arrow column of lists as an array, None for an empty one."""
    for cell in column:
        values: Any = getattr(cell, "values", None) if cell.is_valid else None
        yield values.to_numpy(zero_copy_only=False) if hasattr(values, "to_numpy") else None


@contextmanager
def table_errors(name: str) -> Iterator[None]:
    """Errors of Arrow as ours."""
    try:
        yield
    except SememeError:
        raise
    except Exception as error:
        if not type(error).__module__.startswith("pyarrow") and not isinstance(error, (OSError, ValueError)):
            raise
        said = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise DataError(f"{name} cannot be read", why=[said], do=["export it again"]) from None


def _found(raws: Iterable[Raw], name: str, columns: Columns) -> tuple[Iterator[Found], list[str]]:
    """Choose the columns by the first rows, and make the records."""
    rest = iter(raws)
    sample = list(islice(rest, SAMPLE))
    if not sample:
        raise DataError(f"{name} holds no vectors")
    flat = [_flat(raw.cells) for raw in sample]
    names = tuple(dict.fromkeys(key for cells in flat for key in cells))
    text, title, notes = None, None, list[str]()
    if columns.text is not None or any(raw.text is None for raw in sample):
        if not names:
            raise DataError(f"{name} holds no texts", do=["export the documents too"])
        choice = choose(name, names, flat, ReadOptions(text=columns.text, id=columns.id, meta=columns.meta))
        text, title = choice.text, choice.title
        notes += [choice.note] if choice.note else []
    keys = [columns.id] if columns.id is not None else [key for key in ID_NAMES if key in names and key != text]
    key = keys[0] if len(keys) == 1 else None
    if key is None and sample[0].id is None:
        notes.append("there is no column of ids: rows are numbered")
    return _records(chain(sample, rest), name, (text, title, key), columns.meta), notes


def _records(
    raws: Iterable[Raw], name: str, chosen: tuple[str | None, str | None, str | None], kept: tuple[str, ...] | None
) -> Iterator[Found]:
    text_key, title_key, id_key = chosen
    for raw in raws:
        where, cells = f"{name}, row {raw.number}", _flat(raw.cells)
        text = cells.get(text_key) if text_key is not None else raw.text
        if not isinstance(text, str):
            raise DataError(f"{where}: there is no text", why=[f"{text_key or 'its document'} is {_shown(text)}"])
        used = {text_key, title_key} | ({id_key} if raw.id is None else set())
        meta = {
            storable(k): _value(k, v, where)
            for k, v in cells.items()
            if k not in used and (kept is None or k in kept)
        }  # fmt: skip
        title = cells.get(title_key) if title_key is not None else ""
        text = storable(text)
        place = Place(name, raw.number, raw.number, "row")
        record = Record(text, place, storable(str(title or "")), "", (0, len(text)), content_hash(text), meta)
        yield Found(where, _id(raw, cells, id_key, where), raw.vector, record)


def _id(raw: Raw, cells: Mapping[str, Any], key: str | None, where: str) -> str:
    if raw.id is None and key is None:
        return str(raw.number)
    id = raw.id if raw.id is not None else cells.get(str(key))
    if isinstance(id, bool) or not isinstance(id, (str, int)):
        raise DataError(f"{where}: the id is {_shown(id)}, neither a text nor a whole number")
    return str(id)


def _flat(cells: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Fields of objects inside become fields called ``outer.inner``."""
    out: dict[str, Any] = {}
    for key, value in cells.items():
        if isinstance(value, dict):
            out |= _flat(value, f"{before}{key}.")
        else:
            out[f"{before}{key}"] = value
    return out


def _value(key: str, value: Any, where: str) -> Scalar | list[Scalar]:
    try:
        return tidy(value)
    except NoScalar as kind:
        raise DataError(
            f'{where}: the field "{key}" holds a {kind}, which a record cannot',
            do=[("keep only some fields", "--meta COL")],
        ) from None


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DataError(f"{where}: no JSON object")
    return value


def _shown(value: Any) -> str:
    return (
        "missing" if value is None else f"a {type(value).__name__}" if not isinstance(value, str) else repr(value)[:60]
    )
