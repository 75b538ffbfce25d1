"""How the server is: `/health`, `/metrics`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from sememe.server.reading import answer
from sememe.server.serving import Desk


async def health(desk: Desk, request: Request) -> Response:
    """It answers: models are loaded before it listens."""
    return answer({"status": "ok"})


async def metrics(desk: Desk, request: Request) -> Response:
    """Counters in the text form of Prometheus."""
    text = desk.metrics.text(desk.gauges())
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")
