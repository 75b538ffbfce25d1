"""The loops of GloVe: counting pairs, and the step that fits the squared error of one, weighted, with AdaGrad."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

#: the key of a free place
EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)


@njit(nogil=True, cache=True)
def count_stretch(ids: Any, start: int, window: int, triangle: Any, keys: Any, weights: Any, filled: int) -> Any:
    """Count from ``start`` on until the table is 3/4 full; the next start and how many places are filled.

    A pair at distance d weighs 1/d; a word near itself counts from both sides.
    """
    room = keys.shape[0]
    mask, limit = np.uint64(room - 1), room - room // 4 - window
    place = start
    while place < ids.shape[0] and filled < limit:
        word = ids[place]
        distance = 1
        while word >= 0 and distance <= window and place >= distance and ids[place - distance] >= 0:
            other = ids[place - distance]
            low, high = min(word, other), max(word, other)
            weight = (2.0 if low == high else 1.0) / distance
            distance += 1
            if high < triangle.shape[0]:
                triangle[low, high] += weight
                continue
            key = np.uint64(low) << np.uint64(32) | np.uint64(high)
            at = (key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20) & mask
            while keys[at] != key and keys[at] != EMPTY:
                at = (at + np.uint64(1)) & mask
            if keys[at] == EMPTY:
                keys[at] = key
                weights[at] = 0.0
                filled += 1
            weights[at] += weight
        place += 1
    return place, filled


@njit(nogil=True, cache=True, fastmath=True)
def fit(matrices: Any, biases: Any, firsts: Any, seconds: Any, logs: Any, shares: Any, rate: float) -> float:
    """Learn from pairs, in their order; the sum of ``share * error² / 2`` as each was found.

    ``matrices`` are words, contexts, and the sums of squared slopes of both, ``(n, dims)`` each; ``biases`` likewise,
    ``(n,)``. ``error`` is word · context + both biases - log of the count.
    """
    words, contexts, word_squares, context_squares = matrices
    word_bias, context_bias, word_bias_squares, context_bias_squares = biases
    dims, total, pace = words.shape[1], 0.0, np.float32(rate)
    for pair in range(firsts.shape[0]):
        i, j = firsts[pair], seconds[pair]
        product = np.float32(0)
        for d in range(dims):
            product += words[i, d] * contexts[j, d]
        error = product + word_bias[i] + context_bias[j] - logs[pair]
        total += 0.5 * shares[pair] * error * error
        slope = np.float32(min(max(shares[pair] * error, np.float32(-100)), np.float32(100)))
        for d in range(dims):
            word, context = words[i, d], contexts[j, d]
            word_slope, context_slope = slope * context, slope * word
            words[i, d] = word - pace * word_slope / np.sqrt(word_squares[i, d])
            contexts[j, d] = context - pace * context_slope / np.sqrt(context_squares[j, d])
            word_squares[i, d] += word_slope * word_slope
            context_squares[j, d] += context_slope * context_slope
        word_bias[i] -= pace * slope / math.sqrt(word_bias_squares[i])
        context_bias[j] -= pace * slope / math.sqrt(context_bias_squares[j])
        word_bias_squares[i] += slope * slope
        context_bias_squares[j] += slope * slope
    return total


@njit(nogil=True, cache=True, fastmath=True)
def times(values: Any, columns: Any, ends: Any, right: Any) -> Any:
    """A sparse matrix (see `ppmi.Sparse`) times a dense one ``(n, k)``."""
    out = np.zeros((ends.shape[0] - 1, right.shape[1]))
    for row in range(out.shape[0]):
        for place in range(ends[row], ends[row + 1]):
            for k in range(right.shape[1]):
                out[row, k] += values[place] * right[columns[place], k]
    return out


@njit(nogil=True, cache=True, fastmath=True)
def times_transposed(values: Any, columns: Any, ends: Any, right: Any) -> Any:
    """The transpose of a square sparse matrix times a dense one ``(n, k)``."""
    out = np.zeros((ends.shape[0] - 1, right.shape[1]))
    for row in range(out.shape[0]):
        for place in range(ends[row], ends[row + 1]):
            for k in range(right.shape[1]):
                out[columns[place], k] += values[place] * right[row, k]
    return out
