"""HTML: the main text of a page, one item a section, counted in the lines of the file.

What surrounds the text of a page (navigation, head and foot, asides, forms, scripts) is left out. When ``<main>`` or
``<article>`` holds most of what remains, only that is kept. Broken HTML is read as far as it makes sense.
"""

from __future__ import annotations

import re
from bisect import bisect_right

from sememe.readers.sections import Section, split, trimmed
from sememe.readers.source import Document, Found, ReadOptions, Source, Unreadable, numbered
from sememe.readers.webtext import Page, PageText
from sememe.shapes import Item, Place

PIECE = 8_192
#: The standard parser looks through an unfinished tag or comment again and again; above this it is passed over.
MAX_UNFINISHED = 16_384
UNFINISHED = re.compile(r"<!--|<[/!?]?[a-zA-Z][\w-]{0,40}|<")

ALWAYS = frozenset({"script", "style", "template", "noscript", "svg", "iframe", "object", "canvas"})
AROUND = frozenset({"nav", "header", "footer", "aside"})
CONTROLS = frozenset({"button", "select", "textarea", "datalist"})
FORM = frozenset({"form"})
MOST = 0.5


def read_html(document: Document, options: ReadOptions) -> Found:
    """Sections by ``<h1>`` to ``<h6>``; the title of what stands before the first is the page's."""
    found = Found()
    page = _main_text(document.text(), found)
    if not page.text.strip():
        raise Unreadable("no text")
    title = " ".join(page.title.split()) or document.source.stem
    sections = split(page.text, page.headings, title=title)
    found.items = numbered(document.source, (_item(document.source, page, section) for section in sections))
    return found


def _main_text(markup: str, found: Found) -> Page:
    drop = ALWAYS | AROUND | CONTROLS | FORM
    page = _parsed(markup, drop)
    size = len(page.text)
    if page.dropped.get("form", 0) > size:  # some frameworks wrap the whole page in a form
        drop -= FORM
        page = _parsed(markup, drop)
    unclosed = [tag for tag in page.unclosed if tag not in ALWAYS]
    if unclosed:
        found.notes.append(f"<{unclosed[0]}> is never closed, so it was not left out")
        drop -= set(unclosed)
        page = _parsed(markup, drop)
    if not page.text.strip():
        page = _parsed(markup, ALWAYS)
        if page.text.strip():
            found.notes.append("no main text: navigation, head and foot of the page were read")
    for tag in ("main", "article"):
        if page.inside.get(tag, 0) >= MOST * max(1, len(page.text)):
            page = _parsed(markup, drop, only=tag)
            break
    if page.unfinished:
        found.notes.append(f"a tag or comment after line {page.unfinished} never ends: the rest was left out")
    return page


def _parsed(markup: str, drop: frozenset[str], only: str = "") -> Page:
    parser = PageText(drop, only)
    for start in range(0, len(markup), PIECE):
        parser.feed(markup[start : start + PIECE])
        if len(parser.rawdata) > MAX_UNFINISHED:
            parser.pass_over(UNFINISHED)
    parser.finish()
    return parser.page()


def _item(source: Source, page: Page, section: Section) -> Item:
    start, end = trimmed(page.text, section.start, section.end)
    first = max(0, bisect_right(page.marks, (start, 1 << 60)) - 1)
    last = max(first, bisect_right(page.marks, (max(start, end - 1), 1 << 60)) - 1)
    marks = tuple((max(0, offset - start), line) for offset, line in page.marks[first : last + 1])
    place = Place(source.name, marks[0][1], max(marks[0][1], marks[-1][1]), "line")
    return Item(page.text[start:end], place, section.title, marks=marks)
