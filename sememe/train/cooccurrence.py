"""How often words stand near each other, counted within a bound on memory.

Pairs of frequent words have a place in a triangle of their own; others go into a hash table. When that is full, it is
written to a temporary file, sorted; at the end the sorted runs are merged, a stretch of keys at a time.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from sememe.progress import SILENT, Progress
from sememe.train.glove_kernel import EMPTY, count_stretch
from sememe.train.stream import Stream

#: a pair of words, the smaller row first, as ``first << 32 | second``, and its weight
PAIR = np.dtype([("key", np.uint64), ("weight", np.float64)])
Pairs = npt.NDArray[Any]

#: places of the table, at most: a larger one no longer fits near the processor, which costs more than it saves
PLACES = 1 << 21
#: rows of words whose pairs are in the triangle
FREQUENT = 1024
_BYTES = 16
_STRETCH = 200_000


@dataclass(frozen=True, eq=False)
class Cooccurrences:
    """``pairs``: of type `PAIR`, sorted by key, mapped from a file that goes when they do. ``runs``: how often memory
    was full."""

    pairs: Pairs
    runs: int


def count(stream: Stream, *, window: int = 10, memory: int = 1 << 28, progress: Progress = SILENT) -> Cooccurrences:
    """Count the pairs of a stream within ``window`` words and about ``memory`` bytes."""
    room = min(1 << max(10, (memory // 2 // _BYTES).bit_length() - 1), PLACES)
    triangle = np.zeros((min(FREQUENT, int(stream.ids.max()) + 1),) * 2, np.float64)
    keys, weights, filled = np.full(room, EMPTY, np.uint64), np.zeros(room), 0
    lengths: list[int] = []
    with tempfile.TemporaryFile(prefix="sememe-pairs-") as file:
        with progress.phase("pair", total=len(stream.ids), unit="words") as phase:
            for first, last in stream.segments(_STRETCH):
                at, ids = 0, stream.ids[first:last]
                while True:
                    before = at
                    at, filled = count_stretch(ids, at, window, triangle, keys, weights, filled)
                    phase.advance(at - before)
                    if at == len(ids):
                        break
                    lengths.append(_spill(file, keys, weights))
                    filled = 0
        lengths.append(_spill(file, keys, weights))
        low, high = np.nonzero(triangle)
        frequent = np.empty(len(low), PAIR)
        frequent["key"] = low.astype(np.uint64) << np.uint64(32) | high.astype(np.uint64)
        frequent["weight"] = triangle[low, high]
        lengths.append(_write(file, frequent))
        file.flush()
        return Cooccurrences(_merged(file, lengths, memory // 2), len(lengths) - 2)


def _spill(file: IO[bytes], keys: npt.NDArray[np.uint64], weights: npt.NDArray[np.float64]) -> int:
    used = np.flatnonzero(keys != EMPTY)
    used = used[np.argsort(keys[used])]
    run = np.empty(len(used), PAIR)
    run["key"], run["weight"] = keys[used], weights[used]
    keys[:] = EMPTY
    return _write(file, run)


def _write(file: IO[bytes], run: Pairs) -> int:
    file.write(run.tobytes())
    return len(run)


def _merged(file: IO[bytes], lengths: list[int], memory: int) -> Pairs:
    if not sum(lengths):
        return np.zeros(0, PAIR)
    whole = np.memmap(file, PAIR, mode="r")
    ends = np.cumsum(lengths)
    runs = [whole[end - length : end] for end, length in zip(ends, lengths, strict=True) if length]
    # Borders that share the keys out evenly, judged by every so many keys of each run.
    step = max(1, memory // _BYTES // 64 // len(runs))
    some = np.sort(np.concatenate([run["key"][::step] for run in runs]))
    borders = [*some[64::64], EMPTY]
    starts = [0] * len(runs)
    with tempfile.TemporaryFile(prefix="sememe-pairs-") as out:
        for border in borders:
            stops = [int(np.searchsorted(run["key"], border)) for run in runs]
            part = np.concatenate([run[a:b] for run, a, b in zip(runs, starts, stops, strict=True)])
            starts = stops
            part = part[np.argsort(part["key"], kind="stable")]
            if len(part):
                first = np.flatnonzero(np.diff(part["key"], prepend=part["key"][0] + np.uint64(1)))
                summed = np.empty(len(first), PAIR)
                summed["key"], summed["weight"] = part["key"][first], np.add.reduceat(part["weight"], first)
                _write(out, summed)
        out.flush()
        return np.asarray(np.memmap(out, PAIR, mode="r"))
