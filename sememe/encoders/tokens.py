"""Vectors of tokens: what a network gives before pooling, with the piece and the place of each.

Three uses stand beside it: late interaction, where each token of a query looks for its best token of a text (Khattab
and Zaharia 2020, arXiv 2004.12832), late chunking, where a chunk's vector is pooled from tokens that have seen the
whole text (Günther et al. 2024, arXiv 2409.04701), and looking at a model at work.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sememe.encoders.batches import Rows, pad, plan
from sememe.encoders.contract import check_options
from sememe.encoders.running import Runner
from sememe.encoders.steps import run_steps
from sememe.encoders.transformer import BUDGET, STEP, TransformerEncoder
from sememe.errors import DataError, UsageError
from sememe.ops.contract import Inputs
from sememe.ops.numpy import NumpyOps
from sememe.ops.openvino import compile_network
from sememe.shapes import Counts, Vectors
from sememe.tokens.tokenizer import Tokens

if TYPE_CHECKING:
    import numpy.typing as npt

#: how much of a window of a long text is seen a second time, by the next one
OVERLAP = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class TokenVectors:
    """The tokens of one item.

    ``vectors`` float32 ``(n, h)``, of the network's last layer; ``pieces``; ``offsets`` int32 ``(n, 2)``, the
    characters of the item that each stands for; ``added`` bool ``(n,)``, true for special tokens and those of a prompt,
    whose offsets are (0, 0); ``dropped``, how many tokens did not fit.
    """

    vectors: Vectors
    pieces: tuple[str, ...]
    offsets: Counts
    added: npt.NDArray[np.bool_]
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.pieces)


class TokenEncoder:
    """The network of an encoder without its pooling. Safe to share between threads."""

    def __init__(self, encoder: TransformerEncoder) -> None:
        self.encoder = encoder
        self._made: Runner | None = None
        self._lock = threading.Lock()

    def encode(self, items: Sequence[str], *, role: str = "document", on_long: str = "error") -> list[TokenVectors]:
        """The tokens of each item.

        Args:
            on_long: ``error`` or ``cut``: what happens to an item that is longer than the network takes.

        Raises:
            DataError: an item is too long.
        """
        check_options(role, on_long)
        if on_long not in ("error", "cut"):
            raise UsageError(f'on_long="{on_long}" makes no sense for tokens', do=["use one of: error, cut"])
        prompt = self.encoder.recipe.prompts[role]
        tokens = [self._fitting(made, on_long, at) for at, made in enumerate(self._tokens(items, prompt))]
        vectors = self._vectors([made.ids.tolist() for made, _ in tokens])
        return [
            _placed(found, made, len(prompt), dropped) for found, (made, dropped) in zip(vectors, tokens, strict=True)
        ]

    def encode_chunks(self, text: str, spans: Sequence[tuple[int, int]], *, role: str = "document") -> Vectors:
        """Late chunking: one vector per span of characters, the mean over tokens that have seen what is around them:
        float32 ``(len(spans), dim)``. A text that is longer than the network takes goes through it in windows that
        overlap by half, and each token's vector is that of the window in which it stands furthest from an end.

        Raises:
            UsageError: the encoder does not pool by the mean; or a span is not within the text.
        """
        recipe = self.encoder.recipe
        if recipe.pooling != "mean":
            raise UsageError(
                f"{self.encoder.name} does not pool by the mean, which late chunking needs",
                why=[f"it pools by {recipe.pooling}"],
            )
        if any(not 0 <= start <= end <= len(text) for start, end in spans):
            raise UsageError("a span is not within its text", why=[f"the text has {len(text)} characters"])
        (whole,) = self._tokens([text], recipe.prompts[role])
        vectors = self._windowed(whole)
        found = _placed(vectors, whole, len(recipe.prompts[role]), 0)
        pooled = np.zeros((len(spans), vectors.shape[1]), np.float32)
        for row, (start, end) in enumerate(spans):
            inside = ~found.added & (found.offsets[:, 0] < end) & (found.offsets[:, 1] > start)
            if inside.any():
                pooled[row] = found.vectors[inside].mean(axis=0)
        ops = NumpyOps()
        out: Vectors = run_steps(ops, self.encoder.steps, pooled)
        out = ops.normalize(out) if recipe.normalize else out
        return np.ascontiguousarray(out, np.float32)

    def close(self) -> None:
        """Let go of threads; using it again starts them again."""
        if self._made is not None:
            self._made.close()

    def _runner(self) -> Runner:
        with self._lock:
            if self._made is None:
                like = self.encoder.network
                network = compile_network(self.encoder.architecture.run, precision=like.precision, streams=like.streams)
                self._made = Runner(network)
            return self._made

    def _tokens(self, items: Sequence[str], prompt: str) -> list[Tokens]:
        prepared = [prompt + text for text in items]
        if self.encoder.recipe.lower_case:
            prepared = [text.lower() for text in prepared]
        return self.encoder.tokenizer.encode(prepared)

    def _fitting(self, made: Tokens, on_long: str, at: int) -> tuple[Tokens, int]:
        limit = self.encoder.max_tokens
        dropped = len(made) - limit
        if dropped <= 0:
            return made, 0
        if on_long == "error":
            raise DataError(
                f"item {at} is longer than the encoder takes",
                why=[f"it has {len(made)} tokens, the limit is {limit}"],
                do=["cut it into chunks", 'or allow it: on_long="cut"'],
            )
        suffix = len(self.encoder.tokenizer.suffix)
        kept = np.r_[0 : limit - suffix, len(made) - suffix : len(made)]
        pieces = tuple(made.pieces[i] for i in kept)
        return Tokens(made.ids[kept], pieces, made.offsets[kept], made.special[kept]), dropped

    def _vectors(self, ids: list[list[int]]) -> list[Vectors]:
        """float32 ``(n_i, h)`` of each list of ids."""
        width = self.encoder.architecture.width
        found = [np.zeros((0, width), np.float32)] * len(ids)
        for rows, (hidden,) in self._runner().run(self._batches(ids)):
            for at, row in enumerate(rows):
                found[row] = hidden[at, : len(ids[row])]
        return found

    def _batches(self, ids: list[list[int]]) -> Iterator[tuple[Rows, Inputs]]:
        filled = [row for row, one in enumerate(ids) if one]
        for rows in plan([len(ids[row]) for row in filled], budget=BUDGET, step=STEP):
            chosen = np.array([filled[row] for row in rows], np.intp)
            yield (
                chosen,
                pad(
                    ids,
                    chosen,
                    step=STEP,
                    limit=self.encoder.architecture.positions,
                    pad_id=self.encoder.tokenizer.pad_id,
                    pool=lambda lengths, width: np.zeros((len(lengths), width), np.float32),
                ),
            )

    def _windowed(self, whole: Tokens) -> Vectors:
        """The vectors of all tokens of a text of any length."""
        tokenizer, limit = self.encoder.tokenizer, self.encoder.max_tokens
        ids = whole.ids.tolist()
        if len(ids) <= limit:
            return self._vectors([ids])[0]
        room, lead = limit - tokenizer.specials, len(tokenizer.prefix)
        overlap = int(room * OVERLAP)
        windows = tokenizer.windows(ids, limit, overlap)
        out = np.zeros((len(ids), self.encoder.architecture.width), np.float32)
        far = np.full(len(ids), -1)
        for at, vectors in enumerate(self._vectors(windows)):
            start = lead + at * (room - overlap)
            inner = len(windows[at]) - tokenizer.specials
            # how far from where the window cuts the text; at the text's own ends nothing is cut
            before = np.arange(inner) if at else np.full(inner, len(ids))
            after = np.arange(inner)[::-1] if at < len(windows) - 1 else np.full(inner, len(ids))
            distance = np.minimum(before, after)
            better = distance > far[start : start + inner]
            rows = start + np.flatnonzero(better)
            out[rows] = vectors[lead : lead + inner][better]
            far[rows] = distance[better]
        return out


def _placed(vectors: Vectors, made: Tokens, prompt: int, dropped: int) -> TokenVectors:
    """With offsets that count in the item, not in the prompt before it."""
    ours = ~made.special & (made.offsets[:, 1] > prompt)
    offsets = np.where(ours[:, None], np.maximum(made.offsets - prompt, 0), 0).astype(np.int32)
    return TokenVectors(vectors, made.pieces, offsets, ~ours, dropped)


def maxsim(query: Vectors, text: Vectors) -> float:
    """The sum over the query's tokens of the best cosine among the text's; both ``(n, h)``."""
    if not len(query) or not len(text):
        return 0.0
    units = [v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-12) for v in (query, text)]
    return float((units[0] @ units[1].T).max(axis=1).sum())


class LateReranker:
    """Puts texts in order by late interaction, with the tokens of any encoder.

    It can be handed to a collection's search as ``rerank``.
    """

    def __init__(self, encoder: TransformerEncoder) -> None:
        self.tokens = TokenEncoder(encoder)
        self.name = f"{encoder.name}, late interaction"

    def __call__(self, query: str, texts: Sequence[str]) -> list[float]:
        """For each text the mean over the query's tokens of the best cosine among the text's; long ones are cut."""
        (asked,) = self.tokens.encode([query], role="query", on_long="cut")
        words = asked.vectors[~asked.added] if not asked.added.all() else asked.vectors
        found = self.tokens.encode(texts, on_long="cut")
        return [maxsim(words, one.vectors[~one.added]) / len(words) for one in found]
