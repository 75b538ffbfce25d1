"""Text Embeddings Inference, on this machine unless an address says otherwise. It serves one model, whatever it is
called in the name here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sememe.encoders.remote.answers import rows
from sememe.encoders.remote.provider import Limits, Provider
from sememe.shapes import Vectors


def payload(model: str, texts: Sequence[str], *, role: str, dims: int) -> dict[str, Any]:
    """The body; what is too long is refused there, never cut."""
    body: dict[str, Any] = {"inputs": list(texts), "normalize": True, "truncate": False}
    return body | ({"dimensions": dims} if dims else {})


def parse(answer: Any) -> list[Vectors]:
    """The vectors, which stand in the order of the texts."""
    return rows(answer)


PROVIDER = Provider(
    name="tei",
    title="Text Embeddings Inference",
    address="http://localhost:8080",
    address_variable="TEI_BASE_URL",
    key_variable="TEI_API_KEY",
    path=lambda model: "/embed",
    payload=payload,
    parse=parse,
    limits=lambda model: Limits(texts=32, tokens=16_000),
    key_needed=False,
)
