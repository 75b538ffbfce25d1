"""Weights out of safetensors files, memory-mapped.

A safetensors file is eight bytes (the header's length, little-endian), a JSON header that gives each tensor's dtype,
shape and byte range, and the bytes. The header comes from outside, so each number in it is checked against the file
before anything is mapped. Nothing else is read: other formats of weights run code when they are opened.
"""

from __future__ import annotations

import contextlib
import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from sememe.errors import ModelError
from sememe.models import jsonfile

#: the limit of the format itself
HEADER_LIMIT = 100_000_000
DIMENSIONS_LIMIT = 32
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")

_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "I16": np.dtype("<i2"), "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"), "U32": np.dtype("<u4"), "U16": np.dtype("<u2"), "U8": np.dtype("u1"),
    "BOOL": np.dtype("u1"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Tensor:
    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int


class Weights:
    """The tensors of a model folder by name; ``with Weights.open(folder) as weights: weights("embeddings.weight")``."""

    def __init__(self, tensors: dict[str, _Tensor], maps: dict[Path, mmap.mmap]) -> None:
        self._tensors = tensors
        self._maps = maps

    @classmethod
    def open(cls, folder: Path | str) -> Weights:
        """Map the weights in ``folder`` (or one ``.safetensors`` file).

        Raises:
            ModelError: no safetensors there, or the files are damaged or contradict themselves.
        """
        files, placed = find_weights(Path(folder))
        tensors: dict[str, _Tensor] = {}
        maps: dict[Path, mmap.mmap] = {}
        try:
            for file in files:
                maps[file], found = _map(file)
                twice = tensors.keys() & found.keys()
                if twice:
                    name = min(twice)
                    raise ModelError(f'the tensor "{name}" is in two files', why=[str(tensors[name].file), str(file)])
                tensors.update(found)
            _check_index(placed, tensors)
        except BaseException:
            for map_ in maps.values():
                map_.close()
            raise
        return cls(tensors, maps)

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __len__(self) -> int:
        return len(self._tensors)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def names(self) -> tuple[str, ...]:
        """All tensor names, in the order of the files."""
        return tuple(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one tensor, without reading it."""
        return self._find(name).shape

    def dtype(self, name: str) -> str:
        """The stored type of one tensor, in the format's own words (``F32``, ``BF16`` …)."""
        return self._find(name).dtype

    def get(self, name: str) -> npt.NDArray[Any]:
        """One tensor, read-only.

        F32 is a view into the mapped file where its bytes are aligned; BF16 is widened to float32; every other type
        keeps its own. The view stays valid after `close`.
        """
        tensor = self._find(name)
        if tensor.file not in self._maps:
            raise ModelError(f'the weights are closed; "{name}" can no longer be read')
        dtype = _DTYPES[tensor.dtype]
        count = tensor.size // dtype.itemsize
        flat: npt.NDArray[Any]
        if count == 0:
            flat = np.empty(0, dtype)
        else:
            flat = np.frombuffer(self._maps[tensor.file], dtype, count=count, offset=tensor.start)
        if tensor.dtype == "BF16":
            # a bfloat16 is the upper half of a float32
            flat = (flat.astype(np.uint32) << 16).view(np.float32)
        elif tensor.dtype == "BOOL":
            flat = flat != 0
        elif not flat.flags.aligned:
            flat = flat.copy()
        array = flat.reshape(tensor.shape)
        array.flags.writeable = False
        return array

    __call__ = get

    def close(self) -> None:
        """Let the files go. Arrays that are still in use keep their own map alive until they are gone."""
        for map_ in self._maps.values():
            # While a view is alive a map cannot be closed; it goes with the last of them.
            with contextlib.suppress(BufferError):
                map_.close()
        self._maps = {}

    def __enter__(self) -> Weights:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _find(self, name: str) -> _Tensor:
        try:
            return self._tensors[name]
        except KeyError:
            near = ", ".join(sorted(self._tensors)[:5])
            raise ModelError(
                f'the weights hold no tensor "{name}"', why=[f"{len(self._tensors)} tensors, such as {near}"]
            ) from None


def find_weights(folder: Path) -> tuple[tuple[Path, ...], dict[str, Path]]:
    """The safetensors files of a folder, and, where an index file names them, the file of each tensor.

    Raises:
        ModelError: there are none; when there are pickled weights instead, it says why they are refused.
    """
    if folder.is_file():
        refuse_pickled(folder)
        return (folder,), {}
    index = folder / "model.safetensors.index.json"
    single = folder / "model.safetensors"
    if single.exists():
        return (single,), {}
    if index.exists():
        return _read_index(index)
    others = sorted(folder.glob("*.safetensors"))
    if len(others) == 1:
        return (others[0],), {}
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        refuse_pickled(file)
    why = [f"files there: {', '.join(file.name for file in others)}"] if others else []
    raise ModelError(f"{folder} holds no model.safetensors", why=why)


def refuse_pickled(file: Path) -> None:
    """Raise `ModelError` when ``file`` is of a kind that runs code on opening."""
    if file.suffix.lower() in PICKLED:
        raise ModelError(
            f"{file} is not opened: it may be a pickle, and opening a pickle runs whatever code is in it",
            why=["sememe reads weights from .safetensors only, which hold numbers and nothing else"],
            do=[
                "look for model.safetensors beside it where the model comes from",
                "or convert it with the tool that wrote it, if you trust the file",
            ],
        )


def _read_index(index: Path) -> tuple[tuple[Path, ...], dict[str, Path]]:
    places = jsonfile.read_object(index, limit=HEADER_LIMIT).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise ModelError(f'{index} has no "weight_map"')
    placed: dict[str, Path] = {}
    for name, shard in places.items():
        if not isinstance(shard, str) or Path(shard).name != shard or "\\" in shard or "\0" in shard:
            raise ModelError(f"{index} names a file outside of its folder", why=[f"{shard!r:.200}"])
        if not shard.endswith(".safetensors"):
            refuse_pickled(index.parent / shard)
            raise ModelError(f"{index} names a file that is not .safetensors", why=[shard[:200]])
        placed[name] = index.parent / shard
    files = tuple(sorted(set(placed.values())))
    missing = [file.name for file in files if not file.exists()]
    if missing:
        raise ModelError(
            f"{index.parent} lacks {len(missing)} of the {len(files)} files that {index.name} names", why=missing[:10]
        )
    return files, placed


def _check_index(placed: dict[str, Path], tensors: dict[str, _Tensor]) -> None:
    for name, file in placed.items():
        if name not in tensors or tensors[name].file != file:
            raise ModelError(f'the index says that "{name}" is in {file}, but it is not')


def _map(file: Path) -> tuple[mmap.mmap, dict[str, _Tensor]]:
    try:
        with file.open("rb") as handle:
            length = handle.seek(0, 2)
            if length < 8:
                raise ModelError(f"{file} is cut off", why=[f"{length} bytes; a safetensors file has at least 10"])
            map_ = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise ModelError(f"{file} cannot be read", why=[error.strerror or str(error)]) from None
    try:
        return map_, _read_header(map_, file)
    except BaseException:
        map_.close()
        raise


def _read_header(map_: mmap.mmap, file: Path) -> dict[str, _Tensor]:
    length = int.from_bytes(map_[:8], "little")
    if length > HEADER_LIMIT:
        raise ModelError(
            f"{file} is not a safetensors file",
            why=[f"its header claims {length} bytes; at most {HEADER_LIMIT} are allowed"],
        )
    if 8 + length > len(map_):
        raise ModelError(f"{file} is cut off", why=[f"its header ends at byte {8 + length}, the file at {len(map_)}"])
    header = jsonfile.parse(map_[8 : 8 + length], source=f"the header of {file}")
    if not isinstance(header, dict):
        raise ModelError(f"the header of {file} is not a JSON object")
    header.pop("__metadata__", None)
    data = 8 + length
    tensors = {name: _read_tensor(file, name, entry, data) for name, entry in header.items()}
    _check_ranges(file, tensors, data, len(map_))
    return tensors


def _read_tensor(file: Path, name: str, entry: object, data: int) -> _Tensor:
    def broken(reason: str) -> ModelError:
        return ModelError(f'{file}: the tensor "{name:.200}" is broken', why=[reason])

    if not isinstance(entry, dict):
        raise broken("its entry in the header is not an object")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise broken(f"its type is {dtype!r:.100}; known are {', '.join(_DTYPES)}")
    if not _naturals(shape) or len(shape) > DIMENSIONS_LIMIT:
        raise broken(f"its shape is {shape!r:.200}")
    if not _naturals(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise broken(f"its byte range is {offsets!r:.200}")
    # an array of no elements may still have dimensions that no machine can address
    if math.prod(extent for extent in shape if extent) >= 2**48:
        raise broken(f"its shape is {shape!r:.200}")
    size = math.prod(shape) * _DTYPES[dtype].itemsize
    if size != offsets[1] - offsets[0]:
        raise broken(f"{dtype} {shape} takes {size} bytes, its range {offsets} holds {offsets[1] - offsets[0]}")
    return _Tensor(file, dtype, tuple(shape), data + offsets[0], size)


def _naturals(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**63 for n in value)


def _check_ranges(file: Path, tensors: dict[str, _Tensor], data: int, end: int) -> None:
    # The format wants the bytes covered without a hole: what no tensor claims has no business in the file.
    at = data
    for name, tensor in sorted(tensors.items(), key=lambda pair: (pair[1].start, pair[1].size)):
        if tensor.start + tensor.size > end:
            raise ModelError(
                f"{file} is cut off",
                why=[f'"{name:.200}" ends at byte {tensor.start + tensor.size}, the file at {end}'],
            )
        if tensor.start != at:
            kind = "overlaps the one before" if tensor.start < at else "leaves a hole before it"
            raise ModelError(
                f'{file}: the tensor "{name:.200}" {kind}', why=[f"it starts at byte {tensor.start} instead of {at}"]
            )
        at += tensor.size
    if at != end:
        raise ModelError(f"{file} holds bytes that belong to no tensor", why=[f"from byte {at} to {end}"])
