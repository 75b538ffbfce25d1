"""Texts into vectors through a transformer network.

Texts are tokenised in windows; a window's token lists are sorted into batches of similar length; the batches are
spread over as many threads as the network has streams, and their rows go back to their places. While one window is
in the network the next is tokenised, so no core waits, and a single text goes straight through.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sememe.architectures import pooling
from sememe.architectures.families import Architecture
from sememe.encoders.batches import Rows, pad, plan
from sememe.encoders.contract import check_options
from sememe.encoders.long_items import too_long, warn_of_cut
from sememe.encoders.recipe import Recipe
from sememe.encoders.steps import Step, run_steps
from sememe.encoders.threads import Crew, Line
from sememe.errors import ModelError
from sememe.ops.contract import Inputs, Ops, Tensor
from sememe.ops.openvino import Network
from sememe.progress import SILENT, Phase, Progress
from sememe.shapes import Counts, Encoded, Vectors
from sememe.tokens.tokenizer import Tokenizer, check_texts

#: texts that are tokenised and sorted together; more means less padding and more memory
WINDOW = 4096
#: padded tokens a batch; measured best from 1,000 to 2,000 (docs/decisions/2026-11-22-batches.md)
BUDGET = 1024
#: widths are multiples of this; other widths leave tiles of the processor half empty (same page)
STEP = 8
#: bump when the same weights, tokenizer and recipe would give other numbers
VERSION = "1"
#: what int8 costs; docs/decisions/2026-11-22-int8.md
ROUNDING = "8 bits: mean cosine to f32 0.9993, least 0.9985 (all-MiniLM-L6-v2, 300 paragraphs; other models differ)"


@dataclass(frozen=True, slots=True)
class Identity:
    """What an encoder is called and made of; ``files`` is a digest over weights and config."""

    name: str
    files: str
    details: Mapping[str, str]


class TransformerEncoder:
    """An `Encoder` over one network. Safe to share between threads.

    The tolerance of bf16: a text's vector moves by at most 0.01 (Euclidean, unit vectors) with its company in the
    batch, 0.001 on average; in f32 by at most 1e-5.
    """

    modalities = frozenset({"text"})

    def __init__(
        self,
        architecture: Architecture,
        network: Network,
        tokenizer: Tokenizer,
        recipe: Recipe,
        identity: Identity,
        steps: tuple[Step, ...] = (),
    ) -> None:
        taken = tokenizer.specials + max(
            len(ids) for ids in tokenizer.ids(list(recipe.prompts.values()), specials=False)
        )
        if recipe.max_tokens <= taken:
            raise ModelError(
                f"{identity.name} takes {recipe.max_tokens} tokens, which leaves no room for text",
                why=[f"special tokens and prompt take {taken}"],
            )
        if tokenizer.vocab_size > architecture.vocabulary:
            raise ModelError(
                f"the tokenizer of {identity.name} is not the one of its weights",
                why=[f"it has {tokenizer.vocab_size} ids, the network has vectors for {architecture.vocabulary}"],
            )
        self.architecture = architecture
        self.network = network
        self.tokenizer = tokenizer
        self.recipe = recipe
        self.identity = identity
        self.steps = steps
        self._local = threading.local()
        self._crew = Crew(network.streams)

    @property
    def name(self) -> str:
        return self.identity.name

    @property
    def dim(self) -> int:
        return self.steps[-1].width if self.steps else self.architecture.width

    @property
    def max_tokens(self) -> int:
        return self.recipe.max_tokens

    @property
    def fingerprint(self) -> str:
        parts = [VERSION, self.identity.files, self.tokenizer.fingerprint, self.recipe.canonical()]
        if self.network.precision == "int8":  # rounded weights are other weights
            parts.append("int8")
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def __repr__(self) -> str:
        return f"<encoder {self.name}: {self.dim} dims, {self.max_tokens} tokens, {self.network.precision}>"

    def describe(self) -> Mapping[str, str]:
        recipe = self.recipe
        prompts = ", ".join(f"{role}: {text!r}" for role, text in recipe.prompts.items() if text)
        return {
            "encoder": self.name,
            "dim": str(self.dim),
            "longest": f"{self.max_tokens} tokens",
            "pooling": ", then ".join([recipe.pooling, *(step.said for step in self.steps)])
            + (", unit length" if recipe.normalize else ", length kept"),
            "prompts": prompts or "none",
            "precision": self.network.precision,
            **({"rounding": ROUNDING} if self.network.precision == "int8" else {}),
            "threads": str(self.network.streams),
            **self.identity.details,
            "fingerprint": self.fingerprint,
        }

    def encode(
        self,
        items: Sequence[str],
        *,
        role: str = "document",
        on_long: str = "warn",
        progress: Progress | None = None,
    ) -> Vectors:
        return self.encode_report(items, role=role, on_long=on_long, progress=progress).vectors

    def encode_report(
        self,
        items: Sequence[str],
        *,
        role: str = "document",
        on_long: str = "warn",
        progress: Progress | None = None,
    ) -> Encoded:
        check_options(role, on_long)
        check_texts(items)
        prompt = self.recipe.prompts[role]
        used, dropped = np.zeros(len(items), np.int32), np.zeros(len(items), np.int32)
        vectors = np.zeros((len(items), self.dim), np.float32)
        opened = (progress or SILENT).phase("encode", total=len(items), unit="texts")
        with opened as phase, _Work(self._run, self._crew.line(), phase) as work:
            for first in range(0, len(items), WINDOW):
                last = min(first + WINDOW, len(items))
                pieces, owners = self._pieces(
                    items[first:last], prompt, on_long, first, used[first:last], dropped[first:last]
                )
                work.add(self._batches(pieces, self._skip(prompt)), owners, vectors[first:last])
                phase.advance(int(np.count_nonzero(used[first:last] == 0)))
            work.finish()
        if self.recipe.normalize and on_long == "mean":
            _renormalize(vectors, np.flatnonzero(used > self.max_tokens))
        if on_long == "warn":
            warn_of_cut(used, dropped, self.max_tokens)
        _check_finite(vectors, self.name)
        return Encoded(vectors, used, dropped)

    def close(self) -> None:
        """Let the threads go; the next call starts them again."""
        self._crew.close()
        self._local = threading.local()

    def _prepared(self, prompt: str, text: str) -> str:
        return (prompt + text).lower() if self.recipe.lower_case else prompt + text

    def _skip(self, prompt: str) -> int:
        if self.recipe.include_prompt or not prompt:
            return 0
        return len(self.tokenizer.ids([self._prepared(prompt, "")])[0]) - len(self.tokenizer.suffix)

    def _pieces(
        self, texts: Sequence[str], prompt: str, on_long: str, first: int, used: Counts, dropped: Counts
    ) -> tuple[list[list[int]], list[tuple[int, float]]]:
        """Token lists that fit the network, and for each the row it belongs to with its share of that row's vector."""
        limit = self.max_tokens
        pieces, owners = [], []
        for row, ids in enumerate(self.tokenizer.ids([self._prepared(prompt, text) for text in texts])):
            parts = [ids]
            if len(ids) > limit:
                if on_long == "error":
                    raise too_long(first + row, len(ids), limit)
                parts = self._windows(prompt, texts[row]) if on_long == "mean" else [self.tokenizer.cut(ids, limit)]
                dropped[row] = 0 if on_long == "mean" else len(ids) - limit
            used[row] = sum(map(len, parts))
            for part in parts:
                if part:  # a tokenizer without special tokens has none for an empty text, whose vector stays zero
                    pieces.append(part)
                    owners.append((row, len(part) / used[row]))
        return pieces, owners

    def _windows(self, prompt: str, text: str) -> list[list[int]]:
        """A long text as several inputs, each with the prompt."""
        lead = self.tokenizer.ids([self._prepared(prompt, "")], specials=False)[0] if prompt else []
        at = len(self.tokenizer.prefix)
        ids = self.tokenizer.ids([self._prepared("", text)])[0]
        windows = self.tokenizer.windows(ids, self.max_tokens - len(lead))
        return [[*window[:at], *lead, *window[at:]] for window in windows]

    def _batches(self, pieces: list[list[int]], skip: int) -> Iterator[tuple[Rows, Inputs]]:
        pool = partial(pooling.weights, self.recipe.pooling, skip=skip)
        for rows in plan([len(piece) for piece in pieces], budget=BUDGET, step=STEP):
            inputs = pad(
                pieces,
                rows,
                step=STEP,
                limit=self.architecture.positions,
                pad_id=self.tokenizer.pad_id,
                pool=pool,
            )
            yield rows, inputs

    def _run(self, inputs: Inputs) -> Vectors:
        """One batch through the network, on this thread's own request: float32 ``(b, dim)``, a copy."""
        request: Callable[[Inputs], list[Any]] | None = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self.network.request()
        return np.array(request(inputs)[0], np.float32)


class _Work:
    """Batches on their way: at most two windows are in memory, and rows land where they belong."""

    def __init__(self, run: Callable[[Inputs], Vectors], line: Line, phase: Phase) -> None:
        self.run, self.line, self.phase = run, line, phase
        self.windows: deque[list[tuple[Future[Vectors], Rows, list[tuple[int, float]], Vectors]]] = deque()

    def __enter__(self) -> _Work:
        return self

    def __exit__(self, *error: object) -> None:
        # After an error or Ctrl-C nobody waits for what is still queued.
        for window in self.windows:
            for future, *_ in window:
                future.cancel()

    def add(self, batches: Iterator[tuple[Rows, Inputs]], owners: list[tuple[int, float]], out: Vectors) -> None:
        todo = list(batches)
        # A call of one batch is run by the caller's own thread: no hand-over delays a single query.
        alone = len(todo) == 1 and not self.windows
        window: list[tuple[Future[Vectors], Rows, list[tuple[int, float]], Vectors]] = []
        self.windows.append(window)
        for rows, inputs in todo:
            future = _done(self.run(inputs)) if alone else self.line.submit(self.run, inputs)
            window.append((future, rows, owners, out))
        if len(self.windows) > 1:
            self._land()

    def finish(self) -> None:
        while self.windows:
            self._land()

    def _land(self) -> None:
        """The oldest window's rows into their places."""
        for future, rows, owners, out in self.windows[0]:
            for piece, vector in zip(rows, future.result(), strict=True):
                row, share = owners[piece]
                out[row] += vector if share == 1 else vector * np.float32(share)
            # An item counts once, with its first piece.
            self.phase.advance(sum(1 for at in rows if at == 0 or owners[at - 1][0] != owners[at][0]))
        self.windows.popleft()


def _done(vectors: Vectors) -> Future[Vectors]:
    future: Future[Vectors] = Future()
    future.set_result(vectors)
    return future


def item_vectors(
    architecture: Architecture, recipe: Recipe, steps: tuple[Step, ...], ops: Ops, inputs: Inputs
) -> Tensor:
    """The whole way inside the graph: network, pooling, steps after it, length. ``(b, dim)``."""
    hidden = architecture.run(ops, inputs)
    pooled = run_steps(ops, steps, pooling.pool(ops, hidden, inputs, recipe.pooling))
    return ops.normalize(pooled) if recipe.normalize else pooled


def _renormalize(vectors: Vectors, rows: Any) -> None:
    lengths = np.linalg.norm(vectors[rows], axis=1, keepdims=True)
    vectors[rows] /= np.maximum(lengths, 1e-12)


def _check_finite(vectors: Vectors, name: str) -> None:
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise ModelError(
            f"{name} gives vectors that are not finite",
            why=[f"{len(bad)} of {len(vectors)}, the first for item {bad[0]}"],
            do=[("look at the model's files", f"sememe models verify {name}"), 'or try precision="f32"'],
        )
