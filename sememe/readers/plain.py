"""Plain text and source code: one item, the whole file, counted in lines."""

from __future__ import annotations

from sememe.readers.sections import Section, items_of_lines
from sememe.readers.source import Document, Found, ReadOptions, Unreadable, numbered


def read_text(document: Document, options: ReadOptions) -> Found:
    """Prose: the title is the file's stem."""
    return _whole(document, document.source.stem)


def read_code(document: Document, options: ReadOptions) -> Found:
    """Source code, settings, markup: the title is the file's name with its suffix, which says the language."""
    return _whole(document, document.source.name.rpartition("/")[2])


def _whole(document: Document, title: str) -> Found:
    text = document.text()
    if not text.strip():
        raise Unreadable("empty (only white space)")
    section = Section(0, 0, len(text), 0, title)
    return Found(numbered(document.source, items_of_lines(document.source, text, [section], {})))
