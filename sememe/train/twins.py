"""The twins of the kernels: the same numbers from plain NumPy, one window after the other, to be read and compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sememe.train.kernel import CBOW, DBOW, DM, LOSS_EVERY, SKIP_GRAM, Model, Plan, Stretch, Tables
from sememe.train.stream import BREAK
from sememe.train.window import TILE

Floats = npt.NDArray[np.float32]


def step(
    inputs: Floats, rows: Sequence[int], outputs: Floats, targets: Sequence[int], pull: tuple[Floats, float]
) -> float:
    """One window: every input row against every output row, ``pull`` is their signs ``(targets,)`` and the rate.

    The gradient of the logistic loss for the pair (x, o) with sign s is ``(s - sigmoid(x·o))`` times the other row.
    Returns the loss.
    """
    signs, rate = pull
    products = inputs[list(rows)].astype(np.float64) @ outputs[list(targets)].T.astype(np.float64)
    error = signs - 1 / (1 + np.exp(-products))
    gradients = error * rate
    for first in range(0, len(targets), TILE):  # the kernel's order: six outputs at a time
        tile = slice(first, first + TILE)
        old, change = outputs[list(targets[tile])].copy(), np.zeros((len(targets[tile]), outputs.shape[1]))
        for row, gradient in zip(rows, gradients[:, tile], strict=True):
            change += np.outer(gradient, inputs[row])
            inputs[row] += gradient @ old
        np.add.at(outputs, list(targets[tile]), change.astype(np.float32))
    return float(-np.log(np.maximum(1 - np.abs(error), 1e-12)).sum())


class Chance:
    """The kernel's generator of random numbers."""

    def __init__(self, seed: int) -> None:
        self.state = seed

    def upper(self) -> int:
        """The upper 32 bits of the next state."""
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return self.state >> 32

    def below(self, count: int) -> int:
        """A number from 0 to count - 1."""
        return self.upper() * count >> 32

    def noise(self, tables: Tables) -> int:
        """A word from the noise."""
        place = self.below(len(tables.chance))
        return place if self.upper() < tables.chance[place] else int(tables.other[place])


def aim(tables: Tables, plan: Plan, word: int, chance: Chance) -> tuple[list[int], Floats]:
    """The outputs for a centre, and their signs."""
    if plan.negatives == 0:
        way = slice(tables.node_ends[word], tables.node_ends[word + 1])
        return [int(n) for n in tables.nodes[way]], tables.signs[way]
    targets = [word]
    for _ in range(plan.negatives):
        other = chance.noise(tables)
        while other == word:
            other = chance.noise(tables)
        targets.append(other)
    return targets, np.array([1.0] + [0.0] * plan.negatives, np.float32)


def learn(model: Model, tables: Tables, plan: Plan, stretch: Stretch) -> tuple[float, int, int]:
    """The twin of `kernel.learn`."""
    chance, tally = Chance(stretch.seed), [0.0, 0, 0]
    text, at, size = stretch.text, 0, len(stretch.ids)
    ends = [place for place in range(size) if stretch.ids[place] < 0]
    for end in ends:
        rate = stretch.first_rate + (stretch.last_rate - stretch.first_rate) * at / size
        words = [int(w) for w in stretch.ids[at:end] if chance.upper() <= tables.keep[w]]
        document = plan.documents + text
        text += stretch.ids[end] != BREAK
        at = end + 1
        if len(words) > (plan.mode < DBOW):
            _sentence(model, tables, plan, (words, document, rate), (chance, tally))
    return tally[0], int(tally[1]), int(tally[2])


def _sentence(
    model: Model, tables: Tables, plan: Plan, here: tuple[list[int], int, float], kept: tuple[Chance, list[float]]
) -> None:
    (words, document, rate), (chance, tally) = here, kept
    inputs, numbers, parts = model.inputs, words, []
    if len(tables.part_ends):
        parts = [tables.parts[tables.part_ends[w] : tables.part_ends[w + 1]] for w in words]
        inputs = np.stack([model.inputs[p].mean(axis=0) for p in parts])
        numbers, before = list(range(len(words))), inputs.copy()
    ahead = aim(tables, plan, words[0], chance)
    for centre in range(len(words)):
        targets, signs = ahead
        if centre + 1 < len(words):
            ahead = aim(tables, plan, words[centre + 1], chance)
        reach = 1 + chance.below(plan.window)
        rows = [numbers[p] for p in range(max(0, centre - reach), min(len(words), centre + reach + 1)) if p != centre]
        rows = ([] if plan.mode == DBOW else rows) + ([document] if plan.mode in (DBOW, DM) else [])
        if plan.mode in (CBOW, DM):
            mean = inputs[rows].mean(axis=0, keepdims=True)
            moved = mean.copy()
            loss, pairs = step(moved, [0], model.outputs, targets, (signs, rate)), 1
            np.add.at(inputs, rows, moved - mean)
        else:
            assert plan.mode in (SKIP_GRAM, DBOW)
            loss, pairs = step(inputs, rows, model.outputs, targets, (signs, rate)), len(rows)
        tally[2] += 1
        if tally[2] % LOSS_EVERY == 0:
            tally[0] += loss
            tally[1] += pairs
    if len(tables.part_ends):
        for part, change in zip(parts, inputs - before, strict=True):
            np.add.at(model.inputs, part, change)


def fit(matrices: Sequence[Floats], biases: Sequence[Floats], batch: Sequence[npt.NDArray[Any]], rate: float) -> float:
    """The twin of `glove_kernel.fit`: one pair after the other; ``batch`` is firsts, seconds, logs, shares."""
    (words, contexts, word_squares, context_squares), loss = matrices, 0.0
    word_bias, context_bias, word_bias_squares, context_bias_squares = biases
    for i, j, log, share in zip(*batch, strict=True):
        error = words[i] @ contexts[j] + word_bias[i] + context_bias[j] - log
        loss += 0.5 * share * error**2
        slope = np.clip(share * error, -100, 100)
        slopes = slope * contexts[j], slope * words[i]
        words[i] -= rate * slopes[0] / np.sqrt(word_squares[i])
        contexts[j] -= rate * slopes[1] / np.sqrt(context_squares[j])
        word_bias[i] -= rate * slope / np.sqrt(word_bias_squares[i])
        context_bias[j] -= rate * slope / np.sqrt(context_bias_squares[j])
        word_squares[i] += slopes[0] ** 2
        context_squares[j] += slopes[1] ** 2
        word_bias_squares[i] += slope**2
        context_bias_squares[j] += slope**2
    return float(loss)


def count(ids: Sequence[int], window: int) -> dict[tuple[int, int], float]:
    """The twin of `cooccurrence.count`: pairs of words, the smaller first, and their weights."""
    counted: dict[tuple[int, int], float] = {}
    for place, word in enumerate(ids):
        for distance in range(1, min(window, place) + 1):
            other = ids[place - distance]
            if word < 0 or other < 0:
                break
            pair = (min(word, other), max(word, other))
            counted[pair] = counted.get(pair, 0.0) + (2.0 if word == other else 1.0) / distance
    return counted
