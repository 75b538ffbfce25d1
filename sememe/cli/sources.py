"""What a source argument means: a collection's name, or paths. Never guessed when it could be both."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from pathlib import Path

from sememe.cli.output import printable
from sememe.cli.session import Session
from sememe.collection.binding import NAME, folder_of, names
from sememe.collection.binding import existing as kept
from sememe.errors import DataError, UsageError
from sememe.settings import Settings
from sememe.shapes import Item, Place, content_hash


def is_path(word: str) -> bool:
    """Whether a path is meant by the look of it: a name has no ``/``, ``\\`` or ``.``."""
    return NAME.fullmatch(word) is None


def where_to_search(words: Sequence[str], collection: str | None, settings: Settings) -> str | list[str]:
    """The collection's name, or the paths.

    Raises:
        UsageError: both are named, none is, or a word could be either.
        DataError: a word is neither.
    """
    known = names(settings.collections_dir)
    if collection is not None:
        if words:
            raise UsageError(
                "search looks into a collection or into files, not into both at once",
                why=[("collection", collection), ("files", " ".join(words))],
                do=["leave one out"],
            )
        if collection not in known and not is_path(collection):
            raise no_collection(collection, known, settings)
        return collection
    if not words:
        raise UsageError(
            "where to search is missing",
            why=[("collections", ", ".join(known) or "none yet")],
            do=[
                ("a collection", f'sememe search "…" -c {known[0] if known else "NAME"}'),
                ("files", 'sememe search "…" notes/'),
            ],
        )
    if len(words) == 1 and not is_path(words[0]):
        return _name_or_path(words[0], known, settings)
    for word in words:
        if word in known and Path(word).exists():
            raise _ambiguous(word)
    return existing(words)


def existing(words: Sequence[str]) -> list[str]:
    """``words`` as paths that exist; one that does not is answered with the nearest name beside it."""
    for word in words:
        path = Path(word).expanduser()
        if word == "-" or path.exists():
            continue
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, beside, n=1)
        raise DataError(
            f'there is no file or folder "{printable(word)}"',
            do=[("did you mean", printable(str(path.parent / near[0])))] if near else ["check the path"],
        )
    return [str(Path(word).expanduser()) if word.startswith("~") else word for word in words]


def stdin_items() -> list[Item]:
    """The lines of stdin as items, each with its line number; empty lines are none."""
    items = []
    for number, raw in enumerate(sys.stdin.buffer, 1):
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise DataError(
                f"stdin line {number} is not UTF-8",
                why=[f"byte {raw[error.start]:#04x} at column {error.start + 1}"],
                do=[("convert it", "… | iconv -f latin1 -t utf-8 | sememe …")],
            ) from None
        if text:
            items.append(Item(text, Place("stdin", number, number), id=content_hash(text)[:16]))
    return items


def no_collection(name: str, known: Sequence[str], settings: Settings) -> DataError:
    """The error for a collection that does not exist, with the nearest one."""
    near = difflib.get_close_matches(name, known, n=1)
    return DataError(
        f'there is no collection "{name}"',
        why=[("looked in", str(settings.collections_dir)), ("there are", ", ".join(known) or "none yet")],
        do=[
            *([("did you mean", f"-c {near[0]}")] if near else []),
            ("make it", f"sememe index FOLDER -c {name}"),
        ],
    )


def _name_or_path(word: str, known: Sequence[str], settings: Settings) -> str | list[str]:
    exists = Path(word).exists() or word == "-"
    if word in known and exists:
        raise _ambiguous(word)
    if word in known:
        return word
    if exists:
        return [word]
    error = no_collection(word, known, settings)
    raise DataError(f'"{word}" is neither a collection nor a file or folder here', why=error.why, do=error.do)


def _ambiguous(word: str) -> UsageError:
    return UsageError(
        f'"{word}" is a collection and a file or folder here',
        do=[("the collection", f"-c {word}"), ("the files", f"./{word}")],
    )


def collection_folder(session: Session, name: str) -> Path:
    """The folder of a collection that is there; a name that is none is answered with those that are."""
    where = session.settings.collections_dir
    folder = folder_of(name, where)
    if not is_path(name) and name not in names(where):
        raise no_collection(name, names(where), session.settings)
    return kept(folder, where)
