"""The models that sememe knows by name: where they come from, what their files must be, and their recipe.

The list itself is ``catalogue.toml``. A name that is not in it is no error in itself: any folder with a model can be
used by its path, or be added under a name of one's own.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from sememe.errors import MissingModelError

DEFAULT = "all-MiniLM-L6-v2"


@dataclass(frozen=True, slots=True)
class FileSpec:
    """One file of a model. ``size`` in bytes and ``sha256`` are None where the catalogue does not know them; then what
    the hub announces is checked instead, and said. An ``optional`` file may be missing there."""

    path: str
    size: int | None = None
    sha256: str | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Package:
    """A pip distribution whose wheel, ``size`` bytes long, holds the model's files under ``folder``."""

    name: str
    version: str
    folder: str
    size: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of the catalogue.

    ``pooling``, ``normalize`` and ``prompts`` are the recipe that its authors describe; ``prompts`` maps the roles
    ``query`` and ``document`` to the text that goes before an item. ``matryoshka``: the widths that its vectors were
    trained to be cut to, after their mean is subtracted if ``cut_centred``.
    """

    name: str
    repo: str
    revision: str
    licence: str
    architecture: str
    dim: int
    max_tokens: int
    pooling: str
    normalize: bool
    files: Mapping[str, FileSpec]
    aliases: tuple[str, ...] = ()
    languages: tuple[str, ...] = ("en",)
    prompts: Mapping[str, str] = field(default_factory=dict)
    package: Package | None = None
    matryoshka: tuple[int, ...] = ()
    cut_centred: bool = False
    note: str = ""

    @property
    def pinned(self) -> bool:
        """Whether the catalogue itself knows the SHA-256 of all weights."""
        return all(spec.sha256 for path, spec in self.files.items() if path.endswith(".safetensors"))

    @property
    def size(self) -> int | None:
        """Bytes to be fetched, as far as they are known: without the odd small config. None when the weights' size is
        not known, so that a size that is shown is always about right."""
        if any(spec.size is None for path, spec in self.files.items() if path.endswith(".safetensors")):
            return None
        return sum(spec.size or 0 for spec in self.files.values())


@cache
def entries() -> tuple[Entry, ...]:
    """Every model of the catalogue, in its order; the first is the default."""
    text = resources.files("sememe.models").joinpath("catalogue.toml").read_text("utf-8")
    return tuple(_entry(table) for table in tomllib.loads(text)["model"])


def find(name: str) -> Entry:
    """The entry of that name, alias or hub repository (case does not matter).

    Raises:
        MissingModelError: there is none; the message names what comes close.
    """
    entry = lookup(name)
    if entry is not None:
        return entry
    known = {word: entry.name for entry in entries() for word in _words(entry)}
    near = dict.fromkeys(known[word] for word in difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.6))
    raise MissingModelError(
        f'there is no model "{name:.200}" in the catalogue or among the added ones',
        why=[("did you mean", ", ".join(near))] if near else [],
        do=[
            ("see what there is", "sememe models list"),
            ("from a folder", f"sememe models add /path/to/{_harmless(name)}"),
        ],
    )


def lookup(name: str) -> Entry | None:
    """`find` without the error."""
    wanted = name.lower()
    return next((entry for entry in entries() if wanted in _words(entry)), None)


def _words(entry: Entry) -> set[str]:
    return {word.lower() for word in (entry.name, entry.repo, *entry.aliases)}


def _harmless(name: str) -> str:
    return name if name.replace("-", "").replace(".", "").replace("_", "").isalnum() else "model"


def _entry(table: dict[str, Any]) -> Entry:
    package = table.pop("package", None)
    files = [FileSpec(**spec) for spec in table.pop("files")]
    for key in ("aliases", "languages", "matryoshka"):
        if key in table:
            table[key] = tuple(table[key])
    return Entry(
        **table,
        files={spec.path: spec for spec in files},
        package=Package(**package) if package else None,
    )
