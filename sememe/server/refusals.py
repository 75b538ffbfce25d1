"""What a request is told that cannot be served. Each family of routes has a form of its own, which its clients read."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from sememe.encoders.prepared import TooLong
from sememe.errors import (
    DamagedError,
    LockedError,
    MismatchError,
    MissingError,
    ModelError,
    SememeError,
)
from sememe.server.scheduler import Closed, QueueFull

#: TEI's word for what went wrong, by status
_TEI = {400: "Validation", 413: "Validation", 422: "Tokenizer", 424: "Backend", 429: "Overloaded", 503: "Unhealthy"}


@dataclass(eq=False)
class Refusal(Exception):
    """A status, a message, and what the families say besides: OpenAI's ``param`` and ``code``, TEI's ``kind``."""

    status: int
    message: str
    param: str | None = None
    code: str | None = None
    kind: str | None = None
    family: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


def refusal_of(error: SememeError) -> Refusal:
    """The refusal that an error of sememe's amounts to."""
    said = error.what + "".join(f"; {line if isinstance(line, str) else ': '.join(line)}" for line in error.why)
    if isinstance(error, QueueFull):
        return Refusal(429, said, code="queue_full", headers={"Retry-After": str(error.seconds)})
    if isinstance(error, TooLong):
        return Refusal(
            400, f"input {error.item} has {error.tokens} tokens, the most is {error.limit}", "input",
            "context_length_exceeded",
        )  # fmt: skip
    if isinstance(error, Closed):
        return Refusal(503, said, code="stopping")
    if isinstance(error, LockedError):
        return Refusal(503, said, code="locked", headers={"Retry-After": "1"})
    if isinstance(error, MismatchError):
        return Refusal(409, said, code="another_encoder")
    if isinstance(error, MissingError):
        return Refusal(404, said, code="not_here")
    if isinstance(error, DamagedError | ModelError):
        return Refusal(500, said, code="damaged")
    return Refusal(400, said)


def family_of(path: str) -> str:
    """Whose form the errors of a path have: ``openai``, ``cohere``, ``ollama`` or ``tei``."""
    if path.startswith("/v2/"):
        return "cohere"
    if path.startswith("/api/"):
        return "ollama"
    if path.startswith("/v1/") or path in ("/embeddings", "/openapi.json"):
        return "openai"
    return "tei"


def body_of(refusal: Refusal, path: str) -> dict[str, Any]:
    """The body of the answer."""
    family = refusal.family or family_of(path)
    if family == "cohere":
        return {"id": str(uuid.uuid4()), "message": refusal.message}
    if family == "ollama":
        return {"error": refusal.message}
    if family == "tei":
        kind = refusal.kind or _TEI.get(refusal.status, "Validation" if refusal.status < 500 else "Backend")
        return {"error": refusal.message, "error_type": kind}
    kind = "server_error" if refusal.status >= 500 else "invalid_request_error"
    kind = "not_found_error" if refusal.status == 404 else kind
    return {"error": {"message": refusal.message, "type": kind, "param": refusal.param, "code": refusal.code}}
