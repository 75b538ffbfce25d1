"""Markdown: one item a section, the path of its headings as the title."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

from sememe.readers.scalars import scalar
from sememe.readers.sections import MAX_TITLE, Heading, items_of_lines, split
from sememe.readers.source import Document, Found, ReadOptions, Unreadable, numbered
from sememe.shapes import Scalar

ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+|$)")
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
#: lines that no underline makes a heading of: indented, quoted, list, table, heading
NO_PARAGRAPH = re.compile(r" {4}|\t| {0,3}(?:[>|#]|[-*+][ \t]|\d{1,9}[.)][ \t]|-+[ \t]*$|=+[ \t]*$|\*\*\*|___|<)")
KEY = re.compile(r"([A-Za-z_][\w-]{0,63})[ \t]*:(?:[ \t]+(.*))?$")


def read_markdown(document: Document, options: ReadOptions) -> Found:
    """Sections by ``#`` and underlined headings; a YAML block at the top becomes what is known about each."""
    text = document.text()
    found = Found()
    meta, begin = _front_matter(text, found.notes)
    if not text[begin:].strip():
        raise Unreadable("empty (nothing but front matter)" if begin else "empty (only white space)")
    title = meta.get("title")
    sections = split(
        text,
        _headings(text, begin),
        begin=begin,
        title=title if isinstance(title, str) and title else document.source.stem,
    )
    found.items = numbered(document.source, items_of_lines(document.source, text, sections, meta))
    return found


def _headings(text: str, begin: int) -> Iterator[Heading]:
    offset, fence, comment = begin, "", False
    before, before_start, alone = "", begin, True
    for line in io.StringIO(text[begin:], newline="\n"):
        start, offset = offset, offset + len(line)
        bare = line.rstrip("\n")
        opened = FENCE.match(bare)
        if fence:
            closes = opened and opened[1].startswith(fence) and not bare.strip().strip(fence[0])
            fence = "" if closes else fence
            before, alone = "", True
        elif comment:
            comment, before, alone = "-->" not in bare, "", True
        elif opened and not (opened[1][0] == "`" and "`" in bare[opened.end() :]):
            fence, before, alone = opened[1], "", True
        elif bare.lstrip().startswith("<!--"):
            comment, before, alone = "-->" not in bare, "", True
        elif atx := ATX.match(bare):
            yield Heading(
                start,
                offset,
                len(atx[1]),
                _title(re.sub(r"(?:^|[ \t]+)#+[ \t]*$", "", bare[atx.end() :][: 2 * MAX_TITLE])),
            )
            before, alone = "", True
        elif before and alone and (under := UNDERLINE.match(bare)):
            yield Heading(before_start, offset, 1 if under[1][0] == "=" else 2, _title(before))
            before, alone = "", True
        elif not bare.strip():
            before, alone = "", True
        else:
            alone = not before and alone
            usable = alone and not NO_PARAGRAPH.match(bare)
            before, before_start, alone = (bare, start, True) if usable else ("", start, False)


def _title(line: str) -> str:
    title = line.strip()[:MAX_TITLE]
    title = re.sub(r"[ \t]*\{[#.][^{}]*\}$", "", title)
    title = re.sub(r"!?\[([^\[\]]*)\]\([^()]*\)", r"\1", title)
    marks = r"\\([!-/:-@\[-`{-~])|`+|\*{1,3}(?=\S)|(?<=\S)\*{1,3}|__"
    return re.sub(marks, lambda mark: mark[1] or "", title).strip()


def _front_matter(text: str, notes: list[str]) -> tuple[dict[str, Scalar], int]:
    """The simple ``key: value`` lines of a YAML block at the top, and where the block ends."""
    block = re.match(r"---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", text, re.DOTALL | re.MULTILINE)
    if block is None:
        return {}, 0
    meta: dict[str, Scalar] = {}
    other = 0
    lines = [line for line in block[1].splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in lines:
        pair = KEY.match(line)
        value = (pair[2] or "").strip() if pair else ""
        if pair is None or not value or value[0] in "[{|>&*!":
            other += 1
        else:
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
            meta[pair[1]] = value[1:-1] if quoted else scalar(value)
    if lines and not meta:
        return {}, 0  # two rules with text between them, no front matter
    if other:
        notes.append(f"front matter: {other} lines are no simple `key: value` and were left out")
    return meta, block.end()
