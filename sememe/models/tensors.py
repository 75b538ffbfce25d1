"""Weights into a safetensors file: numbers as float32, everything else as it was, one tensor in memory at a time."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.models.weights import Weights

if TYPE_CHECKING:
    import numpy.typing as npt

#: numpy's kinds in the words of the format
_KINDS = {"float32": "F32", "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "bool": "BOOL"}
_KINDS |= {f"uint{bits}": f"U{bits}" for bits in (8, 16, 32, 64)}
_BYTES = {"F32": 4, "I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_FLOATS = ("F64", "F32", "F16", "BF16")


def write_tensors(file: Path, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write arrays under their names."""
    found = {name: _plain(array) for name, array in tensors.items()}
    told = {name: (_KINDS[array.dtype.name], array.shape) for name, array in found.items()}
    _write(file, told, lambda name: found[name])


def copy_weights(weights: Weights, file: Path) -> None:
    """All tensors of a folder's weights into one file, widened or narrowed to float32."""
    told = {}
    for name in weights:
        kind = weights.dtype(name)
        told[name] = ("F32" if kind in _FLOATS else kind, weights.shape(name))
    _write(file, told, lambda name: _plain(weights(name)))


def _plain(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.ascontiguousarray(array, np.float32 if array.dtype.kind == "f" else array.dtype)


def _write(
    file: Path, told: Mapping[str, tuple[str, tuple[int, ...]]], read: Callable[[str], npt.NDArray[Any]]
) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (kind, shape) in told.items():
        size = math.prod(shape) * _BYTES[kind]
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % 64)  # so that a reader may map the numbers where they lie
    with file.open("wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for name in told:
            out.write(read(name).reshape(-1).view(np.uint8).data)
        out.flush()
        os.fsync(out.fileno())
