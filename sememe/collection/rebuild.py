"""A collection made anew from its files, with the same encoder or another one.

The new one grows in a folder inside the old, which answers meanwhile; a run that is cut short goes on from there the
next time. In the end the old store takes over the new one's contents in one transaction.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sememe.collection.binding import Binding
from sememe.collection.refresh import Stamp, under
from sememe.errors import SememeError, StoreError
from sememe.progress import Progress
from sememe.store.local.beside import sweep
from sememe.store.local.store import LocalStore, open_store

if TYPE_CHECKING:
    from sememe.collection.collection import Collection
    from sememe.collection.indexing import Report
    from sememe.encoders.contract import Encoder
    from sememe.readers.source import ReadOptions

FOLDER = "rebuild"


def rebuild(
    old: Collection, paths: Sequence[Path], options: ReadOptions, *, glob: Sequence[str], progress: Progress | None
) -> Report:
    """Index ``paths`` into a new store and put it in the place of the old.

    Raises:
        StoreError: the collection holds what is not under ``paths`` and would be lost.
    """
    old.close()
    store = open_store(old.folder, timeout=old.timeout)
    try:
        with store.writing():
            _refuse_loss(store, paths, old.name)
            before = Binding.read(store.manifest, old.name)
            target = old.folder / FOLDER
            encoder = old.encoder(progress, bound=False) if old.asked is not None else _own(old, before, progress)
            kept = _kept(old, store)
            _clear_unless_same(target, encoder, old, kept)
            fresh = type(old)(target, encoder=encoder, settings=old.settings, timeout=old.timeout, **kept)
            fresh.index(paths, text=options.text, id=options.id, meta=options.meta, glob=glob, progress=progress)
            report = fresh.report
            fresh.close()
            assert report is not None
            store.adopt(target)
            sweep(store)  # vectors that a migration kept belong to rows that are gone
            shutil.rmtree(target, ignore_errors=True)
    finally:
        store.close()
    return report


def _own(old: Collection, binding: Binding, progress: Progress | None) -> Encoder:
    # Cut and rounded as it was, unless something else is asked for.
    now, asked = old.settings, old.settings.origins
    if asked.get("dims") != "flag":
        now = replace(now, dims=binding.cut)
    if asked.get("precision") != "flag":
        now = replace(now, precision=binding.precision(old.name, now.precision, ""))
    return type(old)(old.folder, encoder=binding.encoder, settings=now).encoder(progress, bound=False)


def _refuse_loss(store: LocalStore, paths: Sequence[Path], name: str) -> None:
    stamps = {source: Stamp.parse(text) for source, text in store.sources().items()}
    roots = [path.absolute() for path in paths]
    lost = [source for source, stamp in stamps.items() if not under(stamp.path, roots)]
    loose = store.count() - sum(len(store.ids(source)) for source in stamps)
    if lost or loose:
        shown = ", ".join(sorted(lost)[:5]) + (" …" if len(lost) > 5 else "")
        raise StoreError(
            f"rebuilding {name} from these paths alone would lose a part of it",
            why=[
                *([("other files", f"{len(lost)}: {shown}")] if lost else []),
                *([("items that came from no file", str(loose))] if loose else []),
            ],
            do=["name the paths of the other files too", "or make another collection, and remove this one"],
        )


def _kept(old: Collection, store: LocalStore) -> dict[str, str]:
    """How the new one keeps and finds its vectors: as the old one does, unless something else is asked for."""
    now, asked = old.settings, old.settings.origins
    return {
        "vectors": now.vectors if asked.get("vectors") == "flag" else store.vector_type,
        "index": now.index if asked.get("index") == "flag" else store.index,
    }


def _clear_unless_same(target: Path, encoder: Encoder, old: Collection, wanted_kept: dict[str, str]) -> None:
    """An unfinished rebuild is worth something only if it is the same one."""
    if not target.exists():
        return
    try:
        with open_store(target) as store:
            begun = Binding.read(store.manifest, old.name)
            kept = {"vectors": store.vector_type, "index": store.index}
    except SememeError:
        begun = None
    wanted = (encoder.fingerprint, old.settings.chunk_size, old.settings.chunk_overlap)
    if begun is None or kept != wanted_kept or (begun.fingerprint, begun.chunk_size, begun.chunk_overlap) != wanted:
        shutil.rmtree(target)
