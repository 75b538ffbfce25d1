"""Where a command's data goes: stdout, or the file of ``-o``, which appears whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from sememe.cli.failures import ReaderLeft


class Output:
    """Lines and bytes of data, written as UTF-8 whatever the locale."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream

    def bytes(self, data: bytes) -> None:
        """Write ``data`` as it is."""
        try:
            self.stream.write(data)
        except BrokenPipeError:
            raise ReaderLeft from None

    def line(self, text: str = "") -> None:
        """One line. Undecodable file names come out as the bytes that they are."""
        try:
            data = text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            data = text.encode("utf-8", "replace")
        self.bytes(data + b"\n")

    def json(self, value: Any, *, indent: int | None = 2) -> None:
        """One JSON value; NaN and infinities, which JSON does not have, raise ValueError."""
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            text = json.dumps(value, allow_nan=False, indent=indent)
        self.line(text)

    def rows(self, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
        """CSV with a header line; what is no plain value stands as JSON in its cell."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([_cell(row.get(column)) for column in columns])
            self.line(buffer.getvalue().rstrip("\n"))
            buffer.seek(0)
            buffer.truncate()

    def flush(self) -> None:
        """Hand over what is buffered."""
        try:
            self.stream.flush()
        except BrokenPipeError:
            raise ReaderLeft from None


@contextmanager
def opened(path: str | None) -> Iterator[Output]:
    """``path`` as an `Output`, stdout for None and ``-``. A file is replaced only when all went well."""
    if path is None or path == "-":
        sys.stdout.flush()
        output = Output(sys.stdout.buffer)
        yield output
        output.flush()
        return
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            yield Output(stream)
        partial.replace(target)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def printable(text: str) -> str:
    """``text`` without control characters: what stands in a file must not steer the terminal."""
    return "".join(c if c.isprintable() or c == " " else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))


def table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> list[str]:
    """Lines with aligned columns; nothing for no rows but the header."""
    cells = [list(header), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)
