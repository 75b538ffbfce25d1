"""The store in a folder: SQLite for the records, one float32 file for the vectors, Tantivy for the words.

The commit of SQLite is the commit of everything. Vectors are appended and on the disk before it; whatever lies behind
the last committed slot does not exist. The word index follows by itself and can be thrown away.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from sememe.errors import DamagedError, SememeError, StoreError
from sememe.shapes import Hits, Record, Vectors
from sememe.store import filters
from sememe.store.batch import checked
from sememe.store.contract import Health
from sememe.store.facets import Facet, asked
from sememe.store.filter_tree import Expr
from sememe.store.local import database, facets, records, vector_file, words, writing
from sememe.store.local import manifest as told
from sememe.store.local.creating import make
from sememe.store.local.keeper import Keeper, find_kind
from sememe.store.local.lock import FileLock
from sememe.store.local.loss import Loss, measure, remembered
from sememe.store.local.search import Misled, Search, question
from sememe.store.local.view import View, Views, state_of
from sememe.store.vector_type import find, of_file

#: how often a reader that is overtaken by writers starts over
TRIES = 50

T = TypeVar("T")


def create_store(
    folder: str | os.PathLike[str],
    *,
    dim: int,
    manifest: Mapping[str, Any] | None = None,
    vectors: str = "float32",
    index: str = "codes",
    timeout: float = 10.0,
) -> LocalStore:
    """Make an empty store in ``folder``, which is made too.

    Args:
        dim: the width of its vectors.
        manifest: what is to be remembered about it: JSON values.
        vectors: how they are kept: ``float32``, or smaller: ``float16``, ``int8``, ``binary``.
        index: how the nearest are found among many: ``codes``, ``hnsw`` or ``ivf`` (the last two need FAISS).
        timeout: seconds to wait for another writer.

    Raises:
        StoreError: there is one already, or the folder cannot be written.
        MissingExtraError: FAISS is not installed.
    """
    make(Path(folder), dim, find(vectors), manifest or {}, index=index, timeout=timeout)
    return open_store(folder, timeout=timeout)


def open_store(folder: str | os.PathLike[str], *, timeout: float = 10.0, read_only: bool | None = None) -> LocalStore:
    """Open the store in ``folder``.

    Args:
        timeout: seconds to wait for another writer.
        read_only: write nothing; None: only if the folder may not be written.

    Raises:
        StoreError: there is none, or one of a later version.
        DamagedError: its file is no SQLite file of ours.
    """
    return LocalStore(Path(folder), timeout=timeout, read_only=read_only)


class LocalStore:
    """See `sememe.store.contract.Store`. Safe to share between threads and across a fork."""

    def __init__(self, folder: Path, *, timeout: float, read_only: bool | None, coded: int | None = None) -> None:
        self.folder = folder
        path = folder / database.FILE
        if not path.is_file():
            raise StoreError(f"there is no collection in {folder}")
        self.read_only = not os.access(folder, os.W_OK) if read_only is None else read_only
        self._database = database.Database(path, read_only=self.read_only)
        self._writer = FileLock(folder / "writer.lock", folder.name, timeout=timeout)
        self._words_lock = FileLock(folder / "words.lock", f"the word index of {folder.name}", timeout=max(timeout, 60))
        self._words: words.Words | None = None
        self._wrote = False
        try:
            with self._database.connection() as connection:
                if database.check(connection, path) < len(database.MIGRATIONS):
                    with self._writer:
                        database.migrate(connection)
                self._manifest = told.read(connection)
        except BaseException:
            self._database.close()
            raise
        self._coded = coded
        self._views = self._fresh_views(self._manifest)

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset({"dense", "words", "hybrid", "where", "facets", "transactions", "long"})

    @property
    def dim(self) -> int:
        return int(self._manifest["dim"])

    @property
    def vector_type(self) -> str:
        """How its vectors are kept: ``float32``, ``float16``, ``int8`` or ``binary``."""
        with self._database.reading() as connection:
            return of_file(state_of(connection).vectors).name

    def as_kept(self, vectors: Vectors) -> Vectors:
        """What ``vectors`` ``(n, dim)`` come back as, once they are kept."""
        return find(self.vector_type).kept(vectors)

    @property
    def manifest(self) -> Mapping[str, Any]:
        return self._manifest

    @property
    def index(self) -> str:
        """How the nearest are found among many: ``codes``, ``hnsw`` or ``ivf``."""
        return told.index_of(self._manifest)

    def _fresh_views(self, manifest: Mapping[str, Any]) -> Views:
        key, kind = str(manifest["store"]), find_kind(told.index_of(manifest))
        keeper = Keeper(self.folder, self.dim, key, kind, numbers=self._coded, writable=not self.read_only)
        return Views(self.folder, self.dim, keeper)

    # --- writing -----------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only writer for a while; other writers wait, readers don't.

        Raises:
            LockedError: another writer was not done in time; says who.
            ReplacedError: meanwhile it was rebuilt, or moved to another encoder.
        """
        if self.read_only:
            raise StoreError(f"{self.folder.name} can only be read", why=[f"{self.folder} may not be written"])
        with self._writer:
            with suppress(DamagedError), self._database.connection() as connection:  # damage is told by what reads it
                told.followed(connection, self._manifest, self.folder.name)
            yield

    def put(
        self,
        ids: Sequence[str],
        vectors: Vectors,
        records: Sequence[Record],
        *,
        drop: Sequence[str] = (),
        sources: Mapping[str, str] | None = None,
    ) -> None:
        batch = checked(ids, vectors, records, self.dim)
        with self.writing():
            self._tidy()
            with self._database.writing() as connection:
                writing.put(connection, self.folder, batch, drop=drop, sources=sources or {})
            self._wrote = True

    def delete(self, ids: Sequence[str], *, sources: Sequence[str] = ()) -> int:
        with self.writing():
            self._tidy()
            with self._database.writing() as connection:
                left = writing.delete(connection, ids, sources)
            self._wrote = self._wrote or left > 0
        return left

    def compact(self) -> None:
        with self.writing():
            self._compact()
            with self._database.connection() as connection:
                database.shrink(connection)

    def _compact(self) -> None:
        with self._database.writing() as connection:
            writing.compact(connection, self.folder, self.dim)
        self._views.forget()
        self._remove_old_vectors()

    def _remove_old_vectors(self) -> None:
        with self._database.reading() as connection:
            vector_file.remove_others(self.folder, state_of(connection).vectors)

    def convert(self, vectors: str) -> Loss:
        """Keep all vectors as another type from now on; says what that cost, compared with what they were before.

        Of what a smaller type left out nothing comes back by converting to a larger one.

        Raises:
            UsageError: no such type.
            DamagedError: a vector is not what was written; nothing was changed.
        """
        with self.writing():
            loss = self.measure_loss(vectors)
            if vectors != self.vector_type:
                with self._database.writing() as connection:
                    writing.convert(connection, self.folder, self.dim, loss)
                self._views.forget()
                self._remove_old_vectors()
        return loss

    def measure_loss(self, vectors: str) -> Loss:
        """What `convert` would cost, measured on all vectors; changes nothing."""
        kind = find(vectors)
        return self.ask(lambda search: measure(search.connection, search.view, kind), None)

    @property
    def loss(self) -> Loss | None:
        """What the type of its vectors has cost them so far; None where nothing was ever kept smaller."""
        with self._database.reading() as connection:
            return remembered(connection, of_file(state_of(connection).vectors), self.dim)

    def adopt(self, fresh: Path) -> None:
        """Take over all that the store in ``fresh`` holds, its manifest too, in one transaction; it is not changed.

        Whoever has this store open is told to open it again.
        """
        with self.writing():
            with self._database.connection() as connection:
                writing.adopt(connection, self.folder, fresh)
                self._manifest = told.read(connection)
            self._views, self._words, self._wrote = self._fresh_views(self._manifest), None, True
            self._remove_old_vectors()

    def _tidy(self) -> None:
        """Compact once more than half of the file is free, so that it never grows without end."""
        with self._database.reading() as connection:
            state = state_of(connection)
        if state.slots - state.live > max(writing.SLACK, state.live):
            # On a full disk a delete must still work; the space is then given back another time.
            with suppress(StoreError):
                self._compact()

    # --- reading -----------------------------------------------------------------------------------------------------

    def search(
        self,
        vectors: Vectors | None,
        k: int = 10,
        *,
        words: Sequence[str] | None = None,
        where: str | Mapping[str, Any] | None = None,
        mode: str = "dense",
    ) -> list[Hits]:
        queries, texts = question(vectors, k, words, mode, dim=self.dim)
        expr = filters.parse(where)

        def ask(search: Search) -> list[Hits]:
            if mode == "dense":
                return search.dense(queries, k)
            index = self.words_at(search)
            if mode == "words":
                return search.words(index, texts, k)
            return search.hybrid(queries, index, texts, k)

        return self.ask(ask, expr)

    def ask(self, put: Callable[[Search], T], expr: Expr | None) -> T:
        """``put`` to one consistent state, again on a newer one where another process was faster."""
        mended = False
        for attempt in range(TRIES):
            with self._database.reading() if expr is None else self._database.sound() as connection:
                try:
                    return put(Search(connection, self._view(connection), records.compiled(connection, expr), expr))
                except (words.Ahead, Misled):
                    continue
                except FileNotFoundError as error:
                    if attempt == TRIES - 1:
                        raise DamagedError(f"{error.filename} is missing", do=["repair the collection"]) from error
                except words.Unusable as error:
                    if mended:
                        raise DamagedError("the word index cannot be read", why=[str(error)]) from error
                    mended = True
                    self._mend_words(connection)
        raise StoreError(f"{self.folder.name} changes faster than it can be read", do=["ask again"])

    def _view(self, connection: sqlite3.Connection) -> View:
        now = told.followed(connection, self._manifest, self.folder.name)
        if now is not self._manifest:
            self._manifest, self._views = now, self._fresh_views(now)
        return self._views.of(connection)

    def words_at(self, search: Search) -> words.Words:
        """The word index of the very state that ``search`` looks at."""
        last = self._words
        if last is not None and last.change == search.view.state.change:
            return last
        folder, writable = self.folder / words.FOLDER, not self.read_only
        self._words = words.open_words(folder, self._words_lock, search.connection, writable=writable)
        return self._words

    def _mend_words(self, connection: sqlite3.Connection) -> None:
        if self.read_only:
            self._words = words.in_memory(connection)
            return
        self._words = None
        words.rebuild(self.folder / words.FOLDER, self._words_lock, connection)

    def get(self, ids: Sequence[str]) -> list[Record | None]:
        with self._database.reading() as connection:
            return records.get(connection, ids, self._database.soundness)

    def vectors(self, ids: Sequence[str]) -> Vectors:
        return self.ask(lambda search: records.vectors(search.connection, search.view, ids, self.folder.name), None)

    def count(self, where: str | Mapping[str, Any] | None = None) -> int:
        with self._database.sound() as connection:
            return records.count(connection, records.compiled(connection, filters.parse(where)))

    def facets(self, field: str, where: str | Mapping[str, Any] | None = None, *, limit: int | None = 20) -> Facet:
        exists = asked(field, limit)
        with self._database.sound() as connection:
            records.compiled(connection, exists)
            return facets.counted(connection, field, records.compiled(connection, filters.parse(where)), limit)

    def sources(self) -> Mapping[str, str]:
        with self._database.sound() as connection:
            return dict(connection.execute("SELECT source, hash FROM sources"))

    def ids(self, source: str | None = None, *, items: Sequence[str] | None = None) -> list[str]:
        with self._database.sound() as connection:
            return records.ids(connection, source, items)

    def known(self, hashes: Sequence[str]) -> Mapping[str, str]:
        with self._database.sound() as connection:
            return records.known(connection, hashes)

    # --- care --------------------------------------------------------------------------------------------------------

    def verify(self) -> Health:
        from sememe.store.local import care

        try:
            with self._database.reading() as connection:
                told.followed(connection, self._manifest, self.folder.name)
                return care.verify(connection, self.folder, self.dim, self._views.keeper, self._views.columns)
        except DamagedError as error:
            return Health({}, (" ".join(str(error).split()),))

    def repair(self) -> Health:
        from sememe.store.local import care, salvage

        with self.writing():
            try:
                with self._database.writing() as connection:
                    health = care.repair(connection, self.folder, self.dim)
            except DamagedError:
                self._database.close()
                health = salvage.made_anew(self.folder)
                self._database = database.Database(self._database.path, read_only=False)
            self._views.discard()
            with self._database.reading() as connection:
                self._mend_words(connection)
        return health

    def reindex(self, index: str | None = None) -> None:
        """Make the index of the vectors anew: of the kind that it is, or of another (see `create_store`)."""
        kind = find_kind(index or self.index)
        kind.check()
        with self.writing():
            with self._database.writing() as connection:
                told.put_index(connection, kind.name)
            self._views.keeper.remove()
            # Only this: the words are another matter, which could fail now that the kind is changed.
            self.ask(lambda search: search.view.save(search.connection), None)

    def catch_up(self) -> None:
        """Bring the word index and that of the vectors up to date now, so that the next search need not."""

        def ask(search: Search) -> None:
            self.words_at(search)
            search.view.save(search.connection)

        self.ask(ask, None)

    def close(self) -> None:
        if self._wrote and not self.read_only:
            self._wrote = False
            # The index is derived: what cannot be done now is done by the next search, which will also say why not.
            with suppress(SememeError):
                self.catch_up()
        self._words = None
        self._views.forget()
        self._database.close()

    def __enter__(self) -> LocalStore:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
