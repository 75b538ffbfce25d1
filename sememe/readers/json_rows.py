"""JSON: lines of objects (`.jsonl`), or one file that holds a list of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sememe.errors import DataError
from sememe.readers.lines import MAX_LINE, TooLong, bounded_lines
from sememe.readers.plain import read_code
from sememe.readers.source import Document, Found, ReadOptions, Unreadable
from sememe.readers.table import Row, table_of
from sememe.shapes import Skipped

#: a file whose first lines are all broken is no JSON lines; naming each of a million lines would help nobody
ALL_BROKEN = 20


def read_json_lines(document: Document, options: ReadOptions) -> Found:
    """One item a line; a broken line is named by its number."""
    found = Found()
    table_of(document.source, _lines(document, found), "line").into(found, options)
    return found


def read_json(document: Document, options: ReadOptions) -> Found:
    """A list of objects or strings, also as the only list inside one object; any other JSON is read as text."""
    found = Found()
    try:
        value = parse(document.text())
    except ValueError as error:
        raise Unreadable(f"not JSON: {error}") from None
    rows = _rows_inside(value)
    if rows is None:
        if options.text is not None:
            raise DataError(
                f'{document.source.name} has no column "{options.text}"',
                why=["it holds no list of objects"],
                do=["read it without naming a column: it is taken as text then"],
            )
        document.stream.seek(0)
        return read_code(document, options)
    called = document.source.name
    table_of(document.source, _numbered(rows, found, called), "row").into(found, options)
    return found


def parse(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is not JSON, or holds deeper lists or longer numbers than Python takes.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _lines(document: Document, found: Found) -> Iterator[Row]:
    name = document.source.name
    read = 0
    for number, line in bounded_lines(document, newline="\n"):
        if isinstance(line, TooLong):
            found.skipped.append(Skipped(f"{name}:{number}", f"a line of more than {MAX_LINE} characters"))
            continue
        if not line.strip():
            continue
        try:
            yield _row(number, parse(line))
            read += 1
        except ValueError as error:
            found.skipped.append(Skipped(f"{name}:{number}", f"not JSON: {error}"))
            if not read and len(found.skipped) >= ALL_BROKEN:
                found_first = found.skipped[0].reason
                raise Unreadable(f"no JSON lines (line 1: {found_first})") from None
        except _NoRow as error:
            found.skipped.append(Skipped(f"{name}:{number}", str(error)))


class _NoRow(Exception):
    pass


def _row(number: int, value: Any) -> Row:
    if isinstance(value, str):
        return Row(number, {"text": value})
    if isinstance(value, dict):
        return Row(number, value)
    raise _NoRow(f"neither an object nor a text but a {type(value).__name__}")


def _numbered(rows: list[Any], found: Found, name: str) -> Iterator[Row]:
    for number, value in enumerate(rows, 1):
        try:
            yield _row(number, value)
        except _NoRow as error:
            found.skipped.append(Skipped(f"{name} row {number}", str(error)))


def _rows_inside(value: Any) -> list[Any] | None:
    if isinstance(value, dict):
        lists = [inner for inner in value.values() if _is_rows(inner)]
        return lists[0] if len(lists) == 1 else None
    return value if _is_rows(value) else None


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(row, (dict, str)) for row in value)
