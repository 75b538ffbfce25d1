"""What the readers hand to each other: a file that was found, how to read it, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from sememe.readers.encoding import Survey, decode
from sememe.shapes import Item, Skipped


@dataclass(frozen=True, slots=True)
class Source:
    """A file. ``name`` is how it is shown and stored, with ``/`` between folders; ``size`` is in bytes.

    ``named`` says that the caller gave this very path, instead of a folder in which it was found. What is wrong with a
    named file is an error; what is wrong with a found one is reported, and the others are read.
    """

    path: Path
    name: str
    size: int
    mtime_ns: int
    named: bool = False

    @property
    def stem(self) -> str:
        """The last part of the name without its suffix."""
        last = self.name.rpartition("/")[2]
        return last.rpartition(".")[0] or last


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """``text``, ``id`` and ``meta`` name columns of tables; other files have none and are read whole.

    ``meta``: the columns kept beside the text (None: all). ``max_bytes``: the largest file that is read (None: each
    format's own limit).
    """

    text: str | None = None
    id: str | None = None
    meta: tuple[str, ...] | None = None
    max_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What one source held. ``hash`` is the SHA-256 of its bytes in hex, empty when they could not be read."""

    source: Source
    items: tuple[Item, ...]
    hash: str = ""
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Found:
    """What a format's reader found; it is filled while the reader goes."""

    items: list[Item] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Document:
    """An open file on the way through its reader; ``stream`` stands at byte 0."""

    source: Source
    stream: BinaryIO
    survey: Survey

    def text(self) -> str:
        """All of it, decoded, with ``\\n`` at the end of each line."""
        return decode(self.stream.read(), self.survey.encoding)


Reader = Callable[[Document, ReadOptions], Found]


class Unreadable(Exception):
    """A reader gives up on the whole source; the argument says why. `read` turns it into a `Skipped`."""


def numbered(source: Source, items: Iterable[Item]) -> list[Item]:
    """The items with their ids: the source's name, and ``#n`` from 1 when there is more than one."""
    listed = list(items)
    if len(listed) == 1:
        return [_with_id(listed[0], source.name)]
    return [_with_id(item, f"{source.name}#{n}") for n, item in enumerate(listed, 1)]


def _with_id(item: Item, name: str) -> Item:
    return Item(item.text, item.place, item.title, name, item.meta, item.marks)
