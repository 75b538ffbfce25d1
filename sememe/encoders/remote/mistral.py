"""Mistral AI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sememe.encoders.remote.answers import by_index, field
from sememe.encoders.remote.provider import Limits, Provider
from sememe.shapes import Vectors


def payload(model: str, texts: Sequence[str], *, role: str, dims: int) -> dict[str, Any]:
    """The body."""
    body: dict[str, Any] = {"model": model, "input": list(texts)}
    return body | ({"output_dimension": dims} if dims else {})


def parse(answer: Any) -> list[Vectors]:
    """The vectors, by their index."""
    return by_index(field(answer, "data"))


PROVIDER = Provider(
    name="mistral",
    title="Mistral AI",
    address="https://api.mistral.ai/v1",
    address_variable="MISTRAL_BASE_URL",
    key_variable="MISTRAL_API_KEY",
    path=lambda model: "/embeddings",
    payload=payload,
    parse=parse,
    limits=lambda model: Limits(texts=64, tokens=12_000),
)
