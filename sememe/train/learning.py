"""Learning by windows, from texts to rows of numbers: what Word2Vec, fastText and paragraph vectors share."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sememe.errors import UsageError
from sememe.extras import require
from sememe.shapes import Vectors
from sememe.space.subwords import part_hash, parts
from sememe.train import checkpoint
from sememe.train.checkpoint import State
from sememe.train.corpus import Texts
from sememe.train.journal import journal_of
from sememe.train.options import ARCHITECTURES, Options, Running
from sememe.train.stream import Stream, read_stream
from sememe.train.tree import huffman
from sememe.train.vocabulary import Vocabulary

if TYPE_CHECKING:
    from sememe.train.kernel import Model, Plan, Tables

Ints = npt.NDArray[np.int64]
#: rows are padded with zeros to a multiple of this, which they keep
RUN = 16


def learn(texts: Texts, options: Options, running: Running, *, on: Path | None = None) -> checkpoint.State:
    """Learn, or go on where the checkpoint of these texts and options ended."""
    require("numba", extra="train", purpose="learning vectors")
    from sememe.train.running import Course

    older = None if on is None else checkpoint.load(Path(on))
    vocabulary, stream = read_stream(
        texts,
        min_count=options.min_count,
        max_words=options.max_words,
        older=None if older is None else older.vocabulary,
        progress=running.progress,
    )
    state = _resumed(options, running, vocabulary, stream) or _start(options, running, vocabulary, stream, older)
    course = Course(*_kernel_view(state), stream, options)
    total = stream.words * options.epochs
    last = min(options.epochs, running.stop_after or options.epochs)
    with journal_of(running) as write, running.progress.phase("learn", total=total, unit="words") as phase:
        phase.advance(stream.words * state.epoch)
        for epoch in range(state.epoch, last):
            figures = course.epoch(epoch, running, phase)
            write(
                epoch=epoch + 1,
                loss=round(figures.loss, 6),
                words=stream.words,
                words_learned=figures.used,
                seconds=round(figures.seconds, 3),
                words_per_second=round(stream.words / max(figures.seconds, 1e-9)),
            )
            state = dataclasses.replace(state, epoch=epoch + 1)
            if running.checkpoint is not None:
                checkpoint.save(running.checkpoint, state)
    return state


def word_vectors(state: State) -> Vectors:
    """The vector of each word, ``(words, dim)``; of words with parts the mean of their own row and those."""
    size = len(state.vocabulary)
    if state.options.parts is None:
        return state.inputs[:size, : state.options.dim].copy()
    rows, ends = part_rows(state.vocabulary, state.options)
    out = np.empty((size, state.options.dim), np.float32)
    for word in range(size):
        out[word] = state.inputs[rows[ends[word] : ends[word + 1]], : state.options.dim].mean(axis=0)
    return out


def part_rows(vocabulary: Vocabulary, options: Options) -> tuple[Ints, Ints]:
    """The input rows that make up each word, its own first: word w has ``rows[ends[w]:ends[w + 1]]``."""
    given = options.parts
    if given is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    rows, ends = [], [0]
    known: dict[str, int] = {}
    for word, text in enumerate(vocabulary.words):
        rows.append(word)
        for part in parts(text, given.shortest, given.longest):
            row = known.get(part)
            if row is None:
                row = known[part] = len(vocabulary) + part_hash(part) % given.buckets
            rows.append(row)
        ends.append(len(rows))
    return np.array(rows, np.int64), np.array(ends, np.int64)


def _kernel_view(state: State) -> tuple[Model, Tables, Plan]:
    from sememe.train import kernel

    options, vocabulary = state.options, state.vocabulary
    none = np.zeros(0, np.int64)
    nodes, signs, ends, longest = none, np.zeros(0, np.float32), none, 0
    if options.negatives == 0:
        nodes, signs, ends = huffman(vocabulary.counts)
        longest = int(np.diff(ends).max())
    tables = kernel.Tables(
        vocabulary.keep(options.sample),
        *vocabulary.noise(options.noise_power),
        *part_rows(vocabulary, options),
        nodes,
        signs,
        ends,
    )
    buckets = 0 if options.parts is None else options.parts.buckets
    mode = ARCHITECTURES.index(options.architecture)
    plan = kernel.Plan(mode, options.window, options.negatives, len(vocabulary) + buckets, longest)
    return kernel.Model(state.inputs, state.outputs), tables, plan


def _start(options: Options, running: Running, vocabulary: Vocabulary, stream: Stream, older: State | None) -> State:
    words, buckets = len(vocabulary), 0 if options.parts is None else options.parts.buckets
    documents = stream.texts if options.architecture in ("dbow", "dm") else 0
    wide = -(-options.dim // RUN) * RUN
    inputs = np.zeros((words + buckets + documents, wide), np.float32)
    outputs = np.zeros((words, wide), np.float32)
    chance = np.random.default_rng(running.seed)
    # A word with parts is a mean of many rows, which makes it small: they begin with twice the size.
    scale = (1 if options.parts is None else 2) / options.dim
    inputs[:, : options.dim] = (chance.random((len(inputs), options.dim), np.float32) - 0.5) * np.float32(scale)
    if older is not None:
        _take_over(older, options, inputs, outputs)
    return State(options, running.seed, stream.checksum, 0, vocabulary, inputs, outputs)


def _take_over(older: State, options: Options, inputs: Vectors, outputs: Vectors) -> None:
    for name in ("dim", "architecture", "parts"):
        was, asked = getattr(older.options, name), getattr(options, name)
        if was != asked:
            raise UsageError(f"the older model has {name} {was}, and {asked} is asked for", do=["the same as before"])
    if options.negatives == 0 or older.options.negatives == 0:
        raise UsageError(
            "a model with hierarchical softmax cannot go on with new texts",
            why=["its tree depends on the counts of all words"],
            do=["learn with negatives from the start"],
        )
    known, buckets = len(older.vocabulary), 0 if options.parts is None else options.parts.buckets
    words = len(outputs)
    inputs[:known] = older.inputs[:known]
    outputs[:known] = older.outputs[:known]
    inputs[words : words + buckets] = older.inputs[known : known + buckets]


def _resumed(options: Options, running: Running, vocabulary: Vocabulary, stream: Stream) -> State | None:
    folder = running.checkpoint
    if folder is None or not (folder / checkpoint.STATE).exists():
        return None
    state = checkpoint.load(folder)
    facts: list[tuple[str, Any, Any]] = [
        ("seed", state.seed, running.seed),
        ("texts, as CRC-32", state.checksum, stream.checksum),
        ("words", len(state.vocabulary), len(vocabulary)),
    ]
    facts += [
        (field.name, getattr(state.options, field.name), getattr(options, field.name))
        for field in dataclasses.fields(Options)
    ]
    other = [(name, f"{was} in the checkpoint, {now} now") for name, was, now in facts if was != now]
    if other:
        raise UsageError(
            f"{folder} holds another run",
            why=other,
            do=["repeat its texts and options", "or choose another folder for this one"],
        )
    return state
