"""The OpenAPI document, made of the table of routes."""

from __future__ import annotations

import re
from typing import Any

from sememe import __version__
from sememe.server.refusals import family_of
from sememe.server.table import TABLE, Way

#: the body of an error, by family
_ERRORS: dict[str, dict[str, Any]] = {
    "openai": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"enum": ["invalid_request_error", "not_found_error", "server_error"]},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
    "cohere": {"id": {"type": "string"}, "message": {"type": "string"}},
    "ollama": {"error": {"type": "string"}},
    "tei": {
        "error": {"type": "string"},
        "error_type": {"enum": ["Validation", "Tokenizer", "Backend", "Overloaded", "Unhealthy", "Empty"]},
    },
}


def document() -> dict[str, Any]:
    """All routes of the table, with their bodies, and each family's form of an error."""
    paths: dict[str, dict[str, Any]] = {}
    for way in TABLE:
        paths.setdefault(re.sub(r":path\}", "}", way.path), {})[way.method.lower()] = _operation(way)
    errors = {
        f"{family}-error": {"type": "object", "properties": fields, "required": list(fields)}
        for family, fields in _ERRORS.items()
    }
    bearer = {"type": "http", "scheme": "bearer"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "sememe", "version": __version__, "description": "Embeddings, reranking and search."},
        "paths": paths,
        "components": {"schemas": errors, "securitySchemes": {"token": bearer}},
        "security": [{"token": []}, {}],
    }


def _operation(way: Way) -> dict[str, Any]:
    names = re.findall(r"\{(\w+)", way.path)
    words = re.findall(r"\w+", way.path)
    family = "openai-error" if way.path == "/rerank" else f"{family_of(way.path)}-error"
    refused: dict[str, Any] = {"$ref": f"#/components/schemas/{family}"}
    if way.path == "/rerank":
        refused = {"anyOf": [refused, {"$ref": "#/components/schemas/tei-error"}]}
    kind = "text/plain" if way.path == "/metrics" else "application/json"
    operation: dict[str, Any] = {
        "operationId": "_".join([way.method.lower(), *words]),
        "summary": way.summary,
        "responses": {
            "200": {"description": "done", "content": {kind: {}}},
            "4XX": {"description": "refused", "content": {"application/json": {"schema": refused}}},
            "503": {"description": "stopping or locked", "content": {"application/json": {"schema": refused}}},
        },
    }
    if names:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if way.body is not None:
        schema = {"type": "object", "properties": way.body, "required": list(way.needed)}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation
