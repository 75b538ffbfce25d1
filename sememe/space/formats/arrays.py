"""NumPy's own files: an .npy with its labels in a text file beside it, and an .npz that holds both.

An .npy is mapped, so that opening one takes no longer for a large one. Arrays of Python objects are pickles, and are
refused. gensim writes the numbers of a large `KeyedVectors` into such a file (``name.kv.vectors.npy``); its words are
in the pickle beside it, and have to be given as a text file.
"""

from __future__ import annotations

import json
import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sememe.errors import DataError
from sememe.extras import require
from sememe.shapes import Vectors
from sememe.space.formats.labels import decode_one, distinct
from sememe.space.space import Space

#: what the labels beside ``x.npy`` may be called
BESIDE = ("{stem}.labels.txt", "{stem}.labels", "{stem}.labels.json", "{stem}.vocab", "{stem}.txt", "labels.txt")
#: what NumPy and zipfile raise over a damaged file: the header of an array is read as a piece of Python
_BROKEN = (
    ValueError, TypeError, OSError, EOFError, SyntaxError, tokenize.TokenError, MemoryError, OverflowError,
    RuntimeError, AttributeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
_MATRICES = ("vectors", "matrix", "embeddings", "arr_0")
_LABELS = ("labels", "words", "vocab", "index", "arr_1")


def read_npy(path: Path, labels: Path | None = None, *, limit: int | None = None, repeated: str = "error") -> Space:
    """A mapped .npy ``(n, d)``, with its labels from ``labels``, one a line, or from the file beside it.

    Raises:
        DataError: no labels, not as many as rows, or no matrix of numbers.
    """
    try:
        matrix = np.load(path, mmap_mode="r", allow_pickle=False)
    except _BROKEN as error:
        raise DataError(f"{path} is no matrix of NumPy's that can be read", why=[str(error)[:200]]) from None
    if labels is None:
        places = [path.with_name(name.format(stem=path.name.removesuffix(".npy"))) for name in BESIDE]
        labels = next((place for place in places if place.is_file()), None)
        if labels is None:
            raise DataError(
                f"the labels of {path} are not there",
                why=[f"looked for {', '.join(place.name for place in places)}"],
                do=["say where they are: labels="],
            )
    words = read_labels(labels)
    if matrix.ndim != 2 or len(words) != len(matrix):
        raise DataError(
            f"{labels} does not fit {path}", why=[f"{len(words)} labels, an array of the shape {matrix.shape}"]
        )
    return _space(words[:limit], matrix[:limit], path, labels, repeated)


def read_labels(path: Path) -> list[str]:
    """Labels of a text file, one a line, of a JSON list, or of the one column of strings of a Parquet file."""
    if path.suffix == ".parquet":
        return _parquet_labels(path)
    data = path.read_bytes()
    text = data.decode("utf-8") if _is_utf8(data) else ""
    if data and not text:
        for number, line in enumerate(data.split(b"\n"), 1):
            decode_one(line, f"{path}, line {number}")
    if path.suffix == ".json":
        return json_labels(text, str(path))
    lines = text.split("\n")
    # a last line break ends a line and begins none
    return [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]


def _parquet_labels(path: Path) -> list[str]:
    arrow = require("pyarrow", extra="parquet", purpose="reading Parquet")
    parquet = require("pyarrow.parquet", extra="parquet", purpose="reading Parquet")
    try:
        table = parquet.read_table(path)
        kinds = [arrow.types.is_string(field.type) or arrow.types.is_large_string(field.type) for field in table.schema]
        if sum(kinds) != 1 or table.column(kinds.index(True)).null_count:
            raise DataError(f"{path} should have one column of strings, with a value in each cell")
        words: list[str] = table.column(kinds.index(True)).to_pylist()
    except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as Parquet", why=[str(error)[:200]]) from None
    return words


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def json_labels(text: str, source: str) -> list[str]:
    """Labels out of a JSON list of strings."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise DataError(f"the labels of {source} are no JSON") from None
    if not isinstance(found, list) or not all(isinstance(label, str) for label in found):
        raise DataError(f"the labels of {source} are no list of strings")
    return found


def write_npy(space: Space, path: Path) -> None:
    """An .npy, with ``name.labels.json`` beside it."""
    with path.open("wb") as file:
        np.save(file, np.ascontiguousarray(space.matrix), allow_pickle=False)
    beside = path.with_name(path.name.removesuffix(".npy") + ".labels.json")
    beside.write_text(json.dumps(list(space.labels), ensure_ascii=False), encoding="utf-8")


def read_npz(path: Path, *, limit: int | None = None, repeated: str = "error") -> Space:
    """An .npz with a matrix and labels, under ``vectors`` and ``labels`` or one of the other usual names.

    Raises:
        DataError: one of them is not there, or is not what it claims to be.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            matrix = _member(archive, path, _MATRICES, "fiu")
            labels = _member(archive, path, _LABELS, "USu")
    except _BROKEN as error:
        raise DataError(f"{path} is no sound .npz", why=[str(error)[:200]]) from None
    if labels.dtype.kind == "u":
        words = json_labels(labels.tobytes().decode("utf-8", "replace"), str(path))
    elif labels.dtype.kind == "S":
        words = [decode_one(label, f"{path}, label {row + 1}") for row, label in enumerate(labels.ravel().tolist())]
    else:
        words = labels.ravel().tolist()
    if matrix.ndim != 2 or len(words) != len(matrix):
        raise DataError(
            f"{path}: labels and rows do not go together",
            why=[f"{len(words)} labels, an array of the shape {matrix.shape}"],
        )
    return _space(words[:limit], matrix[:limit], path, None, repeated)


def _member(archive: zipfile.ZipFile, path: Path, names: tuple[str, ...], kinds: str) -> npt.NDArray[Any]:
    there = archive.namelist()
    name = next((name for name in names if f"{name}.npy" in there), None)
    if name is None:
        raise DataError(
            f"{path} holds no array {' or '.join(names)}", why=[f"it holds {', '.join(there)[:200] or 'nothing'}"]
        )
    info = archive.getinfo(f"{name}.npy")
    try:
        with archive.open(info) as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
        # what the header claims is made room for; it has to be in the file
        if dtype.kind not in kinds or math.prod(shape) * dtype.itemsize > info.file_size:
            raise DataError(
                f"{path}: {name} is not what it claims to be",
                why=[f"{dtype} {shape} in {info.file_size} bytes"],
            )
        with archive.open(info) as file:
            array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    except _BROKEN as error:
        raise DataError(f"{path}: {name} cannot be read", why=[str(error)[:200]]) from None
    return array


def write_npz(space: Space, path: Path) -> None:
    """An .npz with ``vectors``, float32, and ``labels``, a JSON list as bytes: labels of any length take their own
    room only."""
    labels = np.frombuffer(json.dumps(list(space.labels), ensure_ascii=False).encode(), np.uint8)
    with path.open("wb") as file:
        np.savez(file, vectors=space.matrix, labels=labels)


def _space(words: list[str], matrix: Vectors, path: Path, labels: Path | None, repeated: str) -> Space:
    kept = distinct(words, repeated, labels or path, unit="label")
    told = {"source": path.name, "format": "npy" if path.suffix == ".npy" else "npz"}
    if kept is None:
        return Space(tuple(words), matrix, told)
    told["left out"] = f"{len(words) - len(kept)} rows whose label was there before"
    return Space(tuple(words[row] for row in kept), matrix[kept], told)
