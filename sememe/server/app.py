"""The application: the table of routes behind the gate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from sememe.server.gate import Gate, Rules
from sememe.server.openapi import document
from sememe.server.reading import Fields, answer, parse, read_body
from sememe.server.refusals import Refusal
from sememe.server.serving import Desk
from sememe.server.table import TABLE, Way


def make_app(desk: Desk, rules: Rules | None = None) -> ASGIApp:
    """Everything that is served at ``desk``, for those whom ``rules`` let in."""
    described = document()

    async def openapi(request: Request) -> Response:
        request.scope["way"] = "/openapi.json"
        return answer(described)

    routes = [Route(way.path, _endpoint(desk, way), methods=[way.method]) for way in TABLE]
    routes.append(Route("/openapi.json", openapi, methods=["GET"]))
    router = Router(routes, redirect_slashes=False, default=_nothing_here)
    return Gate(router, rules or Rules(), desk.metrics)


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    raise HTTPException(404)


def _endpoint(desk: Desk, way: Way) -> Callable[[Request], Awaitable[Response]]:
    call: Callable[..., Awaitable[Response]] = way.call

    async def endpoint(request: Request) -> Response:
        request.scope["way"] = way.path
        if way.body is None:
            return await call(desk, request)
        size = _announced(request, desk.limits.body)
        if desk.held + size > desk.limits.bodies:
            raise Refusal(
                429, "too many large bodies at once", code="queue_full", headers={"Retry-After": "1"}
            )  # fmt: skip
        desk.held += size
        try:
            fields = Fields(await _read(desk, request))
            return await call(desk, request, fields)
        finally:
            desk.held -= size

    return endpoint


async def _read(desk: Desk, request: Request) -> dict[str, Any]:
    return parse(await read_body(request, most=desk.limits.body, seconds=desk.limits.body_seconds))


def _announced(request: Request, most: int) -> int:
    """The bytes that a body may take: what it says, or the most where it says nothing."""
    said = request.headers.get("content-length", "")
    return min(int(said), most) if said.isascii() and said.isdigit() and len(said) < 12 else most
