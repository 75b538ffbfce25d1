"""Paragraph vectors (Le and Mikolov, 2014): a vector for each text, learned with those of its words."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sememe.errors import UsageError
from sememe.shapes import Vectors
from sememe.space.space import Space
from sememe.train.checkpoint import State
from sememe.train.corpus import Texts, sentences
from sememe.train.learning import learn
from sememe.train.options import Options, Running

Doubles = npt.NDArray[np.float64]
#: windows of a new text that are learned from together
_TOGETHER = 8


@dataclass(frozen=True, eq=False)
class Documents:
    """What was learned: ``documents``, a space of texts called 0, 1, … in their order, and ``words``; texts without a
    word of the vocabulary keep the vector that they began with."""

    documents: Space
    words: Space
    state: State

    def infer(self, texts: Texts, *, epochs: int = 20, seed: int = 1) -> Vectors:
        """Vectors for new texts, ``(n, dim)``, with all that was learned held still. A text gets the same vector
        whatever stands beside it; one without known words gets zeros."""
        places = self.words.labels
        known = {word: row for row, word in enumerate(places)}
        rows = [
            self._infer([known[word] for word in words if word in known], epochs, seed) for words in sentences(texts)
        ]
        return np.array(rows, np.float32).reshape(-1, self.documents.dim)

    def _infer(self, ids: list[int], epochs: int, seed: int) -> Doubles:
        options, state = self.state.options, self.state
        if not ids:
            return np.zeros(options.dim)
        words, outputs = state.inputs[: len(state.vocabulary), : options.dim], state.outputs[:, : options.dim]
        chance = np.random.default_rng([seed, zlib.crc32(np.array(ids, np.int32).tobytes())])
        weights = state.vocabulary.counts.astype(np.float64) ** options.noise_power
        edges = np.cumsum(weights / weights.sum())
        text, vector = np.array(ids), (chance.random(options.dim) - 0.5) / options.dim
        contexts = _contexts(words[text].astype(np.float64), options.window) if options.architecture == "dm" else None
        for epoch in range(epochs):
            rate = options.rate - (options.rate - options.last_rate) * epoch / epochs
            for first in range(0, len(text), _TOGETHER):
                centres = text[first : first + _TOGETHER]
                noise = np.minimum(
                    np.searchsorted(edges, chance.random((len(centres), options.negatives))), len(edges) - 1
                )
                targets = outputs[np.column_stack([centres, noise])].astype(np.float64)  # (windows, 1 + noise, dim)
                signs = np.zeros(targets.shape[:2])
                signs[:, 0] = 1
                signs[:, 1:][noise == centres[:, None]] = np.nan  # a centre drawn as noise says nothing
                if contexts is None:
                    seen = np.broadcast_to(vector, (len(centres), options.dim))
                else:
                    sums, counts = contexts[0][first : first + _TOGETHER], contexts[1][first : first + _TOGETHER]
                    seen = (sums + vector) / (counts + 1)[:, None]
                error = signs - 1 / (1 + np.exp(-np.einsum("wd,wnd->wn", seen, targets)))
                vector = vector + rate * np.einsum("wn,wnd->d", np.nan_to_num(error), targets)
        return vector


def doc2vec(texts: Texts, options: Options | None = None, running: Running | None = None) -> Documents:
    """Learn a vector for each text: by ``dbow`` (the default: it predicts each of its words alone) or ``dm`` (with the
    words around). Of "dbow" the vectors of words stay at random; take "dm" for those.

    Raises:
        MissingExtraError: Numba is not installed.
        UsageError: another architecture, parts of words, or hierarchical softmax.
    """
    options, running = options or Options(architecture="dbow"), running or Running()
    if options.architecture not in ("dbow", "dm"):
        raise UsageError("doc2vec learns by dbow or dm", do=['say so: Options(architecture="dbow")'])
    if options.parts is not None or options.negatives == 0:
        raise UsageError("doc2vec learns whole words, with negatives")
    state = learn(texts, options, running)
    return _documents(state)


def _documents(state: State) -> Documents:
    words, dim = state.vocabulary.words, state.options.dim
    provenance = {
        "model": f"doc2vec {state.options.architecture}",
        "epochs": f"{state.epoch} of {state.options.epochs}",
        "seed": str(state.seed),
        "corpus": f"CRC-32 {state.checksum:08x}",
    }
    rows = state.inputs[len(words) :, :dim]
    documents = Space(tuple(str(row) for row in range(len(rows))), rows.copy(), provenance)
    return Documents(documents, Space(words, state.inputs[: len(words), :dim].copy(), provenance), state)


def _contexts(vectors: Doubles, window: int) -> tuple[Doubles, npt.NDArray[np.int64]]:
    # For each place the sum of the vectors around it, and how many they are.
    summed = np.concatenate([np.zeros((1, vectors.shape[1])), np.cumsum(vectors, axis=0)])
    places = np.arange(len(vectors))
    first, last = np.maximum(places - window, 0), np.minimum(places + window + 1, len(vectors))
    return summed[last] - summed[first] - vectors, last - first - 1
