"""Every route: its method, its path, what answers, and what its body may hold (JSON Schema, for the OpenAPI
document).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from sememe.server import (
    cohere_routes,
    collection_routes,
    ollama_routes,
    openai_routes,
    rerank_routes,
    status_routes,
    tei_routes,
)

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}
COUNT: Schema = {"type": "integer", "minimum": 1}
IDS: Schema = {"type": "array", "items": {"type": "integer"}, "minItems": 1}
TEXTS: Schema = {"type": "array", "items": TEXT}
TEXT_OR_TEXTS: Schema = {"anyOf": [TEXT, TEXTS]}
INPUT: Schema = {"anyOf": [TEXT, TEXTS, IDS, {"type": "array", "items": IDS}]}
ROLE: Schema = {"enum": ["query", "document"]}
DOCUMENTS: Schema = {"type": "array", "items": {"anyOf": [TEXT, {"type": "object", "required": ["text"]}]}}
END: Schema = {"enum": ["Left", "Right", "left", "right"]}


@dataclass(frozen=True, slots=True)
class Way:
    """One route. ``body``: the schemas of its fields, None for a route without one; ``needed``: fields that must be."""

    method: str
    path: str
    call: Callable[..., Awaitable[Response]]
    body: dict[str, Schema] | None = None
    needed: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The first line of what the function says of itself."""
        return (self.call.__doc__ or "").strip().partition("\n")[0]


EMBEDDINGS = {
    "input": INPUT, "model": TEXT, "encoding_format": {"enum": ["float", "base64"]}, "dimensions": COUNT, "user": TEXT,
    "input_type": ROLE, "prompt_name": ROLE, "truncate": FLAG, "normalize": FLAG,
}  # fmt: skip
RERANK = {
    "model": TEXT, "query": TEXT, "documents": DOCUMENTS, "top_n": COUNT, "return_documents": FLAG,
    "max_tokens_per_doc": COUNT,
}  # fmt: skip
EITHER_RERANK = RERANK | {
    "texts": TEXT_OR_TEXTS, "raw_scores": FLAG, "return_text": FLAG, "truncate": FLAG,
    "truncation_direction": {"enum": ["Right", "right"]},
}  # fmt: skip
COHERE_RERANK = {
    "model": TEXT, "query": TEXT, "documents": TEXTS, "top_n": COUNT, "max_tokens_per_doc": COUNT,
    "priority": {"type": "integer"},
}  # fmt: skip
COHERE_EMBED = {
    "model": TEXT, "input_type": {"enum": list(cohere_routes.INPUT_TYPES)}, "texts": TEXTS,
    "inputs": {"type": "array", "items": OBJECT}, "output_dimension": COUNT,
    "embedding_types": {"type": "array", "items": {"enum": list(cohere_routes.FORMS)}},
    "truncate": {"enum": list(cohere_routes.LONG)}, "max_tokens": COUNT,
}  # fmt: skip
OLLAMA = {"model": TEXT, "options": OBJECT, "keep_alive": {"anyOf": [TEXT, {"type": "number"}]}}
OLLAMA_EMBED = OLLAMA | {"input": TEXT_OR_TEXTS, "truncate": FLAG, "dimensions": COUNT}
TEI_HOW = {"truncate": FLAG, "truncation_direction": END, "prompt_name": ROLE, "normalize": FLAG, "dimensions": COUNT}
TEI_TOKENS = {"inputs": TEXT_OR_TEXTS, "truncate": FLAG, "truncation_direction": {"enum": ["Right", "right"]}}
SENTENCES = {"type": "object", "properties": {"source_sentence": TEXT, "sentences": TEXTS},
             "required": ["source_sentence", "sentences"]}  # fmt: skip
ITEMS = {"items": {"type": "array", "items": {"type": "object", "properties": {
    "id": TEXT, "text": TEXT, "title": TEXT, "meta": OBJECT}}}}  # fmt: skip
SEARCH = {
    "query": TEXT, "vector": {"type": "array", "items": {"type": "number"}}, "like": TEXT_OR_TEXTS,
    "unlike": TEXT_OR_TEXTS, "k": COUNT | {"maximum": 1000}, "mode": {"enum": list(collection_routes.MODES)},
    "filter": {"anyOf": [TEXT, OBJECT]}, "min_score": {"type": "number"}, "rerank": FLAG, "reranker": TEXT,
    "snippet": COUNT, "cursor": TEXT, "facets": TEXT_OR_TEXTS,
}  # fmt: skip

TABLE: tuple[Way, ...] = (
    Way("POST", "/v1/embeddings", openai_routes.embeddings, EMBEDDINGS, ("input", "model")),
    Way("POST", "/embeddings", openai_routes.embeddings, EMBEDDINGS, ("input", "model")),
    Way("POST", "/api/embed", ollama_routes.embed, OLLAMA_EMBED, ("model",)),
    Way("POST", "/embed", tei_routes.embed, {"inputs": INPUT, **TEI_HOW}, ("inputs",)),
    Way("POST", "/v2/embed", cohere_routes.embed, COHERE_EMBED, ("model", "input_type")),
    Way("GET", "/v1/models", openai_routes.models),
    Way("GET", "/v1/models/{id:path}", openai_routes.model),
    Way("POST", "/v1/rerank", rerank_routes.rerank, RERANK, ("query", "documents")),
    Way("POST", "/rerank", rerank_routes.rerank_either, EITHER_RERANK, ("query",)),
    Way("POST", "/v2/rerank", cohere_routes.rerank, COHERE_RERANK, ("model", "query", "documents")),
    Way("POST", "/api/embeddings", ollama_routes.embeddings, OLLAMA | {"prompt": TEXT}, ("model",)),
    Way("GET", "/api/tags", ollama_routes.tags),
    Way("GET", "/api/version", ollama_routes.version),
    Way("POST", "/embed_all", tei_routes.embed_all, TEI_TOKENS, ("inputs",)),
    Way("POST", "/embed_sparse", tei_routes.embed_sparse, {"inputs": TEXT_OR_TEXTS, **TEI_HOW}, ("inputs",)),
    Way("POST", "/similarity", tei_routes.similarity, {"inputs": SENTENCES, "parameters": OBJECT}, ("inputs",)),
    Way("POST", "/predict", tei_routes.predict, {"inputs": {}, "raw_scores": FLAG, "truncate": FLAG}, ("inputs",)),
    Way("POST", "/tokenize", tei_routes.tokenize, {"inputs": TEXT_OR_TEXTS, "add_special_tokens": FLAG}, ("inputs",)),
    Way("POST", "/decode", tei_routes.decode, {"ids": {"anyOf": [IDS, {"type": "array", "items": IDS}]},
                                               "skip_special_tokens": FLAG}, ("ids",)),
    Way("GET", "/info", tei_routes.info),
    Way("GET", "/health", status_routes.health),
    Way("GET", "/metrics", status_routes.metrics),
    Way("GET", "/v1/collections", collection_routes.collections),
    Way("POST", "/v1/collections/{c}/items", collection_routes.add, ITEMS, ("items",)),
    Way("GET", "/v1/collections/{c}/items/{id:path}", collection_routes.item),
    Way("DELETE", "/v1/collections/{c}/items/{id:path}", collection_routes.remove),
    Way("POST", "/v1/collections/{c}/search", collection_routes.search, SEARCH),
)  # fmt: skip
