"""`/v1/rerank` and `/rerank`: the form that Jina, vLLM and llama.cpp share; a body with ``texts`` is
answered in TEI's.
"""

from __future__ import annotations

import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sememe.server.reading import Fields, answer
from sememe.server.refusals import Refusal
from sememe.server.serving import Desk


async def rerank(desk: Desk, request: Request, fields: Fields) -> Response:
    """Texts in the order in which they fit a query."""
    served = desk.reranker(fields.text("model"))
    query = fields.needed_text("query")
    texts = _documents(fields, desk.limits.items)
    top = fields.whole("top_n")
    fields.whole("max_tokens_per_doc")
    with_text = fields.flag("return_documents", True)
    scores, tokens = await served.scores(desk, request, query, texts)
    order = sorted(range(len(texts)), key=lambda at: (-scores[at], at))[:top]
    results: list[dict[str, Any]] = []
    for at in order:
        result: dict[str, Any] = {"index": at, "relevance_score": scores[at]}
        results.append(result | {"document": {"text": texts[at]}} if with_text else result)
    usage = {"total_tokens": tokens, "prompt_tokens": tokens}
    meta = {"billed_units": {"search_units": 1}}
    said = {"id": f"rerank-{uuid.uuid4()}", "model": served.name, "results": results, "usage": usage, "meta": meta}
    return answer(said)


async def rerank_either(desk: Desk, request: Request, fields: Fields) -> Response:
    """By the field that holds the texts: ``documents`` as above, ``texts`` as TEI does it."""
    if "texts" in fields.values:
        return await _tei(desk, request, fields)
    try:
        return await rerank(desk, request, fields)
    except Refusal as refusal:
        refusal.family = "openai"
        raise


async def _tei(desk: Desk, request: Request, fields: Fields) -> Response:
    if not desk.rerankers:
        raise Refusal(424, "no reranker is served", kind="Backend")
    query = fields.needed_text("query")
    texts = fields.texts("texts", most=desk.limits.items) or []
    if not texts:
        raise Refusal(400, "texts is an empty list", kind="Empty")
    raw, with_text = fields.flag("raw_scores", False), fields.flag("return_text", False)
    long = "cut" if fields.flag("truncate", False) else "error"
    fields.choice("truncation_direction", ("Right", "right"), "Right")
    scores, _ = await desk.rerankers[0].scores(desk, request, query, texts, raw=raw, long=long)
    order = sorted(range(len(texts)), key=lambda at: (-scores[at], at))
    return answer(
        [{"index": at, "score": scores[at]} | ({"text": texts[at]} if with_text else {}) for at in order]
    )  # fmt: skip


def _documents(fields: Fields, most: int) -> list[str]:
    found = []
    for at, one in enumerate(fields.list("documents", most=most, needed=True) or []):
        text = one.get("text") if isinstance(one, dict) else one
        if not isinstance(text, str):
            raise Refusal(400, f"documents {at} must be a text, or an object with a text", "documents", "invalid_value")
        found.append(text)
    if not found:
        raise Refusal(400, "documents is an empty list", "documents", "empty_input")
    return found
