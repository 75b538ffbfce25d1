"""Voyage AI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sememe.encoders.remote.answers import by_index, field
from sememe.encoders.remote.provider import Limits, Provider
from sememe.shapes import Vectors

ROLES = {"query": "query", "document": "document"}


def payload(model: str, texts: Sequence[str], *, role: str, dims: int) -> dict[str, Any]:
    """The body; what is too long is refused there, never cut."""
    body = {
        "model": model,
        "input": list(texts),
        "input_type": ROLES[role],
        "truncation": False,
        "encoding_format": "base64",
    }
    return body | ({"output_dimension": dims} if dims else {})


def parse(answer: Any) -> list[Vectors]:
    """The vectors, by their index."""
    return by_index(field(answer, "data"))


PROVIDER = Provider(
    name="voyage",
    title="Voyage AI",
    address="https://api.voyageai.com/v1",
    address_variable="VOYAGE_BASE_URL",
    key_variable="VOYAGE_API_KEY",
    path=lambda model: "/embeddings",
    payload=payload,
    parse=parse,
    limits=lambda model: Limits(texts=128, tokens=100_000),
    roles=lambda model: ROLES,
)
