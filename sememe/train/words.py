"""Word vectors: Word2Vec and fastText, from texts to a space."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from sememe.errors import UsageError
from sememe.space.space import Space
from sememe.space.subwords import Subwords
from sememe.train.checkpoint import State
from sememe.train.corpus import Texts
from sememe.train.learning import learn, word_vectors
from sememe.train.options import Options, Parts, Running


def word2vec(
    texts: Texts, options: Options | None = None, running: Running | None = None, *, on: Path | None = None
) -> Space:
    """Learn a vector for each word from the words around it (Mikolov et al., 2013).

    Args:
        texts: a `corpus`, or anything that yields texts or lists of words; it is read once.
        options: the model; `Options` has word2vec's own defaults.
        running: threads, seed, checkpoint, journal, progress.
        on: the checkpoint folder of a finished model, to go on learning from these texts: its words stay, with their
            vectors as a start, and new ones that are frequent enough are added.

    Returns:
        A space of ``(words, dim)``, the most frequent word first.

    Raises:
        MissingExtraError: Numba is not installed.
        UsageError: a checkpoint of other texts or options.
    """
    options, running = options or Options(), running or Running()
    if options.architecture not in ("skip-gram", "cbow") or options.parts is not None:
        raise UsageError("word2vec learns words alone, by skip-gram or cbow", do=["for parts of words: fasttext"])
    state = learn(texts, options, running, on=on)
    return _space(state, "word2vec")


def fasttext(
    texts: Texts, options: Options | None = None, running: Running | None = None, *, on: Path | None = None
) -> Space:
    """Learn vectors for words and their parts (Bojanowski et al., 2017): a word is the mean of both, and one that was
    never seen is the mean of its parts. Arguments, errors: see `word2vec`; without ``options.parts``, parts of 3 to 6
    characters are taken."""
    options, running = options or Options(), running or Running()
    if options.architecture not in ("skip-gram", "cbow"):
        raise UsageError("fasttext learns by skip-gram or cbow")
    if options.parts is None:
        options = dataclasses.replace(options, parts=Parts())
    state = learn(texts, options, running, on=on)
    return _space(state, "fastText")


def _space(state: State, name: str) -> Space:
    options, words = state.options, state.vocabulary.words
    subwords = None
    if options.parts is not None:
        buckets = state.inputs[len(words) : len(words) + options.parts.buckets, : options.dim]
        subwords = Subwords(buckets.copy(), options.parts.shortest, options.parts.longest)
    provenance = {
        "model": f"{name} {options.architecture}",
        "objective": f"{options.negatives} negatives" if options.negatives else "hierarchical softmax",
        "window": str(options.window),
        "epochs": f"{state.epoch} of {options.epochs}",
        "seed": str(state.seed),
        "words": f"{state.vocabulary.total} running, {state.vocabulary.dropped} too rare",
        "corpus": f"CRC-32 {state.checksum:08x}",
    }
    return Space(words, word_vectors(state), provenance, subwords)
