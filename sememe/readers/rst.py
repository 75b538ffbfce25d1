"""reStructuredText: one item a section; the order in which the underlines appear gives their levels."""

from __future__ import annotations

from collections.abc import Iterator

from sememe.readers.sections import MAX_TITLE, Heading, items_of_lines, split
from sememe.readers.source import Document, Found, ReadOptions, Unreadable, numbered

ADORNMENTS = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def read_rst(document: Document, options: ReadOptions) -> Found:
    """Sections by their underlines and overlines."""
    text = document.text()
    if not text.strip():
        raise Unreadable("empty (only white space)")
    sections = split(text, _headings(text), title=document.source.stem)
    return Found(numbered(document.source, items_of_lines(document.source, text, sections, {})))


def _headings(text: str) -> Iterator[Heading]:
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    levels: dict[tuple[str, bool], int] = {}
    end = 0  # the first line that is not part of a heading yet
    for n in range(1, len(lines)):
        title, under = lines[n - 1].rstrip(), lines[n].rstrip()
        if n - 1 < end or not title.strip() or not _adorns(under, title) or _is_adornment(title):
            continue
        over = n >= 2 and n - 2 >= end and lines[n - 2].rstrip() == under
        if title[0].isspace() and not over:
            continue  # an indented line belongs to a block
        level = levels.setdefault((under[0], over), len(levels) + 1)
        end = n + 1
        start = starts[n - 2] if over else starts[n - 1]
        yield Heading(start, min(starts[n + 1], len(text)), level, title.strip()[:MAX_TITLE].replace("``", ""))


def _is_adornment(line: str) -> bool:
    return line[0] in ADORNMENTS and line == line[0] * len(line)


def _adorns(line: str, title: str) -> bool:
    return bool(line) and _is_adornment(line) and len(line) >= min(len(title.strip()), 4) and len(line) >= 2
