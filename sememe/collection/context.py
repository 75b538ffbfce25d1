"""What stands before and after a hit in the text that it was cut from, put together from the chunks beside it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sememe.errors import UsageError
from sememe.shapes import Hit, Record

if TYPE_CHECKING:
    from sememe.store.contract import Store

#: units of places whose order is that of a text; rows of a table are not neighbours of each other
RUNNING = ("line", "page")


@dataclass(frozen=True, slots=True)
class Context:
    """Lines ``before`` and ``after`` a hit, in the order of the text. White space between chunks is not kept, so an
    empty line may be missing."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {"before": list(self.before), "after": list(self.after)}


def contexts(store: Store, hits: Iterable[Hit], lines: int) -> list[Context]:
    """For each hit up to ``lines`` lines on either side: of its source, where that is text that runs on; of its item,
    where it is a row of a table.

    Raises:
        UsageError: ``lines`` is less than 0.
    """
    if lines < 0:
        raise UsageError(f"context is a number of lines, 0 or more, not {lines}")
    known: dict[tuple[str, str], list[tuple[str, Record]]] = {}
    return [_around(_neighbours(store, hit, known), hit, lines) if lines else Context() for hit in hits]


def _neighbours(
    store: Store, hit: Hit, known: dict[tuple[str, str], list[tuple[str, Record]]]
) -> list[tuple[str, Record]]:
    """The chunks of its source or item, in the order of the text."""
    by_source = hit.place.unit in RUNNING and hit.place.start > 0
    key = ("source", hit.place.source) if by_source else ("item", hit.record.item)
    if key not in known:
        ids = store.ids(hit.place.source) if by_source else store.ids(items=[hit.record.item])
        found = [(id, one) for id, one in zip(ids, store.get(ids), strict=True) if one is not None]
        known[key] = sorted(found, key=lambda pair: (pair[1].place.start, pair[1].item, pair[1].span))
    return known[key]


def _around(chunks: list[tuple[str, Record]], hit: Hit, lines: int) -> Context:
    at = next((place for place, (id, _) in enumerate(chunks) if id == hit.id), None)
    if at is None:  # deleted since
        return Context()
    before: list[str] = []
    edge = hit.record
    for _, record in reversed(chunks[:at]):
        piece = _outside(record, edge, ahead=True)
        if piece:
            before = [*piece.splitlines(), *before]
            edge = record
        if len(before) >= lines:
            break
    after: list[str] = []
    edge = hit.record
    for _, record in chunks[at + 1 :]:
        piece = _outside(record, edge, ahead=False)
        if piece:
            after += piece.splitlines()
            edge = record
        if len(after) >= lines:
            break
    return Context(tuple(before[-lines:]), tuple(after[:lines]))


def _outside(record: Record, edge: Record, *, ahead: bool) -> str:
    """What of ``record`` lies before (or after) ``edge``: chunks of one item share some text."""
    text = record.text
    if record.item == edge.item and record.span[1] - record.span[0] == len(text):
        text = text[: max(0, edge.span[0] - record.span[0])] if ahead else text[max(0, edge.span[1] - record.span[0]) :]
    return text.strip()
