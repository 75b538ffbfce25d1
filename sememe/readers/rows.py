"""Items from what a Python program has in its hands: texts, rows, columns, data frames, paths.

Data frames are known by what they can do, so that none of their libraries is imported here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from sememe.errors import DataError, UsageError
from sememe.readers.encoding import storable
from sememe.readers.read import DEFAULTS, read
from sememe.readers.source import Found, Reading, ReadOptions, Source, Unreadable
from sememe.readers.table import Row, Table
from sememe.readers.walk import walk
from sememe.shapes import Item, Place, Skipped, content_hash

#: hexadecimal digits of a content hash that make an id: 64 bits, no two alike among millions
ID_DIGITS = 16


def paths_of(value: Any) -> list[Path] | None:
    """The paths that ``value`` is (a path, a string, a list of paths), or None: a *list* of strings is texts."""
    if isinstance(value, (str, Path)):
        return [Path(value)]
    if isinstance(value, (list, tuple)) and value and all(isinstance(entry, Path) for entry in value):
        return list(value)
    return None


def items_from(value: Any, options: ReadOptions = DEFAULTS, *, name: str = "data") -> Reading:
    """The items in ``value``: one for each text, row, or section of a file.

    Texts and rows without an id get one from their content, so that adding them again changes nothing; equal ones are
    kept once, with a note. Several files come as one reading, without a hash.

    Args:
        value: a list of texts or of mappings, a mapping of columns, a data frame of pandas or polars, an Arrow table,
            a path or a list of paths, any other iterable of texts, mappings or items.
        options: which columns hold what.
        name: stands for the file in the places of items that came from none.

    Raises:
        DataError: the columns are not clear, ids are there twice, or a given path does not exist.
        UsageError: ``value`` is of a kind that holds no items, or an option cannot act on it.
    """
    paths = paths_of(value)
    if paths is not None:
        return _of_paths(paths, options)
    columns, entries = _entries(value)
    first = next(entries, None)
    entries = chain([] if first is None else [first], entries)
    source = Source(Path(name), name, 0, 0, named=True)
    found = Found()
    if isinstance(first, Item):
        _given_items(entries, found)
    elif isinstance(first, str) and columns is None:
        if options.text is not None or options.id is not None or options.meta is not None:
            raise UsageError("a list of texts has no columns", do=["leave out text, id and meta, or give mappings"])
        _texts(entries, found, name)
    elif first is not None:
        table = Table(name, _rows(entries, found, name), "row", default_id=_id_of_row, columns=columns)
        try:
            table.into(found, options)
        except Unreadable as error:
            found.notes.append(f"{name}: {error}")
    return Reading(source, tuple(_once(found)), "", tuple(found.skipped), tuple(found.notes))


def _of_paths(paths: list[Path], options: ReadOptions) -> Reading:
    listing = walk(paths)
    readings = [read(source, options) for source in listing.files]
    if len(readings) == 1 and not listing.skipped:
        return readings[0]
    skipped = chain(listing.skipped, *(reading.skipped for reading in readings))
    notes = (f"{reading.source.name}: {note}" for reading in readings for note in reading.notes)
    shown = ", ".join(str(path) for path in paths[:3])
    source = Source(paths[0], shown, sum(reading.source.size for reading in readings), 0, named=True)
    items = chain.from_iterable(reading.items for reading in readings)
    return Reading(source, tuple(items), "", tuple(skipped), (*listing.notes, *notes))


def _entries(value: Any) -> tuple[tuple[str, ...] | None, Iterator[Any]]:
    """Column names where the value has them, and its texts, rows or items one by one."""
    if isinstance(value, Mapping):
        return _of_columns(value)
    if hasattr(value, "column_names") and hasattr(value, "to_batches"):  # Arrow
        names = _unique(value.column_names)
        return names, (row for batch in value.to_batches() for row in batch.to_pylist())
    if hasattr(value, "columns") and hasattr(value, "iter_rows"):  # polars
        names = _unique(value.columns)
        return names, (dict(zip(names, cells, strict=True)) for cells in value.iter_rows())
    if hasattr(value, "columns") and hasattr(value, "itertuples"):  # pandas
        names = _unique(value.columns)
        return names, (dict(zip(names, row, strict=True)) for row in value.itertuples(index=False, name=None))
    if isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray)):
        return None, iter(value)
    raise UsageError(
        f"a {type(value).__name__} holds no items",
        do=["give a list of texts or of mappings, a data frame, an Arrow table, or a path"],
    )


def _of_columns(value: Mapping[Any, Any]) -> tuple[tuple[str, ...], Iterator[Any]]:
    names = _unique(value)
    lengths = {}
    for column, cells in zip(names, value.values(), strict=True):
        if isinstance(cells, (str, bytes)) or not hasattr(cells, "__len__"):
            raise UsageError(
                f'the column "{column}" is no list but a {type(cells).__name__}',
                do=["give a list of rows: [{…}, {…}], or columns of equal length: {name: [ … ]}"],
            )
        lengths[column] = len(cells)
    if len(set(lengths.values())) > 1:
        raise DataError("the columns differ in length", why=[(column, str(n)) for column, n in lengths.items()])
    return names, (dict(zip(names, cells, strict=True)) for cells in zip(*value.values(), strict=True))


def _unique(columns: Iterable[Any]) -> tuple[str, ...]:
    names = tuple(str(column) for column in columns)
    repeated = sorted({column for column in names if names.count(column) > 1})
    if repeated:
        raise DataError(f'two columns are called "{repeated[0]}"', do=["give each its own name"])
    return names


def _rows(entries: Iterable[Any], found: Found, name: str) -> Iterator[Row]:
    for number, entry in enumerate(entries, 1):
        if isinstance(entry, Mapping):
            yield Row(number, {str(key): value for key, value in entry.items()})
        else:
            found.skipped.append(Skipped(f"{name} row {number}", f"no mapping but a {type(entry).__name__}"))


def _texts(entries: Iterable[Any], found: Found, name: str) -> None:
    for number, entry in enumerate(entries, 1):
        place = Place(name, number, number, "row")
        if not isinstance(entry, str):
            found.skipped.append(Skipped(str(place), f"no text but a {type(entry).__name__}"))
        elif not entry.strip():
            found.skipped.append(Skipped(str(place), "empty"))
        else:
            text = storable(entry)
            found.items.append(Item(text, place, id=content_hash(text)[:ID_DIGITS]))


def _given_items(entries: Iterable[Any], found: Found) -> None:
    for number, entry in enumerate(entries, 1):
        if isinstance(entry, Item):
            found.items.append(entry)
        else:
            found.skipped.append(Skipped(f"item {number}", f"no item but a {type(entry).__name__}"))


def _id_of_row(row: Row) -> str:
    # The position would be no id: the first row of the next list would replace the first row of this one.
    return content_hash(json.dumps(row.cells, sort_keys=True, default=str))[:ID_DIGITS]


def _once(found: Found) -> Iterator[Item]:
    seen: dict[str, Item] = {}
    equal = 0
    for item in found.items:
        first = seen.setdefault(item.id, item) if item.id else item
        if first is item:
            yield item
        elif first.text != item.text:
            raise DataError(f'the id "{item.id}" is there twice', why=[str(first.place), str(item.place)])
        else:
            equal += 1
    if equal:
        found.notes.append(f"{equal} equal to an earlier one: kept once")
