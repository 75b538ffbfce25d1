"""The bundled sample: some six hundred short texts with labels, and queries with judged answers.

It is what ``sememe demo`` searches, and small enough for examples and tests. Everything was written for this project
and is dedicated to the public domain (CC0); ``README.md`` beside this file describes the fields. Nothing is read
before one of the functions is called.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any


def path() -> Path:
    """The file of the items, ``items.jsonl``, as it lies in the installed package."""
    return Path(str(files(__name__).joinpath("items.jsonl")))


def items() -> list[dict[str, Any]]:
    """All items in the order of the file: dictionaries with ``id, title, text, topic, kind, year, place``.

    Some also have ``sense`` (a homograph and the sense in which it is used), ``duplicate_of`` (the id of the item that
    this one paraphrases) or ``outlier`` (always true).
    """
    return _lines("items.jsonl")


def queries() -> list[dict[str, Any]]:
    """The judged queries: dictionaries with ``id``, ``text`` and ``relevant`` (item id → grade, 1 to 3).

    Three also have ``demo``; those that share no content word with any item of grade 3 have ``no_shared_words``.
    """
    return _lines("queries.jsonl")


def _lines(name: str) -> list[dict[str, Any]]:
    text = files(__name__).joinpath(name).read_text(encoding="utf-8")
    # Not splitlines(): JSON may hold line separators of Unicode, at which that would cut.
    return [json.loads(line) for line in text.split("\n") if line]
