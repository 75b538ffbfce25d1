"""Cohere's `/v2/embed` and `/v2/rerank`."""

from __future__ import annotations

import base64
import uuid
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from sememe.server.reading import Fields, answer
from sememe.server.refusals import Refusal
from sememe.server.serving import Ask, Desk
from sememe.shapes import Vectors

INPUT_TYPES = ("search_document", "search_query", "classification", "clustering", "image")
FORMS = ("float", "int8", "uint8", "binary", "ubinary", "base64")
LONG = {"NONE": "refuse", "START": "cut_start", "END": "cut_end"}
MOST = 96


async def embed(desk: Desk, request: Request, fields: Fields) -> Response:
    """The vectors of texts, in each of the forms asked for."""
    served = desk.encoder(fields.needed_text("model"))
    kind = fields.choice("input_type", INPUT_TYPES, "")
    if not kind:
        raise fields.wrong("input_type", "one of: " + ", ".join(INPUT_TYPES))
    if kind == "image" or fields.values.get("images") is not None:
        raise Refusal(422, f"{served.name} takes text only, no images")
    texts = _texts(fields)
    forms = fields.list("embedding_types", most=len(FORMS)) or ["float"]
    for form in forms:
        if form not in FORMS:
            raise Refusal(400, f"embedding_types: {str(form)[:40]!r} is none of {', '.join(FORMS)}")
    ask = Ask(
        texts,
        role="query" if kind == "search_query" else "document",
        long=LONG[fields.choice("truncate", tuple(LONG), "END")],
        limit=fields.whole("max_tokens"),
        dims=fields.whole("output_dimension"),
    )
    made = await served.embed(desk, request, ask)
    return answer(
        {
            "id": str(uuid.uuid4()),
            "embeddings": {form: formed(made.vectors, form) for form in forms},
            "texts": texts,
            "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": made.tokens}},
            "response_type": "embeddings_by_type",
        },
        headers={"x-sememe-truncated": str(made.cut)} if made.cut else None,
    )


async def rerank(desk: Desk, request: Request, fields: Fields) -> Response:
    """Texts in the order in which they fit a query."""
    served = desk.reranker(fields.needed_text("model"))
    query = fields.needed_text("query")
    texts = fields.texts("documents", most=desk.limits.items) or []
    top = fields.whole("top_n")
    fields.whole("max_tokens_per_doc")
    scores, _ = await served.scores(desk, request, query, texts)
    order = sorted(range(len(texts)), key=lambda at: (-scores[at], at))[:top]
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
    results = [{"index": at, "relevance_score": scores[at]} for at in order]
    return answer({"id": str(uuid.uuid4()), "results": results, "meta": meta})


def formed(vectors: Vectors, form: str) -> Any:
    """Vectors as numbers of another type.

    ``int8`` is ``round(127 x)``, ``uint8`` the same plus 128, both for vectors of length 1, whose numbers lie from -1
    to 1; ``ubinary`` has a bit for each number that is above 0, the first in the highest place of its byte; ``binary``
    is ``ubinary`` less 128.
    """
    if form == "float":
        return np.ascontiguousarray(vectors, np.float32)
    if form == "base64":
        return [base64.b64encode(row.astype("<f4").tobytes()).decode("ascii") for row in vectors]
    if form in ("int8", "uint8"):
        whole = np.clip(np.rint(vectors * np.float32(127)), -128, 127).astype(np.int16)
        return (whole + (128 if form == "uint8" else 0)).tolist()
    bits = np.packbits(vectors > 0, axis=1).astype(np.int16)
    return (bits - (128 if form == "binary" else 0)).tolist()


def _texts(fields: Fields) -> list[str]:
    if fields.values.get("inputs") is None:
        texts = fields.texts("texts", most=MOST) or []
    else:
        texts = [_text(one, at) for at, one in enumerate(fields.list("inputs", most=MOST) or [])]
    if not texts:
        raise Refusal(400, "texts is an empty list")
    return texts


def _text(value: Any, at: int) -> str:
    """The text of an input of several parts, which are joined by a space."""
    parts = value.get("content") if isinstance(value, dict) else None
    if not isinstance(parts, list) or not parts:
        raise Refusal(400, f"inputs {at} has no content")
    found = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text" or not isinstance(part.get("text"), str):
            raise Refusal(422, f"inputs {at}: only parts of the type text can be embedded")
        found.append(part["text"])
    return " ".join(found)
