"""Google's Gemini API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from sememe.encoders.remote.answers import field, row
from sememe.encoders.remote.provider import Limits, Provider
from sememe.shapes import Vectors

ROLES = {"query": "RETRIEVAL_QUERY", "document": "RETRIEVAL_DOCUMENT"}


def roles(model: str) -> Mapping[str, str]:
    """The task types are documented for this model; of others it is not known."""
    return ROLES if model == "gemini-embedding-001" else {}


def payload(model: str, texts: Sequence[str], *, role: str, dims: int) -> dict[str, Any]:
    """The body: one request inside for each text."""
    options: dict[str, Any] = {"taskType": roles(model)[role]} if roles(model) else {}
    options |= {"outputDimensionality": dims} if dims else {}
    return {
        "requests": [{"model": f"models/{model}", "content": {"parts": [{"text": text}]}, **options} for text in texts]
    }


def parse(answer: Any) -> list[Vectors]:
    """The vectors, which stand in the order of the texts."""
    found = field(answer, "embeddings")
    if not isinstance(found, list):
        raise ValueError(f"the vectors are a {type(found).__name__}")
    return [row(field(one, "values")) for one in found]


PROVIDER = Provider(
    name="gemini",
    title="Google Gemini",
    address="https://generativelanguage.googleapis.com/v1beta",
    address_variable="GEMINI_BASE_URL",
    key_variable="GEMINI_API_KEY",
    path=lambda model: f"/models/{quote(model, safe='')}:batchEmbedContents",
    payload=payload,
    parse=parse,
    limits=lambda model: Limits(texts=100, tokens=20_000),
    roles=roles,
    key_header="x-goog-api-key",
    key_prefix="",
)
