"""Items into a collection: cut into chunks, encoded where their content is new, and kept.

Files are committed in batches, so that a run which is cut short has done something, and the next one goes on from
there. While one batch is encoded the next is read and cut in another thread.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from sememe.progress import Phase
from sememe.readers.read import read
from sememe.readers.source import Reading, ReadOptions
from sememe.refresh import Plan, Stamp
from sememe.shapes import Chunk, Item, Record, Skipped, Vectors, content_hash
from sememe.tokens.chunks import chunk_many

if TYPE_CHECKING:
    from sememe.binding import Binding
    from sememe.encoders.contract import Encoder
    from sememe.store.contract import Store

#: chunks of one commit: about a second of encoding
BATCH = 1024
#: characters that are cut into chunks at a time
CUT = 2_000_000
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Report:
    """What an `add` or `index` did.

    ``files``: found, ``unchanged`` of them were passed over, ``removed`` are no longer there and have left. ``items``
    were read and cut into ``chunks``, of which ``encoded`` were encoded and ``reused`` have a vector that was known;
    ``deleted`` chunks left. ``skipped`` and ``notes`` name what a person must know.
    """

    files: int = 0
    unchanged: int = 0
    removed: int = 0
    items: int = 0
    chunks: int = 0
    encoded: int = 0
    reused: int = 0
    deleted: int = 0
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(slots=True)
class Tally:
    """A report in the making."""

    counts: dict[str, int] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    dropped: list[tuple[str, int]] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def add(self, **counts: int) -> None:
        for name, n in counts.items():
            self.counts[name] = self.counts.get(name, 0) + n

    def report(self) -> Report:
        notes = list(self.notes)
        if self.dropped:
            tokens = sum(n for _, n in self.dropped)
            shown = ", ".join(id for id, _ in self.dropped[:5]) + (" …" if len(self.dropped) > 5 else "")
            notes.append(
                f"{len(self.dropped)} chunks were longer than the encoder takes: {tokens} tokens cut ({shown})"
            )
        seconds = time.perf_counter() - self.started
        return Report(**self.counts, skipped=tuple(self.skipped), notes=tuple(notes), seconds=seconds)


@dataclass(frozen=True, slots=True)
class Pieces:
    """Some chunks of one source on their way. ``last``: nothing of it comes after. ``share``: bytes of the file that
    they stand for."""

    reading: Reading
    ids: tuple[str, ...]
    records: tuple[Record, ...]
    last: bool
    share: int


def chunk_id(item: str, number: int, of: int) -> str:
    """The id of a chunk: the item's own if it is the only one, else with ``~1``, ``~2`` …; never that of another."""
    tail = item.rpartition("~")[2]
    if of == 1 and not (tail != item and tail.isdigit()):
        return item
    return f"{item}~{number}"


def records_of(item: Item, chunks: Sequence[Chunk]) -> Iterator[tuple[str, Record]]:
    """The chunks of an item, as they are kept."""
    for number, chunk in enumerate(chunks, 1):
        yield (
            chunk_id(item.id, number, len(chunks)),
            Record(
                chunk.text,
                item.where(chunk.start, chunk.end),
                item.title,
                item.id,
                (chunk.start, chunk.end),
                content_hash(chunk.text),
                item.meta,
            ),
        )


def pieces_of(reading: Reading, encoder: Encoder, *, size: int, overlap: int) -> Iterator[Pieces]:
    """A reading in pieces of about `BATCH` chunks."""
    room = min(size, encoder.max_tokens - encoder.tokenizer.specials)
    share = min(overlap, room - 1)
    total = max(1, sum(len(item.text) for item in reading.items))
    ids: list[str] = []
    records: list[Record] = []
    done = 0
    for items in _groups(reading.items):
        cut = chunk_many([item.text for item in items], encoder.tokenizer, size=room, overlap=share)
        for item, chunks in zip(items, cut, strict=True):
            for id, record in records_of(item, chunks):
                ids.append(id)
                records.append(record)
            done += len(item.text)
            if len(ids) >= BATCH:
                passed = reading.source.size * done // total
                yield Pieces(reading, tuple(ids), tuple(records), False, passed)
                ids, records = [], []
    yield Pieces(reading, tuple(ids), tuple(records), True, reading.source.size)


def _groups(items: Sequence[Item]) -> Iterator[list[Item]]:
    group: list[Item] = []
    characters = 0
    for item in items:
        group.append(item)
        characters += len(item.text)
        if characters >= CUT:
            yield group
            group, characters = [], 0
    if group:
        yield group


def ahead(values: Iterable[T], depth: int = 2) -> Iterator[T]:
    """``values``, made by another thread up to ``depth`` in advance: reading and cutting goes on during encoding."""
    waiting: queue.Queue[Any] = queue.Queue(depth)
    stop = threading.Event()
    end = object()

    def put(value: Any) -> bool:
        while not stop.is_set():
            try:
                waiting.put(value, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for value in values:
                if not put((value, None)):
                    return
            put((end, None))
        except BaseException as error:  # it is raised again where the values are used
            put((end, error))

    thread = threading.Thread(target=work, name="sememe-reading", daemon=True)
    thread.start()
    try:
        while True:
            value, error = waiting.get()
            if error is not None:
                raise error
            if value is end:
                return
            yield value
    finally:
        stop.set()
        thread.join()


class Indexer:
    """Puts pieces into a store: known contents keep their vectors, new ones are encoded."""

    def __init__(self, store: Store, encoder: Encoder, binding: Binding, tally: Tally) -> None:
        self.store, self.encoder, self.binding, self.tally = store, encoder, binding, tally
        self.options = ReadOptions()
        self._gone: frozenset[str] = frozenset()
        self._waiting: list[Pieces] = []
        self._of_source: dict[str, set[str]] = {}

    def files(self, plan: Plan, options: ReadOptions, phase: Phase) -> None:
        """Do what ``plan`` says: read, cut, encode and keep what changed, let go of what is gone."""
        self.options, self._gone = options, frozenset(plan.gone)
        readings = (read(source, options) for source in plan.changed)
        passed: dict[str, int] = {}
        with closing(ahead(self._pieces(readings))) as pieces:
            for piece in pieces:
                self._waiting.append(piece)
                if sum(len(one.ids) for one in self._waiting) >= BATCH or len(self._waiting) >= BATCH:
                    self._commit(phase, passed)
        self._commit(phase, passed)
        self.store.put([], np.empty((0, self.encoder.dim), np.float32), [], sources=plan.renewed)
        # Last of all: a file that was renamed has lent its vectors to its new name by now.
        self.tally.add(deleted=self.store.delete([], sources=plan.gone), removed=len(plan.gone))

    def _pieces(self, readings: Iterable[Reading]) -> Iterator[Pieces]:
        size, overlap = self.binding.chunk_size, self.binding.chunk_overlap
        for reading in readings:
            yield from pieces_of(reading, self.encoder, size=size, overlap=overlap)

    def _commit(self, phase: Phase, passed: dict[str, int]) -> None:
        ids: list[str] = []
        records: list[Record] = []
        drop: list[str] = []
        stamps: dict[str, str] = {}
        forgotten: list[str] = []
        for piece in self._waiting:
            name = piece.reading.source.name
            kept = self._of_source.setdefault(name, set())
            mine = self._without_strangers(piece)
            ids += [id for id, _ in mine]
            records += [record for _, record in mine]
            kept.update(id for id, _ in mine)
            if piece.last:
                del self._of_source[name]
                self._finish(piece.reading, kept, drop, stamps, forgotten)
        vectors = self.vectors(ids, records)
        taken = set(ids)
        leaving = [id for id in drop if id not in taken]
        self.store.put(ids, vectors, records, drop=leaving, sources=stamps)
        if forgotten:
            self.store.delete([], sources=forgotten)
        self.tally.add(deleted=len(leaving), chunks=len(ids))
        for piece in self._waiting:
            name = piece.reading.source.name
            phase.advance(piece.share - passed.get(name, 0))
            passed[name] = piece.share
        self._waiting = []

    def _finish(
        self, reading: Reading, kept: set[str], drop: list[str], stamps: dict[str, str], forgotten: list[str]
    ) -> None:
        """A source is through: what else it had leaves, and its stamp is set."""
        name = reading.source.name
        self.tally.add(items=len(reading.items))
        self.tally.skipped += reading.skipped
        self.tally.notes += [f"{name}: {note}" for note in reading.notes]
        old = self.store.ids(name)
        if not reading.hash:
            # It is there and could not be read just now: what was known of it stays.
            if old:
                self.tally.notes.append(f"{name}: it could not be read; its {len(old)} chunks stay as they were")
            return
        drop += [id for id in old if id not in kept]
        if reading.items or not reading.skipped:
            stamps[name] = Stamp.of(reading.source, reading.hash, self.options).text()
        else:
            forgotten.append(name)

    def _without_strangers(self, piece: Pieces) -> list[tuple[str, Record]]:
        """Ids that a column gave may be those of another file; the first to come keeps it."""
        mine = list(zip(piece.ids, piece.records, strict=True))
        if self.options.id is None:
            return mine
        name = piece.reading.source.name
        before = {
            id: record.place.source
            for one in self._waiting
            if one is not piece
            for id, record in zip(one.ids, one.records, strict=True)
        }
        there = self.store.get(piece.ids)
        good = []
        for (id, record), old in zip(mine, there, strict=True):
            owner = before.get(id) or (old.place.source if old else name)
            if owner == name or owner in self._gone:
                good.append((id, record))
            else:
                self.tally.skipped.append(Skipped(str(record.place), f'the id "{id}" is already that of {owner}'))
        return good

    def vectors(self, ids: Sequence[str], records: Sequence[Record]) -> Vectors:
        """float32 ``(n, dim)``: of each content once, and never of one that is known."""
        hashes = [record.hash for record in records]
        known = dict(self.store.known(hashes))
        new: dict[str, int] = {}
        for at, digest in enumerate(hashes):
            if digest not in known:
                new.setdefault(digest, at)
        made = self.encoder.encode_report([records[at].text for at in new.values()], on_long="cut")
        self.tally.dropped += [(ids[at], int(n)) for at, n in zip(new.values(), made.dropped, strict=True) if n]
        self.tally.add(encoded=len(new), reused=len(ids) - len(new))
        rows = dict(zip(new, made.vectors, strict=True))
        old = list(known)
        rows |= zip(old, self.store.vectors([known[digest] for digest in old]), strict=True)
        out = np.empty((len(ids), self.encoder.dim), np.float32)
        for at, digest in enumerate(hashes):
            out[at] = rows[digest]
        return out

    def items(self, reading: Reading, phase: Phase) -> None:
        """Cut, encode and keep items that came from no file; each replaces the one that had its id."""
        self.tally.add(items=len(reading.items))
        self.tally.skipped += reading.skipped
        self.tally.notes += reading.notes
        with closing(ahead(self._pieces([reading]))) as pieces:
            for piece in pieces:
                items = sorted({record.item for record in piece.records})
                leaving = sorted(set(self.store.ids(items=items)) - set(piece.ids))
                self.store.put(piece.ids, self.vectors(piece.ids, piece.records), piece.records, drop=leaving)
                self.tally.add(deleted=len(leaving), chunks=len(piece.ids))
                phase.advance(len(items))
