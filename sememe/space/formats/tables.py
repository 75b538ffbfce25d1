"""Tables: TensorFlow's projector (a TSV of numbers, a TSV of labels) and Parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sememe.errors import DataError
from sememe.extras import require
from sememe.space.formats.arrays import read_labels
from sememe.space.formats.decimals import PAD, decimals
from sememe.space.formats.labels import distinct
from sememe.space.space import Space

#: what the two files of a projector are called
VECTORS, METADATA = ("vectors.tsv", "tensors.tsv", "tensor.tsv"), ("metadata.tsv", "labels.tsv")


def read_projector(folder: Path, *, limit: int | None = None, repeated: str = "error") -> Space:
    """A folder with ``vectors.tsv`` and ``metadata.tsv``.

    Metadata of several columns has their names in its first line, and labels in the first column, or in the one that is
    called label, word or name; metadata of one column has no such line.

    Raises:
        DataError: a file that is missing, or what is wrong with it, with line and column.
    """
    numbers, words = (
        next((folder / name for name in names if (folder / name).is_file()), None) for names in (VECTORS, METADATA)
    )
    if numbers is None or words is None:
        raise DataError(f"{folder} lacks {VECTORS[0] if numbers is None else METADATA[0]}")
    lines = read_labels(words)
    if lines and "\t" in lines[0]:
        names = [name.strip().lower() for name in lines[0].split("\t")]
        column = next((at for at, name in enumerate(names) if name in ("label", "word", "name")), 0)
        cells = [line.split("\t") for line in lines[1:]]
        short = next((row for row, cell in enumerate(cells) if len(cell) <= column), None)
        if short is not None:
            raise DataError(f"{words}, line {short + 2}: there is no column {column + 1}")
        lines = [cell[column] for cell in cells]
    matrix = _numbers(numbers)
    if len(matrix) != len(lines):
        raise DataError(f"{words} does not fit {numbers}", why=[f"{len(lines)} labels, {len(matrix)} rows"])
    kept = distinct(lines[:limit], repeated, words, unit="label")
    told = {"source": folder.name, "format": "projector"}
    if kept is None:
        return Space(tuple(lines[:limit]), matrix[:limit], told)
    told["left out"] = f"{len(lines[:limit]) - len(kept)} rows whose label was there before"
    return Space(tuple(lines[row] for row in kept), matrix[kept], told)


def _numbers(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    text = path.read_bytes().replace(b"\r\n", b"\n").rstrip(b"\n") + b"\n"
    if text == b"\n":
        raise DataError(f"{path} is empty")
    buffer = np.frombuffer(b"\n" * PAD + text, np.uint8)
    ends = np.flatnonzero((buffer[PAD:] == ord("\t")) | (buffer[PAD:] == ord("\n"))) + PAD
    starts = np.concatenate([[PAD], ends[:-1] + 1])
    widths = np.diff(np.flatnonzero(buffer[ends] == ord("\n")) + 1, prepend=0)
    odd = np.flatnonzero(widths != widths[0])
    if len(odd):
        raise DataError(f"{path}, line {odd[0] + 1}: {widths[odd[0]]} numbers instead of {widths[0]}")
    with np.errstate(over="ignore"):
        values = decimals(buffer, starts, ends).astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        line, column = divmod(int(bad[0]), int(widths[0]))
        found = buffer[starts[bad[0]] : ends[bad[0]]].tobytes()[:60].decode("utf-8", "replace")
        raise DataError(f"{path}, line {line + 1}, column {column + 1}: {found!r} is no finite number")
    return values.reshape(-1, int(widths[0]))


def write_projector(space: Space, folder: Path) -> None:
    """``vectors.tsv`` and ``metadata.tsv`` in ``folder``, which is made.

    Raises:
        DataError: a label with a tab or a line break in it.
    """
    bad = next((label for label in space.labels if {"\t", "\n", "\r"} & set(label)), None)
    if bad is not None:
        raise DataError(f"the label {bad!r:.100} cannot stand in a TSV", do=["write .npz or .safetensors instead"])
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / VECTORS[0]).open("w", encoding="utf-8", newline="\n") as file:
        file.writelines("\t".join(map(str, row)) + "\n" for row in space.matrix)
    with (folder / METADATA[0]).open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{label}\n" for label in space.labels)


def read_parquet(path: Path, *, limit: int | None = None, repeated: str = "error") -> Space:
    """A Parquet file with one column of strings and one of lists of numbers, all of one length.

    Raises:
        DataError: there are no such columns, several of them, or a cell without a value.
        MissingExtraError: pyarrow is not installed.
    """
    arrow = require("pyarrow", extra="parquet", purpose="reading Parquet")
    parquet = require("pyarrow.parquet", extra="parquet", purpose="reading Parquet")
    try:
        table = parquet.read_table(path)
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet", why=[str(error)[:200]]) from None
    kinds = arrow.types
    texts = [f.name for f in table.schema if kinds.is_string(f.type) or kinds.is_large_string(f.type)]
    lists = [f.name for f in table.schema if _of_numbers(kinds, f.type)]
    if len(texts) != 1 or len(lists) != 1:
        raise DataError(
            f"{path} should have one column of strings and one of lists of numbers",
            why=[f"strings: {', '.join(texts) or 'none'}", f"lists: {', '.join(lists) or 'none'}"],
        )
    table = table.slice(0, limit).combine_chunks()
    words, cells = table[texts[0]], table[lists[0]].combine_chunks()
    flat = cells.flatten()
    if words.null_count or cells.null_count or flat.null_count:
        raise DataError(f"{path} has cells without a value")
    widths = set(np.asarray(arrow.compute.list_value_length(cells)).tolist())
    if len(widths) > 1:
        raise DataError(f"{path}: vectors of several widths", why=[f"from {min(widths)} to {max(widths)}"])
    try:
        labels = words.to_pylist()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} has labels that are not UTF-8", why=[str(error)]) from None
    matrix = np.asarray(flat, np.float32).reshape(len(labels), -1)
    kept = distinct(labels, repeated, path, unit="row")
    told = {"source": path.name, "format": "Parquet"}
    if kept is not None:
        told["left out"] = f"{len(labels) - len(kept)} rows whose label was there before"
        labels, matrix = [labels[row] for row in kept], matrix[kept]
    return Space(tuple(labels), matrix, told)


def _of_numbers(kinds: object, found: object) -> bool:
    lists = ("is_list", "is_large_list", "is_fixed_size_list")
    return any(getattr(kinds, name)(found) for name in lists) and bool(kinds.is_floating(found.value_type))  # type: ignore[attr-defined]


def write_parquet(space: Space, path: Path) -> None:
    """A Parquet file with the columns ``label`` and ``vector``, a list of fixed size.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    arrow = require("pyarrow", extra="parquet", purpose="writing Parquet")
    parquet = require("pyarrow.parquet", extra="parquet", purpose="writing Parquet")
    flat = arrow.array(np.ascontiguousarray(space.matrix).ravel(), arrow.float32())
    vectors = arrow.FixedSizeListArray.from_arrays(flat, space.dim)
    parquet.write_table(arrow.table({"label": arrow.array(space.labels, arrow.string()), "vector": vectors}), path)
