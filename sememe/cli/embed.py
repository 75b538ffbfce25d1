"""``sememe embed``: texts into vectors, on stdout or into a file."""

from __future__ import annotations

import base64
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from sememe.cli import options
from sememe.cli.output import Output, opened
from sememe.cli.session import Session
from sememe.cli.talk import WithinPhase, counted
from sememe.errors import DataError, UsageError

if TYPE_CHECKING:
    from sememe.shapes import Vectors

#: texts that are encoded and written before the next ones are read, so that a pipe flows and memory stays bounded
BATCH = 4096
#: a line longer than this is no text that somebody meant to encode
LONGEST_LINE = 64_000_000


@click.command("embed")
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option("-i", "file", metavar="FILE", help="One text a line from this file; - is stdin.")
@click.option("--as", "role", type=click.Choice(["document", "query"]), default="document", show_default=True)
@click.option(
    "--long", "on_long", type=click.Choice(["warn", "error", "cut", "mean"]), default="warn", show_default=True,
    help="What to do with a text that is longer than the encoder takes.",
)  # fmt: skip
@click.option(
    "--format", "form", type=click.Choice(["jsonl", "npy", "base64", "hex"]), default="jsonl", show_default=True,
    help="base64 and hex: float32 little-endian, one vector a line.",
)  # fmt: skip
@click.option("-o", "out", metavar="FILE", help="Write to this file; it appears whole or not at all.")
@options.encoding
@options.common
def command(
    session: Session, texts: tuple[str, ...], file: str | None, role: str, on_long: str, form: str, out: str | None
) -> None:
    """Turn texts into vectors.

    Texts are arguments, or lines of a file (-i FILE) or of stdin (-). As many vectors come out as texts go in, in
    their order; an empty line is an empty text.
    """
    if form == "npy" and out in (None, "-") and sys.stdout.isatty():
        raise UsageError("npy is binary and would be written to the terminal", do=[("write", "-o vectors.npy")])
    source = _texts(texts, file)
    encoder = session.encoder()
    session.say_cut(encoder)
    began, count, kept = time.perf_counter(), 0, []
    total = len(texts) if texts and texts != ("-",) else None
    progress = session.talk.progress()
    with opened(out) as output, progress.phase("encode", total=total, unit="texts") as phase:
        while batch := list(islice(source, BATCH)):
            vectors = encoder.encode(batch, role=role, on_long=on_long, progress=WithinPhase(phase))
            count += len(batch)
            if form == "npy":
                kept.append(vectors)
            else:
                _write(output, batch, vectors, form)
        if form == "npy":
            _write_npy(output, kept, encoder.dim)
    how = encoder.describe()
    seconds = time.perf_counter() - began
    session.talk.say(
        f"{counted(count, 'vector')} of {encoder.dim} dims, {encoder.name} {how.get('precision', '')}, {seconds:.2f} s"
    )


def _texts(texts: tuple[str, ...], file: str | None) -> Iterator[str]:
    if texts == ("-",):
        texts, file = (), file or "-"
    if texts and file:
        raise UsageError("texts come from the arguments or from -i FILE, not from both", do=["leave one out"])
    if texts:
        return iter(texts)
    if not file:
        raise UsageError(
            "there is nothing to embed",
            do=[
                ("one text", 'sememe embed "a text"'),
                ("a file", "sememe embed -i FILE"),
                ("stdin", "… | sememe embed -"),
            ],
        )
    return _lines(file)


def _lines(file: str) -> Iterator[str]:
    stream: BinaryIO
    if file == "-":
        yield from _decoded(sys.stdin.buffer, "stdin")
        return
    with Path(file).open("rb") as stream:
        yield from _decoded(stream, file)


def _decoded(stream: BinaryIO, name: str) -> Iterator[str]:
    number = 0
    while raw := stream.readline(LONGEST_LINE):
        number += 1
        if len(raw) == LONGEST_LINE:
            raise DataError(f"{name} line {number} is longer than {LONGEST_LINE:,} bytes", do=["check the file"])
        try:
            yield raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{name} line {number} is not UTF-8",
                why=[f"byte {raw[error.start]:#04x} at column {error.start + 1}"],
                do=[("convert it", f"iconv -f latin1 -t utf-8 {name}")],
            ) from None


def _write(output: Output, texts: list[str], vectors: Vectors, form: str) -> None:
    little = vectors.astype("<f4")
    for text, row in zip(texts, little, strict=True):
        if form == "jsonl":
            # Through text: the shortest decimals that read back as the same float32.
            output.json({"text": text, "vector": [float(number) for number in row.astype("U24")]}, indent=None)
        else:
            data = row.tobytes()
            output.line(base64.b64encode(data).decode("ascii") if form == "base64" else data.hex())


def _write_npy(output: Output, parts: list[Vectors], dim: int) -> None:
    import io

    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, np.concatenate([np.empty((0, dim), np.float32), *parts]), allow_pickle=False)
    output.bytes(buffer.getvalue())
