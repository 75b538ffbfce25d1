"""Vectors cut to their first numbers and made unit length again: for models that were trained for it (Matryoshka), the
first numbers of which say most; any other model loses more, and `measure_cut` tells how much.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sememe.encoders.contract import Encoder
from sememe.errors import UsageError
from sememe.models.catalogue import lookup
from sememe.progress import Progress
from sememe.shapes import Encoded, Vectors
from sememe.tokens.tokenizer import Tokenizer

Places = npt.NDArray[np.int64]

#: neighbours that are compared
NEAREST = 10


@dataclass(frozen=True, slots=True)
class CutLoss:
    """Of ``texts`` texts the share of the ten nearest others that stay (``recall``) with ``dims`` of ``width``."""

    dims: int
    width: int
    texts: int
    recall: float


class CutEncoder:
    """An `Encoder` that gives the first ``dims`` numbers of what another one gives, at unit length.

    Args:
        trained: the model was trained to be cut here.
        centred: subtract the mean of all numbers of a vector before it is cut, where its authors do.
    """

    def __init__(self, whole: Encoder, dims: int, *, trained: bool = False, centred: bool = False) -> None:
        if not 1 <= dims <= whole.dim:
            raise UsageError(
                f"{whole.name} gives vectors of {whole.dim} numbers, which cannot be cut to {dims}",
                do=[f"choose 1 to {whole.dim}"],
            )
        self.whole, self.dim, self.trained, self.centred = whole, dims, trained, centred

    @property
    def name(self) -> str:
        return self.whole.name

    @property
    def fingerprint(self) -> str:
        parts = (self.whole.fingerprint, f"cut {self.dim}", "centred" if self.centred else "")
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @property
    def modalities(self) -> frozenset[str]:
        return self.whole.modalities

    @property
    def max_tokens(self) -> int:
        return self.whole.max_tokens

    @property
    def tokenizer(self) -> Tokenizer:
        return self.whole.tokenizer

    def __repr__(self) -> str:
        return f"<encoder {self.name}: {self.dim} of {self.whole.dim} dims, {self.max_tokens} tokens>"

    def describe(self) -> Mapping[str, str]:
        how = "trained for it" if self.trained else "not trained for it"
        told = {"dim": str(self.dim), "cut": f"{self.dim} of {self.whole.dim} dims, {how}, unit length"}
        return {**self.whole.describe(), **told, "fingerprint": self.fingerprint}

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
        made = self.whole.encode_report(items, role=role, on_long=on_long, progress=progress)
        return replace(made, vectors=cut_rows(made.vectors, self.dim, centred=self.centred))

    def close(self) -> None:
        """Close the encoder underneath."""
        self.whole.close()


def shortened(encoder: Encoder, dims: int) -> Encoder:
    """``encoder`` cut to ``dims`` numbers, in the way of its authors where the catalogue knows it; itself for 0 and for
    its own width.

    Raises:
        UsageError: it has not so many.
    """
    if dims in (0, encoder.dim):
        return encoder
    entry = lookup(encoder.name)
    if entry is None:
        return CutEncoder(encoder, dims)
    return CutEncoder(encoder, dims, trained=dims in entry.matryoshka, centred=entry.cut_centred)


def cut_rows(vectors: Vectors, dims: int, *, centred: bool = False) -> Vectors:
    """The first ``dims`` numbers of each row at unit length, float32 ``(n, dims)``; a zero row stays zero."""
    rows = vectors.astype(np.float64)
    if centred:
        rows -= rows.mean(axis=1, keepdims=True)
    rows = rows[:, :dims]
    lengths = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return np.ascontiguousarray(np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0), np.float32)


def measure_cut(encoder: CutEncoder, texts: Sequence[str]) -> CutLoss:
    """What the cut costs on ``texts``, each once as a query for the others.

    Raises:
        UsageError: fewer than two different texts.
    """
    different = list(dict.fromkeys(texts))
    if len(different) < 2:
        raise UsageError("the loss of a cut is measured on two texts or more")
    whole = encoder.whole.encode(different, on_long="cut")
    near = min(NEAREST, len(different) - 1)
    before = _nearest(cut_rows(whole, encoder.whole.dim), near)
    after = _nearest(cut_rows(whole, encoder.dim, centred=encoder.centred), near)
    same = sum(len(np.intersect1d(one, other)) for one, other in zip(before, after, strict=True))
    return CutLoss(encoder.dim, encoder.whole.dim, len(different), same / (near * len(different)))


def _nearest(units: Vectors, near: int) -> Places:
    scores = units @ units.T
    np.fill_diagonal(scores, -2)
    return np.argsort(-scores, axis=1, kind="stable")[:, :near]
