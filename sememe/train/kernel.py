"""The loop over words: subsampling, windows, noise; what `window` then learns from.

One kernel serves skip-gram and CBOW, words alone or with their parts, negative sampling and the tree, and paragraph
vectors. A sentence becomes rows of a matrix: words are rows of the inputs themselves; a word with parts is the mean of
their rows, put together once for the sentence, and what it learned there goes to each part at its end. It lets go of
the interpreter's lock, so that threads share one model.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from sememe.train.lanes import WIDTH
from sememe.train.stream import BREAK, LONGEST
from sememe.train.window import INPUTS, TILE, backward, fetch, forward, loss_of, set_pull

SKIP_GRAM, CBOW, DBOW, DM = 0, 1, 2, 3
#: every so many windows one is taken into the loss
LOSS_EVERY = 16
#: the row of a window's lists that names what is averaged
MEMBERS = 3


class Model(NamedTuple):
    """What is learned: float32, rows padded with zeros to a multiple of 16. Inputs have a row for every word, then
    for every bucket of parts, then for every document."""

    inputs: Any
    outputs: Any


class Tables(NamedTuple):
    """What is known of each word. ``keep``, ``chance``, ``other``: see `Vocabulary`. The rows that make up word w are
    ``parts[part_ends[w]:part_ends[w + 1]]``; the nodes of its way in the tree and their signs likewise. Tables that
    are not used have no entries."""

    keep: Any
    chance: Any
    other: Any
    parts: Any
    part_ends: Any
    nodes: Any
    signs: Any
    node_ends: Any


class Plan(NamedTuple):
    """``mode`` is SKIP_GRAM … DM; ``negatives`` 0 means the tree; ``documents`` is the input row of the first one;
    ``longest`` is the longest way in the tree."""

    mode: int
    window: int
    negatives: int
    documents: int
    longest: int


class Stretch(NamedTuple):
    """``ids`` of a stream, the number of the text they begin in, the rate at both ends, and a seed."""

    ids: Any
    text: int
    first_rate: float
    last_rate: float
    seed: int


@njit(nogil=True, cache=True)
def following(state: Any) -> Any:
    """The next state of a linear congruential generator; its upper half is random."""
    return state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)


@njit(nogil=True, cache=True)
def below(state: Any, count: int) -> Any:
    """A number from 0 to count - 1, from the upper half of a state."""
    return np.int64(((state >> np.uint64(32)) * np.uint64(count)) >> np.uint64(32))


@njit(nogil=True, cache=True)
def draw(chance: Any, other: Any, word: int, lists: Any, now: int, count: int, state: Any) -> Any:
    """Put a centre and ``count`` words from the noise, none of them the centre, into ``lists[now]``; the state."""
    lists[now, 0] = word
    for n in range(1, count + 1):
        drawn: Any = word
        while drawn == word:
            state = following(state)
            drawn = below(state, chance.shape[0])
            state = following(state)
            if np.uint32(state >> np.uint64(32)) >= chance[drawn]:
                drawn = np.int64(other[drawn])
        lists[now, n] = drawn
    return state


@njit(nogil=True, cache=True)
def walk(nodes: Any, signs: Any, ends: Any, word: int, lists: Any, now: int) -> Any:
    """Put the nodes on the way to a centre into ``lists[now]``; how many."""
    first, count = ends[word], ends[word + 1] - ends[word]
    for n in range(lists.shape[1]):
        lists[now, n] = nodes[first + n] if n < count else nodes[first]
    return np.int64(count)


@njit(nogil=True, cache=True)
def set_signs(signs: Any, ends: Any, word: int, pulls: Any, rate: float) -> None:
    """The signs of a way in the tree; what is not on the way has rate 0."""
    first, count = ends[word], ends[word + 1] - ends[word]
    for n in range(pulls.shape[1] // WIDTH * TILE):
        set_pull(pulls, n, signs[first + n] if n < count else 0.0, rate if n < count else 0.0)


@njit(nogil=True, cache=True)
def read_sentence(ids: Any, at: int, keep: Any, sentence: Any, state: Any) -> tuple[int, int, Any]:
    """Fill ``sentence`` from position ``at`` on; its size, the position after its end sign, the state."""
    size = 0
    while at < ids.shape[0] and ids[at] >= 0:
        word = ids[at]
        at += 1
        state = following(state)
        if np.uint32(state >> np.uint64(32)) <= keep[word]:
            sentence[size] = word
            size += 1
    return size, at + 1, state


@njit(nogil=True, cache=True)
def surround(numbers: Any, size: int, centre: int, reach: int, lists: Any, into: int) -> int:
    """Put the input rows around a centre into ``lists[into]``; how many."""
    count = 0
    for place in range(max(0, centre - reach), min(size, centre + reach + 1)):
        if place != centre:
            lists[into, count] = numbers[place]
            count += 1
    return count


@njit(nogil=True, cache=True, fastmath=True)
def average(inputs: Any, lists: Any, count: int, mean: Any) -> None:
    """The mean of the rows of ``lists[MEMBERS]`` into both rows of ``mean``: one learns, one tells the difference."""
    share = np.float32(1.0 / count)
    for d in range(mean.shape[1]):
        mean[0, d] = np.float32(0)
    for n in range(count):
        row = lists[MEMBERS, n]
        for d in range(mean.shape[1]):
            mean[0, d] += inputs[row, d]
    for d in range(mean.shape[1]):
        mean[0, d] *= share
        mean[1, d] = mean[0, d]


@njit(nogil=True, cache=True, fastmath=True)
def hand_on(inputs: Any, lists: Any, count: int, mean: Any) -> None:
    """What the mean has learned, added to each of its rows."""
    for d in range(mean.shape[1]):
        mean[1, d] = mean[0, d] - mean[1, d]
    for n in range(count):
        row = lists[MEMBERS, n]
        for d in range(mean.shape[1]):
            inputs[row, d] += mean[1, d]


@njit(nogil=True, cache=True, fastmath=True)
def gather(inputs: Any, parts: Any, ends: Any, sentence: Any, size: int, composed: Any, before: Any) -> None:
    """Each word of the sentence as the mean of its parts, into ``composed`` and ``before``."""
    for place in range(size):
        first, last = ends[sentence[place]], ends[sentence[place] + 1]
        share = np.float32(1.0 / (last - first))
        for d in range(inputs.shape[1]):
            composed[place, d] = np.float32(0)
        for part in range(first, last):
            row = parts[part]
            for d in range(inputs.shape[1]):
                composed[place, d] += inputs[row, d]
        for d in range(inputs.shape[1]):
            composed[place, d] *= share
            before[place, d] = composed[place, d]


@njit(nogil=True, cache=True, fastmath=True)
def scatter(inputs: Any, parts: Any, ends: Any, sentence: Any, size: int, composed: Any, before: Any) -> None:
    """What each word has moved, added to every one of its parts."""
    for place in range(size):
        for d in range(inputs.shape[1]):
            before[place, d] = composed[place, d] - before[place, d]
        for part in range(ends[sentence[place]], ends[sentence[place] + 1]):
            row = parts[part]
            for d in range(inputs.shape[1]):
                inputs[row, d] += before[place, d]


@njit(nogil=True, cache=True)
def learn_sentence(inputs: Any, outputs: Any, tables: Any, plan: Any, desk: Any, here: Any, tally: Any) -> Any:
    """Learn from the ``here = (size, document, rate)`` sentence on the desk; the tally after it."""
    # Unpacked once: tuples of arrays are dear to hand on for every window.
    mode, window, negatives = plan.mode, plan.window, plan.negatives
    sentence, numbers, lists, pulls, gradients, mean = desk[:6]
    chance, other, nodes, signs, ends = tables.chance, tables.other, tables.nodes, tables.signs, tables.node_ends
    size, document, rate = here
    state, loss, pairs, used = tally
    averaged = mode in (CBOW, DM)
    into = MEMBERS if averaged else INPUTS
    ahead = negatives + 1
    if negatives > 0:
        state = draw(chance, other, sentence[0], lists, 0, negatives, state)
    else:
        walk(nodes, signs, ends, sentence[0], lists, 0)
    for centre in range(size):
        now = centre & 1
        if centre + 1 < size:
            # the next window's rows are on their way while this one is worked on
            if negatives > 0:
                state = draw(chance, other, sentence[centre + 1], lists, 1 - now, negatives, state)
            else:
                ahead = walk(nodes, signs, ends, sentence[centre + 1], lists, 1 - now)
            for n in range(ahead):
                fetch(outputs, lists[1 - now, n])
            if centre + window + 1 < size:
                fetch(inputs, numbers[centre + window + 1])
        if negatives == 0:
            set_signs(signs, ends, sentence[centre], pulls, rate)
        state = following(state)
        count = 0
        if mode != DBOW:
            count = surround(numbers, size, centre, 1 + below(state, window), lists, into)
        if mode >= DBOW:
            lists[into, count] = document
            count += 1
        held = count
        if averaged:
            held = 1
            average(inputs, lists, count, mean)
            forward(mean, outputs, lists, now, held, pulls, gradients)
            backward(mean, outputs, lists, now, held, gradients)
            hand_on(inputs, lists, count, mean)
        else:
            forward(inputs, outputs, lists, now, held, pulls, gradients)
            backward(inputs, outputs, lists, now, held, gradients)
        used += 1
        if used % LOSS_EVERY == 0:
            loss += loss_of(gradients, pulls, held)
            pairs += held
    return state, loss, pairs, used


@njit(nogil=True, cache=True)
def learn(model: Any, tables: Any, plan: Any, desk: Any, stretch: Any) -> tuple[float, int, int]:
    """Learn from a stretch. Returns the loss summed over some windows, its positive pairs, and the words used."""
    tally = (np.uint64(stretch.seed), 0.0, 0, 0)
    at, text, size = 0, stretch.text, 0
    ids = stretch.ids
    while at < ids.shape[0]:
        rate = stretch.first_rate + (stretch.last_rate - stretch.first_rate) * at / ids.shape[0]
        size, at, state = read_sentence(ids, at, tables.keep, desk.sentence, tally[0])
        tally = (state, tally[1], tally[2], tally[3])
        here = (size, plan.documents + text, rate)
        if ids[at - 1] != BREAK:
            text += 1
        if size == 0 or (size == 1 and plan.mode < DBOW):
            continue
        for n in range(plan.negatives + 1):
            set_pull(desk.pulls, n, 1.0 if n == 0 else 0.0, rate)
        inputs = model.inputs
        if tables.part_ends.shape[0] > 0:
            inputs = desk.composed
            gather(model.inputs, tables.parts, tables.part_ends, desk.sentence, size, desk.composed, desk.before)
        tally = learn_sentence(inputs, model.outputs, tables, plan, desk, here, tally)
        if tables.part_ends.shape[0] > 0:
            scatter(model.inputs, tables.parts, tables.part_ends, desk.sentence, size, desk.composed, desk.before)
    return tally[1], tally[2], tally[3]


class Desk(NamedTuple):
    """Room for one thread to work in. ``lists``: see `window`; its last row holds what is averaged."""

    sentence: Any
    numbers: Any
    lists: Any
    pulls: Any
    gradients: Any
    mean: Any
    composed: Any
    before: Any


def make_desk(model: Model, tables: Tables, plan: Plan) -> Desk:
    """An empty desk. Of words with parts the input rows are places in the sentence, of others the words."""
    width = plan.negatives + 1 if plan.negatives > 0 else plan.longest
    tiles, dims = -(-width // TILE), model.inputs.shape[1]
    with_parts = len(tables.part_ends) > 0
    sentence = np.empty(LONGEST, np.int64)
    return Desk(
        sentence,
        np.arange(LONGEST) if with_parts else sentence,
        np.zeros((MEMBERS + 1, max(tiles * TILE, 2 * plan.window + 1)), np.int64),
        np.zeros((2, tiles * WIDTH), np.float32),
        np.zeros((plan.window + 1, tiles * WIDTH), np.float32),
        np.zeros((2, dims), np.float32),
        np.zeros((LONGEST if with_parts else 1, dims), np.float32),
        np.zeros((LONGEST if with_parts else 1, dims), np.float32),
    )
