"""What ties a collection together: its name, its folder, and the one encoder that all of its vectors come from.

A collection lives in ``<home>/collections/NAME``, or in any folder when a path is given. What it was made with stands
in the manifest of its store and never changes; vectors of another encoder are refused.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sememe.errors import DamagedError, MismatchError, StoreError, UsageError

if TYPE_CHECKING:
    from sememe.encoders.contract import Encoder
    from sememe.store.local.lock import FileLock

NAME = re.compile(r"[a-z0-9_-]+")
#: what an encoder says of itself that stands elsewhere, or is of this machine and not of the vectors
NOT_RECIPE = frozenset({"encoder", "dim", "fingerprint", "folder", "threads"})
#: what the fingerprint of an encoder that nobody knows begins with
UNKNOWN = "unknown:"
#: of this file a folder is known to hold a collection
MARK = "records.sqlite"


@dataclass(frozen=True, slots=True)
class Binding:
    """What a collection was made with. ``recipe`` is what the encoder said of itself then; chunks count in tokens."""

    encoder: str
    fingerprint: str
    dim: int
    chunk_size: int
    chunk_overlap: int
    created: str = ""
    recipe: Mapping[str, str] | None = None

    @classmethod
    def of(cls, encoder: Encoder, *, chunk_size: int, chunk_overlap: int) -> Binding:
        """The binding of a collection that is made now."""
        recipe = {str(key): str(value) for key, value in encoder.describe().items() if key not in NOT_RECIPE}
        return cls(encoder.name, encoder.fingerprint, encoder.dim, chunk_size, chunk_overlap, recipe=recipe)

    @classmethod
    def read(cls, manifest: Mapping[str, Any], name: str) -> Binding:
        """The binding that a store's manifest holds.

        Raises:
            DamagedError: it holds none, so the store was not made by a collection.
        """
        try:
            encoder, chunks = manifest["encoder"], manifest["chunks"]
            return cls(
                str(encoder["name"]),
                str(encoder["fingerprint"]),
                int(manifest["dim"]),
                int(chunks["size"]),
                int(chunks["overlap"]),
                str(manifest.get("created", "")),
                dict(encoder.get("recipe", {})),
            )
        except (KeyError, TypeError, ValueError):
            raise DamagedError(f"{name} does not say which encoder its vectors come from") from None

    def manifest(self) -> dict[str, Any]:
        """What the store is to remember."""
        from sememe import __version__

        return {
            "encoder": {"name": self.encoder, "fingerprint": self.fingerprint, "recipe": dict(self.recipe or {})},
            "chunks": {"size": self.chunk_size, "overlap": self.chunk_overlap},
            "versions": {"sememe": __version__},
        }

    @classmethod
    def unknown(cls, dim: int, *, chunk_size: int, chunk_overlap: int) -> Binding:
        """The binding of vectors of which nobody knows the encoder; no two of these are the same."""
        return cls("unknown", UNKNOWN + uuid.uuid4().hex, dim, chunk_size, chunk_overlap, recipe={})

    @property
    def cut(self) -> int:
        """The numbers that the encoder's vectors are cut to; 0 where they are not."""
        return self.dim if "cut" in (self.recipe or {}) else 0

    def precision(self, name: str, asked: str, origin: str) -> str:
        """What the encoder runs in: what is set, but int8 if and only if the vectors were made in it.

        Raises:
            UsageError: somebody asked otherwise, just now.
        """
        made = "int8" if (self.recipe or {}).get("precision") == "int8" else "auto"
        if (asked == "int8") == (made == "int8"):
            return asked
        if origin == "flag":
            raise UsageError(
                f"the vectors of {name} were {'made' if made == 'int8' else 'not made'} with weights in int8",
                why=[("you asked", asked)],
                do=[("encode everything anew", f"sememe index PATH … -c {name} --rebuild --precision {asked}")],
            )
        return made

    def check_dims(self, name: str, asked: int) -> None:
        """Refuse another cut, once it was asked for."""
        if asked not in (self.dim, self.cut):
            raise UsageError(
                f"{name} keeps {self.dim} numbers of each vector",
                why=[("you asked", f"{asked or 'all'}")],
                do=[("encode everything anew", f"sememe index PATH … -c {name} --rebuild --dims {asked}")],
            )

    def check_known(self, name: str) -> None:
        """Refuse to encode anything for vectors of an unknown encoder.

        Raises:
            MismatchError: nobody said where the vectors come from.
        """
        if self.fingerprint.startswith(UNKNOWN):
            raise MismatchError(
                f"nobody said which encoder the vectors of {name} come from, so no text can be compared with them",
                why=[("collection", f"{name}  {self.dim} dims, imported as unknown")],
                do=[
                    ("search by words", f'sememe search "…" -c {name} --mode words'),
                    ("or say it", "sememe collections import FILE NEW-NAME -m MODEL"),
                    ("or encode its texts anew", f"sememe collections migrate {name} --to MODEL"),
                ],
            )

    def check(self, encoder: Encoder, name: str, *, by: object = None) -> None:
        """Refuse any encoder but the one that the vectors come from. ``by``: what it was asked for by.

        Raises:
            MismatchError: with both names, both widths, and what to do.
        """
        if encoder.fingerprint != self.fingerprint:
            said = by if isinstance(by, str) else ""
            raise self.mismatch(name, encoder.name, encoder.dim, own=encoder.name == self.encoder, by=said)

    def mismatch(self, name: str, asked: str, dim: int | None, *, own: bool = False, by: str = "") -> MismatchError:
        """The error that says so. ``own``: it has the same name, and other weights, tokenizer or recipe; ``by``: a
        path that it was asked for by."""
        width = max(len(name), 1)
        wide = max(len(self.encoder), len(asked))
        other = "the same name, other weights or another recipe" if own else "same width, another space"
        remark = "" if dim is None else f"  ({other if dim == self.dim else 'another width'})"
        dims = "" if dim is None else f"{dim:>4} dims"
        move = ("or move it over", f"sememe collections migrate {name} --to {shlex.quote(by or asked)}")
        return MismatchError(
            "this collection was built with another encoder",
            why=[
                ("collection", f"{name}  {self.encoder:<{wide}}  {self.dim:>4} dims  ({self.created[:10]})"),
                ("you asked", f"{'':<{width}}  {asked:<{wide}}  {dims}{remark}".rstrip()),
            ],
            do=[move] if own else [("search with its own encoder", f'sememe search "…" -c {name}'), move],
        )

    def check_chunks(self, name: str, size: int, overlap: int) -> None:
        """Refuse another way to cut, once it was asked for."""
        if (size, overlap) != (self.chunk_size, self.chunk_overlap):
            raise UsageError(
                f"{name} is cut into chunks of {self.chunk_size} tokens with {self.chunk_overlap} shared",
                why=[("you asked", f"{size} tokens with {overlap} shared")],
                do=[("cut everything anew", f"sememe index PATH … -c {name} --rebuild --chunk {size}/{overlap}")],
            )


def check_vectors(name: str, kept: str, asked: str) -> None:
    """Refuse another type of vectors than the one that they are kept as, once it was asked for."""
    if asked != kept:
        raise UsageError(
            f"{name} keeps its vectors as {kept}",
            why=[("you asked", asked)],
            do=[("convert them", f"sememe collections convert {name} --vectors {asked}")],
        )


def check_index(name: str, kept: str, asked: str) -> None:
    """Refuse another kind of index than the one that there is, once it was asked for."""
    if asked != kept:
        raise UsageError(
            f"{name} finds its vectors by {kept}",
            why=[("you asked", asked)],
            do=[("change it", f"sememe collections reindex {name} --index {asked}")],
        )


def folder_of(name_or_path: str | os.PathLike[str], collections: Path) -> Path:
    """The folder of a collection: a name stands for one among ``collections``, a path for itself.

    Raises:
        UsageError: neither a legal name nor a path.
    """
    text = os.fspath(name_or_path)
    parts = re.split(r"[/\\]", text)
    if "\0" not in text and (isinstance(name_or_path, Path) or (len(parts) > 1 and ".." not in parts)):
        return Path(text).expanduser().absolute()
    if len(parts) > 1:
        raise UsageError(f'"{text}" leads out of its folder', do=["give the folder's absolute path"])
    if not NAME.fullmatch(text):
        raise UsageError(
            f'"{text}" is no name for a collection',
            do=["use small letters, digits, - and _, for example my-notes-2", "or a path, for example ./notes.sememe"],
        )
    return collections / text


def is_collection(folder: Path) -> bool:
    """Whether a collection is kept there."""
    return (folder / MARK).is_file()


def names(collections: Path) -> list[str]:
    """The names of all collections in a home, sorted."""
    if not collections.is_dir():
        return []
    return sorted(entry.name for entry in collections.iterdir() if NAME.fullmatch(entry.name) and is_collection(entry))


def existing(folder: Path, collections: Path) -> Path:
    """``folder``, or an error that names what there is."""
    if is_collection(folder):
        return folder
    if folder.parent != collections:
        raise StoreError(f"there is no collection in {folder}")
    there = names(collections)
    raise StoreError(
        f'there is no collection "{folder.name}"',
        why=[("there are", ", ".join(there) if there else "none yet")],
        do=[("make it", f"sememe index PATH … -c {folder.name}")],
    )


def rename(old: str, new: str, collections: Path) -> None:
    """Give a collection another name."""
    source, target = existing(folder_of(old, collections), collections), folder_of(new, collections)
    if target.exists():
        raise StoreError(f'there is something called "{new}" already')
    with _unwritten(source):
        source.rename(target)


def remove(name: str, collections: Path) -> None:
    """Delete a collection with all that is in it."""
    folder = existing(folder_of(name, collections), collections)
    with _unwritten(folder):
        # Without its mark it is no collection any more, however far the rest gets.
        (folder / MARK).unlink()
        shutil.rmtree(folder)


def _unwritten(folder: Path) -> FileLock:
    from sememe.store.local.lock import FileLock

    return FileLock(folder / "writer.lock", folder.name, timeout=0)


def catalogued_dim(name: str) -> int | None:
    """The width of a model that is known by name, None for any other."""
    from sememe.models import catalogue

    entry = catalogue.lookup(short(name))
    return entry.dim if entry else None


def short(name: str) -> str:
    """The last part of a model's name: ``sentence-transformers/all-MiniLM-L6-v2`` is ``all-MiniLM-L6-v2``."""
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2]
