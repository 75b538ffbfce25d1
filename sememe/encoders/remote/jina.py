"""Jina AI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sememe.encoders.remote.answers import by_index, field
from sememe.encoders.remote.provider import Limits, Provider
from sememe.shapes import Vectors

ROLES = {"query": "retrieval.query", "document": "retrieval.passage"}


def roles(model: str) -> Mapping[str, str]:
    """The second generation knows no tasks."""
    return {} if "-v2-" in model else ROLES


def payload(model: str, texts: Sequence[str], *, role: str, dims: int) -> dict[str, Any]:
    """The body; what is too long is refused there, never cut."""
    body: dict[str, Any] = {"model": model, "input": list(texts), "embedding_type": "base64", "truncate": False}
    body |= {"task": roles(model)[role]} if roles(model) else {}
    return body | ({"dimensions": dims} if dims else {})


def parse(answer: Any) -> list[Vectors]:
    """The vectors, by their index."""
    return by_index(field(answer, "data"))


PROVIDER = Provider(
    name="jina",
    title="Jina AI",
    address="https://api.jina.ai/v1",
    address_variable="JINA_BASE_URL",
    key_variable="JINA_API_KEY",
    path=lambda model: "/embeddings",
    payload=payload,
    parse=parse,
    limits=lambda model: Limits(texts=128, tokens=50_000),
    roles=roles,
)
