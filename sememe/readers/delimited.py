"""CSV and TSV: one item a row. The delimiter is found by splitting the first lines and seeing which fits."""

from __future__ import annotations

import csv
import io
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Literal

from sememe.readers.lines import MAX_LINE, TooLong, bounded_lines
from sememe.readers.source import Document, Found, ReadOptions, Unreadable
from sememe.readers.table import Row, table_of
from sememe.shapes import Skipped

DELIMITERS = (",", ";", "\t", "|")
SAMPLE_LINES = 200
MAX_COLUMNS = 10_000

#: csv keeps its field limit for the whole process
_LIMIT = threading.Lock()


def read_delimited(document: Document, options: ReadOptions) -> Found:
    """The first row names the columns; rows are counted from 1 after it."""
    found = Found()
    with _LIMIT:
        before = csv.field_size_limit(MAX_LINE)
        try:
            _read(document, options, found)
        finally:
            csv.field_size_limit(before)
    return found


def _read(document: Document, options: ReadOptions, found: Found) -> None:
    name = document.source.name
    records = _Records(document, *_dialect(document))
    header = next((cells for cells in records if not isinstance(cells, str) and "".join(cells).strip()), None)
    if header is None:
        raise Unreadable("no rows")
    columns = _columns(header, found)
    table = table_of(document.source, _rows(records, columns, found, name), "row", columns=columns)
    table.words = True
    table.into(found, options)


def _rows(records: _Records, columns: tuple[str, ...], found: Found, name: str) -> Iterator[Row]:
    number = 0
    for cells in records:
        if isinstance(cells, list) and not "".join(cells).strip():
            # A blank line counts as no row; one of delimiters alone, as spreadsheets write them, does.
            if len(cells) > 1:
                number += 1
                found.skipped.append(Skipped(f"{name} row {number}", "an empty row"))
            continue
        number += 1
        if isinstance(cells, str):
            found.skipped.append(Skipped(f"{name} row {number}", cells))
        elif len(cells) != len(columns):
            reason = f"{len(cells)} columns where the header has {len(columns)} ({records.where})"
            found.skipped.append(Skipped(f"{name} row {number}", reason))
        else:
            yield Row(number, dict(zip(columns, cells, strict=True)))


class _Records:
    """The rows of the file as lists of cells; a broken one as the reason."""

    def __init__(self, document: Document, delimiter: str, quoted: bool) -> None:
        document.stream.seek(0)
        self.lines = bounded_lines(document, newline="")
        self.delimiter, self.quoted = delimiter, quoted
        self.first = self.last = self.quotes = 0
        self.too_long = False

    @property
    def where(self) -> str:
        return f"line {self.first}" if self.first >= self.last else f"lines {self.first}-{self.last}"

    def __iter__(self) -> Iterator[list[str] | str]:
        reader = csv.reader(self._fed(), delimiter=self.delimiter, quoting=_quoting(self.quoted))
        while True:
            self.first, self.quotes, self.too_long = self.last + 1, 0, False
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield f"{self.where}: {error}"
                continue
            if self.too_long:
                yield f"{self.where}: a line of more than {MAX_LINE} characters"
            elif self.quoted and self.quotes % 2 and self.first < self.last:
                yield f"{self.where}: a quote is opened and never closed"
            else:
                yield cells if self.quoted else [_unquoted(cell) for cell in cells]

    def _fed(self) -> Iterator[str]:
        for number, line in self.lines:
            self.last = number
            if isinstance(line, TooLong):
                self.too_long = True
                yield "\n"
            else:
                self.quotes += line.count('"')
                yield line


def _columns(header: list[str], found: Found) -> tuple[str, ...]:
    if len(header) > MAX_COLUMNS:
        raise Unreadable(f"{len(header)} columns, more than {MAX_COLUMNS}")
    columns: list[str] = []
    for n, cell in enumerate(header, 1):
        name = cell.strip() or f"column {n}"
        if name in columns:
            name = f"{name} ({n})"
            found.notes.append(f'two columns are called "{cell.strip()}"; the later one is "{name}"')
        columns.append(name)
    return tuple(columns)


def _dialect(document: Document) -> tuple[str, bool]:
    """The delimiter, and whether quotes are marks (a TSV file has none, unless it cannot be split otherwise)."""
    sample: list[str] = []
    size = 0
    for _, line in bounded_lines(document, newline=""):
        if not isinstance(line, TooLong) and size < MAX_LINE:
            sample.append(line)
            size += len(line)
        if len(sample) >= SAMPLE_LINES or size >= MAX_LINE:
            break
    if document.source.name.lower().endswith((".tsv", ".tab")):
        return "\t", _evenness(sample, "\t", True) > _evenness(sample, "\t", False)
    header = next((line for line in sample if line.strip()), "")
    possible = [delimiter for delimiter in DELIMITERS if delimiter in header]
    # One column: a delimiter that no line has, so that commas in the text stay where they are.
    best = max(possible, key=lambda delimiter: _evenness(sample, delimiter, True), default="\x1f")
    return best, best != "\t" or _evenness(sample, "\t", True) > _evenness(sample, "\t", False)


def _evenness(sample: list[str], delimiter: str, quoted: bool) -> tuple[float, int]:
    """The share of rows that are as wide as the first one, then that width; one column is no split."""
    try:
        text = io.StringIO("".join(sample), newline="")
        widths = [len(cells) for cells in csv.reader(text, delimiter=delimiter, quoting=_quoting(quoted)) if cells]
    except csv.Error:
        return 0.0, 0
    if len(widths) > 1 and len(sample) >= SAMPLE_LINES:
        widths.pop()  # the sample may end within it
    if not widths or widths[0] < 2:
        return 0.0, 0
    return Counter(widths)[widths[0]] / len(widths), widths[0]


def _quoting(quoted: bool) -> Literal[0, 3]:
    return csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE


def _unquoted(cell: str) -> str:
    inner = cell[1:-1]
    if len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', ""):
        return inner.replace('""', '"')
    return cell
