"""The routes of Text Embeddings Inference. They name no model: the first encoder and the first reranker answer."""

from __future__ import annotations

from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from sememe import __version__
from sememe.server.openai_routes import floats
from sememe.server.reading import Fields, answer, is_ids
from sememe.server.refusals import Refusal
from sememe.server.serving import Ask, Desk, ServedEncoder

ENDS = {"right": "cut_end", "Right": "cut_end", "left": "cut_start", "Left": "cut_start"}


async def embed(desk: Desk, request: Request, fields: Fields) -> Response:
    """One vector for each input."""
    inputs = _inputs(fields, desk.limits.items)
    made = await _first(desk).embed(desk, request, _ask(fields, inputs))
    return answer(floats(made.vectors), headers={"x-sememe-truncated": str(made.cut)} if made.cut else None)


async def embed_all(desk: Desk, request: Request, fields: Fields) -> Response:
    """The vectors of all tokens of each input."""
    texts = _texts(fields, "inputs", desk.limits.items)
    if fields.choice("truncation_direction", tuple(ENDS), "Right").lower() != "right":
        raise Refusal(400, "token vectors are cut on the right only")
    if fields.values.get("prompt_name") is not None:
        raise Refusal(400, "token vectors are given without a prompt")
    found = await _first(desk).token_vectors(desk, request, texts, cut=fields.flag("truncate", False))
    return answer([floats(vectors) for vectors in found])


async def embed_sparse(desk: Desk, request: Request, fields: Fields) -> Response:
    """TEI's own answer of an encoder that has no sparse vectors."""
    raise Refusal(424, "the encoder gives no sparse vectors: it is not a SPLADE model", kind="Backend")


async def similarity(desk: Desk, request: Request, fields: Fields) -> Response:
    """The cosine similarity of one text with others."""
    inputs = Fields(fields.object("inputs", needed=True) or {}, where="inputs.")
    parameters = Fields(fields.object("parameters") or {}, where="parameters.")
    texts = _texts(inputs, "sentences", desk.limits.items)
    source = inputs.needed_text("source_sentence")
    ask = _ask(parameters, [source, *texts])
    made = await _first(desk).embed(desk, request, ask)
    rows = made.vectors.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1)
    scale = lengths[1:] * lengths[0]
    cosines = np.divide(rows[1:] @ rows[0], scale, out=np.zeros(len(texts)), where=scale > 0)
    return answer(np.clip(cosines, -1, 1))


async def predict(desk: Desk, request: Request, fields: Fields) -> Response:
    """The score of pairs of texts, by the reranker: it has one label."""
    if not desk.rerankers:
        raise Refusal(424, "no classifier or reranker is served", kind="Backend")
    value = fields.values.get("inputs")
    batch = isinstance(value, list) and bool(value) and all(isinstance(one, list) for one in value)
    pairs = value if batch else [value]
    assert isinstance(pairs, list)
    fields.check_count("inputs", len(pairs), desk.limits.items)
    raw, long = fields.flag("raw_scores", False), "cut" if fields.flag("truncate", False) else "error"
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise Refusal(400, "inputs must be a pair of texts, or a list of pairs: the model reads two texts at once")
    found = []
    for first, second in pairs:
        (score,), _ = await desk.rerankers[0].scores(desk, request, first, [second], raw=raw, long=long)
        found.append([{"score": score, "label": "LABEL_0"}])
    return answer(found if batch else found[0])


async def tokenize(desk: Desk, request: Request, fields: Fields) -> Response:
    """The tokens of each input, with the characters that each stands for."""
    texts = _texts(fields, "inputs", desk.limits.items)
    specials = fields.flag("add_special_tokens", True)
    tokenizer = _first(desk).whole.tokenizer

    def tokens() -> list[list[dict[str, Any]]]:
        return [
            [
                {
                    "id": int(made.ids[at]),
                    "text": piece,
                    "special": bool(made.special[at]),
                    "start": None if made.special[at] else int(made.offsets[at, 0]),
                    "stop": None if made.special[at] else int(made.offsets[at, 1]),
                }
                for at, piece in enumerate(made.pieces)
            ]
            for made in tokenizer.encode(texts, specials=specials)
        ]

    return answer(await desk.beside(request, sum(map(len, texts)), tokens))


async def decode(desk: Desk, request: Request, fields: Fields) -> Response:
    """The text of each list of ids."""
    value = fields.values.get("ids")
    lists = [value] if is_ids(value) else value
    if not isinstance(lists, list) or not lists or not all(is_ids(one) for one in lists):
        raise fields.wrong("ids", "token ids, or a list of lists of them")
    fields.check_count("ids", len(lists), desk.limits.items)
    tokenizer, skip = _first(desk).whole.tokenizer, fields.flag("skip_special_tokens", True)
    size = 4 * sum(map(len, lists))
    texts = await desk.beside(request, size, lambda: [tokenizer.decode(ids, skip_special=skip) for ids in lists])
    return answer(texts)


async def info(desk: Desk, request: Request) -> Response:
    """What is served, and its limits."""
    served = _first(desk)
    told = served.encoder.describe()
    return answer(
        {
            "model_id": served.name,
            "model_sha": served.encoder.fingerprint,
            "model_dtype": told.get("precision", ""),
            "model_type": {"embedding": {"pooling": served.whole.recipe.pooling}},
            "max_concurrent_requests": served.queue.shape.requests,
            "max_input_length": served.encoder.max_tokens,
            "max_batch_tokens": served.queue.shape.batch,
            "max_batch_requests": None,
            "max_client_batch_size": desk.limits.items,
            "auto_truncate": False,
            "tokenization_workers": 2,
            "version": __version__,
            "sha": None,
            "docker_label": None,
        }
    )


def _first(desk: Desk) -> ServedEncoder:
    return desk.encoder(None)


def _ask(fields: Fields, inputs: list[Any]) -> Ask:
    end = ENDS[fields.choice("truncation_direction", tuple(ENDS), "Right")]
    return Ask(
        inputs,
        role=fields.choice("prompt_name", ("query", "document"), "document"),
        long=end if fields.flag("truncate", False) else "refuse",
        dims=fields.whole("dimensions"),
        normalize=fields.flag("normalize", True),
    )


def _inputs(fields: Fields, most: int) -> list[Any]:
    value = fields.values.get("inputs")
    if is_ids(value):
        return [value]
    if isinstance(value, list) and value and all(is_ids(one) for one in value):
        fields.check_count("inputs", len(value), most)
        return value
    return _texts(fields, "inputs", most)


def _texts(fields: Fields, name: str, most: int) -> list[str]:
    texts = fields.texts(name, most=most) or []
    if not texts:
        raise Refusal(400, f"{fields.where}{name} is an empty list", kind="Empty")
    return texts
