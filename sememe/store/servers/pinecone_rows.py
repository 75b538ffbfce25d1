"""The records of a Pinecone index that hold a store: items in one namespace, what is known of them in another.

Pinecone's metadata knows texts, numbers, true and false, and lists of texts, 40 KB an item, and it has no vector that
is nothing but zeros: in place of one it compares another, and ``zero`` says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote, unquote

from sememe.errors import DataError
from sememe.shapes import Meta, Record
from sememe.store.batch import Batch
from sememe.store.filter_tree import kind_of
from sememe.store.servers.packed import Json, members_of, packed, rough

#: Pinecone's own limits: bytes of an item's metadata, letters of an id, numbers of a vector
METADATA, ID, WIDEST = 40_960, 512, 20_000
#: the record that says what the store is; those of sources, and of what repair has set aside, begin with
HEAD, SOURCE, ASIDE = "head", "s:", "q:"


def item_rows(batch: Batch, records: Sequence[Record]) -> list[Json]:
    """What is upserted of a batch.

    Raises:
        DataError: an item is larger than Pinecone takes.
    """
    return [
        row(key_of(payload["id"]), unit, {**payload, **facts_of(record.meta), "zero": not any(unit)})
        for (payload, unit), record in zip(packed(batch, records), records, strict=True)
    ]


def row(key: str, values: list[float], metadata: Json) -> Json:
    """One record as Pinecone takes it.

    Raises:
        DataError: its metadata is too large.
    """
    if not any(values):
        values = first(len(values))
    size = len(json.dumps(metadata, ensure_ascii=False).encode())
    if size > METADATA:
        raise DataError(
            f'"{metadata.get("id", key)}" is too large for Pinecone',
            why=[("its record", f"{size} bytes"), ("Pinecone takes", f"{METADATA} bytes")],
            do=["cut the text into smaller chunks, or keep it in another store"],
        )
    return {"id": key, "values": values, "metadata": metadata}


def first(dim: int) -> list[float]:
    """A vector for what has none: (1, 0, 0, …)."""
    return [1.0, *[0.0] * (dim - 1)]


def key_of(id: str, prefix: str = "") -> str:
    """Pinecone's id, which is ASCII: ours with other letters escaped, or a digest where that is too long."""
    key = prefix + quote(id, safe=" !'()*+,/:;=@[]{}|^`<>?&$#\"\\")
    return key if len(key) <= ID else f"{prefix}%%{hashlib.sha256(id.encode()).hexdigest()}"


def id_of(key: str) -> str | None:
    """Ours; None where the key is a digest."""
    return None if key.startswith("%%") else unquote(key)


def facts_of(meta: Meta) -> Json:
    """The meta as Pinecone's filters see it: texts under ``t:NAME``, a number under ``n:NAME``; and the fields of which
    it ``has`` a value, and that hold ``yes`` or ``no``."""
    out: Json = {"has": sorted(meta)}
    for key, value in meta.items():
        members = members_of(value)
        texts = list(dict.fromkeys(one for one in members if kind_of(one) == "text"))
        numbers = [one for one in members if kind_of(one) == "number"]
        if texts:
            out[f"t:{key}"] = texts
        if len(numbers) == 1 and not rough(numbers[0]):
            out[f"n:{key}"] = numbers[0]
    for name, truth in (("yes", True), ("no", False)):
        if held := sorted(key for key, value in meta.items() if any(one is truth for one in members_of(value))):
            out[name] = held
    if not meta:
        del out["has"]
    return out


def unseen_fields(records: Sequence[Record]) -> set[str]:
    """The meta fields whose numbers Pinecone does not see as they are: of lists, and those it would round."""
    out = set()
    for record in records:
        for key, value in record.meta.items():
            numbers = [one for one in members_of(value) if kind_of(one) == "number"]
            if len(numbers) > 1 or any(rough(one) for one in numbers):
                out.add(key)
    return out


def parts(rows: Sequence[Json], *, most: int, size: int) -> Iterator[list[Any]]:
    """Few enough for one request: by number, and by about how many bytes they are as JSON."""
    part: list[Any] = []
    bytes_ = 0
    for one in rows:
        length = len(json.dumps(one, ensure_ascii=False).encode()) + 2
        if part and (len(part) >= most or bytes_ + length > size):
            yield part
            part, bytes_ = [], 0
        part.append(one)
        bytes_ += length
    if part:
        yield part
