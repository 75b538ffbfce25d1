"""Sparse vectors: a masked language model says which pieces of its vocabulary a text is about, and how much.

SPLADE (Formal et al. 2021, arXiv 2109.10086): each token's scores over the vocabulary pass through
``log(1 + max(x, 0))``, and of each piece the highest counts. Most are 0; what is not can be read, and matched by an
inverted index.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe import settings
from sememe.architectures import heads
from sememe.architectures.families import Architecture, build, kind_of
from sememe.architectures.heads import Head
from sememe.encoders.batches import Rows, pad, plan
from sememe.encoders.contract import check_options
from sememe.encoders.load import cores
from sememe.encoders.running import Runner
from sememe.errors import DataError, ModelError, UsageError
from sememe.models.layout import Layout
from sememe.models.pull import open_layout
from sememe.models.weights import Weights
from sememe.ops import openvino
from sememe.ops.contract import Inputs, Ops, Tensor
from sememe.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    import numpy.typing as npt

#: padded tokens a batch: each has a score per piece of the vocabulary, so they are few
BUDGET, STEP = 256, 8


@dataclass(frozen=True, slots=True, eq=False)
class SparseVectors:
    """Rows of which most numbers are 0, as the format CSR keeps them.

    ``starts`` int64 ``(n + 1,)``; ``ids`` int32, ascending within a row; ``weights`` float32, above 0. Row i is
    ``ids[starts[i] : starts[i + 1]]`` with its weights; ``width`` is the size of the vocabulary.
    """

    starts: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]
    width: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, row: int) -> dict[int, float]:
        """One row: the weight of each id."""
        part = slice(self.starts[range(len(self))[row]], self.starts[range(len(self))[row] + 1])
        return dict(zip(self.ids[part].tolist(), self.weights[part].tolist(), strict=True))

    def dense(self) -> npt.NDArray[np.float32]:
        """float32 ``(n, width)``."""
        out = np.zeros((len(self), self.width), np.float32)
        out[np.repeat(np.arange(len(self)), np.diff(self.starts)), self.ids] = self.weights
        return out

    def dot(self, other: SparseVectors) -> npt.NDArray[np.float32]:
        """How well each row fits each of ``other``: float32 ``(n, m)``."""
        if self.width != other.width:
            raise UsageError(f"vectors of {self.width} and of {other.width} numbers cannot be compared")
        out = np.zeros((len(self), len(other)), np.float32)
        whole = np.zeros(self.width, np.float32)
        for row in range(len(self)):
            part = slice(self.starts[row], self.starts[row + 1])
            whole[self.ids[part]] = self.weights[part]
            products = np.append(other.weights * whole[other.ids], np.float32(0))
            out[row] = np.add.reduceat(products, other.starts[:-1]) * (np.diff(other.starts) > 0) if len(other) else 0
            whole[self.ids[part]] = 0
        return out


class SparseEncoder:
    """Texts into sparse vectors. Safe to share between threads."""

    def __init__(self, layout: Layout, architecture: Architecture, runner: Runner, tokenizer: Tokenizer) -> None:
        self.name = layout.name
        self.max_tokens = min(layout.max_tokens or architecture.positions, architecture.positions)
        self.tokenizer, self._architecture, self._runner = tokenizer, architecture, runner
        self._width = 0

    def __repr__(self) -> str:
        return f"<sparse encoder {self.name}: {self.max_tokens} tokens, {self._runner.network.precision}>"

    def encode(self, items: Sequence[str], *, role: str = "document", on_long: str = "error") -> SparseVectors:
        """One row per item.

        Args:
            role: ``document`` or ``query``; both go the same way.
            on_long: ``error`` or ``cut``: what happens to an item that is longer than the network takes.

        Raises:
            DataError: an item is too long.
        """
        check_options(role, on_long)
        if on_long not in ("error", "cut"):
            raise UsageError(f'on_long="{on_long}" is not offered for sparse vectors', do=["use one of: error, cut"])
        ids = [self._fitting(one, on_long, at) for at, one in enumerate(self.tokenizer.ids(items))]
        width = self._architecture.vocabulary
        rows: list[Any] = [(np.zeros(0, np.int32), np.zeros(0, np.float32))] * len(items)
        for chosen, (found,) in self._runner.run(self._batches(ids)):
            if not np.isfinite(found).all():
                raise ModelError(f"{self.name} gives weights that are not finite", do=['try precision="f32"'])
            for at, row in enumerate(chosen):
                kept = np.flatnonzero(found[at] > 0)
                rows[row] = (kept.astype(np.int32), found[at, kept].astype(np.float32))
        starts = np.cumsum([0, *(len(kept) for kept, _ in rows)]).astype(np.int64)
        empty = [(np.zeros(0, np.int32), np.zeros(0, np.float32))]
        pieces, weights = (np.concatenate([row[part] for row in (*rows, *empty)]) for part in (0, 1))
        return SparseVectors(starts, pieces, weights, width)

    def explain(self, vectors: SparseVectors, row: int, *, top: int = 20) -> list[tuple[str, float]]:
        """The heaviest pieces of one row, heaviest first."""
        heaviest = sorted(vectors[row].items(), key=lambda pair: (-pair[1], pair[0]))[:top]
        return [(self.tokenizer.piece(id), weight) for id, weight in heaviest]

    def close(self) -> None:
        """Let go of threads; using it again starts them again."""
        self._runner.close()

    def _fitting(self, ids: list[int], on_long: str, at: int) -> list[int]:
        if len(ids) > self.max_tokens and on_long == "error":
            raise DataError(
                f"item {at} is longer than the encoder takes",
                why=[f"it has {len(ids)} tokens, the limit is {self.max_tokens}"],
                do=["cut it into chunks", 'or allow it: on_long="cut"'],
            )
        return self.tokenizer.cut(ids, self.max_tokens)

    def _batches(self, ids: list[list[int]]) -> Iterator[tuple[Rows, Inputs]]:
        filled = [row for row, one in enumerate(ids) if one]
        for rows in plan([len(ids[row]) for row in filled], budget=BUDGET, step=STEP):
            chosen = np.array([filled[row] for row in rows], np.intp)
            limit, pad_id = self._architecture.positions, self.tokenizer.pad_id
            yield chosen, pad(ids, chosen, step=STEP, limit=limit, pad_id=pad_id, pool=_unused)


def load_sparse(
    name_or_path: str | Path,
    *,
    precision: str | None = None,
    threads: int | None = None,
    home: Path | str | None = None,
    offline: bool | None = None,
) -> SparseEncoder:
    """A sparse encoder out of a model folder with the head of a masked language model.

    Args:
        name_or_path: a folder, or a name as `load_encoder` takes it; the rest as there.

    Raises:
        ModelError: the model has no such head, or pools otherwise.
    """
    now = settings.load({"precision": precision, "threads": threads, "home": home, "offline": offline})
    layout = open_layout(name_or_path, home=now.home, offline=now.offline)
    weights, kind = Weights.open(layout.weights_folder), kind_of(layout.architecture, layout.config)
    architecture = build(kind, layout.config, weights, longest=layout.max_tokens)
    head = heads.masked(kind, layout.config, weights, architecture, architecture.words())
    compiled = openvino.compile_network(
        partial(_weights, architecture, head, *_pooling(layout)),
        precision=openvino.choose_precision(now.precision),
        streams=now.threads or cores(),
    )
    return SparseEncoder(layout, architecture, Runner(compiled), Tokenizer.load(layout.tokenizer_file))


def _pooling(layout: Layout) -> tuple[str, bool]:
    """``max`` or ``sum``, and whether the logarithm is taken twice."""
    config = next((m.config for m in layout.modules if m.kind == "splade_pooling"), {})
    way, act = config.get("pooling_strategy", "max"), config.get("activation_function", "relu")
    if way not in ("max", "sum") or act not in ("relu", "log1p_relu"):
        raise ModelError(
            f"{layout.name} pools in a way that sememe does not", why=[f"{way!r:.50} of {act!r:.50}"],
            do=["known are: max, sum of relu, log1p_relu"],
        )  # fmt: skip
    return way, act == "log1p_relu"


def _weights(architecture: Architecture, head: Head, way: str, twice: bool, ops: Ops, inputs: Inputs) -> Tensor:
    """``(b, vocabulary)``."""
    one = ops.constant(np.ones(1, np.float32))
    x = ops.relu(head.run(ops, architecture.run(ops, inputs)))
    for _ in range(1 + twice):
        x = ops.log(ops.add(x, one))
    if way == "max":
        return ops.maximum(x, inputs.mask)
    return ops.squeeze(ops.matmul(ops.unsqueeze(inputs.mask, 1), x), 1)


def _unused(lengths: list[int], width: int) -> npt.NDArray[np.float32]:
    return np.zeros((len(lengths), width), np.float32)
