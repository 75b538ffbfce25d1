"""The head of a store in Pinecone: the one record that says that a namespace is a store, and what fields it knows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sememe.errors import StoreError, UsageError
from sememe.store.servers.packed import Json
from sememe.store.servers.pinecone_rows import HEAD, first, row
from sememe.store.servers.pinecone_session import Session

LAYOUT = 1


@dataclass(frozen=True, slots=True)
class Head:
    """``fields`` are the meta fields with the kinds they ever held; the numbers of ``unseen`` ones Pinecone does not
    see as they are."""

    manifest: Mapping[str, Any]
    fields: frozenset[tuple[str, str]]
    unseen: frozenset[str]


def read_head(session: Session) -> Head:
    """The head of the namespace.

    Raises:
        StoreError: there is none, or a later sememe made it.
    """
    shown = session.rest.address.shown
    found = session.fetch(f"{session.rest.address.name}--books", [HEAD])
    if HEAD not in found:
        raise StoreError(
            f"there is no store of sememe at {shown}",
            why=["what was just made may take some seconds until it is seen"],
            do=["see that host and namespace are right, or make one: create_store(address, dim=…)"],
        )
    with session.rest.understood():
        said = found[HEAD]["metadata"]
        layout = int(said["layout"])
        manifest = dict(json.loads(said["manifest"]))
        fields = frozenset((str(name), str(kind)) for name, kind in json.loads(said["fields"]))
        unseen = frozenset(map(str, json.loads(said["unseen"])))
    if layout > LAYOUT:
        raise StoreError(
            f"{shown} was made by a later sememe",
            why=[("its layout", f"{layout}; this sememe knows {LAYOUT}")],
            do=[("upgrade", "pip install -U sememe")],
        )
    return Head(manifest, fields, unseen)


def write_head(session: Session, head: Head) -> None:
    """Put it in the place of the one that was there."""
    said: Json = {
        "layout": LAYOUT,
        "manifest": json.dumps(head.manifest, ensure_ascii=False),
        "fields": json.dumps(sorted(head.fields)),
        "unseen": json.dumps(sorted(head.unseen)),
    }
    session.upsert(f"{session.rest.address.name}--books", [row(HEAD, first(int(head.manifest["dim"])), said)])


def create_head(session: Session, dim: int, manifest: Mapping[str, Any]) -> None:
    """Make the namespace a store, empty.

    Raises:
        UsageError: the index has another width, or compares vectors by their distance.
        StoreError: there is something already.
    """
    shown, name = session.rest.address.shown, session.rest.address.name
    width, metric = session.dimension()
    if width != dim:
        raise UsageError(
            f"the index at {shown} holds vectors of another width",
            why=[("wanted", str(dim)), ("the index", str(width))],
            do=["make an index of that width in Pinecone's console"],
        )
    if metric == "euclidean":
        raise UsageError(f"the index at {shown} compares vectors by their distance", do=["make one with cosine"])
    if session.fetch(f"{name}--books", [HEAD]) or any(session.listed(name)):
        raise StoreError(f"there is a collection of this name already: {shown}")
    write_head(session, Head(manifest, frozenset(), frozenset()))
