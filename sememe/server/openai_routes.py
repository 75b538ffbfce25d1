"""OpenAI's routes: `/v1/embeddings`, `/v1/models`."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from sememe.server.reading import Fields, answer, is_ids
from sememe.server.refusals import Refusal
from sememe.server.serving import Ask, Desk, ServedEncoder, ServedReranker


async def embeddings(desk: Desk, request: Request, fields: Fields) -> Response:
    """One vector for each text or list of token ids."""
    inputs = _inputs(fields, desk.limits.items)
    served = desk.encoder(fields.needed_text("model"))
    form = fields.choice("encoding_format", ("float", "base64"), "float")
    truncate = fields.flag("truncate", False)
    ask = Ask(
        inputs,
        role=role_of(fields),
        long="cut_end" if truncate else "refuse",
        dims=fields.whole("dimensions"),
        normalize=None if fields.values.get("normalize") is None else fields.flag("normalize", True),
    )
    made = await served.embed(desk, request, ask)
    rows: list[Any] = list(made.vectors)
    if form == "base64":
        rows = [base64.b64encode(row.astype("<f4").tobytes()).decode("ascii") for row in rows]
    data = [{"object": "embedding", "index": at, "embedding": row} for at, row in enumerate(rows)]
    usage = {"prompt_tokens": made.tokens, "total_tokens": made.tokens}
    headers = {"x-sememe-truncated": str(made.cut)} if made.cut else None
    return answer({"object": "list", "data": data, "model": served.name, "usage": usage}, headers=headers)


async def models(desk: Desk, request: Request) -> Response:
    """What is served."""
    return answer({"object": "list", "data": [_model(one) for one in desk.served]})


async def model(desk: Desk, request: Request) -> Response:
    """One of them."""
    name = str(request.path_params["id"])
    for one in desk.served:
        if one.name == name:
            return answer(_model(one))
    return answer(_model(desk.encoder(name)))


def role_of(fields: Fields) -> str:
    """The role that a request names as ``input_type`` or ``prompt_name``, or else ``document``."""
    kind = fields.choice("input_type", ("query", "document"), "document")
    return fields.choice("prompt_name", ("query", "document"), kind)


def _inputs(fields: Fields, most: int) -> list[Any]:
    value = fields.values.get("input")
    if isinstance(value, str) or is_ids(value):
        value = [value]
    if not isinstance(value, list):
        raise fields.wrong("input", "a text, token ids, or a list of either")
    if not value:
        raise Refusal(400, "input is an empty list", "input", "empty_input")
    fields.check_count("input", len(value), most)
    texts = isinstance(value[0], str)
    for at, one in enumerate(value):
        if not (isinstance(one, str) if texts else is_ids(one)):
            raise Refusal(
                400, f"input {at} must be {'a text' if texts else 'a list of token ids'}, as the first is" if at else
                "input 0 must be a text or a list of token ids", "input", "invalid_value",
            )  # fmt: skip
        if not one:
            raise Refusal(400, f"input {at} is an empty text", "input", "empty_input")
    return value


def _model(one: ServedEncoder | ServedReranker) -> dict[str, Any]:
    return {"id": one.name, "object": "model", "created": one.created, "owned_by": "local"}


def floats(vectors: Any) -> Any:
    """Vectors as `answer` writes them: contiguous float32."""
    return np.ascontiguousarray(vectors, np.float32)
