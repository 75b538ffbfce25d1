"""Which column of a table holds the text, which the id; asked for, or chosen only when there is one candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sememe.errors import DataError
from sememe.readers.scalars import kind
from sememe.readers.source import ReadOptions

TEXT_NAMES = ("text", "body", "content", "description")
ID_NAMES = ("id", "_id")
TITLE_NAMES = ("title",)

#: an unnamed text column must be this long on average, and this many times as long as the next one
MIN_CHARS = 20
TIMES_LONGER = 3.0
MAX_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Choice:
    """``meta`` None: every column but ``text`` and ``id``. ``asked``: the id column was named by the caller."""

    text: str
    id: str | None
    title: str | None
    meta: tuple[str, ...] | None
    asked: bool
    note: str = ""


def choose(name: str, columns: Sequence[str], sample: Sequence[Mapping[str, Any]], options: ReadOptions) -> Choice:
    """The columns of the table called ``name``; ``sample`` are its first rows.

    Raises:
        DataError: a column that was asked for is missing, or several could hold the text.
    """
    means = _mean_chars(columns, sample)
    for wanted in (options.text, options.id, *(options.meta or ())):
        if wanted is not None and wanted not in columns:
            raise _missing(name, wanted, columns, means, is_text=wanted == options.text)
    if options.text is not None:
        text, note = options.text, ""
    else:
        text = _text_column(name, columns, means)
        note = (
            ""
            if text == TEXT_NAMES[0]
            else f'text from the column "{text}" ({means.get(text, 0):.0f} characters on average)'
        )
    return Choice(
        text=text,
        id=options.id if options.id is not None else _only(ID_NAMES, columns, other_than=text),
        title=_only(TITLE_NAMES, columns, other_than=text),
        meta=options.meta,
        asked=options.id is not None,
        note=note,
    )


def _text_column(name: str, columns: Sequence[str], means: Mapping[str, float]) -> str:
    if len(columns) == 1:
        return columns[0]
    named = [column for column in columns if column.strip().casefold() in TEXT_NAMES]
    if len(named) == 1:
        return named[0]
    ranked = sorted(means, key=lambda column: -means[column])
    if ranked and not named and means[ranked[0]] >= MIN_CHARS:
        following = means[ranked[1]] if len(ranked) > 1 else 0.0
        if means[ranked[0]] >= TIMES_LONGER * following:
            return ranked[0]
    raise DataError(
        f"it is not clear which column of {name} holds the text",
        why=[("columns", _listed(columns)), *_longest(means)],
        do=[("name it", _how(ranked[0] if ranked else columns[0]))],
    )


def _missing(name: str, wanted: str, columns: Sequence[str], means: Mapping[str, float], *, is_text: bool) -> DataError:
    best = max(means, key=lambda column: means[column], default=None)
    return DataError(
        f'{name} has no column "{wanted}"',
        why=[("columns", _listed(columns)), *(_longest(means) if is_text else [])],
        do=[("name one of them", _how(best))] if is_text and best is not None else ["name one of them"],
    )


def _longest(means: Mapping[str, float]) -> list[tuple[str, str]]:
    ranked = sorted(means, key=lambda column: -means[column])[:3]
    if not ranked:
        return []
    return [("longest average text", ", ".join(f"{column} ({means[column]:.0f} chars)" for column in ranked))]


def _how(column: str) -> str:
    return f'--text {column}   (in Python: text="{column}")'


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(column[:60] for column in columns[:MAX_SHOWN])
    return shown if len(columns) <= MAX_SHOWN else f"{shown} … and {len(columns) - MAX_SHOWN} more"


def _only(names: Sequence[str], columns: Sequence[str], *, other_than: str) -> str | None:
    """The one column with the first of ``names`` that any column has, whatever its case."""
    for name in names:
        found = [column for column in columns if column.strip().casefold() == name and column != other_than]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _mean_chars(columns: Sequence[str], sample: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Average length of the non-empty cells of each column that holds text (not numbers, truth values or dates)."""
    means = {}
    for column in columns:
        cells = [value for row in sample if isinstance(value := row.get(column), str) and value.strip()]
        if cells and any(kind(cell) == "text" for cell in cells):
            means[column] = sum(map(len, cells)) / len(cells)
    return means
