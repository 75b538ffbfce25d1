"""Items into a collection: cut into chunks, encoded where their content is new, and kept.

Files are committed in batches, so that a run which is cut short has done something, and the next one goes on from
there. While one batch is encoded the next is read and cut in another thread.
"""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from sememe.collection.refresh import Plan, Stamp
from sememe.progress import Phase
from sememe.readers.read import read
from sememe.readers.source import Reading, ReadOptions
from sememe.shapes import Chunk, Item, Record, Skipped, Vectors, content_hash
from sememe.tokens.chunks import chunk_many

if TYPE_CHECKING:
    from sememe.collection.binding import Binding
    from sememe.encoders.contract import Encoder
    from sememe.store.contract import Store
    from sememe.tokens.tokenizer import Tokenizer

#: chunks of one commit: about a second of encoding
BATCH = 1024
#: characters that are cut into chunks at a time
CUT = 2_000_000
_ODD = re.compile("[\0\ud800-\udfff]")

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


class Part(NamedTuple):
    """A chunk on its way: ``text`` is what is encoded of it."""

    id: str
    text: str
    record: Record


@dataclass(frozen=True, slots=True)
class Pieces:
    """Some chunks of one source on their way. ``last``: nothing of it comes after. ``share``: bytes of the file that
    have come so far."""

    reading: Reading
    parts: tuple[Part, ...]
    last: bool
    share: int


def chunk_id(item: str, number: int, of: int) -> str:
    """The id of a chunk: the item's own if it is the only one, else with ``~1``, ``~2`` …; never that of another."""
    tail = item.rpartition("~")[2]
    if of == 1 and not (tail != item and tail.isdigit()):
        return item
    return f"{item}~{number}"


def encoded_text(title: str, text: str) -> str:
    """What is encoded for a chunk: its title, which says what it is about, and then its text (docs/decisions)."""
    return f"{title}\n{text}" if title and not text.startswith(title) else text


def pieces_of(reading: Reading, encoder: Encoder, *, size: int, overlap: int) -> Iterator[Pieces]:
    """A reading in pieces of about `BATCH` chunks, each with whole items."""
    total = max(1, sum(len(item.text) for item in reading.items))
    parts: list[Part] = []
    done = 0
    for items in _groups(reading.items):
        for item, title, chunks in _cut(items, encoder, size=size, overlap=overlap):
            parts += _parts(item, title, chunks)
            done += len(item.text)
            if len(parts) >= BATCH:
                yield Pieces(reading, tuple(parts), False, reading.source.size * done // total)
                parts = []
    yield Pieces(reading, tuple(parts), True, reading.source.size)


def cleaned(reading: Reading) -> Reading:
    """The reading without characters that no store takes: a NUL, or half of a surrogate pair, becomes U+FFFD."""
    items = [_cleaned(item) for item in reading.items]
    n = sum(new is not old for new, old in zip(items, reading.items, strict=True))
    if not n:
        return reading
    note = f"{n} of its items hold NULs or halves of characters, which are kept as U+FFFD"
    return replace(reading, items=tuple(items), notes=(*reading.notes, note))


def _cleaned(item: Item) -> Item:
    place = replace(item.place, source=_plain(item.place.source))
    meta = {_plain(key): _plain(value) for key, value in item.meta.items()}
    texts = {"text": _plain(item.text), "title": _plain(item.title), "id": _plain(item.id)}
    new = replace(item, **texts, place=place, meta=meta)
    return item if new == item else new


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return _ODD.sub("\ufffd", value)
    if not isinstance(value, (list, tuple)):
        return value
    members = [_plain(one) for one in value]
    return value if members == list(value) else members


def _parts(item: Item, title: str, chunks: Sequence[Chunk]) -> Iterator[Part]:
    name = item.id or content_hash(encoded_text(item.title, item.text))[:16]
    for number, chunk in enumerate(chunks, 1):
        text = encoded_text(title, chunk.text)
        span = (chunk.start, chunk.end)
        record = Record(chunk.text, item.where(*span), item.title, name, span, content_hash(text), item.meta)
        yield Part(chunk_id(name, number, len(chunks)), text, record)


def _cut(
    items: Sequence[Item], encoder: Encoder, *, size: int, overlap: int
) -> Iterator[tuple[Item, str, list[Chunk]]]:
    """The items in their order, each with what is encoded of its title, and with chunks that leave room for that."""
    tokenizer = encoder.tokenizer
    most = encoder.max_tokens - tokenizer.specials
    titles = _beginnings([item.title for item in items], tokenizer, min(size, most) // 4)
    room: dict[int, list[int]] = {}
    for at, tokens in enumerate(tokenizer.count(titles, specials=False).tolist()):
        # Rounded up, so that a few calls cut all items; one more for the line between title and text.
        taken = -(-(tokens + 1) // 16) * 16 if tokens else 0
        room.setdefault(min(size, most - taken), []).append(at)
    found: dict[int, list[Chunk]] = {}
    for tokens, places in room.items():
        texts = [items[at].text for at in places]
        found |= zip(places, chunk_many(texts, tokenizer, size=tokens, overlap=min(overlap, tokens - 1)), strict=True)
    for at, item in enumerate(items):
        yield item, titles[at], found[at]


def _beginnings(titles: Sequence[str], tokenizer: Tokenizer, most: int) -> list[str]:
    """The titles, cut to ``most`` tokens where they are longer."""
    out = list(titles)
    counts = tokenizer.count(titles, specials=False).tolist()
    long = [at for at, count in enumerate(counts) if count > most]
    for at, offsets in zip(long, tokenizer.offsets([titles[at] for at in long]), strict=True):
        out[at] = titles[at][: offsets[most][0]].rstrip()
    return out


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


def ahead(values: Iterable[T], depth: int = 2) -> Generator[T, None, None]:
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
                if sum(len(one.parts) for one in self._waiting) >= BATCH or len(self._waiting) >= BATCH:
                    self._commit(phase, passed)
        self._commit(phase, passed)
        self.store.put([], np.empty((0, self.encoder.dim), np.float32), [], sources=plan.renewed)
        # Last of all: a file that was renamed has lent its vectors to its new name by now.
        self.tally.add(deleted=self.store.delete([], sources=plan.gone), removed=len(plan.gone))

    def _pieces(self, readings: Iterable[Reading]) -> Iterator[Pieces]:
        size, overlap = self.binding.chunk_size, self.binding.chunk_overlap
        for reading in readings:
            yield from pieces_of(cleaned(reading), self.encoder, size=size, overlap=overlap)

    def _commit(self, phase: Phase, passed: dict[str, int]) -> None:
        parts: list[Part] = []
        drop: list[str] = []
        stamps: dict[str, str] = {}
        forgotten: list[str] = []
        owners: dict[str, str] = {}
        for piece in self._waiting:
            name = piece.reading.source.name
            mine = self._without_strangers(piece, owners)
            kept = self._of_source.setdefault(name, set())
            kept.update(part.id for part in mine)
            parts += mine
            if piece.last:
                del self._of_source[name]
                self._finish(piece.reading, kept, drop, stamps, forgotten)
        self._put(parts, drop, stamps)
        if forgotten:
            self.store.delete([], sources=forgotten)
        for piece in self._waiting:
            name = piece.reading.source.name
            phase.advance(piece.share - passed.get(name, 0))
            passed[name] = piece.share
        self._waiting = []

    def _put(self, parts: Sequence[Part], drop: Iterable[str], stamps: Mapping[str, str]) -> None:
        ids = [part.id for part in parts]
        leaving = sorted(set(drop) - set(ids))
        records = [part.record for part in parts]
        self.store.put(ids, self._vectors(parts), records, drop=leaving, sources=stamps)
        self.tally.add(deleted=len(leaving), chunks=len(ids))

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

    def _without_strangers(self, piece: Pieces, owners: dict[str, str]) -> list[Part]:
        """Ids that a column gave may be those of another file; the first to come keeps it. ``owners`` are those of
        this batch so far."""
        if self.options.id is None:
            return list(piece.parts)
        name = piece.reading.source.name
        good = []
        for part, old in zip(piece.parts, self.store.get([part.id for part in piece.parts]), strict=True):
            owner = owners.get(part.id) or (old.place.source if old else name)
            if owner == name or owner in self._gone:
                owners[part.id] = name
                good.append(part)
            else:
                place = str(part.record.place)
                self.tally.skipped.append(Skipped(place, f'the id "{part.id}" is already that of {owner}'))
        return good

    def _vectors(self, parts: Sequence[Part]) -> Vectors:
        """float32 ``(n, dim)``: of each content once, and never of one that is known."""
        hashes = [part.record.hash for part in parts]
        known = dict(self.store.known(hashes))
        new: dict[str, Part] = {}
        for part in parts:
            if part.record.hash not in known:
                new.setdefault(part.record.hash, part)
        made = self.encoder.encode_report([part.text for part in new.values()], on_long="cut")
        self.tally.dropped += [(part.id, int(n)) for part, n in zip(new.values(), made.dropped, strict=True) if n]
        self.tally.add(encoded=len(new), reused=len(parts) - len(new))
        rows = dict(zip(new, made.vectors, strict=True))
        rows |= zip(known, self.store.vectors(list(known.values())), strict=True)
        out = np.empty((len(parts), self.encoder.dim), np.float32)
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
                items = sorted({part.record.item for part in piece.parts})
                self._put(piece.parts, self.store.ids(items=items), {})
                phase.advance(len(items))
