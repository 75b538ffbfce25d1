"""What is known of hosted models: width, longest item, prompts and list price, out of ``known.toml``."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files

#: the longest item of a model that is not in the table, in tokens
ASSUMED = 512


@dataclass(frozen=True, slots=True)
class Known:
    """One model. ``dim`` is 0 where only an answer tells; ``dims`` are the widths that can be asked for, 0 standing for
    all up to ``widest``; ``price`` is in dollars for a million tokens, None where it is not known, as of ``seen``."""

    dim: int = 0
    tokens: int = ASSUMED
    widest: int = 0
    dims: tuple[int, ...] = ()
    prompts: Mapping[str, str] = field(default_factory=dict)
    price: float | None = None
    seen: str = ""

    def offers(self, dims: int) -> bool:
        """Whether the provider can be asked for vectors so wide."""
        return dims in self.dims or (0 in self.dims and 0 < dims <= (self.widest or self.dim))


def known(provider: str, model: str) -> Known | None:
    """What is known of a model; None for one that is not in the table."""
    table = _tables()
    name = model.partition(":")[0] if provider == "ollama" else model
    place = {"azure": "openai"}.get(provider, provider)
    for prefix in ("us.", "eu.", "apac.", "global."):  # Bedrock's profiles serve the same model from several regions
        if provider == "bedrock" and name.startswith(prefix):
            name = name.removeprefix(prefix)
    found = table.get((place, name))
    # Ollama's tags name sizes too, which differ in width but not in prompts.
    return replace(found, dim=0) if found is not None and provider == "ollama" and name != model else found


def models(provider: str) -> list[str]:
    """The models of a provider that the table knows."""
    return [model for place, model in _tables() if place == provider]


@functools.lru_cache(maxsize=1)
def _tables() -> Mapping[tuple[str, str], Known]:
    raw = tomllib.loads(files(__package__).joinpath("known.toml").read_text("utf-8"))
    seen = raw.pop("prices_seen")
    found = {}
    for provider, rows in raw.items():
        for model, row in rows.items():
            row["dims"] = tuple(row.get("dims", ()))
            found[provider, model] = Known(**row, seen=seen if "price" in row else "")
    return found
