"""An export on its way into a collection that is there already.

The file is read twice: first every row is looked at, and what would be refused is refused before anything is written;
then the rows are put, batch by batch, each as a whole or not at all. A row that is here already as it is in the file is
passed over, so the same call again goes on where one was cut short.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from sememe.collection.migration import shown, text_of, tokens_of
from sememe.collection.transfer import bound
from sememe.errors import DataError, MismatchError, StoreError, UsageError
from sememe.progress import SILENT, Phase, Progress
from sememe.shapes import Record, Vectors, content_hash
from sememe.store.batch import checked
from sememe.store.copy import equal
from sememe.store.exchange.foreign import Columns
from sememe.store.exchange.incoming import Incoming, Row, cut_off, incoming, numbers
from sememe.store.exchange.snapshot import rows_at_once

if TYPE_CHECKING:
    from sememe.collection.collection import Collection
    from sememe.encoders.contract import Encoder
    from sememe.store.local.store import LocalStore

Existing = Literal["refuse", "keep", "replace"]
EXISTING: tuple[Existing, ...] = ("refuse", "keep", "replace")
#: ids that are named in an error or a report
NAMED = 10


@dataclass(slots=True)
class Joined:
    """What became of the rows of a file: ``added`` are new, ``replaced`` took the place of others of the same ids,
    ``kept`` are others that stayed, and ``same`` were here already. ``encoded``: of how many the vector was made anew.
    ``colliding`` names the first of those that were replaced or kept; ``notes`` say what was chosen."""

    kind: str = ""
    added: int = 0
    replaced: int = 0
    kept: int = 0
    same: int = 0
    encoded: int = 0
    colliding: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows the file has."""
        return self.added + self.replaced + self.kept + self.same


def import_into(
    path: str | os.PathLike[str],
    collection: Collection,
    *,
    existing: str = "refuse",
    encode: bool = False,
    encoder: Encoder | str | None = None,
    columns: Columns | None = None,
    progress: Progress | None = None,
) -> Joined:
    """Put the rows of an export into a collection that is there.

    Args:
        existing: what becomes of rows whose id the collection has for something else: ``refuse`` the whole file,
            ``keep`` what is here, or ``replace`` it.
        encode: leave the vectors of the file alone, and make new ones of its texts with the collection's encoder.
        encoder: of exports of others: what their vectors come from.
        columns: of exports of others: which columns hold what, where it is not clear.

    Raises:
        MismatchError: the vectors do not come from the collection's encoder, and ``encode`` was not said.
        StoreError: ids collide, and are to be refused; nothing was changed.
        DataError: the file is damaged, or a text is too long for the encoder; nothing was changed.
    """
    if existing not in EXISTING:
        raise UsageError(f'existing="{existing}" is not known', do=[f"use one of: {', '.join(EXISTING)}"])
    store, file, named = collection.store, Path(path), columns or Columns()
    shown_by = progress or SILENT
    with store.writing():
        with incoming(file, named) as found:
            if not encode:
                _same_space(found, collection, encoder, progress)
            join = _Join(store, collection.encoder(progress) if encode else None, existing)
            with shown_by.phase("check", total=found.count, unit="chunks") as phase:
                join.look(found, phase)
        with (
            incoming(file, named) as found,
            shown_by.phase("import", total=found.count, unit="chunks") as phase,
        ):
            return join.put(found, phase)


def _same_space(
    found: Incoming, collection: Collection, encoder: Encoder | str | None, progress: Progress | None
) -> None:
    theirs, _ = bound(found, encoder, collection.settings, progress)
    ours = collection.binding
    if theirs.fingerprint != ours.fingerprint:
        remark = "same width, another space" if theirs.dim == ours.dim else "another width"
        raise MismatchError(
            f"the vectors of {found.name} do not come from the encoder of {collection.name}",
            why=[
                (collection.name, f"{ours.encoder}  {ours.dim} dims"),
                ("the file", f"{theirs.encoder}  {theirs.dim} dims  ({remark})"),
            ],
            do=[
                ("encode its texts anew", "--encode   (in Python: encode=True)"),
                ("or keep it by itself", f"sememe collections import {found.name} NEW-NAME"),
            ],
        )


class _Join:
    """One file into one store; ``encoder`` is None where the vectors of the file are taken."""

    def __init__(self, store: LocalStore, encoder: Encoder | None, existing: str) -> None:
        self.store, self.encoder, self.existing = store, encoder, existing

    def look(self, found: Incoming, phase: Phase) -> None:
        """Find whatever is wrong with any row."""
        seen: set[str] = set()
        colliding: list[str] = []
        empty: list[str] = []
        long: list[tuple[int, str]] = []
        for part in self._parts(found):
            for row in part:
                if not row.id:
                    raise DataError(f"{row.where}: the id is empty")
                if row.id in seen:
                    raise DataError(f'{row.where}: the id "{row.id}" was there before', do=["ids name one row each"])
                seen.add(row.id)
            ids, records, vectors = self._read(part)
            try:
                checked(
                    ids, np.zeros((len(ids), 1), np.float32) if vectors is None else vectors, records, _width(vectors)
                )
            except DataError as error:
                where = f"{part[0].where} to {part[-1].where}"
                raise DataError(f"{where}: {error.what}", why=error.why, do=error.do) from None
            colliding += [id for id, how in self._ways(ids, records, vectors).items() if how == "collides"]
            if self.encoder is not None:
                empty += [id for id, one in zip(ids, records, strict=True) if not one.text.strip()]
                counts = tokens_of(self.encoder, [text_of(one) for one in records]).tolist()
                long += [(n, id) for n, id in zip(counts, ids, strict=True) if n > self.encoder.max_tokens]
            phase.advance(len(part))
        if found.count not in (None, len(seen)):
            raise cut_off(found, len(seen))
        self._refuse(found, colliding, empty, long)

    def _refuse(self, found: Incoming, colliding: list[str], empty: list[str], long: list[tuple[int, str]]) -> None:
        if empty:
            raise DataError(f"{len(empty)} rows of {found.name} have no text that could be encoded", why=[shown(empty)])
        if long and self.encoder is not None:
            most, id = max(long)
            raise DataError(
                f"{len(long)} texts of {found.name} are longer than {self.encoder.name} takes",
                why=[
                    ("it takes", f"{self.encoder.max_tokens} tokens"),
                    ("the longest has", f"{most} tokens: {id}"),
                    ("rows", shown([id for _, id in long])),
                ],
                do=["cut them first: what is not cut cannot be kept whole"],
            )
        if colliding and self.existing == "refuse":
            raise StoreError(
                f"{len(colliding)} ids of {found.name} stand for something else in {self.store.folder.name}; "
                "nothing was changed",
                why=[", ".join(colliding[:NAMED]) + (" …" if len(colliding) > NAMED else "")],
                do=[
                    ("keep what is here", "--existing keep   (in Python: existing=…)"),
                    ("or put the file's in its place", "--existing replace"),
                ],
            )

    def put(self, found: Incoming, phase: Phase) -> Joined:
        """Put what is not here yet, batch by batch."""
        done = Joined(found.kind, notes=found.notes)
        for part in self._parts(found):
            ids, records, vectors = self._read(part)
            ways = self._ways(ids, records, vectors)
            wanted = [
                at
                for at, id in enumerate(ids)
                if ways[id] == "new" or (ways[id] == "collides" and self.existing == "replace")
            ]
            if wanted:
                chosen = [records[at] for at in wanted]
                rows = self._made(chosen) if vectors is None else vectors[wanted]
                self.store.put([ids[at] for at in wanted], rows, chosen)
                done.encoded += len(wanted) if vectors is None else 0
            counts = list(ways.values())
            collided = [id for id, way in ways.items() if way == "collides"]
            done.added += counts.count("new")
            done.same += counts.count("same")
            if self.existing == "replace":
                done.replaced += len(collided)
            else:
                done.kept += len(collided)
            done.colliding += collided[: NAMED - len(done.colliding)]
            phase.advance(len(part))
        return done

    def _parts(self, found: Incoming) -> Iterator[list[Row]]:
        step = rows_at_once(self.store.dim)
        while part := list(islice(found.rows, step)):
            yield part

    def _read(self, part: Sequence[Row]) -> tuple[list[str], list[Record], Vectors | None]:
        """Ids and records as they will be kept, and the vectors where they are taken: float32 ``(n, dim)``."""
        ids = [row.id for row in part]
        if self.encoder is None:
            return ids, [row.record for row in part], np.stack([numbers(row, self.store.dim) for row in part])
        records = [replace(row.record, hash=content_hash(text_of(row.record))) for row in part]
        return ids, records, None

    def _ways(self, ids: list[str], records: list[Record], vectors: Vectors | None) -> dict[str, str]:
        """Of each id whether it is ``new``, here as the ``same``, or ``collides`` with something else."""
        there = self.store.get(ids)
        known = [at for at, one in enumerate(there) if one is not None]
        ways = dict.fromkeys(ids, "new")
        if not known:
            return ways
        held = self.store.vectors([ids[at] for at in known])
        # Vectors that are made anew are those of the text, and that is compared.
        given = held if vectors is None else self.store.as_kept(vectors[known])
        for at, ours, theirs in zip(known, held, given, strict=True):
            before = there[at]
            assert before is not None
            ways[ids[at]] = "same" if equal((before, ours), (records[at], theirs)) else "collides"
        return ways

    def _made(self, records: Sequence[Record]) -> Vectors:
        assert self.encoder is not None
        texts = [text_of(one) for one in records]
        places = {text: at for at, text in enumerate(dict.fromkeys(texts))}
        made = self.encoder.encode(list(places), on_long="error")
        rows: Vectors = made[[places[text] for text in texts]]
        return rows


def _width(vectors: Vectors | None) -> int:
    return 1 if vectors is None else vectors.shape[1]
