"""Lines of a file one by one, none of them longer than memory should hold."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from sememe.readers.source import Document

MAX_LINE = 10_000_000


@dataclass(frozen=True, slots=True)
class TooLong:
    """In place of a line of more than `MAX_LINE` characters, which was passed over."""


def bounded_lines(document: Document, *, newline: str) -> Iterator[tuple[int, str | TooLong]]:
    """Number (from 1) and text of each line, its end kept.

    Args:
        newline: as for ``open``: ``""`` ends a line at ``\\n``, ``\\r`` or both, ``"\\n"`` at that alone.
    """
    wrapper = io.TextIOWrapper(document.stream, document.survey.encoding, "replace", newline=newline)
    try:
        number = 0
        while line := wrapper.readline(MAX_LINE + 1):
            number += 1
            if len(line) <= MAX_LINE:
                yield number, line
                continue
            while line and not line.endswith(("\n", "\r")):
                line = wrapper.readline(MAX_LINE)
            yield number, TooLong()
    finally:
        with suppress(ValueError):  # the stream is closed, if this generator outlived it in an error
            wrapper.detach()  # else the wrapper would close the stream
