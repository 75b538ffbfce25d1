"""A text with headings into one item a section.

Every character of the text stands in exactly one item, so that nothing is lost between two sections. A section whose
own text has fewer than `FEW_WORDS` words goes together with the subsection after it; one with no text at all goes with
whatever follows (the last one, with what stands before it).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from sememe.readers.source import Source
from sememe.shapes import Item, Meta, Place

FEW_WORDS = 5
MAX_TITLE = 200
#: the headings after so many are text of the last section
MAX_HEADINGS = 100_000


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading that begins at character ``start``; its own lines end at ``body``. ``level`` 1 is the highest."""

    start: int
    body: int
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class Section:
    """``text[start:end]``; ``title`` is the path of headings that leads to it."""

    start: int
    body: int
    end: int
    level: int
    title: str


def split(text: str, headings: Iterable[Heading], *, begin: int = 0, title: str) -> list[Section]:
    """The sections of ``text[begin:]``; what stands before the first heading is called ``title``."""
    headings = list(islice(headings, MAX_HEADINGS))
    bounds = [heading.start for heading in headings] + [len(text)]
    found = []
    if text[begin : bounds[0]].strip():
        found.append(Section(begin, begin, bounds[0], 0, title))
    above: list[Heading] = []
    for n, heading in enumerate(headings):
        above = [h for h in above if h.level < heading.level] + [heading]
        path = " › ".join(h.title for h in above if h.title) or title
        found.append(Section(heading.start, heading.body, bounds[n + 1], heading.level, path[-MAX_TITLE:]))
    return _merged(found, text)


def _merged(sections: list[Section], text: str) -> list[Section]:
    merged: list[Section] = []
    carried: Section | None = None
    for n, section in enumerate(sections):
        words = len(text[section.body : section.end].split(None, FEW_WORDS))
        if carried is not None:
            section = replace(section, start=carried.start)
            carried = None
        following = sections[n + 1] if n + 1 < len(sections) else None
        if following and section.level and (words == 0 or (words < FEW_WORDS and following.level > section.level)):
            carried = section
        elif not following and words == 0 and merged:
            merged[-1] = replace(merged[-1], end=section.end)
        else:
            merged.append(section)
    return merged


def items_of_lines(source: Source, text: str, sections: Sequence[Section], meta: Meta) -> list[Item]:
    """Items counted in lines; white space around a section is left out."""
    starts = [0]
    while (found := text.find("\n", starts[-1])) >= 0:
        starts.append(found + 1)
    items = []
    for section in sections:
        start, end = trimmed(text, section.start, section.end)
        place = Place(source.name, bisect_right(starts, start), bisect_right(starts, max(start, end - 1)))
        items.append(Item(text[start:end], place, section.title, meta=meta))
    return items


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without blank lines before it and white space after it; indentation of its first line is kept."""
    part = text[start:end]
    first = start + len(part) - len(part.lstrip())
    start = max(start, text.rfind("\n", 0, first) + 1)
    return start, max(start, start + len(text[start:end].rstrip()))
