"""Text files of vectors: a label and its numbers on each line, with or without a line of counts before them.

That is word2vec's text format and fastText's .vec (``400000 50`` on the first line), and GloVe's (no such line). A line
is read from its right end, so that a label may hold blanks. Blocks of whole lines are read one after the other and
worked on by a few threads; memory holds a few blocks and the result.
"""

from __future__ import annotations

import gzip
import os
import re
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from sememe.errors import DataError
from sememe.shapes import Vectors
from sememe.space.formats.decimals import PAD, Bytes, Ints, decimals
from sememe.space.formats.labels import decode_labels, decode_one, distinct
from sememe.space.space import Space

BLOCK = 4_000_000
#: no line of vectors is longer: 65,536 numbers of 25 characters
LONGEST = 1_700_000
_BLANKS = b" \t\r\n"
_COUNTS = re.compile(rb"\s*(\d{1,18})[ \t]+(\d{1,9})\s*")


@dataclass(frozen=True, slots=True)
class Counts:
    """The first line of a file that has one."""

    rows: int
    dim: int


def read_lines(path: Path, *, limit: int | None = None, repeated: str = "error", unreadable: str = "error") -> Space:
    """A text file of vectors, plain or gzipped.

    Args:
        limit: read the first so many only.
        repeated: of a label that is there twice, ``error`` or keep the ``first``.
        unreadable: a label that is not UTF-8: ``error``, or ``replace`` what cannot be read by U+FFFD.

    Raises:
        DataError: with line and column, what is not as it should be.
    """
    try:
        with _opened(path) as file:
            counts, start = _first_line(file)
            labels, matrix = _read(file, path, counts, limit, unreadable)
    except (OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read", why=[str(error)]) from None
    if limit is None and counts is not None and counts.rows != len(labels):
        raise DataError(
            f"{path} is not whole, or its first line is wrong",
            why=[("line 1 says", f"{counts.rows} rows"), ("there are", str(len(labels)))],
            do=["get the file again, or read the first rows only with limit="],
        )
    kept = distinct(labels, repeated, path, unit="line", first=start)
    chosen = labels if kept is None else tuple(labels[row] for row in kept)
    told = {"source": path.name, "format": "text"}
    if kept is not None:
        told["left out"] = f"{len(labels) - len(kept)} rows whose label was there before"
    return Space(chosen, matrix if kept is None else matrix[kept], told)


def _opened(path: Path) -> BufferedIOBase:
    file = path.open("rb")
    if file.read(2) == b"\x1f\x8b":
        file.close()
        return gzip.open(path, "rb")
    file.seek(0)
    return file


def _first_line(file: BufferedIOBase) -> tuple[Counts | None, int]:
    """The counts, where there are any, and the number of the first line of vectors; the file stands before it."""
    line = file.readline(LONGEST)
    found = _COUNTS.fullmatch(line)
    if found is None or int(found[2]) == 0:
        file.seek(0)
        return None, 1
    return Counts(int(found[1]), int(found[2])), 2


def _read(
    file: BufferedIOBase, path: Path, counts: Counts | None, limit: int | None, unreadable: str
) -> tuple[tuple[str, ...], Vectors]:
    labels: list[str] = []
    blocks: list[Vectors] = []
    dim = counts.dim if counts else 0
    line, asked = (2 if counts else 1), 0
    waiting: deque[Future[tuple[list[str], Vectors]]] = deque()
    workers = min(4, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers, thread_name_prefix="sememe-lines") as pool:

        def land() -> None:
            names, rows = waiting.popleft().result()
            labels.extend(names)
            blocks.append(rows)

        for text in _blocks(file, path, line):
            dim = dim or _width(text, path)
            waiting.append(pool.submit(_vectors, text, dim, path, line, unreadable))
            rows = text.count(b"\n")
            line, asked = line + rows, asked + rows
            if len(waiting) > workers:
                land()
            if limit is not None and asked >= limit:
                break
        while waiting:
            land()
    if not blocks:
        raise DataError(f"{path} holds no vectors", why=["the file is empty" if counts is None else "only line 1"])
    matrix = np.concatenate(blocks) if len(blocks) > 1 else blocks[0]
    return tuple(labels[:limit]), matrix[:limit]


def _blocks(file: BufferedIOBase, path: Path, line: int) -> Iterator[bytes]:
    """Whole lines, each block ending with one newline; empty lines at the very end of the file are left away."""
    rest = b""
    while read := file.read(BLOCK):
        text = rest + read
        # empty lines wait for what comes after them: only those between others are an error, with their number
        cut = text.find(b"\n", len(text[: text.rfind(b"\n") + 1].rstrip(_BLANKS))) + 1 if text.strip(_BLANKS) else 0
        block, rest = text[:cut], text[cut:]
        if block.strip(_BLANKS):
            line += block.count(b"\n")
            yield block
        elif len(text) > max(LONGEST, BLOCK):
            raise DataError(f"{path}, line {line}: the line does not end", why=[f"{len(text)} bytes so far"])
        else:
            rest = text
    if rest.strip(_BLANKS):
        yield rest.rstrip(_BLANKS) + b"\n"


def _width(text: bytes, path: Path) -> int:
    """How many numbers a line has, in a file that does not say: what most of its first lines agree on."""
    lines = [line.replace(b"\t", b" ").split(b" ") for line in text[:200_000].split(b"\n")[:50] if line.strip()]
    common = Counter(sum(bool(piece.strip()) for piece in line) for line in lines).most_common(1)[0][0]
    if common < 2:
        raise DataError(f"{path}, line 1: no label with numbers", why=[f"{text[:60]!r}"])
    return common - 1


def _vectors(text: bytes, dim: int, path: Path, line: int, unreadable: str) -> tuple[list[str], Vectors]:
    """The labels and numbers of whole lines; ``line`` is the number of the first of them."""
    if b"\r" in text:
        text = text.replace(b"\r\n", b" \n")
    buffer: Bytes = np.frombuffer(b"\n" * PAD + text, np.uint8)
    starts, ends, until = _tokens(buffer)
    counts = np.diff(until, prepend=0)
    short = np.flatnonzero(counts <= dim)
    if len(short):
        row = int(short[0])
        raise DataError(
            f"{path}, line {line + row}: a label and {dim} numbers should be there",
            why=[f"there are {counts[row]} pieces in all"],
            do=["get the file again: it may have been cut off"] if row == len(until) - 1 else [],
        )
    if (counts == dim + 1).all():
        tokens = np.arange(len(starts)).reshape(-1, dim + 1)[:, 1:].ravel()
    else:
        tokens = (until[:, None] - dim + np.arange(dim)).ravel()
    first, last = starts[until - counts], ends[until - dim - 1]
    values = decimals(buffer, starts[tokens], ends[tokens])
    with np.errstate(over="ignore"):
        matrix = values.astype(np.float32).reshape(-1, dim)
    wrong = np.flatnonzero(~np.isfinite(matrix.ravel()))
    if len(wrong):
        raise _no_number(buffer, starts[tokens], ends[tokens], int(wrong[0]), dim, path, line)
    labels = decode_labels(buffer, first, last, unreadable)
    if labels is None:
        for row, (a, b) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
            decode_one(buffer[a:b].tobytes(), f"{path}, line {line + row}")
        raise AssertionError("one of the labels is not UTF-8")
    return labels, matrix


def _tokens(buffer: Bytes) -> tuple[Ints, Ints, Ints]:
    """Where the pieces between blanks start and end, and for each line how many pieces there are up to its end."""
    gaps = np.flatnonzero(buffer[PAD:] <= 32) + PAD
    kinds = buffer[gaps]
    newline = kinds == ord("\n")
    blank = newline | (kinds == ord(" ")) | (kinds == ord("\t"))
    if not blank.all():  # other control characters are part of a label
        gaps, newline = gaps[blank], newline[blank]
    starts = np.empty_like(gaps)
    starts[0], starts[1:] = PAD, gaps[:-1] + 1
    full = starts < gaps
    if full.all():
        return starts, gaps, np.flatnonzero(newline) + 1
    return starts[full], gaps[full], np.cumsum(full)[newline]


def _no_number(buffer: Bytes, starts: Ints, ends: Ints, at: int, dim: int, path: Path, line: int) -> DataError:
    row, number = divmod(at, dim)
    text = buffer[:].tobytes()
    column = int(starts[at]) - (text.rfind(b"\n", 0, int(starts[at])) + 1) + 1
    found = text[int(starts[at]) : int(ends[at])].decode("utf-8", "replace")
    return DataError(
        f"{path}, line {line + row}, column {column}: {found!r:.60} is no finite number",
        why=[f"it is number {number + 1} of {dim} of that line"],
    )


def write_lines(space: Space, path: Path, *, counts: bool = True) -> None:
    """A text file of vectors; ``counts`` says whether a line of counts comes first (word2vec, fastText) or not (GloVe).

    Each number is written with as few digits as tell it apart from every other float32.

    Raises:
        DataError: a label that would not be read back: with a line break, blanks around it, or nothing at all.
    """
    bad = next((label for label in space.labels if not _can_stand(label)), None)
    if bad is not None:
        raise DataError(
            f"the label {bad!r:.100} cannot stand in a text file of vectors", do=["write .npz or .safetensors instead"]
        )
    with path.open("w", encoding="utf-8", newline="\n") as file:
        if counts:
            file.write(f"{len(space)} {space.dim}\n")
        for label, row in zip(space.labels, space.matrix, strict=True):
            file.write(f"{label} {' '.join(map(str, row))}\n")


def _can_stand(label: str) -> bool:
    return bool(label) and label == label.strip(" \t\r") and "\n" not in label and "\r" not in label
