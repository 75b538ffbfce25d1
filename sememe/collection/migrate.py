"""A collection moved to another encoder, from the texts that it keeps; and back again.

The new vectors grow beside those in use, which answer meanwhile, and every finished batch is kept; whatever else was
changed in that time is caught up with before the two change places, in one commit. The old ones stay beside until they
are let go, so that the way back takes no longer than encoding what has been added since.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sememe.collection import indexing
from sememe.collection.binding import Binding, existing
from sememe.collection.loading import loaded
from sememe.collection.migration import Cost, check, cost, same_encoder, text_of, too_long
from sememe.encoders.contract import check_options
from sememe.errors import DataError, StoreError, UsageError
from sememe.progress import SILENT, Phase, Progress
from sememe.store.local import beside
from sememe.store.local.beside import Beside
from sememe.store.local.store import LocalStore, open_store

if TYPE_CHECKING:
    from sememe.collection.collection import Collection
    from sememe.encoders.contract import Encoder

#: how often what others have changed meanwhile is caught up with while they may go on; then they wait for the rest
ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Migrated:
    """What a migration did: ``chunks`` have vectors by ``encoder`` now, ``encoded`` of them were encoded in this run.

    The vectors by ``before`` are kept beside and take ``kept`` bytes. ``notes`` say what a person must know.
    """

    encoder: str
    before: str
    chunks: int
    encoded: int
    kept: int
    notes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Aside:
    """Vectors that lie beside those in use: by which encoder, of how many ``chunks``, in how many ``bytes``.

    ``replaced`` is the date from which on others are in use, empty for vectors in the making.
    """

    encoder: str
    dim: int
    chunks: int
    bytes: int
    replaced: str


def estimate(collection: Collection, encoder: Encoder | str, *, progress: Progress | None) -> Cost:
    """What `migrate` would take; nothing is written."""
    with _opened(collection) as store:
        other = _other(collection, store, encoder, progress)
        with _closing(beside.sets(store)) as sets:
            return cost(store, _of(sets, other.fingerprint), other)


def migrate(collection: Collection, encoder: Encoder | str, *, on_long: str, progress: Progress | None) -> Migrated:
    """Encode every text with ``encoder``, and put these vectors in the place of the others."""
    check_options("document", on_long)
    if on_long == "warn":
        raise UsageError("of a migration nobody reads warnings", do=['say on_long="error", "mean" or "cut"'])
    with _opened(collection) as store, beside.locked(store):
        other = _other(collection, store, encoder, progress)
        now = Binding.read(store.manifest, collection.name)
        then = Binding.of(other, chunk_size=now.chunk_size, chunk_overlap=now.chunk_overlap)
        with _closing(beside.sets(store)) as sets:
            one = _of(sets, other.fingerprint)
            notes = [
                f"an unfinished migration to {set.manifest['encoder']['name']} was let go"
                for set in sets
                if set is not one and set.kept is None
            ]
            beside.sweep(store, but=[set.folder for set in sets if set is one or set.kept])
            told = {key: value for key, value in store.manifest.items() if key != "seal"}
            with one or beside.begun(store, {**told, **then.manifest(), "dim": other.dim}) as target:
                return _exchanged(target, other, _Run(collection.name, on_long, notes, progress or SILENT))


def roll_back(
    collection: Collection, encoder: Encoder | str | None, *, on_long: str, progress: Progress | None
) -> Migrated:
    """Put the vectors of before the last migration back in use; what was added since is encoded."""
    check_options("document", on_long)
    with _opened(collection) as store, beside.locked(store), _closing(beside.sets(store)) as sets:
        one = next((set for set in sets if set.kept), None)
        if one is None:
            raise StoreError(
                f"there is nothing that {collection.name} could go back to",
                why=["no migration was done, or its old vectors were let go"],
                do=[("move it to another encoder", f"sememe collections migrate {collection.name} --to MODEL")],
            )
        then = Binding.read(one.manifest, collection.name)
        other: Encoder | None = None
        one.prove()
        if len(one.missing()):
            then.check_known(collection.name)
            other = loaded(encoder or then.encoder, collection.settings, progress, dims=then.cut)
            then.check(other, collection.name)
        return _exchanged(one, other, _Run(collection.name, on_long, [], progress or SILENT))


def settle(collection: Collection) -> int:
    """Let go of all vectors but those in use; says how many bytes they took."""
    with _opened(collection) as store, beside.locked(store):
        return beside.sweep(store)


def aside(collection: Collection) -> list[Aside]:
    """What lies beside the vectors in use."""
    with _opened(collection) as store, _closing(beside.sets(store)) as sets:
        return [
            Aside(
                str(one.manifest["encoder"]["name"]),
                one.dim,
                store.count() - len(one.missing()),
                one.bytes,
                one.kept[1] if one.kept else "",
            )
            for one in sets
        ]


@dataclass(slots=True)
class _Run:
    """One run: how it goes about it, and what it has to tell."""

    name: str
    on_long: str
    notes: list[str]
    progress: Progress
    encoded: int = 0
    dropped: int = 0
    cut: int = 0


def _exchanged(target: Beside, encoder: Encoder | None, run: _Run) -> Migrated:
    """Complete the set and put it in use. Without an encoder it must be complete."""
    started = time.perf_counter()
    store = target.store
    before, chunks = str(store.manifest["encoder"]["name"]), store.count()
    if encoder is not None:
        if lost := target.prove():
            run.notes.append(f"{lost} vectors of an earlier run were not what was written; they are made anew")
        check(target, encoder, run.name, on_long=run.on_long, progress=run.progress)
        for _ in range(ROUNDS):
            if _filled(target, encoder, run) <= indexing.BATCH:
                break
    with store.writing():
        if encoder is not None:
            _filled(target, encoder, run)
        target.exchange()
        chunks = store.count()
    if run.cut:
        run.notes.append(f"{run.cut} chunks were longer than the encoder takes: {run.dropped} tokens cut")
    kept = sum(path.stat().st_size for path in store.folder.glob(f"{beside.PREFIX}*/*"))
    encoder_name = str(target.manifest["encoder"]["name"])
    return Migrated(
        encoder_name, before, chunks, run.encoded, kept, tuple(run.notes), time.perf_counter() - started
    )  # fmt: skip


def _filled(target: Beside, encoder: Encoder, run: _Run) -> int:
    """Encode what is missing now, batch by batch; says how much that was."""
    numbers = target.missing().tolist()
    if numbers:
        with run.progress.phase("encode", total=len(numbers), unit="chunks") as phase:
            for start in range(0, len(numbers), indexing.BATCH):
                _batch(target, encoder, numbers[start : start + indexing.BATCH], run, phase)
    return len(numbers)


def _batch(target: Beside, encoder: Encoder, numbers: list[int], run: _Run, phase: Phase) -> None:
    versions = target.versions(numbers)
    texts = [text_of(one.record) for one in versions]
    if without := [one.id for one in versions if not one.record.text.strip()]:
        raise DataError(f"{len(without)} chunks that were added meanwhile have no text", why=[", ".join(without[:5])])
    places = {text: at for at, text in enumerate(dict.fromkeys(texts))}
    made = encoder.encode_report(list(places), on_long="cut" if run.on_long == "error" else run.on_long)
    rows = [places[text] for text in texts]
    long = [
        (int(made.used[at] + made.dropped[at]), one.id)
        for at, one in zip(rows, versions, strict=True)
        if made.dropped[at]
    ]
    if long and run.on_long == "error":
        raise too_long(long, encoder, run.name)
    target.put(versions, made.vectors[rows])
    run.encoded += len(places)
    run.cut += len(long)
    run.dropped += int(made.dropped[rows].sum())
    phase.advance(len(numbers))


@contextmanager
def _opened(collection: Collection) -> Iterator[LocalStore]:
    collection.close()
    existing(collection.folder, collection.settings.collections_dir)
    with open_store(collection.folder, timeout=collection.timeout) as store:
        yield store


@contextmanager
def _closing(sets: list[Beside]) -> Iterator[list[Beside]]:
    try:
        yield sets
    finally:
        for one in sets:
            one.close()


def _other(collection: Collection, store: LocalStore, encoder: Encoder | str, progress: Progress | None) -> Encoder:
    now = Binding.read(store.manifest, collection.name)
    other = loaded(encoder, collection.settings, progress)
    if other.fingerprint == now.fingerprint:
        raise same_encoder(collection.name, other)
    return other


def _of(sets: list[Beside], fingerprint: str) -> Beside | None:
    return next((one for one in sets if one.manifest["encoder"]["fingerprint"] == fingerprint), None)
