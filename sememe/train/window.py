"""One step of learning: a few input rows against a few output rows.

All models of this room come down to it. Skip-gram with negative sampling has the words around a centre as inputs, and
as outputs the centre (sign 1) and words drawn at random (sign 0), shared by the whole window; hierarchical softmax has
the inner nodes on the way to the centre. The step is gradient descent on the logistic loss of all pairs: products of
rows, a sigmoid, and the same products back.

Six outputs are kept in registers while inputs pass by, two at a time. The window's rows are read before any is
written, so a row that stands in it twice gets both changes. `sememe.train.twins.step` says the same in NumPy.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from sememe.train.lanes import WIDTH, add, fma, fold, load, multiply, prefetch, sigmoid, splat, store

#: outputs that are in registers at a time; lists of outputs are filled up to a multiple with rate 0
TILE = 6
#: the row of a window's lists that names its inputs; rows 0 and 1 name outputs, of this window and of the next
INPUTS = 2


@njit(nogil=True, cache=True, fastmath=True)
def forward(inputs: Any, outputs: Any, lists: Any, now: int, count: int, pulls: Any, gradients: Any) -> None:
    """Write ``(sign - sigmoid(input · output)) * rate`` of all pairs to ``gradients``.

    ``lists[now]`` are the rows of the outputs, filled up to a multiple of six; ``lists[INPUTS]`` those of the inputs.
    ``pulls`` ``(2, 16 * tiles)`` has sign * rate and -rate of the outputs of a tile, in lanes 0-5 and again in 8-13.
    ``gradients`` ``(pairs of inputs, 16 * tiles)``: lanes 0-5 of the first input of a pair, 8-13 of the second.
    """
    dims = inputs.shape[1]
    zero = splat(np.float32(0))
    for tile in range(pulls.shape[1] // WIDTH):
        first = tile * TILE
        t0, t1, t2 = lists[now, first], lists[now, first + 1], lists[now, first + 2]
        t3, t4, t5 = lists[now, first + 3], lists[now, first + 4], lists[now, first + 5]
        for i in range(0, count, 2):
            left, right = lists[INPUTS, i], lists[INPUTS, min(i + 1, count - 1)]
            a0, a1, a2, a3, a4, a5 = zero, zero, zero, zero, zero, zero
            b0, b1, b2, b3, b4, b5 = zero, zero, zero, zero, zero, zero
            for d in range(0, dims, WIDTH):
                a, b = load(inputs, left, d), load(inputs, right, d)
                o = load(outputs, t0, d)
                a0, b0 = fma(a, o, a0), fma(b, o, b0)
                o = load(outputs, t1, d)
                a1, b1 = fma(a, o, a1), fma(b, o, b1)
                o = load(outputs, t2, d)
                a2, b2 = fma(a, o, a2), fma(b, o, b2)
                o = load(outputs, t3, d)
                a3, b3 = fma(a, o, a3), fma(b, o, b3)
                o = load(outputs, t4, d)
                a4, b4 = fma(a, o, a4), fma(b, o, b4)
                o = load(outputs, t5, d)
                a5, b5 = fma(a, o, a5), fma(b, o, b5)
            even = fold(fold(fold(a0, b0, 8), fold(a4, b4, 8), 4), fold(fold(a2, b2, 8), zero, 4), 2)
            odd = fold(fold(fold(a1, b1, 8), fold(a5, b5, 8), 4), fold(fold(a3, b3, 8), zero, 4), 2)
            chance = sigmoid(fold(even, odd, 1))
            column = tile * WIDTH
            store(gradients, i >> 1, column, fma(chance, load(pulls, 1, column), load(pulls, 0, column)))


@njit(nogil=True, cache=True, fastmath=True)
def backward(inputs: Any, outputs: Any, lists: Any, now: int, count: int, gradients: Any) -> None:
    """Move every input by its gradients times the outputs, and every output by its gradients times the inputs."""
    zero = splat(np.float32(0))
    for tile in range(gradients.shape[1] // WIDTH):
        first = tile * TILE
        t0, t1, t2 = lists[now, first], lists[now, first + 1], lists[now, first + 2]
        t3, t4, t5 = lists[now, first + 3], lists[now, first + 4], lists[now, first + 5]
        for d in range(0, inputs.shape[1], WIDTH):
            o0, o1, o2 = load(outputs, t0, d), load(outputs, t1, d), load(outputs, t2, d)
            o3, o4, o5 = load(outputs, t3, d), load(outputs, t4, d), load(outputs, t5, d)
            a0, a1, a2, a3, a4, a5 = zero, zero, zero, zero, zero, zero
            for i in range(count):
                pair, lane = i >> 1, tile * WIDTH + 8 * (i & 1)
                g0, g1 = splat(gradients[pair, lane]), splat(gradients[pair, lane + 1])
                g2, g3 = splat(gradients[pair, lane + 2]), splat(gradients[pair, lane + 3])
                g4, g5 = splat(gradients[pair, lane + 4]), splat(gradients[pair, lane + 5])
                row = lists[INPUTS, i]
                x = load(inputs, row, d)
                even = fma(g4, o4, fma(g2, o2, fma(g0, o0, x)))
                odd = fma(g5, o5, fma(g3, o3, multiply(g1, o1)))
                store(inputs, row, d, add(even, odd))
                a0, a1, a2 = fma(g0, x, a0), fma(g1, x, a1), fma(g2, x, a2)
                a3, a4, a5 = fma(g3, x, a3), fma(g4, x, a4), fma(g5, x, a5)
            # read again: an output may stand in the tile twice
            store(outputs, t0, d, add(load(outputs, t0, d), a0))
            store(outputs, t1, d, add(load(outputs, t1, d), a1))
            store(outputs, t2, d, add(load(outputs, t2, d), a2))
            store(outputs, t3, d, add(load(outputs, t3, d), a3))
            store(outputs, t4, d, add(load(outputs, t4, d), a4))
            store(outputs, t5, d, add(load(outputs, t5, d), a5))


@njit(nogil=True, cache=True)
def set_pull(pulls: Any, place: int, sign: float, rate: float) -> None:
    """Give output number ``place`` its sign (1 pull, 0 push) and rate."""
    column = place // TILE * WIDTH + place % TILE
    for lane in (column, column + 8):
        pulls[0, lane] = sign * rate
        pulls[1, lane] = -rate


@njit(nogil=True, cache=True)
def loss_of(gradients: Any, pulls: Any, count: int) -> float:
    """The logistic loss summed over the pairs of one window, told by the gradients: each is rate times the error."""
    total = 0.0
    for i in range(count):
        for tile in range(pulls.shape[1] // WIDTH):
            for place in range(TILE):
                lane = tile * WIDTH + 8 * (i & 1) + place
                rate = -pulls[1, lane]
                if rate > 0:
                    error = abs(gradients[i >> 1, lane]) / rate
                    total -= math.log(max(1.0 - error, 1e-12))
    return total


@njit(nogil=True, cache=True)
def fetch(matrix: Any, row: int) -> None:
    """Ask for a row before it is needed."""
    for d in range(0, matrix.shape[1], WIDTH):
        prefetch(matrix, row, d)
