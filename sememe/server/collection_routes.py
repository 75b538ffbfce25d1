"""sememe's own routes: the collections of its home, their items, and searches."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from sememe.collection.binding import MARK, NAME, is_collection, names
from sememe.collection.collection import Collection
from sememe.collection.refine import Refine
from sememe.server.reading import Fields, answer, while_connected
from sememe.server.refusals import Refusal
from sememe.server.serving import Desk
from sememe.shapes import Hit, Item, Place, Record, content_hash

T = TypeVar("T")
MODES = ("hybrid", "dense", "words")
#: calls that may wait for the one thread that opens collections
WAITING = 64
#: what items that came over the network say of where they stand
SOURCE = "api"


async def collections(desk: Desk, request: Request) -> Response:
    """Every collection."""

    def listed() -> list[dict[str, Any]]:
        found = []
        for name in names(desk.settings.collections_dir):
            with Collection(name, settings=desk.settings) as one:
                binding, changed = one.binding, (one.folder / MARK).stat().st_mtime
                found.append(
                    {
                        "name": name,
                        "count": one.count(),
                        "dim": binding.dim,
                        "encoder": binding.encoder,
                        "created": binding.created,
                        "updated": datetime.fromtimestamp(changed, UTC).isoformat(timespec="seconds"),
                    }
                )
        return found

    return answer({"object": "list", "data": await _turn(desk, request, listed)})


async def add(desk: Desk, request: Request, fields: Fields) -> Response:
    """Items into a collection, which is made with the first encoder if it is not there."""
    name = _name(request)
    items, skipped = [], []
    for at, one in enumerate(fields.list("items", most=desk.limits.items, needed=True) or []):
        made = _item(one)
        if isinstance(made, str):
            skipped.append({"index": at, "reason": made})
        else:
            items.append(made)

    def put() -> dict[str, Any]:
        with _opened(desk, name, encoding=True, make=True) as one:
            old = {record.item for record in one.get([item.id for item in items]) if record} if one.exists else set()
            if one.exists:
                several = {id for id in {item.id for item in items} - old if one.store.ids(items=[id])}
                old |= several
            last = list({item.id: item for item in items}.values())
            if last:
                one.add(last)
            updated = sum(item.id in old for item in last)
            return {"added": len(last) - updated, "updated": updated, "skipped": skipped}

    return answer(await _turn(desk, request, put))


async def item(desk: Desk, request: Request) -> Response:
    """One item with its chunks."""
    name, id = _name(request), str(request.path_params["id"])

    def got() -> dict[str, Any]:
        with _opened(desk, name) as one:
            ids = one.store.ids(items=[id]) or [id]
            chunks = [
                {"id": key, **_record(record)} for key, record in zip(ids, one.get(ids), strict=True) if record
            ]  # fmt: skip
        if not chunks:
            raise Refusal(404, f'there is no item "{id[:100]}" in {name}', "id", "item_not_found")
        return {"id": id, "object": "item", "chunks": chunks}

    return answer(await _turn(desk, request, got))


async def remove(desk: Desk, request: Request) -> Response:
    """One item out of a collection."""
    name, id = _name(request), str(request.path_params["id"])

    def gone() -> int:
        with _opened(desk, name) as one:
            return one.delete([id])

    count = await _turn(desk, request, gone)
    if not count:
        raise Refusal(404, f'there is no item "{id[:100]}" in {name}', "id", "item_not_found")
    return answer({"id": id, "deleted": True, "chunks": count})


async def search(desk: Desk, request: Request, fields: Fields) -> Response:
    """The best hits for a text, a vector, or ids to be like and unlike."""
    name = _name(request)
    asked = [key for key in ("query", "vector", "like") if fields.values.get(key) is not None]
    if len(asked) != 1:
        raise Refusal(400, "one of query, vector and like is needed", "query", "invalid_value")
    mode = fields.choice("mode", MODES, "hybrid" if asked == ["query"] else "dense")
    snippet = fields.whole("snippet", 300, most=100_000) or 300
    ask = _question(fields, asked[0], mode)
    facets = fields.texts("facets", most=20, needed=False) or []
    where = fields.values.get("filter")
    if where is not None and not isinstance(where, str | dict):
        raise fields.wrong("filter", "a text or an object")
    how: dict[str, Any] = {"where": where, "after": fields.text("cursor"), "min_score": fields.number("min_score")}
    rerank = fields.flag("rerank", False)
    if rerank and asked != ["query"]:
        raise Refusal(400, "rerank needs a query", "rerank", "invalid_value")
    if rerank:
        how["refine"] = Refine(rerank=desk.reranker(fields.text("reranker")).reranker)
    k = fields.whole("k", 10, most=1000)

    def found() -> dict[str, Any]:
        began = time.perf_counter()
        with _opened(desk, name, encoding=asked == ["query"] and mode != "words") as one:
            hits = ask(one, k, how)
            counted = [one.facets(field, where).as_dict() for field in facets]
        said = {
            "hits": [_hit(hit, snippet) for hit in hits],
            "mode": mode,
            "took_ms": round((time.perf_counter() - began) * 1000, 3),
            "next_cursor": hits.cursor,
        }
        return said | ({"facets": counted} if facets else {})

    return answer(await _turn(desk, request, found))


def _question(fields: Fields, kind: str, mode: str) -> Callable[[Collection, int | None, dict[str, Any]], Any]:
    if kind == "query":
        query = fields.needed_text("query")
        if not query.strip():
            raise Refusal(400, "query is empty", "query", "empty_input")
        return lambda one, k, how: one.search(query, k, mode=mode, **how)
    if mode != "dense":
        raise Refusal(400, f"mode {mode} needs a query", "mode", "invalid_value")
    if kind == "vector":
        import numpy as np

        numbers = fields.list("vector", most=100_000, needed=True) or []
        real = all(isinstance(x, int | float) and not isinstance(x, bool) for x in numbers)
        if not real or not all(abs(x) < 1e30 and math.isfinite(x) for x in numbers):
            raise fields.wrong("vector", "a list of finite numbers")
        vector = np.asarray(numbers, np.float32)
        return lambda one, k, how: one.search(vector, k, mode="dense", **how)
    like = fields.texts("like", most=1000) or []
    unlike = fields.texts("unlike", most=1000, needed=False) or []
    return lambda one, k, how: one.similar(like, k, unlike=unlike, **how)


async def _turn(desk: Desk, request: Request, call: Callable[[], T]) -> T:
    """``call`` on the thread of the collections, after those before it."""
    if desk.stores._work_queue.qsize() >= WAITING:
        raise Refusal(429, "too many calls wait for the collections", code="queue_full", headers={"Retry-After": "1"})
    return await while_connected(request, desk.stores.submit(call))


def _name(request: Request) -> str:
    name = str(request.path_params["c"])
    if not NAME.fullmatch(name) or len(name) > 100:
        raise Refusal(404, f'"{name[:100]}" is no name of a collection', "c", "collection_not_found")
    return name


def _opened(desk: Desk, name: str, *, encoding: bool = False, make: bool = False) -> Collection:
    """The collection with the served encoder that its vectors come from; no request makes a model load.

    Raises:
        Refusal: it is not there; or its encoder is needed and not served.
    """
    folder = desk.settings.collections_dir / name
    if not is_collection(folder):
        if not make:
            there = ", ".join(names(desk.settings.collections_dir)) or "none yet"
            raise Refusal(404, f'there is no collection "{name}"; there are: {there}', "c", "collection_not_found")
        return Collection(name, encoder=desk.encoder(None).encoder, settings=desk.settings)
    if not encoding:
        return Collection(name, settings=desk.settings)
    with Collection(name, settings=desk.settings) as closed:
        binding = closed.binding
    for served in desk.encoders:
        if served.encoder.fingerprint == binding.fingerprint:
            return Collection(name, encoder=served.encoder, settings=desk.settings)
    raise Refusal(
        409,
        f"the vectors of {name} come from {binding.encoder} ({binding.dim} dims), which is not served; "
        "start with that --model, or search by mode words",
        "c",
        "encoder_not_served",
    )


def _item(value: Any) -> Item | str:
    """An item, or why it is none."""
    if not isinstance(value, dict):
        return "no object"
    text, id, title, meta = value.get("text"), value.get("id"), value.get("title", ""), value.get("meta", {})
    if not isinstance(text, str):
        other = [key for key in ("image", "audio", "vector") if key in value]
        return f"{other[0]}: only texts can be added" if other else "text is missing, or no text"
    if not text.strip():
        return "text is empty"
    if id is not None and (not isinstance(id, str) or not id or len(id) > 1000):
        return "id must be a text of 1 to 1000 characters"
    if not isinstance(title, str):
        return "title is no text"
    if not isinstance(meta, dict) or not all(_storable(one) for one in meta.values()):
        return "meta must be an object of texts, numbers, true, false, null, and lists of them"
    return Item(text, Place(SOURCE), title, id or content_hash(text)[:16], meta)


def _storable(value: Any) -> bool:
    if isinstance(value, list):
        return all(not isinstance(one, list | dict) and _storable(one) for one in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | bool) or (isinstance(value, int) and abs(value) < 2**63)


def _record(record: Record) -> dict[str, Any]:
    return {
        "text": record.text,
        "title": record.title,
        "item": record.item,
        "span": list(record.span),
        "source": str(record.place),
        "meta": dict(record.meta),
    }


def _hit(hit: Hit, snippet: int) -> dict[str, Any]:
    text = hit.text
    short = text if len(text) <= snippet else text[: snippet - 1].rstrip() + "…"
    scores = {**hit.scores, hit.kind: hit.score}
    return {"id": hit.id, "score": hit.score, "scores": scores, "snippet": short, **_record(hit.record)}
