"""Rows of any table into items: one item a row, its other columns as what is known about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from sememe.errors import DataError
from sememe.readers.columns import Choice, choose
from sememe.readers.encoding import storable
from sememe.readers.scalars import NoScalar, common_kind, scalar, tidy
from sememe.readers.source import Found, ReadOptions, Source, Unreadable
from sememe.shapes import Item, Meta, Place, Scalar, Skipped

#: rows that are looked at before the columns are chosen
SAMPLE = 1000
MAX_ROWS = 2_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """One row with its number (from 1), as the table counts: rows, or lines of the file."""

    number: int
    cells: Mapping[str, Any]


@dataclass(slots=True)
class Table:
    """Rows on their way into items.

    ``columns``: their names, or None where each row brings its own. ``unit``: what the rows' numbers count. ``words``:
    the cells are text whose type is to be found. ``default_id`` names a row that brings no id; ``keyed`` one that does.
    """

    name: str
    rows: Iterator[Row]
    unit: str
    default_id: Callable[[Row], str]
    keyed: Callable[[str], str] = str
    columns: tuple[str, ...] | None = None
    words: bool = False

    def into(self, found: Found, options: ReadOptions) -> None:
        """Read all rows; what cannot be an item is named in ``found.skipped``.

        Raises:
            DataError: the columns are not clear, or an id of the column that was asked for is there twice.
        """
        sample = list(islice(self.rows, SAMPLE))
        if not sample:
            if not found.skipped:
                raise Unreadable("no rows")
            return  # there were some, and each is named
        columns = self.columns or tuple(dict.fromkeys(key for row in sample for key in row.cells))
        if not columns:
            raise Unreadable("no columns")
        choice = choose(self.name, columns, [row.cells for row in sample], options)
        if choice.note:
            found.notes.append(choice.note)
        kept = list(self._kept(chain(sample, self.rows), choice, found))
        ids = self._ids(kept, choice, found)
        for row, id, meta in zip(kept, ids, self._metas(kept, choice, found), strict=True):
            found.items.append(self._item(row, id, meta, choice))

    def _kept(self, rows: Iterable[Row], choice: Choice, found: Found) -> Iterator[Row]:
        for n, row in enumerate(rows):
            if n >= MAX_ROWS:
                found.skipped.append(Skipped(self._called(row), f"this and all later rows: over {MAX_ROWS} rows"))
                return
            text = row.cells.get(choice.text)
            reason = _no_text(text)
            if reason:
                found.skipped.append(Skipped(self._called(row), reason.format(choice.text)))
            elif choice.asked and not _id_of(row, choice):
                found.skipped.append(Skipped(self._called(row), f'empty id (column "{choice.id}")'))
            else:
                yield row

    def _ids(self, kept: list[Row], choice: Choice, found: Found) -> list[str]:
        if choice.id is not None:
            first: dict[str, Row] = {}
            ids = [_id_of(row, choice) for row in kept]
            pairs = [(id, first.setdefault(id, row), row) for id, row in zip(ids, kept, strict=True)]
            repeated = [pair for pair in pairs if pair[1] is not pair[2]]
            if not repeated and all(ids):
                return [id if choice.asked else self.keyed(id) for id in ids]
            if choice.asked:
                raise self._repeated(choice.id, repeated)
            what = f'"{repeated[0][0]}" is there twice' if repeated else "some are empty"
            found.notes.append(f'the column "{choice.id}" is not taken for ids ({what}); rows are numbered instead')
        return [self.default_id(row) for row in kept]

    def _repeated(self, column: str, repeated: list[tuple[str, Row, Row]]) -> DataError:
        shown = [f'"{id}" in {self.unit} {one.number} and {self.unit} {two.number}' for id, one, two in repeated[:3]]
        more = [f"and {len(repeated) - 3} more"] if len(repeated) > 3 else []
        return DataError(
            f'{self.name}: the ids in the column "{column}" are not unique',
            why=[*shown, *more],
            do=["name a column whose values are unique, or none: rows are numbered then"],
        )

    def _metas(self, kept: list[Row], choice: Choice, found: Found) -> Iterator[Meta]:
        if self.words:
            kinds: dict[str, str] = {}
            columns = [column for column in self.columns or () if self._is_meta(column, choice)]
            for column in columns:
                kinds[column] = common_kind(row.cells[column].strip() for row in kept)
            for row in kept:
                yield {c: scalar(_cell(row.cells[c], kinds[c]), kinds[c]) for c in columns}
            return
        dropped: dict[str, str] = {}
        for row in kept:
            meta: dict[str, Any] = {}
            for column, value in row.cells.items():
                if self._is_meta(column, choice):
                    try:
                        meta[storable(column)] = tidy(value)
                    except NoScalar as error:
                        dropped.setdefault(column, str(error))
            yield meta
        for column, what in dropped.items():
            found.notes.append(f'the column "{column}" is not kept where it is no plain value (a {what})')

    def _is_meta(self, column: str, choice: Choice) -> bool:
        if choice.meta is not None:
            return column in choice.meta
        return column not in (choice.text, choice.id)

    def _item(self, row: Row, id: str, meta: Meta, choice: Choice) -> Item:
        text = _plain_text(row.cells[choice.text]) or ""
        title = _plain_text(row.cells.get(choice.title)) if choice.title else None
        # Newlines inside a cell don't move on to another row or line.
        marks = ((0, row.number),) if self.unit == "line" else ()
        place = Place(self.name, row.number, row.number, self.unit)
        return Item(text, place, (title or "").strip(), id, meta, marks)

    def _called(self, row: Row) -> str:
        return str(Place(self.name, row.number, row.number, self.unit))


def table_of(source: Source, rows: Iterator[Row], unit: str, *, columns: tuple[str, ...] | None = None) -> Table:
    """The table in a file: rows are ``name#number``; ids of a file that was only found are ``name#id``, because two
    tables of one folder may both count from 1."""
    return Table(
        source.name,
        rows,
        unit,
        default_id=lambda row: f"{source.name}#{row.number}",
        keyed=str if source.named else lambda id: f"{source.name}#{id}",
        columns=columns,
    )


def _cell(word: str, kind: str) -> str:
    return word if kind == "text" else word.strip()


def _no_text(value: Any) -> str:
    """Why ``value`` is no text to be encoded, or nothing; numbers are taken as they are written."""
    try:
        plain = tidy(value)
    except NoScalar:
        plain = []
    if isinstance(plain, (list, bool)):
        return f'"{{}}" holds no text but a {type(value).__name__}'
    return 'empty "{}"' if plain is None or not str(plain).strip() else ""


def _plain_text(value: Any) -> str | None:
    try:
        plain: Scalar | list[Scalar] = tidy(value)
    except NoScalar:
        return None
    return None if isinstance(plain, (list, bool)) or plain is None else str(plain)


def _id_of(row: Row, choice: Choice) -> str:
    return (_plain_text(row.cells.get(choice.id or "")) or "").strip()
