"""How one model turns token vectors into an item's vector, as one frozen record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sememe.errors import ModelError
from sememe.models.layout import Layout

#: under which of the model's own prompt names a role is found, the first that exists
_ROLES = {"query": ("query",), "document": ("document", "passage", "corpus")}


@dataclass(frozen=True, slots=True)
class Recipe:
    """Pooling, normalisation, prompts and cut.

    ``prompts`` maps each role to the text put before an item, "" for none. ``include_prompt`` says whether the
    prompt's tokens count in the pooled vector. ``max_tokens`` includes special tokens and prompt.
    """

    pooling: str
    normalize: bool
    prompts: Mapping[str, str]
    include_prompt: bool
    max_tokens: int
    lower_case: bool

    @classmethod
    def of(cls, layout: Layout, *, positions: int) -> Recipe:
        """The recipe of a model folder; ``positions`` is the longest text that the network can take.

        Raises:
            ModelError: the folder has steps after pooling that sememe does not run.
        """
        if any(module.kind == "splade_pooling" for module in layout.modules):
            raise ModelError(
                f"{layout.name} makes sparse vectors, not dense ones",
                do=["load it with sememe.encoders.sparse.load_sparse"],
            )
        return cls(
            pooling=layout.pooling,
            normalize=layout.normalize,
            prompts={role: _prompt(layout, names) for role, names in _ROLES.items()},
            include_prompt=layout.include_prompt,
            max_tokens=min(layout.max_tokens or positions, positions),
            lower_case=layout.do_lower_case,
        )

    def canonical(self) -> str:
        """The same text for the same recipe: what a fingerprint is made of."""
        return json.dumps(
            {
                "pooling": self.pooling,
                "normalize": self.normalize,
                "prompts": dict(self.prompts),
                "include_prompt": self.include_prompt,
                "max_tokens": self.max_tokens,
                "lower_case": self.lower_case,
            },
            sort_keys=True,
        )


def _prompt(layout: Layout, names: tuple[str, ...]) -> str:
    for name in names:
        if name in layout.prompts:
            return layout.prompts[name]
    return layout.prompts.get(layout.default_prompt_name or "", "")
