"""OpenAI, and every server that speaks its language (vLLM, LM Studio, llama.cpp, LiteLLM, sememe itself …)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sememe.encoders.remote.answers import by_index, field
from sememe.encoders.remote.provider import Limits, Provider
from sememe.shapes import Vectors


def payload(model: str, texts: Sequence[str], *, role: str, dims: int) -> dict[str, Any]:
    """The body; base64 is a quarter of the size of decimals, and `parse` takes both."""
    body: dict[str, Any] = {"model": model, "input": list(texts), "encoding_format": "base64"}
    return body | ({"dimensions": dims} if dims else {})


def parse(answer: Any) -> list[Vectors]:
    """The vectors, by their index."""
    return by_index(field(answer, "data"))


PROVIDER = Provider(
    name="openai",
    title="OpenAI",
    address="https://api.openai.com/v1",
    address_variable="OPENAI_BASE_URL",
    key_variable="OPENAI_API_KEY",
    path=lambda model: "/embeddings",
    payload=payload,
    parse=parse,
    limits=lambda model: Limits(texts=256, tokens=100_000),
)
