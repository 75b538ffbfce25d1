"""An encoder in two halves, for who puts the texts of several callers into one batch: texts into token lists that fit
the network, and token lists into vectors. What comes out is what `TransformerEncoder.encode` gives.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from sememe.architectures import pooling
from sememe.encoders.batches import pad
from sememe.encoders.contract import check_options
from sememe.encoders.running import Runner
from sememe.encoders.transformer import STEP, TransformerEncoder
from sememe.errors import DataError, ModelError, UsageError
from sememe.shapes import Vectors
from sememe.tokens.tokenizer import check_texts

ENDS = ("refuse", "cut_end", "cut_start")


@dataclass(frozen=True, slots=True)
class Prepared:
    """One input of the network: its ``ids``, how many leading ones of a prompt are not pooled (``skip``), and how many
    tokens of the item did not fit (``dropped``)."""

    ids: list[int]
    skip: int = 0
    dropped: int = 0


class TooLong(DataError):
    """An item has more tokens than it may have: ``item`` is its place, ``tokens`` what it has."""

    def __init__(self, item: int, tokens: int, limit: int) -> None:
        self.item, self.tokens, self.limit = item, tokens, limit
        super().__init__(
            f"item {item} has {tokens} tokens, the limit is {limit}", do=["cut it into chunks, or allow it to be cut"]
        )

    def __reduce__(self) -> tuple[object, ...]:
        return (TooLong, (self.item, self.tokens, self.limit))


class PreparedEncoder:
    """The two halves of ``encoder``. Safe to share between threads."""

    def __init__(self, encoder: TransformerEncoder) -> None:
        self.encoder = encoder
        self._runner = Runner(encoder.network)

    def prepare(
        self, texts: Sequence[str], *, role: str = "document", long: str = "refuse", limit: int | None = None
    ) -> list[Prepared]:
        """The input of each text.

        Args:
            long: ``refuse``, or lose tokens of the end (``cut_end``) or of the start (``cut_start``); the prompt and
                special tokens stay.
            limit: the most tokens, where that is less than the encoder takes.

        Raises:
            TooLong: a text is longer, and ``long`` is ``refuse``.
        """
        check_options(role, "cut")
        check_texts(texts)
        recipe = self.encoder.recipe
        prompt = recipe.prompts[role]
        prepared = [prompt + text for text in texts]
        if recipe.lower_case:
            prepared = [text.lower() for text in prepared]
        lead = self._lead(prompt)
        skip = 0 if recipe.include_prompt or not prompt else lead
        return [
            self._fitting(ids, at, lead, skip, long, limit)
            for at, ids in enumerate(self.encoder.tokenizer.ids(prepared))
        ]

    def prepare_ids(
        self,
        lists: Sequence[Sequence[int]],
        *,
        role: str = "document",
        long: str = "refuse",
        limit: int | None = None,
    ) -> list[Prepared]:
        """The input of each list of ids of this encoder's own tokenizer, with or without the special tokens around it.

        Raises:
            UsageError: an id is none of the tokenizer's.
            TooLong: as in `prepare`.
        """
        check_options(role, "cut")
        tokenizer, recipe = self.encoder.tokenizer, self.encoder.recipe
        prompt = recipe.prompts[role]
        before = tokenizer.ids([prompt.lower() if recipe.lower_case else prompt], specials=False)[0] if prompt else []
        lead = len(tokenizer.prefix) + len(before)
        skip = 0 if recipe.include_prompt or not prompt else lead
        found = []
        for at, ids in enumerate(lists):
            bare = self.bare(ids)
            if any(not 0 <= number < tokenizer.vocab_size for number in bare):
                raise UsageError(
                    f"item {at} has ids that are none of {self.encoder.name}",
                    why=[f"ids go from 0 to {tokenizer.vocab_size - 1}, and one is {max(bare, key=abs)}"],
                )
            whole = [*tokenizer.prefix, *before, *bare, *tokenizer.suffix]
            found.append(self._fitting(whole, at, lead, skip, long, limit))
        return found

    def bare(self, ids: Sequence[int]) -> list[int]:
        """``ids`` without the special tokens around them, if they are there."""
        before, after = self.encoder.tokenizer.prefix, self.encoder.tokenizer.suffix
        around = len(before) + len(after)
        if around and len(ids) >= around and tuple(ids[: len(before)]) == before:
            if not after:
                return list(ids[len(before) :])
            if tuple(ids[-len(after) :]) == after:
                return list(ids[len(before) : -len(after)])
        return list(ids)

    def run(self, pieces: Sequence[Prepared]) -> list[Vectors]:
        """The vector of each, float32 ``(dim,)``, on the calling thread and in one batch (one for each ``skip``).

        Raises:
            ModelError: a vector is not finite.
        """
        out: list[Vectors] = [np.zeros(self.encoder.dim, np.float32)] * len(pieces)
        alike = defaultdict(list)
        for at, piece in enumerate(pieces):
            if piece.ids:  # a tokenizer without special tokens has none for an empty text, whose vector stays zero
                alike[piece.skip].append(at)
        for skip, places in alike.items():
            inputs = pad(
                [pieces[at].ids for at in places],
                np.arange(len(places)),
                step=STEP,
                limit=self.encoder.architecture.positions,
                pad_id=self.encoder.tokenizer.pad_id,
                pool=partial(pooling.weights, self.encoder.recipe.pooling, skip=skip),
            )
            ((_, (vectors, *_)),) = self._runner.run([(np.arange(len(places)), inputs)])
            if not np.isfinite(vectors).all():
                raise ModelError(
                    f"{self.encoder.name} gives vectors that are not finite", do=['try precision="f32"']
                )  # fmt: skip
            for at, vector in zip(places, vectors, strict=True):
                out[at] = np.asarray(vector, np.float32)
        return out

    def close(self) -> None:
        """Let go of threads; using it again starts them again."""
        self._runner.close()

    def _lead(self, prompt: str) -> int:
        """The tokens that stand before a text: special ones and those of the prompt."""
        tokenizer = self.encoder.tokenizer
        if not prompt:
            return len(tokenizer.prefix)
        text = prompt.lower() if self.encoder.recipe.lower_case else prompt
        return len(tokenizer.ids([text])[0]) - len(tokenizer.suffix)

    def _fitting(self, ids: list[int], at: int, lead: int, skip: int, long: str, limit: int | None) -> Prepared:
        most = min(limit or self.encoder.max_tokens, self.encoder.max_tokens)
        dropped = len(ids) - most
        if dropped <= 0:
            return Prepared(ids, skip)
        if long not in ENDS:
            raise UsageError(f'long="{long}" is not known', do=[f"use one of: {', '.join(ENDS)}"])
        if long == "refuse":
            raise TooLong(at, len(ids), most)
        after = len(self.encoder.tokenizer.suffix)
        if most < lead + after:
            raise UsageError(
                f"a limit of {most} tokens leaves no room for text",
                why=[f"special tokens and prompt take {lead + after}"],
            )
        keep = most - lead - after
        inner = ids[lead : len(ids) - after]
        kept = inner[:keep] if long == "cut_end" else inner[len(inner) - keep :]
        return Prepared([*ids[:lead], *kept, *ids[len(ids) - after :]], skip, dropped)
