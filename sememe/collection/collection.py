"""An encoder and a store under one name: what is added is read, cut, encoded and kept, what is asked is found."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sememe import settings as places
from sememe.collection.binding import (
    Binding,
    catalogued_dim,
    check_index,
    check_vectors,
    existing,
    folder_of,
    is_collection,
    short,
)
from sememe.collection.current import on_current
from sememe.collection.moving import Moving
from sememe.collection.searching import Searching
from sememe.errors import DamagedError, StoreError
from sememe.progress import SILENT, Progress
from sememe.shapes import Record

if TYPE_CHECKING:
    from sememe.collection.estimate import Estimate
    from sememe.collection.indexing import Report
    from sememe.collection.refresh import Stamp
    from sememe.encoders.contract import Encoder
    from sememe.readers.source import ReadOptions
    from sememe.settings import Settings
    from sememe.store.contract import Health
    from sememe.store.local.loss import Loss
    from sememe.store.local.store import LocalStore


@dataclass(frozen=True, slots=True)
class Info:
    """A collection in numbers: ``bytes`` is what its folder takes, ``loss`` what the type of its ``vectors`` cost, and
    ``index`` how they are found."""

    name: str
    folder: Path
    binding: Binding
    chunks: int
    sources: int
    bytes: int
    vectors: str
    loss: Loss | None
    index: str


class Collection(Searching, Moving):
    """Texts that can be searched by meaning, kept under a name.

    The first `add` makes it and binds it to its encoder for good: another encoder is refused, never used in its place.
    The encoder is loaded when it is first needed; opening, counting and searching by words need none.

    Args:
        name_or_path: a name (small letters, digits, ``-`` and ``_``), or a folder's path.
        encoder: an encoder, or a model's name or folder; None: its own, and for a new one the model that is set.
        home: where named collections are kept; None: what is set.
        settings: all of the settings; None: those of the machine and the working directory.
        vectors: how a new one keeps them: ``float32``, ``float16``, ``int8`` or ``binary``; None: what is set.
        index: how a new one finds them: ``codes``, or by FAISS ``hnsw`` or ``ivf``; None: what is set.
        timeout: seconds to wait for another writer.

    Raises:
        UsageError: the name is none.
    """

    def __init__(
        self,
        name_or_path: str | os.PathLike[str],
        *,
        encoder: Encoder | str | None = None,
        home: str | os.PathLike[str] | None = None,
        settings: Settings | None = None,
        vectors: str | None = None,
        index: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        now = settings or places.load()
        self.settings = now if home is None else replace(now, home=Path(home).absolute())
        for key, asked in (("vectors", vectors), ("index", index)):
            if asked is not None:
                told: dict[str, Any] = {key: asked, "origins": {**self.settings.origins, key: "flag"}}
                self.settings = replace(self.settings, **told)
        self.folder = folder_of(name_or_path, self.settings.collections_dir)
        self.name = self.folder.name
        self.timeout = timeout
        self.report: Report | None = None
        self.asked = encoder
        self._encoder: Encoder | None = None
        self._store: LocalStore | None = None
        self._binding: Binding | None = None

    # --- what it is --------------------------------------------------------------------------------------------------

    @property
    def exists(self) -> bool:
        """Whether anything was ever added."""
        return is_collection(self.folder)

    @property
    def store(self) -> LocalStore:
        """Its store, opened if it is not yet.

        Raises:
            StoreError: nothing was ever added.
            MismatchError: it was made with another encoder than the one that was asked for.
        """
        if self._store is None:
            existing(self.folder, self.settings.collections_dir)
            self._open()
        assert self._store is not None
        return self._store

    @property
    def binding(self) -> Binding:
        """The encoder and the way to cut that it was made with."""
        assert self.store is not None
        assert self._binding is not None
        return self._binding

    def encoder(self, progress: Progress | None = None, *, bound: bool = True) -> Encoder:
        """Its encoder, loaded if it is not yet.

        Args:
            bound: hold it to the one that the vectors come from.

        Raises:
            MismatchError: what is on the disk under the encoder's name is not what the vectors come from.
        """
        binding = self.binding if bound and self.exists else None
        if binding is not None:
            binding.check_known(self.name)
        if self._encoder is None:
            self._encoder = self._loaded(binding, progress)
        if binding is not None:
            binding.check(self._encoder, self.name, by=self.asked)
        return self._encoder

    def _open(self) -> None:
        from sememe.store.local.store import open_store

        store = open_store(self.folder, timeout=self.timeout)
        try:
            binding = Binding.read(store.manifest, self.name)
            self._check(binding)
            if self.settings.origins.get("vectors") == "flag":
                check_vectors(self.name, store.vector_type, self.settings.vectors)
            if self.settings.origins.get("index") == "flag":
                check_index(self.name, store.index, self.settings.index)
        except BaseException:
            store.close()
            raise
        self._store, self._binding = store, binding
        if self.asked is None and self._encoder is not None and self._encoder.fingerprint != binding.fingerprint:
            self._encoder = None  # somebody has moved it to another one

    def _check(self, binding: Binding) -> None:
        """Refuse what can be refused without loading a model."""
        if isinstance(self.asked, str):
            is_folder = Path(self.asked).expanduser().is_dir()
            if not is_folder and short(self.asked) != short(binding.encoder):
                raise binding.mismatch(self.name, self.asked, catalogued_dim(self.asked))
        elif self.asked is not None:
            binding.check(self.asked, self.name)
        flagged = any(self.settings.origins.get(key) == "flag" for key in ("chunk.size", "chunk.overlap"))
        if flagged:
            binding.check_chunks(self.name, self.settings.chunk_size, self.settings.chunk_overlap)
        if self.settings.origins.get("dims") == "flag":
            binding.check_dims(self.name, self.settings.dims)

    def _loaded(self, binding: Binding | None, progress: Progress | None) -> Encoder:
        if self.asked is not None and not isinstance(self.asked, str):
            return self.asked
        from sememe.encoders.load import load_encoder

        precision, origin = self.settings.precision, self.settings.origins.get("precision", "")
        return load_encoder(
            self.asked or (binding.encoder if binding else self.settings.model),
            precision=binding.precision(self.name, precision, origin) if binding else precision,
            threads=self.settings.threads,
            home=self.settings.home,
            offline=self.settings.offline,
            dims=binding.cut if binding else self.settings.dims,
            progress=progress,
        )

    def _made(self, progress: Progress | None) -> LocalStore:
        """The store, created now if it was not there."""
        if self._store is None and not is_collection(self.folder):
            from sememe.store.local.store import create_store

            encoder, now = self.encoder(progress), self.settings
            told = Binding.of(encoder, chunk_size=now.chunk_size, chunk_overlap=now.chunk_overlap).manifest()
            try:
                kept = {"vectors": now.vectors, "index": now.index}
                create_store(self.folder, dim=encoder.dim, manifest=told, timeout=self.timeout, **kept).close()
            except StoreError:
                if not is_collection(self.folder):  # else another process was quicker, and its collection is as good
                    raise
        return self.store

    # --- putting in --------------------------------------------------------------------------------------------------

    @on_current
    def add(
        self,
        value: Any,
        *,
        text: str | None = None,
        id: str | None = None,
        meta: Sequence[str] | None = None,
        glob: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> Collection:
        """Add texts, rows, or files; what it did is in ``report``.

        A path (a string, a ``Path``, or a list of ``Path``) is indexed as by `index`. Anything else is a list of texts
        or of mappings, a mapping of columns, a data frame, or an Arrow table; an item replaces the one with its id.

        Args:
            text: the column that holds the text, where it is not clear by itself.
            id: the column that holds the ids.
            meta: the columns that are kept beside the text; None: all the others.
            glob: patterns for the files of a folder.
        """
        from sememe.readers.rows import items_from, paths_of

        paths = paths_of(value)
        if paths is not None:
            self.index(paths, text=text, id=id, meta=meta, glob=glob, progress=progress)
            return self
        reading = items_from(value, _options(text, id, meta), name="data")
        shown = progress or SILENT
        store, encoder = self._made(progress), self.encoder(progress)
        from sememe.collection.indexing import Indexer, Tally

        tally = Tally()
        with store.writing(), shown.phase("index", total=len(reading.items), unit="items") as phase:
            Indexer(store, encoder, self.binding, tally).items(reading, phase)
        self.report = tally.report()
        return self

    @on_current
    def index(
        self,
        paths: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
        *,
        text: str | None = None,
        id: str | None = None,
        meta: Sequence[str] | None = None,
        glob: Sequence[str] = (),
        rebuild: bool = False,
        progress: Progress | None = None,
    ) -> Report:
        """Bring files and folders up to date: read what is new or changed, encode what is not known, let go of what
        is no longer there. Finished batches are kept when it is interrupted, and the next call goes on.

        Args:
            rebuild: make everything anew, with the encoder that was asked for; the old answers until it is done.

        Raises:
            DataError: a path does not exist, or the columns of a named file are not clear.
            LockedError: another process is writing.
        """
        from sememe.collection.indexing import Indexer, Tally
        from sememe.collection.refresh import plan
        from sememe.readers.walk import walk

        options, listed = _options(text, id, meta), _paths(paths)
        if rebuild and self.exists:
            from sememe.collection.rebuild import rebuild as rebuilt

            self.report = rebuilt(self, listed, options, glob=glob, progress=progress)
            return self.report
        shown = progress or SILENT
        tally = Tally()
        found = walk(listed, glob=glob)
        store, encoder = self._made(progress), self.encoder(progress)
        with store.writing():
            todo = plan(found, self._stamps(), options, listed, everything=not glob)
            tally.add(files=len(found.files), unchanged=todo.unchanged)
            tally.skipped += found.skipped
            tally.notes += found.notes
            with shown.phase("index", total=todo.bytes, unit="bytes") as phase:
                Indexer(store, encoder, self.binding, tally).files(todo, options, phase)
            store.catch_up()
        self.report = tally.report()
        return self.report

    def estimate(
        self,
        paths: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
        *,
        text: str | None = None,
        id: str | None = None,
        meta: Sequence[str] | None = None,
        glob: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> Estimate:
        """What `index` would have to do now, judged by a sample; nothing is written."""
        from sememe.collection.estimate import estimate
        from sememe.collection.refresh import plan
        from sememe.readers.walk import walk

        options, listed = _options(text, id, meta), _paths(paths)
        found = walk(listed, glob=glob)
        encoder = self.encoder(progress)
        binding = self._binding or Binding.of(
            encoder, chunk_size=self.settings.chunk_size, chunk_overlap=self.settings.chunk_overlap
        )
        stamps = self._stamps() if self.exists else {}
        return estimate(plan(found, stamps, options, listed, everything=not glob), options, encoder, binding)

    @on_current
    def delete(self, ids: Sequence[str], *, sources: Sequence[str] = ()) -> int:
        """Remove chunks by id, items by id with all of their chunks, and sources by name; says how many chunks left."""
        return self.store.delete([*ids, *self.store.ids(items=ids)], sources=sources)

    # --- getting out -------------------------------------------------------------------------------------------------

    def get(self, ids: Sequence[str]) -> list[Record | None]:
        """The records of chunks in the order of ``ids``, None for an unknown one."""
        return self.store.get(ids)

    def count(self, where: str | Mapping[str, Any] | None = None) -> int:
        """How many chunks there are, or satisfy ``where``; 0 of a collection that was never added to."""
        return self.store.count(where) if self.exists else 0

    def sources(self) -> dict[str, str]:
        """The names of the files that are in it, each with the SHA-256 of its content."""
        return {name: stamp.sha256 for name, stamp in self._stamps().items()}

    def info(self) -> Info:
        """What it is and how large."""
        size = sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())
        kept = self.store.vector_type, self.store.loss, self.store.index
        return Info(self.name, self.folder, self.binding, self.count(), len(self._stamps()), size, *kept)

    def verify(self) -> Health:
        """Compare records, vectors and words with each other; changes nothing."""
        return self.store.verify()

    def repair(self) -> Health:
        """Set aside what is damaged, by name, and rebuild what is derived; also where it cannot even be opened."""
        try:
            return self.store.repair()
        except DamagedError:
            from sememe.store.local.salvage import salvage

            self.close()
            return salvage(self.folder, timeout=self.timeout)

    def close(self) -> None:
        """Let go of files and locks; closing twice is legal, and using it again opens it again."""
        if self._store is not None:
            self._store.close()
        self._store = self._binding = None

    def __enter__(self) -> Collection:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if not self.exists:
            return f"Collection({self.name!r}, empty)"
        return f"Collection({self.name!r}, {self.count()} chunks, {self.binding.encoder})"

    # --- the inside --------------------------------------------------------------------------------------------------

    def _stamps(self) -> dict[str, Stamp]:
        from sememe.collection.refresh import Stamp

        return {name: Stamp.parse(text) for name, text in self.store.sources().items()}


def _options(text: str | None, id: str | None, meta: Sequence[str] | None) -> ReadOptions:
    from sememe.readers.source import ReadOptions

    return ReadOptions(text=text, id=id, meta=None if meta is None else tuple(meta))


def _paths(paths: Sequence[str | os.PathLike[str]] | str | os.PathLike[str]) -> list[Path]:
    listed = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    return [Path(path) for path in listed]
