"""Word vectors by counting and algebra: positive pointwise mutual information, cut to its strongest directions.

Levy and Goldberg (2014) showed that skip-gram comes near to it; it is the plain thing to hold learned vectors against.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sememe.errors import UsageError
from sememe.extras import require
from sememe.progress import SILENT, Progress
from sememe.shapes import Vectors
from sememe.space.space import Space
from sememe.train.corpus import Texts
from sememe.train.stream import read_stream

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PpmiOptions:
    """``smoothing``: contexts count as count**smoothing, so that rare ones do not stand out; ``shift``: log k of
    skip-gram's k negatives is taken off; ``strength``: directions are scaled by their singular value to this power."""

    dim: int = 100
    window: int = 5
    min_count: int = 5
    max_words: int | None = None
    smoothing: float = 0.75
    shift: float = 0.0
    strength: float = 0.5
    memory: int = 1 << 29


class Sparse(NamedTuple):
    """A symmetric pattern of numbers: row r has ``values[ends[r]:ends[r + 1]]`` in ``columns`` of the same places."""

    values: Doubles
    columns: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]


def ppmi_svd(texts: Texts, options: PpmiOptions | None = None, *, seed: int = 1, progress: Progress = SILENT) -> Space:
    """Count pairs within a window, take their positive pointwise mutual information, keep ``dim`` directions.

    Raises:
        MissingExtraError: Numba is not installed.
        UsageError: more dims than words.
    """
    options = options or PpmiOptions()
    require("numba", extra="train", purpose="counting pairs")
    from sememe.train.cooccurrence import count

    vocabulary, stream = read_stream(texts, min_count=options.min_count, max_words=options.max_words, progress=progress)
    if options.dim > len(vocabulary):
        raise UsageError(f"{len(vocabulary)} words have no {options.dim} directions")
    counted = count(stream, window=options.window, memory=options.memory, progress=progress)
    low = (counted.pairs["key"] >> np.uint64(32)).astype(np.int64)
    high = (counted.pairs["key"] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    matrix = ppmi(low, high, counted.pairs["weight"], words=len(vocabulary), options=options)
    left, strengths = truncated_svd(matrix, options.dim, seed=seed)
    provenance = {
        "model": "PPMI and truncated SVD",
        "window": str(options.window),
        "words": f"{vocabulary.total} running, {vocabulary.dropped} too rare",
        "corpus": f"CRC-32 {stream.checksum:08x}",
    }
    return Space(vocabulary.words, (left * strengths**options.strength).astype(np.float32), provenance)


def ppmi(
    low: npt.NDArray[np.int64], high: npt.NDArray[np.int64], weights: Doubles, *, words: int, options: PpmiOptions
) -> Sparse:
    """``max(0, log(p(w, c) / (p(w) p(c))) - shift)`` of pairs given once, the smaller row first."""
    other = low != high
    rows, columns = np.concatenate([low, high[other]]), np.concatenate([high, low[other]])
    values = np.concatenate([weights, weights[other]])
    share = np.bincount(rows, values, minlength=words)
    context = share**options.smoothing
    information = np.log(values / share[rows] / (context[columns] / context.sum())) - options.shift
    kept = np.flatnonzero(information > 0)
    order = kept[np.lexsort((columns[kept], rows[kept]))]
    ends = np.concatenate([[0], np.cumsum(np.bincount(rows[order], minlength=words))])
    return Sparse(information[order], columns[order], ends)


def truncated_svd(matrix: Sparse, dim: int, *, seed: int, rounds: int = 8) -> tuple[Vectors, Doubles]:
    """The strongest ``dim`` left directions ``(n, dim)`` and their singular values, by subspace iteration (Halko et
    al., 2011). Directions point to where their largest number is positive."""
    from sememe.train.glove_kernel import times, times_transposed

    size = len(matrix.ends) - 1
    wide = min(size, dim + max(10, dim // 2))
    basis = np.random.default_rng(seed).normal(size=(size, wide))
    for _ in range(rounds):
        basis, _ = np.linalg.qr(times(*matrix, basis))
        basis, _ = np.linalg.qr(times_transposed(*matrix, basis))
    left, strengths, _ = np.linalg.svd(times(*matrix, basis), full_matrices=False)
    left, strengths = left[:, :dim], strengths[:dim]
    left *= np.sign(left[np.abs(left).argmax(axis=0), np.arange(dim)])
    return left.astype(np.float32), strengths
