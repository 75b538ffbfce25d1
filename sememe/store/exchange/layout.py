"""A record as one flat row, as the exports write it, and back with every value checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sememe.errors import DataError
from sememe.shapes import Place, Record, content_hash
from sememe.store.vector_type import TYPES

#: raised when a reader of today could not read what is written; older forms stay readable
FORM = 1
#: what of a store's manifest says something about one folder only
OWN = ("store", "dim", "seal")
MAX_DIM = 1 << 16
MAX_ROWS = 1 << 40


def manifest_of(manifest: Mapping[str, Any], *, count: int, vectors: str) -> dict[str, Any]:
    """What an export says of itself: what the store remembers (encoder, chunks, versions), how much there is, and
    as what type the store keeps its vectors."""
    kept = {key: value for key, value in manifest.items() if key not in OWN}
    exported = datetime.now(UTC).isoformat(timespec="seconds")
    return {"form": FORM, "count": count, "dim": int(manifest["dim"]), "exported": exported, **kept, "vectors": vectors}


def checked_manifest(value: Any, name: str) -> dict[str, Any]:
    """``value`` if it is a manifest of an export.

    Raises:
        DataError: it is not, or is of a later form.
    """
    if not isinstance(value, dict):
        raise DataError(f"{name}: the manifest is no JSON object")
    for key, least, most in (("form", 1, MAX_ROWS), ("count", 0, MAX_ROWS), ("dim", 1, MAX_DIM)):
        number = value.get(key)
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
            raise DataError(f"{name}: the manifest's {key} is {json.dumps(number)[:60]}, no number that can be")
    kept = value.get("vectors", "float32")
    if not isinstance(kept, str) or kept not in TYPES:
        raise DataError(f"{name}: the manifest's vectors are {json.dumps(kept)[:60]}, no type that is known")
    if value["form"] > FORM:
        raise DataError(
            f"{name} was written by a later version of sememe",
            why=[("its form", str(value["form"])), ("known here", f"up to {FORM}")],
            do=[("upgrade", "pip install -U sememe")],
        )
    return value


def flat(id: str, record: Record) -> dict[str, Any]:
    """All of a record but the vector."""
    place = record.place
    return {
        "id": id,
        "text": record.text,
        "title": record.title,
        "source": place.source,
        "start": place.start,
        "end": place.end,
        "unit": place.unit,
        "item": record.item,
        "span": list(record.span),
        "hash": record.hash,
        "meta": dict(record.meta),
    }


def unflat(row: Mapping[str, Any], where: str) -> tuple[str, Record]:
    """The id and the record of a row that `flat` made; only ``id`` and ``text`` must be there.

    Raises:
        DataError: a value is of another kind; ``where`` says in which row.
    """

    def text(key: str, default: str | None = "") -> str:
        value = row.get(key, default)
        if not isinstance(value, str):
            raise DataError(f'{where}: "{key}" is {"missing" if value is None else "no text"}')
        return value

    def number(key: str, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
            raise DataError(f'{where}: "{key}" is no number from 0 on')
        return value

    span, meta = row.get("span", [0, 0]), row.get("meta", {})
    if not isinstance(span, list) or len(span) != 2:
        raise DataError(f'{where}: "span" is no pair of numbers')
    if not isinstance(meta, dict):
        raise DataError(f'{where}: "meta" is no JSON object')
    start, end = number("start", row.get("start", 0)), number("end", row.get("end", 0))
    record = Record(
        text("text", None),
        Place(text("source"), start, end, text("unit", "line")),
        text("title"),
        text("item"),
        (number("span", span[0]), number("span", span[1])),
        text("hash") or content_hash(text("text", None)),
        meta,
    )
    return text("id", None), record
