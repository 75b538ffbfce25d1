"""A path into a space, and a space into a file: which format it is, is seen from the contents.

read_space("glove.6B.50d.txt")        read_space("GoogleNews.bin")        read_space("cc.de.300.bin")
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from sememe.errors import DataError, UsageError
from sememe.space.formats import arrays, fasttext, lines, tables, tensors, word2vec
from sememe.space.formats.labels import check_ways
from sememe.space.space import Space

FORMATS = ("word2vec", "text", "fasttext", "npy", "npz", "safetensors", "parquet", "projector")
#: the ending of a file that is written, and its format
ENDINGS = {
    ".bin": "word2vec", ".txt": "text", ".vec": "text", ".npy": "npy", ".npz": "npz",
    ".safetensors": "safetensors", ".parquet": "parquet", "": "projector",
}  # fmt: skip
_FASTTEXT = struct.pack("<i", fasttext.MAGIC)


def read_space(
    path: Path | str,
    *,
    format: str | None = None,
    labels: Path | str | None = None,
    limit: int | None = None,
    repeated: str = "error",
    unreadable: str = "error",
) -> Space:
    """The space in a file or folder.

    Args:
        format: one of `FORMATS`; None finds out.
        labels: the file of labels, one a line, for formats that hold none.
        limit: read the first so many rows only.
        repeated: of a label that is there twice, ``error`` or keep the ``first``.
        unreadable: a label that is not UTF-8 (text and word2vec): ``error``, or ``replace`` by U+FFFD.

    Raises:
        DataError: it is not there, of no known format, or damaged; with line and column, row or byte.
        UsageError: an unknown option.
    """
    path, beside = Path(path), None if labels is None else Path(labels)
    check_ways(repeated, unreadable)
    if limit is not None and limit < 1:
        raise UsageError(f"limit={limit} leaves nothing to read")
    if not path.exists():
        raise DataError(f"{path} is not there")
    for place in (path, beside):
        if place is not None and place.is_file() and not _readable(place):
            raise DataError(f"{place} cannot be read")
    kind = sniff(path) if format is None else format
    if kind == "text":
        return lines.read_lines(path, limit=limit, repeated=repeated, unreadable=unreadable)
    if kind == "word2vec":
        return word2vec.read_word2vec(path, limit=limit, repeated=repeated, unreadable=unreadable)
    if kind in ("npy", "safetensors"):
        read = arrays.read_npy if kind == "npy" else tensors.read_safetensors
        return read(path, beside, limit=limit, repeated=repeated)
    readers: dict[str, Callable[..., Space]] = {
        "fasttext": fasttext.read_fasttext, "npz": arrays.read_npz,
        "projector": tables.read_projector, "parquet": tables.read_parquet,
    }  # fmt: skip
    if kind not in readers:
        raise UsageError(f'format="{kind}" is not known', do=[f"use one of: {', '.join(FORMATS)}"])
    return readers[kind](path, limit=limit, repeated=repeated)


def sniff(path: Path) -> str:
    """The format of a file or folder, by its first bytes.

    Raises:
        DataError: none that is known; a pickle, which is never opened.
    """
    if path.is_dir():
        if any((path / name).is_file() for name in tables.VECTORS):
            return "projector"
        raise DataError(f"{path} is a folder without vectors", why=[f"it should hold {tables.VECTORS[0]}"])
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(b"\x80") and head[1:2] in b"\x02\x03\x04\x05":
        raise _pickle(path)
    marks = {_FASTTEXT: "fasttext", b"\x93NUMPY": "npy", b"PK\x03\x04": "npz", b"PAR1": "parquet", b"\x1f\x8b": "text"}
    for mark, kind in marks.items():
        if head.startswith(mark):
            return kind
    if head[8:9] == b"{" and len(head) > 9 and int.from_bytes(head[:8], "little") < 100_000_000:
        return "safetensors"
    first, newline, rest = head.partition(b"\n")
    counts = first.split()
    if newline and len(counts) == 2 and all(part.isdigit() for part in counts):
        # a line of counts stands before numbers as text, or as they are: then bytes are among them that no text has
        return "word2vec" if _is_binary(rest) else "text"
    if b"\0" in head:
        raise DataError(
            f"{path} is of no format that is known", why=[f"it begins with {head[:16]!r}"],
            do=[f"known are {', '.join(FORMATS)}"],
        )  # fmt: skip
    return "text"


def _is_binary(data: bytes) -> bool:
    """Whether these are raw numbers: of the pieces after a word all would be decimals in a text."""
    pieces = data.split(b"\n")[0].split(b" ")[1:]
    decimals = sum(bool(piece) and not piece.strip(b"+-.0123456789eEnaifNAIF\r") for piece in pieces)
    return b"\0" in data or 2 * decimals < len(pieces)


def _pickle(path: Path) -> DataError:
    return DataError(
        f"{path} is not opened: it is a pickle, and opening a pickle runs whatever code is in it",
        why=["gensim keeps the words of a model in a pickle"],
        do=[
            'where it was made: vectors.save_word2vec_format("vectors.bin", binary=True)',
            "or read name.kv.vectors.npy beside it, with labels= a text file of its words",
        ],
    )


def _readable(path: Path) -> bool:
    try:
        path.open("rb").close()
    except OSError:
        return False
    return True


def write_space(space: Space, path: Path | str, *, format: str | None = None) -> None:
    """Write a space, in the format of the path's ending (`ENDINGS`) unless ``format`` says another.

    ``glove`` is a text without the line of counts. What is there is replaced.

    Raises:
        UsageError: a format that is not written.
        DataError: a label that the format has no room for.
    """
    path = Path(path)
    kind = ENDINGS.get(path.suffix, "") if format is None else format
    writers: dict[str, Callable[[Space, Path], None]] = {
        "text": lines.write_lines, "word2vec": word2vec.write_word2vec, "npy": arrays.write_npy,
        "npz": arrays.write_npz, "safetensors": tensors.write_safetensors, "parquet": tables.write_parquet,
        "projector": tables.write_projector, "glove": lambda space, path: lines.write_lines(space, path, counts=False),
    }  # fmt: skip
    if kind not in writers:
        raise UsageError(
            f"no format is known for {path.name}" if format is None else f'format="{format}" is not written',
            do=[f"use one of: {', '.join(writers)}"],
        )
    writers[kind](space, path)
