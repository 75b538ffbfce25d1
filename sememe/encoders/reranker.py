"""Cross-encoders: a query and a text go through the network together, and a number says how well they fit.

Far dearer than comparing two vectors, and better: a search fetches candidates, a reranker puts them in order
(Nogueira and Cho 2019, arXiv 1901.04085).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe import settings
from sememe.architectures import heads, pooling
from sememe.architectures.families import Architecture, build, kind_of
from sememe.architectures.heads import Head
from sememe.encoders.batches import Rows, plan, rounded
from sememe.encoders.contract import LongItemWarning
from sememe.encoders.load import cores
from sememe.encoders.running import Runner
from sememe.errors import DataError, ModelError, UsageError
from sememe.models.pull import open_layout
from sememe.models.weights import Weights
from sememe.ops import openvino
from sememe.ops.contract import Inputs, Ops, Tensor
from sememe.tokens.tokenizer import Pair, Tokenizer

if TYPE_CHECKING:
    import numpy.typing as npt

    Scores = npt.NDArray[np.float32]

#: padded tokens a batch, and the multiple that widths are rounded up to
BUDGET, STEP = 1024, 8


@dataclass(frozen=True, slots=True)
class _Network:
    """What runs, and what must be known to feed it."""

    architecture: Architecture
    head: Head
    takes_types: bool
    limit: int


class Reranker:
    """How well texts fit a query, by a network that reads both at once. Safe to share between threads.

    It can be handed to a collection's search as ``rerank``.
    """

    def __init__(self, name: str, network: _Network, runner: Runner, tokenizer: Tokenizer) -> None:
        self.name, self.tokenizer = name, tokenizer
        self._network, self._runner = network, runner

    @property
    def max_tokens(self) -> int:
        """The longest pair in tokens, special tokens included."""
        return self._network.limit

    def __repr__(self) -> str:
        return f"<reranker {self.name}: {self.max_tokens} tokens, {self._runner.network.precision}>"

    def __call__(self, query: str, texts: Sequence[str]) -> list[float]:
        """`score`, as a list."""
        return [float(score) for score in self.score(query, texts)]

    def score(self, query: str, texts: Sequence[str], *, raw: bool = False, on_long: str = "warn") -> Scores:
        """One number per text, bigger is better: float32 ``(n,)``.

        Args:
            raw: as the network gives them; else between 0 and 1, by ``1 / (1 + e⁻ˣ)``.
            on_long: what happens to the end of a text that does not fit beside the query: ``warn`` or ``cut`` or
                ``error``.

        Raises:
            DataError: the query leaves no room for a text, or a text must not be cut and does not fit.
        """
        if on_long not in ("warn", "cut", "error"):
            raise UsageError(f'on_long="{on_long}" is not known', do=["use one of: warn, cut, error"])
        pairs = self.tokenizer.pairs(query, texts, self.max_tokens)
        self._say_cut(pairs, on_long)
        scores = np.zeros(len(texts), np.float32)
        for rows, (found,) in self._runner.run(self._batches(pairs)):
            scores[rows] = found[:, 0]
        if not np.isfinite(scores).all():
            raise ModelError(f"{self.name} gives scores that are not finite", do=['try precision="f32"'])
        return scores if raw else np.asarray(1 / (1 + np.exp(-scores.astype(np.float64))), np.float32)

    def close(self) -> None:
        """Let go of threads; using it again starts them again."""
        self._runner.close()

    def _say_cut(self, pairs: Sequence[Pair], on_long: str) -> None:
        cut = [(at, pair) for at, pair in enumerate(pairs) if pair.dropped]
        if not cut or on_long == "cut":
            return
        at, worst = max(cut, key=lambda pair: pair[1].dropped)
        said = f"{len(cut)} of {len(pairs)} texts do not fit beside the query in {self.max_tokens} tokens; "
        said += f"text {at} loses {worst.dropped}"
        if on_long == "error":
            raise DataError(said, do=['cut the texts into chunks, or say on_long="cut"'])
        warnings.warn(said + " (were cut; say on_long='cut' to allow it)", LongItemWarning, stacklevel=3)

    def _batches(self, pairs: Sequence[Pair]) -> Iterator[tuple[Rows, Inputs]]:
        for rows in plan([len(pair.ids) for pair in pairs], budget=BUDGET, step=STEP):
            yield rows, self._inputs([pairs[row] for row in rows])

    def _inputs(self, pairs: Sequence[Pair]) -> Inputs:
        lengths = [len(pair.ids) for pair in pairs]
        width = min(rounded(max(lengths), STEP), self._network.architecture.positions)
        ids = np.full((len(pairs), width), self.tokenizer.pad_id, np.int32)
        types, mask = np.zeros_like(ids), np.zeros(ids.shape, np.float32)
        for at, pair in enumerate(pairs):
            ids[at, : lengths[at]], types[at, : lengths[at]], mask[at, : lengths[at]] = pair.ids, pair.types, 1
        weights = pooling.weights(self._network.head.pooling, lengths, width)
        return Inputs(ids, mask, weights, types if self._network.takes_types else None)


def load_reranker(
    name_or_path: str | Path,
    *,
    precision: str | None = None,
    threads: int | None = None,
    home: Path | str | None = None,
    offline: bool | None = None,
) -> Reranker:
    """A reranker out of a model folder with a classifier of one label.

    Args:
        name_or_path: a folder, or a name as `load_encoder` takes it; the rest as there.

    Raises:
        ModelError: the model has no such head, or one of several labels.
    """
    now = settings.load({"precision": precision, "threads": threads, "home": home, "offline": offline})
    layout = open_layout(name_or_path, home=now.home, offline=now.offline)
    weights, kind = Weights.open(layout.weights_folder), kind_of(layout.architecture, layout.config)
    architecture = build(kind, layout.config, weights, longest=layout.max_tokens)
    head = heads.classifier(kind, layout.config, weights, architecture)
    if head.width != 1:
        raise ModelError(
            f"{layout.name} is no reranker", why=[f"it has scores for {head.width} labels; a reranker has one score"]
        )
    types = layout.config.get("type_vocab_size", 0)
    network = _Network(
        architecture,
        head,
        takes_types=isinstance(types, int) and types > 1,
        limit=min(layout.max_tokens or architecture.positions, architecture.positions),
    )
    compiled = openvino.compile_network(
        partial(_scores, architecture, head),
        precision=openvino.choose_precision(now.precision),
        streams=now.threads or cores(),
        types=network.takes_types,
    )
    return Reranker(layout.name, network, Runner(compiled), Tokenizer.load(layout.tokenizer_file))


def _scores(architecture: Architecture, head: Head, ops: Ops, inputs: Inputs) -> Tensor:
    """``(b, labels)``."""
    hidden: Any = architecture.run(ops, inputs)
    return head.run(ops, pooling.pool(ops, hidden, inputs, head.pooling))
