"""Azure OpenAI: OpenAI's body, at the address of a resource; what the name calls the model is the deployment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from sememe.encoders.remote import openai
from sememe.encoders.remote.provider import Limits, Provider

VERSION = "2024-10-21"


def payload(model: str, texts: Sequence[str], *, role: str, dims: int) -> dict[str, Any]:
    """OpenAI's, without the model, which the path names."""
    body = openai.payload(model, texts, role=role, dims=dims)
    del body["model"]
    return body


PROVIDER = Provider(
    name="azure",
    title="Azure OpenAI",
    address="",
    address_variable="AZURE_OPENAI_ENDPOINT",
    key_variable="AZURE_OPENAI_API_KEY",
    path=lambda model: f"/openai/deployments/{quote(model, safe='')}/embeddings?api-version={VERSION}",
    payload=payload,
    parse=openai.parse,
    limits=lambda model: Limits(texts=256, tokens=100_000),
    key_header="api-key",
    key_prefix="",
)
