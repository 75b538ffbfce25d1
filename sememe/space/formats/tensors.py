"""safetensors: the matrix is the tensor ``vectors``, the bytes of the tensor ``labels`` are the labels, a JSON list."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

from sememe.errors import DataError
from sememe.models.weights import Weights
from sememe.space.formats.arrays import json_labels, read_labels
from sememe.space.formats.labels import distinct
from sememe.space.space import Space

_MATRICES = ("vectors", "matrix", "embeddings", "embedding.weight", "embeddings.weight")


def read_safetensors(
    path: Path, labels: Path | None = None, *, limit: int | None = None, repeated: str = "error"
) -> Space:
    """A mapped safetensors file. Labels that it does not hold itself come from ``labels``.

    Raises:
        ModelError: the file is damaged.
        DataError: no matrix or no labels in it, or not as many labels as rows.
    """
    with Weights.open(path) as weights:
        name = next((name for name in _MATRICES if name in weights), None)
        if name is None:
            raise DataError(
                f"{path} holds no tensor {' or '.join(_MATRICES)}",
                why=[f"it holds {', '.join(weights.names())[:200] or 'nothing'}"],
            )
        matrix = weights(name)
        if labels is not None:
            words = read_labels(labels)
        elif "labels" in weights and weights.dtype("labels") == "U8":
            words = json_labels(weights("labels").tobytes().decode("utf-8", "replace"), str(path))
        else:
            raise DataError(f"{path} holds no labels", do=["say where they are: labels="])
    if matrix.ndim != 2 or len(words) != len(matrix):
        raise DataError(
            f"{path}: labels and rows do not go together", why=[f"{len(words)} labels, a tensor {matrix.shape}"]
        )
    words, matrix = words[:limit], matrix[:limit]
    kept = distinct(words, repeated, labels or path, unit="label")
    told = {"source": path.name, "format": "safetensors"}
    if kept is not None:
        told["left out"] = f"{len(words) - len(kept)} rows whose label was there before"
        words, matrix = [words[row] for row in kept], matrix[kept]
    return Space(tuple(words), matrix, told)


def write_safetensors(space: Space, path: Path) -> None:
    """One safetensors file that holds both; its numbers begin at a multiple of eight bytes, so that they are mapped."""
    labels = json.dumps(list(space.labels), ensure_ascii=False).encode()
    size = 4 * space.matrix.size
    header = {
        "vectors": {"dtype": "F32", "shape": list(space.matrix.shape), "data_offsets": [0, size]},
        "labels": {"dtype": "U8", "shape": [len(labels)], "data_offsets": [size, size + len(labels)]},
    }
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        file.write(np.ascontiguousarray(space.matrix, "<f4").tobytes())
        file.write(labels)
