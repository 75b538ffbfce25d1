"""What a source argument means: a collection's name, or paths. Never guessed when it could be both."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from sememe.errors import DataError, UsageError
from sememe.settings import Settings

NAME = re.compile(r"[a-z0-9_-]+")


def collection_names(settings: Settings) -> list[str]:
    """The collections that are kept, by name."""
    folder = settings.collections_dir
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and NAME.fullmatch(path.name))


def is_path(word: str) -> bool:
    """Whether a path is meant by the look of it: a name has no ``/``, ``\\`` or ``.``."""
    return NAME.fullmatch(word) is None


def where_to_search(words: Sequence[str], collection: str | None, settings: Settings) -> str | list[str]:
    """The collection's name, or the paths.

    Raises:
        UsageError: both are named, none is, or a word could be either.
        DataError: a word is neither.
    """
    names = collection_names(settings)
    if collection is not None:
        if words:
            raise UsageError(
                "search looks into a collection or into files, not into both at once",
                why=[("collection", collection), ("files", " ".join(words))],
                do=["leave one out"],
            )
        if collection not in names:
            raise no_collection(collection, names, settings)
        return collection
    if not words:
        raise UsageError(
            "where to search is missing",
            why=[("collections", ", ".join(names) or "none yet")],
            do=[
                ("a collection", f'sememe search "…" -c {names[0] if names else "NAME"}'),
                ("files", 'sememe search "…" notes/'),
            ],
        )
    if len(words) == 1 and not is_path(words[0]):
        return _name_or_path(words[0], names, settings)
    for word in words:
        if word != "-" and not Path(word).exists():
            raise DataError(f'there is no file or folder "{word}"')
        if word in names:
            raise _ambiguous(word)
    return list(words)


def no_collection(name: str, names: Sequence[str], settings: Settings) -> DataError:
    """The error for a collection that does not exist, with the nearest one."""
    near = difflib.get_close_matches(name, names, n=1)
    return DataError(
        f'there is no collection "{name}"',
        why=[("looked in", str(settings.collections_dir)), ("there are", ", ".join(names) or "none yet")],
        do=[
            *([("did you mean", f"-c {near[0]}")] if near else []),
            ("make it", f"sememe index FOLDER -c {name}"),
        ],
    )


def _name_or_path(word: str, names: Sequence[str], settings: Settings) -> str | list[str]:
    exists = Path(word).exists() or word == "-"
    if word in names and exists:
        raise _ambiguous(word)
    if word in names:
        return word
    if exists:
        return [word]
    error = no_collection(word, names, settings)
    raise DataError(f'"{word}" is neither a collection nor a file or folder here', why=error.why, do=error.do)


def _ambiguous(word: str) -> UsageError:
    return UsageError(
        f'"{word}" is a collection and a file or folder here',
        do=[("the collection", f"-c {word}"), ("the files", f"./{word}")],
    )
