"""Ollama, on this machine unless an address says otherwise. It knows no roles: prompts stand before the texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sememe.encoders.remote.answers import field, rows
from sememe.encoders.remote.provider import Limits, Provider
from sememe.shapes import Vectors


def payload(model: str, texts: Sequence[str], *, role: str, dims: int) -> dict[str, Any]:
    """The body; what is too long is refused there, not cut, which it would do unasked."""
    body: dict[str, Any] = {"model": model, "input": list(texts), "truncate": False}
    return body | ({"dimensions": dims} if dims else {})


def parse(answer: Any) -> list[Vectors]:
    """The vectors, which stand in the order of the texts."""
    return rows(field(answer, "embeddings"))


PROVIDER = Provider(
    name="ollama",
    title="Ollama",
    address="http://localhost:11434",
    address_variable="OLLAMA_HOST",
    key_variable="OLLAMA_API_KEY",
    path=lambda model: "/api/embed",
    payload=payload,
    parse=parse,
    limits=lambda model: Limits(texts=32, tokens=16_000),
    key_needed=False,
)
