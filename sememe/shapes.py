"""The frozen results that cross rooms.

Arrays are NumPy arrays; shapes stand in the docstrings. A record here knows how to show itself and nothing else.
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]
    Counts = npt.NDArray[np.int32]
else:
    # The names can be imported without numpy being loaded.
    Vectors = Counts = Any

#: what a record's field may hold; lists hold scalars
Scalar = str | int | float | bool | None
Meta = Mapping[str, Scalar | Sequence[Scalar]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a text stands: ``notes/a.md:41-58``, ``report.pdf p.3``, ``tickets.csv row 7``.

    ``start`` and ``end`` count from 1, both inclusive, in ``unit``\\ s (line, page or row); 0 means the whole source.
    """

    source: str
    start: int = 0
    end: int = 0
    unit: str = "line"

    def __str__(self) -> str:
        if not self.start:
            return self.source
        numbers = str(self.start) if self.end <= self.start else f"{self.start}-{self.end}"
        if self.unit == "line":
            return f"{self.source}:{numbers}"
        return f"{self.source} {'p.' if self.unit == 'page' else self.unit + ' '}{numbers}"


@dataclass(frozen=True, slots=True)
class Item:
    """What is encoded, as a reader found it.

    ``text`` is verbatim wherever its place is counted in lines. ``marks`` are ``(offset, number)`` steps, ascending:
    from that character of ``text`` on, the unit's number is ``number``; empty marks mean that each newline in ``text``
    counts one up from ``place.start`` (unit "line"), or that the whole item is one unit (page, row).
    """

    text: str
    place: Place
    title: str = ""
    id: str = ""
    meta: Meta = field(default_factory=dict)
    marks: tuple[tuple[int, int], ...] = ()

    def where(self, start: int, end: int) -> Place:
        """The place of the characters ``start:end`` of this item."""
        first, last = self._number(start), self._number(max(start, end - 1))
        return Place(self.place.source, first, last, self.place.unit)

    def _number(self, offset: int) -> int:
        if self.marks:
            number = self.marks[0][1]
            for mark, value in self.marks:
                if mark > offset:
                    break
                number = value
            return number
        if self.place.unit == "line" and self.place.start:
            return self.place.start + self.text.count("\n", 0, offset)
        return self.place.start


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that was not read, and why. Never dropped from a report."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a text: ``text[start:end]`` in characters, ``tokens`` long without the model's special tokens."""

    text: str
    start: int
    end: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Encoded:
    """Vectors with the account of what went into them.

    ``vectors``: float32 ``(n, dim)``, C-contiguous. ``used`` and ``dropped``: int32 ``(n,)``, tokens of each item that
    reached the network (special tokens and prompt included) and that did not.
    """

    vectors: Vectors
    used: Counts
    dropped: Counts


@dataclass(frozen=True, slots=True)
class Record:
    """What a store keeps beside one vector.

    ``item`` is the id of the item that the chunk was cut from, ``span`` its characters there; ``hash`` is
    ``content_hash`` of what was encoded.
    """

    text: str
    place: Place
    title: str = ""
    item: str = ""
    span: tuple[int, int] = (0, 0)
    hash: str = ""
    meta: Meta = field(default_factory=dict)


def content_hash(text: str) -> str:
    """SHA-256 of the text's UTF-8 bytes, in hex (lone surrogates are kept apart, not refused)."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer. ``score`` is bigger-is-better, of the named ``kind``; ``scores`` are its parts, for example
    ``{"cosine": 0.79, "bm25": 11.2}``; a part is absent where that side did not find the item. ``group`` is what it
    is the best of, where hits were grouped."""

    id: str
    score: float
    kind: str
    record: Record
    scores: Mapping[str, float]
    group: Group | None = None

    @property
    def text(self) -> str:
        return self.record.text

    @property
    def title(self) -> str:
        return self.record.title

    @property
    def place(self) -> Place:
        return self.record.place

    @property
    def meta(self) -> Meta:
        return self.record.meta

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        place = self.place
        plain: dict[str, Any] = {
            "id": self.id,
            "score": self.score,
            "kind": self.kind,
            "scores": dict(self.scores),
            "title": self.title,
            "text": self.text,
            "source": place.source,
            "start": place.start,
            "end": place.end,
            "unit": place.unit,
            "item": self.record.item,
            "span": list(self.record.span),
            "meta": dict(self.meta),
        }
        return plain if self.group is None else plain | {"group": self.group.as_dict()}


@dataclass(frozen=True, slots=True)
class Group:
    """The hits of one item or source: that the best of them carries it, ``others`` are the rest, best first."""

    by: str
    key: str
    others: Hits

    @property
    def count(self) -> int:
        """How many hits there are, the best included, among those that were looked at."""
        return len(self.others) + 1

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        others = [hit.as_dict() for hit in self.others]
        return {"by": self.by, "key": self.key, "count": self.count, "others": others}


@dataclass(frozen=True, slots=True, repr=False)
class Hits(Sequence[Hit]):
    """The answers to one query, best first: columns inside, rows outside.

    ``scores`` are of one ``kind`` (``cosine``, ``bm25``, ``hybrid``, ``rrf``, ``rerank``); ``searched`` is how many
    chunks were looked at after filters, ``seconds`` how long it took. ``groups`` is empty, or has a group for each hit.
    ``cursor`` is what to ask on with (``after=``); None: there is no more, or no way on.
    """

    ids: tuple[str, ...]
    scores: tuple[float, ...]
    kind: str
    records: tuple[Record, ...]
    parts: tuple[Mapping[str, float], ...]
    searched: int = 0
    seconds: float = field(default=0.0, compare=False)
    groups: tuple[Group, ...] = ()
    cursor: str | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> Hits: ...
    def __getitem__(self, index: int | slice) -> Hit | Hits:
        if isinstance(index, slice):
            return self.take(range(len(self))[index])
        group = self.groups[index] if self.groups else None
        return Hit(self.ids[index], self.scores[index], self.kind, self.records[index], self.parts[index], group)

    def take(self, places: Sequence[int]) -> Hits:
        """The hits at these places, in this order; there is no asking on after them."""
        return Hits(
            tuple(self.ids[i] for i in places),
            tuple(self.scores[i] for i in places),
            self.kind,
            tuple(self.records[i] for i in places),
            tuple(self.parts[i] for i in places),
            self.searched,
            self.seconds,
            tuple(self.groups[i] for i in places) if self.groups else (),
        )

    def __iter__(self) -> Iterator[Hit]:
        return (self[i] for i in range(len(self)))

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame``, one row a hit; pandas must be installed."""
        from sememe.extras import require

        pandas = require("pandas", extra="pandas", purpose="hits.to_pandas()")
        columns = ("id", "score", "kind", "title", "text", "source", "start", "end", "unit", "meta")
        rows = [hit.as_dict() for hit in self]
        return pandas.DataFrame([{c: row[c] for c in columns} for row in rows], columns=columns)

    def __repr__(self) -> str:
        lines = [f"{len(self)} hits of {self.searched} chunks ({self.kind})"]
        for hit in self:
            lines.append(f"  {hit.score:8.3f}  {hit.place}  {hit.title}".rstrip())
            lines.append(f"            {_short(hit.text, 90)}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><td>{hit.score:.3f}</td><td>{html.escape(str(hit.place))}</td>"
            f"<td><b>{html.escape(hit.title)}</b><br>{html.escape(_short(hit.text, 300))}</td></tr>"
            for hit in self
        )
        head = f"<tr><th>{html.escape(self.kind)}</th><th>where</th><th>text</th></tr>"
        return f"<table>{head}{cells}</table>"


def _short(text: str, width: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
