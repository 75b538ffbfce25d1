"""What every request passes before it reaches a route: who asks, from which page, and with which token. And what every
answer passes: the measure of its time, and the headers of the page that may read it.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sememe.errors import SememeError
from sememe.server.metrics import Metrics
from sememe.server.reading import GONE, ClientGone, answer
from sememe.server.refusals import Refusal, body_of, refusal_of

log = logging.getLogger("sememe.server")
PUBLIC = frozenset({"/health"})


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may ask. ``token``: "" for anybody; ``origins``: pages of which browsers may read answers, ``*`` for all;
    ``loopback``: only this machine can reach us, so a Host that is another's is a page that plays tricks with names."""

    token: str = ""
    origins: tuple[str, ...] = ()
    loopback: bool = True


class Gate:
    """The outermost layer."""

    def __init__(self, inner: ASGIApp, rules: Rules, metrics: Metrics) -> None:
        self.inner, self.rules, self.metrics = inner, rules, metrics
        self._token = rules.token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        began = time.perf_counter()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        status = 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *self._page_headers(headers)]
            await send(message)

        try:
            self._check_page(headers)
            if scope["method"] == "OPTIONS" and "origin" in headers:
                response: Response | None = _preflight(headers)
            else:
                self._check_token(scope["path"], headers)
                response = None
                scope["app"] = self  # so that the router raises instead of answering in a form of its own
                await self.inner(scope, receive, sent)
        except ClientGone:
            self.metrics.gone += 1
            status, response = GONE, None
        except Exception as error:
            response = None if status else _refused(error, scope["path"])
        if response is not None:
            await response(scope, receive, sent)
        self.metrics.request(str(scope.get("way", "other")), status, time.perf_counter() - began)

    def _check_page(self, headers: dict[str, str]) -> None:
        """Refuse requests that a browser sends for a page which is none of ours.

        A page may post to any address without asking first, and read the answer where it makes its own name point here.
        """
        host = headers.get("host", "")
        if self.rules.loopback and host and not is_loopback(_name_of(host)):
            raise Refusal(403, f'the host "{host[:100]}" is not this machine', code="host_not_allowed")
        origin = headers.get("origin")
        if origin is not None and not self._allowed(origin) and urlsplit(origin).netloc != host:
            raise Refusal(
                403, f'pages of "{origin[:100]}" may not ask; start with --cors to allow it', code="origin_not_allowed"
            )

    def _allowed(self, origin: str) -> bool:
        return "*" in self.rules.origins or origin in self.rules.origins

    def _page_headers(self, headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
        origin = headers.get("origin")
        if origin is None or not self._allowed(origin):
            return []
        return [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"Origin")]

    def _check_token(self, path: str, headers: dict[str, str]) -> None:
        if not self._token or path in PUBLIC:
            return
        kind, _, given = headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(given.strip().encode("latin-1"), self._token)
        if kind.lower() != "bearer" or not same:
            raise Refusal(
                401, "a token is needed: Authorization: Bearer …", code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )  # fmt: skip


def is_loopback(name: str) -> bool:
    """Whether a host's name or address means this machine."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _name_of(host: str) -> str:
    """The name in a Host header, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _preflight(headers: dict[str, str]) -> Response:
    """Leave for a page to ask; which pages, `_check_page` has looked at."""
    allowed = {
        "Access-Control-Allow-Methods": "GET, POST, DELETE, OPTIONS",
        "Access-Control-Allow-Headers": headers.get("access-control-request-headers", "")[:1000] or "*",
        "Access-Control-Max-Age": "600",
    }
    return Response(status_code=204, headers=allowed)


def _refused(error: Exception, path: str) -> Response:
    """The answer to what went wrong, in the form of the route's family."""
    if isinstance(error, SememeError):
        refusal = refusal_of(error)
    elif isinstance(error, Refusal):
        refusal = error
    elif isinstance(error, HTTPException):
        said = {404: f"there is nothing at {path[:200]}", 405: f"{path[:200]} does not take this method"}
        refusal = Refusal(error.status_code, said.get(error.status_code, str(error.detail)), code="no_such_route")
    else:
        refusal = Refusal(500, "the server failed; its log says where", code="internal_error")
    if refusal.status >= 500 and refusal.status != 503:
        log.error("%s failed", path, exc_info=error)
    return answer(body_of(refusal, path), refusal.status, refusal.headers)
