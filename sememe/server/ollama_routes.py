"""Ollama's `/api/embed`, `/api/embeddings`, `/api/tags` and `/api/version`."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sememe import __version__
from sememe.server.openai_routes import floats
from sememe.server.reading import Fields, answer
from sememe.server.serving import Ask, Desk, ServedEncoder


async def embed(desk: Desk, request: Request, fields: Fields) -> Response:
    """One vector for each text; what is too long is cut unless ``truncate`` is false."""
    began = time.perf_counter_ns()
    name = fields.needed_text("model")
    served = desk.encoder(name)
    texts = [] if fields.values.get("input") in ("", None) else fields.texts("input", most=desk.limits.items) or []
    _accepted(fields)
    long = "cut_end" if fields.flag("truncate", True) else "refuse"
    made = await served.embed(desk, request, Ask(texts, long=long, dims=fields.whole("dimensions")))
    return answer(
        {
            "model": name,
            "embeddings": floats(made.vectors),
            "total_duration": time.perf_counter_ns() - began,
            "load_duration": 0,
            "prompt_eval_count": made.tokens,
        },
        headers={"x-sememe-truncated": str(made.cut)} if made.cut else None,
    )


async def embeddings(desk: Desk, request: Request, fields: Fields) -> Response:
    """The older form: one text, one vector."""
    served = desk.encoder(fields.needed_text("model"))
    text = fields.text("prompt", "")
    _accepted(fields)
    if not text:
        return answer({"embedding": []})
    made = await served.embed(desk, request, Ask([text], long="cut_end"))
    return answer({"embedding": floats(made.vectors[0])})


async def tags(desk: Desk, request: Request) -> Response:
    """What is served."""
    return answer({"models": [_tag(one) for one in desk.encoders]})


async def version(desk: Desk, request: Request) -> Response:
    """The version of sememe."""
    return answer({"version": __version__})


def _accepted(fields: Fields) -> None:
    """What is taken, checked and not needed here."""
    fields.object("options")
    if not isinstance(fields.values.get("keep_alive"), str | int | float | None):
        raise fields.wrong("keep_alive", "a text or a number")


def _tag(one: ServedEncoder) -> dict[str, Any]:
    told = one.encoder.describe()
    files = [file for file in Path(told["folder"]).rglob("*.safetensors") if file.is_file()]
    changed = max((file.stat().st_mtime for file in files), default=0.0)
    family = told.get("architecture", "")
    return {
        "name": one.name,
        "model": one.name,
        "modified_at": datetime.fromtimestamp(changed, UTC).isoformat(),
        "size": sum(file.stat().st_size for file in files),
        "digest": one.encoder.fingerprint,
        "details": {
            "parent_model": "",
            "format": "safetensors",
            "family": family,
            "families": [family],
            "parameter_size": "",
            "quantization_level": told.get("precision", ""),
        },
    }
