"""Amazon Bedrock: Titan, which takes one text a request, and Cohere's encoders. Requests are signed (`sigv4`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from sememe.encoders.remote import cohere
from sememe.encoders.remote.answers import field, row, rows
from sememe.encoders.remote.provider import Limits, Provider
from sememe.errors import UsageError
from sememe.shapes import Vectors


def is_cohere(model: str) -> bool:
    """Whether this is one of Cohere's, also by the name of an inference profile, such as ``us.cohere.embed-v4:0``."""
    return "cohere.embed" in model


def roles(model: str) -> Mapping[str, str]:
    """Titan knows none."""
    return cohere.ROLES if is_cohere(model) else {}


def limits(model: str) -> Limits:
    """Titan takes one text a request."""
    return Limits(texts=96, tokens=100_000) if is_cohere(model) else Limits(texts=1, tokens=100_000)


def payload(model: str, texts: Sequence[str], *, role: str, dims: int) -> dict[str, Any]:
    """The body, as the maker of the model has it."""
    if is_cohere(model):
        body = cohere.payload(model, texts, role=role, dims=dims)
        del body["model"]
        return body
    if "titan-embed-text" not in model:
        raise UsageError(
            f"{model} is no encoder of Bedrock that is known here", do=["use Titan Text Embeddings, or Cohere Embed"]
        )
    if "titan-embed-text-v1" in model or "titan-embed-g1" in model:
        return {"inputText": texts[0]}
    return {"inputText": texts[0], "normalize": True} | ({"dimensions": dims} if dims else {})


def parse(answer: Any) -> list[Vectors]:
    """The vectors of Cohere (``embeddings``, by type or as a list) or the one of Titan (``embedding``)."""
    if isinstance(answer, dict) and "embeddings" in answer:
        found = answer["embeddings"]
        return rows(field(found, "float") if isinstance(found, dict) else found)
    return [row(field(answer, "embedding"))]


PROVIDER = Provider(
    name="bedrock",
    title="Amazon Bedrock",
    address="https://bedrock-runtime.{region}.amazonaws.com",
    address_variable="AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
    key_variable="AWS_SECRET_ACCESS_KEY",
    path=lambda model: f"/model/{quote(model, safe='')}/invoke",
    payload=payload,
    parse=parse,
    limits=limits,
    roles=roles,
    key_header="",
    signed=True,
)
