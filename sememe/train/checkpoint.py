"""A model that is being learned, kept in a folder: from there a run goes on, and new texts go on with it.

The numbers are .npy files with the epoch in their names; ``state.json`` names them and is replaced last, so that a
kill leaves the older state or the newer one, never half of each.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sememe.errors import DataError, UsageError
from sememe.shapes import Vectors
from sememe.train.options import Options, Parts
from sememe.train.vocabulary import Vocabulary

STATE = "state.json"
_FORM = 1


@dataclass(frozen=True, eq=False)
class State:
    """After ``epoch`` epochs: rows of words, buckets and documents, and of outputs, as `kernel.Model` has them."""

    options: Options
    seed: int
    checksum: int
    epoch: int
    vocabulary: Vocabulary
    inputs: Vectors
    outputs: Vectors


def save(folder: Path, state: State) -> None:
    """Put a state into a folder, in place of the one that is there."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {name: f"{name}-{state.epoch}.npy" for name in ("inputs", "outputs")}
    np.save(folder / names["inputs"], state.inputs)
    np.save(folder / names["outputs"], state.outputs)
    known = {
        "form": _FORM,
        "options": dataclasses.asdict(state.options),
        "seed": state.seed,
        "checksum": state.checksum,
        "epoch": state.epoch,
        "files": names,
        "words": state.vocabulary.words,
        "counts": state.vocabulary.counts.tolist(),
    }
    written = folder / (STATE + ".new")
    with written.open("w", encoding="utf-8") as file:
        json.dump(known, file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    written.replace(folder / STATE)
    for old in (*folder.glob("inputs-*.npy"), *folder.glob("outputs-*.npy")):
        if old.name not in names.values():
            old.unlink(missing_ok=True)


def load(folder: Path) -> State:
    """Read a state.

    Raises:
        UsageError: there is none.
        DataError: its files are not what was written.
    """
    path = folder / STATE
    if not path.is_file():
        raise UsageError(f"{folder} holds no model that is being learned", why=[f"no {STATE}"])
    try:
        known = json.loads(path.read_text("utf-8"))
        if known["form"] != _FORM:
            raise DataError(f"{path} has form {known['form']}", why=[f"this version reads {_FORM}"])
        vocabulary = Vocabulary(tuple(known["words"]), np.array(known["counts"], np.int64))
        inputs, outputs = (_matrix(folder / Path(known["files"][name]).name) for name in ("inputs", "outputs"))
        state = State(
            _options(known["options"]), known["seed"], known["checksum"], known["epoch"], vocabulary, inputs, outputs
        )
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise DataError(f"{path} is damaged", why=[f"{type(error).__name__}: {error}"]) from None
    if len(inputs) < len(vocabulary) or inputs.shape[1] != outputs.shape[1]:
        raise DataError(f"{folder} is damaged", why=[f"{len(vocabulary)} words, inputs {inputs.shape}"])
    return state


def _matrix(path: Path) -> Vectors:
    matrix = np.load(path, allow_pickle=False)
    if matrix.dtype != np.float32 or matrix.ndim != 2:
        raise DataError(f"{path} is damaged", why=[f"{matrix.dtype} {matrix.shape}"])
    return np.ascontiguousarray(matrix)


def _options(known: dict[str, Any]) -> Options:
    parts = known.pop("parts")
    return Options(**known, parts=None if parts is None else Parts(**parts))
