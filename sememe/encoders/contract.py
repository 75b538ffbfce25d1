"""What every encoder promises. `tests/contracts/test_encoders.py` holds each adaptor to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, get_args

from sememe.errors import UsageError
from sememe.progress import Progress
from sememe.shapes import Encoded, Vectors
from sememe.tokens.tokenizer import Tokenizer

Role = Literal["query", "document"]
#: error: refuse · warn: cut and warn · cut: cut, and only the report says so · mean: encode in windows and average
OnLong = Literal["error", "warn", "cut", "mean"]


class LongItemWarning(UserWarning):
    """Items were longer than the encoder takes and were cut."""


class Encoder(Protocol):
    """Turns items into vectors.

    Order is kept and the input never changed. The same item gives the same vector whatever the company in the batch
    (1e-5 in f32; the bf16 tolerance is stated by the adaptor). Vectors are of unit length if and only if the recipe
    says so. An empty string is legal. An unknown role or option raises `UsageError`.
    """

    @property
    def name(self) -> str:
        """What a person calls it, for example ``all-MiniLM-L6-v2``."""

    @property
    def dim(self) -> int:
        """The width of a vector."""

    @property
    def fingerprint(self) -> str:
        """Hex digest over weights, tokenizer and recipe.

        It changes whenever a number could, but for f32 and bf16: which of them it is depends on the machine, stays
        within the stated tolerance, and is told by `describe`. Weights rounded to int8 are other weights.
        """

    @property
    def modalities(self) -> frozenset[str]:
        """What it takes: ``{"text"}``."""

    @property
    def max_tokens(self) -> int:
        """The longest item in tokens, special tokens and prompt included."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that the network sees its text through, of a hosted one an estimate; chunks are cut with it."""

    def encode(
        self,
        items: Sequence[str],
        *,
        role: str = "document",
        on_long: str = "warn",
        progress: Progress | None = None,
    ) -> Vectors:
        """float32 ``(n, dim)``, C-contiguous, also for n = 0 and n = 1."""

    def encode_report(
        self,
        items: Sequence[str],
        *,
        role: str = "document",
        on_long: str = "warn",
        progress: Progress | None = None,
    ) -> Encoded:
        """`encode`, with the tokens used and dropped of each item."""

    def describe(self) -> Mapping[str, str]:
        """What it is and how it runs: model, precision, device, pooling, prompts, longest item."""

    def close(self) -> None:
        """Let go of threads; using it again starts them again. Closing twice is legal."""


def check_options(role: str, on_long: str) -> None:
    """Refuse a role or a way with long items that no encoder knows."""
    for name, value, known in (("role", role, get_args(Role)), ("on_long", on_long, get_args(OnLong))):
        if value not in known:
            raise UsageError(f'{name}="{value}" is not known', do=[f"use one of: {', '.join(known)}"])
