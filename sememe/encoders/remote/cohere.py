"""Cohere, version 2 of its API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sememe.encoders.remote.answers import field, rows
from sememe.encoders.remote.provider import Limits, Provider
from sememe.shapes import Vectors

ROLES = {"query": "search_query", "document": "search_document"}


def payload(model: str, texts: Sequence[str], *, role: str, dims: int) -> dict[str, Any]:
    """The body; what is too long is refused there, never cut."""
    body = {
        "model": model,
        "texts": list(texts),
        "input_type": ROLES[role],
        "embedding_types": ["float"],
        "truncate": "NONE",
    }
    return body | ({"output_dimension": dims} if dims else {})


def parse(answer: Any) -> list[Vectors]:
    """The vectors, which stand in the order of the texts."""
    return rows(field(answer, "embeddings", "float"))


PROVIDER = Provider(
    name="cohere",
    title="Cohere",
    address="https://api.cohere.com",
    address_variable="COHERE_BASE_URL",
    key_variable="CO_API_KEY",
    path=lambda model: "/v2/embed",
    payload=payload,
    parse=parse,
    limits=lambda model: Limits(texts=96, tokens=100_000),
    roles=lambda model: ROLES,
)
