"""A little language for tests: words of one field stand together, so that what is learned can be told."""

from __future__ import annotations

import numpy as np

FIELDS = {
    "sea": ["ship", "sail", "wave", "harbour", "anchor", "sailor"],
    "farm": ["plough", "field", "wheat", "barn", "cattle", "farmer"],
    "court": ["judge", "law", "trial", "jury", "verdict", "lawyer"],
}
COMMON = ["the", "a", "of", "and"]


def texts(count: int = 300, seed: int = 0) -> list[str]:
    """Sentences of eight words of one field, mixed with words that stand everywhere."""
    chance = np.random.default_rng(seed)
    fields = list(FIELDS.values())
    out = []
    for _ in range(count):
        field = fields[chance.integers(len(fields))]
        out.append(" ".join(str(chance.choice(COMMON if chance.random() < 0.3 else field)) for _ in range(8)))
    return out
