"""sememe: text into vectors, kept and found again, on a laptop.

    import sememe as sm

    vectors = sm.embed(["a river bank", "a savings bank"])     # float32 (2, 384)
    notes = sm.Collection("notes").add("notes/")               # files, tables, lists of texts
    hits = notes.search("how do we rotate api keys", k=5)      # hits[0].text, .score, .place

These names are all that the front door has. Importing it does nothing else: a room is entered at the first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sememe.collection.collection import Collection
    from sememe.collection.refine import Refine
    from sememe.encoders.embed import embed
    from sememe.encoders.load import load_encoder
    from sememe.errors import SememeError
    from sememe.shapes import Hits
    from sememe.space.similarity import similarity

__version__ = "0.1.0"
__all__ = ["embed", "load_encoder", "similarity", "Collection", "Refine", "Hits", "SememeError"]

_ROOM_OF = {
    "embed": "sememe.encoders.embed",
    "load_encoder": "sememe.encoders.load",
    "similarity": "sememe.space.similarity",
    "Collection": "sememe.collection.collection",
    "Refine": "sememe.collection.refine",
    "Hits": "sememe.shapes",
    "SememeError": "sememe.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'sememe' has no attribute {name!r}")
    value = getattr(importlib.import_module(_ROOM_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
