"""Collections on their way out and in: exports that other programs read, imports, and whole backups.

What is written appears whole or not at all, and so does a collection that comes in: it is made in a hidden folder
beside its place, checked, and renamed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sememe import settings as places
from sememe.collection.binding import Binding, folder_of, is_collection
from sememe.collection.collection import Collection
from sememe.errors import DamagedError, DataError, MismatchError, StoreError, UsageError
from sememe.progress import SILENT, Progress
from sememe.store.exchange.foreign import Columns

if TYPE_CHECKING:
    from sememe.encoders.contract import Encoder
    from sememe.settings import Settings
    from sememe.store.exchange.incoming import Incoming

Form = Literal["parquet", "jsonl", "npy"]
FORMS: tuple[Form, ...] = ("parquet", "jsonl", "npy")
#: what an encoder is called of which nobody knows the name
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did. ``kind``: parquet, jsonl, npy, or whose export it was; ``notes`` say what was chosen."""

    collection: Collection
    kind: str
    chunks: int
    notes: tuple[str, ...] = ()


def export_collection(
    collection: Collection,
    path: str | os.PathLike[str],
    to: str,
    *,
    packed: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write all chunks of one committed state, vectors included; says how many.

    Args:
        path: a file, or for npy a folder, which is not there yet.
        to: ``parquet`` (needs the extra of that name), ``jsonl`` or ``npy``.
        packed: of jsonl: vectors as base64 instead of lists of numbers.
        overwrite: replace what is there, if it is a file or an export of this form.

    Raises:
        StoreError: there is something at ``path``, or the disk is full; nothing is left behind.
        DamagedError: a vector of the collection is not what was written.
    """
    from sememe.store.exchange import writers
    from sememe.store.exchange.snapshot import snapshot
    from sememe.store.exchange.staging import staged

    if to not in FORMS:
        raise UsageError(f'to="{to}" is not known', do=[f"use one of: {', '.join(FORMS)}"])
    if packed and to != "jsonl":
        raise UsageError(f"packed vectors are an option of jsonl, not of {to}")
    replaceable = (writers.VECTORS, writers.RECORDS, writers.MANIFEST) if to == "npy" else ()
    with (
        staged(Path(path), overwrite=overwrite, replaceable=replaceable) as desk,
        snapshot(collection.store) as shot,
        (progress or SILENT).phase("export", total=shot.count, unit="chunks") as phase,
    ):
        if to == "parquet":
            writers.to_parquet(shot, desk / "whole", phase.advance)
        elif to == "npy":
            writers.to_npy(shot, desk / "whole", phase.advance)
        else:
            writers.to_jsonl(shot, desk / "whole", phase.advance, packed=packed)
        return shot.count


def import_collection(
    path: str | os.PathLike[str],
    name_or_path: str | os.PathLike[str],
    *,
    encoder: Encoder | str | None = None,
    columns: Columns | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Make a new collection of an export.

    One of ours (parquet, jsonl, npy) is bound to the encoder that its manifest names. Of Chroma's, Qdrant's and
    LanceDB's nobody knows it, so it has to be said.

    Args:
        encoder: an encoder, or a model's name or folder: what the vectors come from. ``"unknown"`` if nobody knows:
            such a collection is searched by words and by vectors, never by meaning of a text.
        columns: of exports of others: which columns hold what, where it is not clear.
        settings: all of the settings; None: those of the machine and the working directory.

    Raises:
        DataError: the file is damaged, or not what it claims to be; says in which row.
        MismatchError: the encoder that was named is not the one of the vectors, or the collection is there already and
            has another one.
        StoreError: the collection is there already.
    """
    from sememe.store.exchange.incoming import fill, incoming
    from sememe.store.exchange.staging import staged
    from sememe.store.local.store import create_store

    now = settings or places.load()
    folder = folder_of(name_or_path, now.collections_dir)
    with incoming(Path(path), columns or Columns()) as found:
        binding, manifest = bound(found, encoder, now, progress)
        # Of ours as it was, unless another type is asked for: what a smaller one keeps comes back the same.
        told = None if "vectors" in now.origins and now.origins["vectors"] == "flag" else found.manifest
        vectors = str((told or {}).get("vectors", now.vectors))
        _refuse_existing(folder, now, binding)
        with staged(folder, parents=True) as desk:
            with (
                create_store(
                    desk / "whole", dim=binding.dim, manifest=manifest, vectors=vectors, index=now.index
                ) as store,
                (progress or SILENT).phase("import", total=found.count, unit="chunks") as phase,
            ):
                chunks = fill(store, found, phase)
            _refuse_existing(folder, now, binding)
        return Imported(_opened(folder, encoder, now), found.kind, chunks, tuple(found.notes))


def backup_collection(
    collection: Collection, path: str | os.PathLike[str], *, overwrite: bool = False, progress: Progress | None = None
) -> int:
    """Write the collection to one file, from one committed state while others go on writing; says how many chunks.

    Raises:
        StoreError: there is something at ``path``, or the disk is full; nothing is left behind.
    """
    from sememe.store.exchange.backup import write_backup
    from sememe.store.exchange.staging import staged

    with staged(Path(path), overwrite=overwrite) as desk:
        return write_backup(
            collection.store, desk / "whole", desk, name=collection.name, progress=progress or SILENT
        )  # fmt: skip


def restore_collection(
    path: str | os.PathLike[str],
    name_or_path: str | os.PathLike[str] | None = None,
    *,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Collection:
    """Make the collection of a backup again, under its own name or another one, and verify it.

    Raises:
        DataError: the file is damaged or no backup.
        StoreError: a collection of that name is there already.
    """
    from sememe.store.exchange.backup import open_backup
    from sememe.store.exchange.staging import staged
    from sememe.store.local.store import open_store

    now = settings or places.load()
    with open_backup(Path(path)) as backup:
        if name_or_path is None and ("/" in backup.name or "\\" in backup.name):
            raise DataError(f"{backup.path.name}: its name leads out of its folder: {backup.name[:60]!r}")
        folder = folder_of(backup.name if name_or_path is None else name_or_path, now.collections_dir)
        _refuse_existing(folder, now, None)
        with (
            staged(folder, parents=True) as desk,
            (progress or SILENT).phase("restore", total=backup.bytes, unit="bytes") as phase,
        ):
            backup.unpack(desk / "whole", phase)
            with open_store(desk / "whole") as store:
                _read(store.manifest, backup.path.name)
    return _opened(folder, None, now)


def bound(
    found: Incoming, encoder: Encoder | str | None, now: Settings, progress: Progress | None
) -> tuple[Binding, dict[str, Any]]:
    """What a new collection of this is bound to, and the manifest of its store."""
    if found.manifest is not None and "encoder" in found.manifest:
        binding = _read(found.manifest, found.name)
        if encoder is not None:
            binding.check_known(found.name)
            precision = binding.precision(found.name, now.precision, now.origins.get("precision", ""))
            own = replace(now, dims=binding.cut, precision=precision)
            binding.check(_loaded(encoder, own, progress), found.name)
        kept = {key: found.manifest[key] for key in ("created", "versions") if key in found.manifest}
        return binding, {**binding.manifest(), **kept}
    if encoder is None:
        raise UsageError(
            f"{found.name} does not say which encoder its vectors come from",
            why=[("found", f"{found.kind}, vectors of {found.width()} numbers")],
            do=[
                ("name it", "-m MODEL   (in Python: encoder=…)"),
                ("or, if nobody knows", f"-m {UNKNOWN}   (no search by meaning then)"),
            ],
        )
    cut = {"chunk_size": now.chunk_size, "chunk_overlap": now.chunk_overlap}
    if encoder == UNKNOWN:
        binding = Binding.unknown(found.width(), **cut)
        return binding, binding.manifest()
    loaded = _loaded(encoder, now, progress)
    if loaded.dim != found.width():
        raise MismatchError(
            f"the vectors of {found.name} do not come from {loaded.name}",
            why=[("its vectors", f"{found.width()} numbers"), (loaded.name, f"{loaded.dim} numbers")],
            do=["name the encoder that made them"],
        )
    binding = Binding.of(loaded, **cut)
    return binding, binding.manifest()


def _read(manifest: Mapping[str, Any], name: str) -> Binding:
    try:
        return Binding.read(manifest, name)
    except DamagedError as error:
        raise DataError(error.what) from None


def _loaded(encoder: Encoder | str, now: Settings, progress: Progress | None) -> Encoder:
    if not isinstance(encoder, str):
        return encoder
    from sememe.encoders.load import load_encoder

    return load_encoder(
        encoder,
        precision=now.precision,
        threads=now.threads,
        home=now.home,
        offline=now.offline,
        dims=now.dims,
        progress=progress,
    )


def _refuse_existing(folder: Path, now: Settings, binding: Binding | None) -> None:
    if not os.path.lexists(folder):
        return
    if binding is not None and is_collection(folder):
        with Collection(folder, settings=replace(now, origins={})) as there:
            if there.binding.fingerprint != binding.fingerprint:
                raise MismatchError(
                    f'the collection "{folder.name}" is there already, and was built with another encoder',
                    why=[
                        (folder.name, f"{there.binding.encoder}, {there.binding.dim} dims"),
                        ("the file", f"{binding.encoder}, {binding.dim} dims"),
                    ],
                    do=["choose another name", ("or encode its texts anew", "--existing refuse|keep|replace --encode")],
                )
    join = ("or put it in there", f"sememe collections import FILE {folder.name} --existing refuse|keep|replace")
    raise StoreError(
        f'there is something called "{folder.name}" already',
        why=[str(folder)],
        do=[
            "choose another name",
            *([join] if binding is not None else []),
            ("or remove it first", f"sememe collections rm {folder.name}"),
        ],
    )


def _opened(folder: Path, encoder: Encoder | str | None, now: Settings) -> Collection:
    given = None if isinstance(encoder, str) else encoder
    return Collection(folder, encoder=given, settings=now)
