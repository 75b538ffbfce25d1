"""The standard library's HTML parser, turned into one that writes down readable text with the line of each word."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html.parser import HTMLParser

from sememe.readers.sections import MAX_TITLE, Heading

HEADINGS = {f"h{level}": level for level in range(1, 7)}
PARAGRAPHS = frozenset(
    {
        *HEADINGS, "p", "div", "section", "article", "main", "body", "header", "footer", "aside", "nav", "form", "ul",
        "ol", "dl", "table", "pre", "blockquote", "figure", "figcaption", "details", "summary", "hr", "address",
        "fieldset", "caption",
    }
)  # fmt: skip
LINES = frozenset({"br", "li", "tr", "dt", "dd", "option", "thead", "tbody", "tfoot"})
CELLS = frozenset({"td", "th"})
#: an unclosed heading ends where one of these begins
AFTER_HEADING = frozenset({*HEADINGS, "p", "ul", "ol", "dl", "table", "pre", "section", "article", "main", "body"})
REGIONS = frozenset({"main", "article"})
VOID = frozenset({"br", "hr", "img", "input", "meta", "link", "wbr", "source", "track", "col", "area", "base", "embed"})


@dataclass(frozen=True, slots=True)
class Page:
    """``marks``: (character of ``text``, line of the file), ascending. ``inside`` and ``dropped``: characters of each
    tag.
    """

    text: str
    title: str
    headings: list[Heading]
    marks: list[tuple[int, int]]
    inside: dict[str, int]
    dropped: dict[str, int]
    unclosed: list[str]
    unfinished: int


class PageText(HTMLParser):
    """Feed it a page, close it, ask for the `page`. ``drop``: tags left out; ``only``: the region that is kept."""

    def __init__(self, drop: frozenset[str], only: str = "") -> None:
        super().__init__(convert_charrefs=True)
        self.drop, self.only = drop, only
        self.parts: list[str] = []
        self.length = 0
        self.marks: list[tuple[int, int]] = []
        self.headings: list[Heading] = []
        self.dropping: list[str] = []
        self.dropped: dict[str, int] = {}
        self.regions = dict.fromkeys(REGIONS, 0)
        self.inside = dict.fromkeys(REGIONS, 0)
        self.heading: tuple[int, int, int] | None = None  # level, start of its text (-1: none yet), its first part
        self.titles: list[str] = []
        self.in_title = self.has_title = False
        self.preformatted = 0
        self.gap = ""
        self.cells = 0
        self.unfinished = 0

    def page(self) -> Page:
        """What was read."""
        self._end_heading()
        return Page(
            "".join(self.parts), "".join(self.titles)[:MAX_TITLE], self.headings, self.marks or [(0, 1)], self.inside,
            self.dropped, self.dropping, self.unfinished,
        )  # fmt: skip

    def pass_over(self, beginning: re.Pattern[str]) -> None:
        """Forget the unfinished tag or comment that waits for its end, but not that it is open."""
        kept = beginning.match(self.rawdata) if self.cdata_elem is None else None
        if kept is None:
            self.handle_data(self.rawdata)
        self.updatepos(0, len(self.rawdata))
        self.rawdata = kept[0] + " " if kept else ""

    def finish(self) -> None:
        """The page has ended. A tag or comment that has not swallows the rest, as it does in a browser."""
        if self.cdata_elem is None and re.match(r"<[!/?a-zA-Z]", self.rawdata):
            self.unfinished = self.marks[-1][1] if self.marks else 1
            self.rawdata = ""
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in REGIONS or (tag == "div" and ("role", "main") in attrs):
            if tag == "main":
                self.dropping.clear()  # the main text stands in no navigation: that was not closed
            if tag in REGIONS and not self.dropping:
                self.regions[tag] += 1
        if tag in self.drop and not (tag == "header" and any(self.regions.values())):
            self.dropping.append(tag)
        if self.dropping:
            return
        if self.heading and tag in AFTER_HEADING:
            self._end_heading()
        if tag == "title" and not self.has_title:
            self.in_title = self.has_title = True
        elif tag in HEADINGS:
            self._break("\n\n")
            self.heading = (HEADINGS[tag], -1, 0)
        elif tag in CELLS:
            self.gap = " | " if self.cells and not self.gap.startswith("\n") else self.gap
            self.cells += 1
        elif tag in LINES or tag in PARAGRAPHS:
            self._break("\n" if tag in LINES else "\n\n")
            self.cells = 0
            if tag == "li":
                self.gap += "- "
        self.preformatted += tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        if self.dropping:
            if tag in self.dropping:
                del self.dropping[self.dropping.index(tag) :]
            return
        if tag == "title":
            self.in_title = False
        if tag in HEADINGS:
            self._end_heading()
        if tag in LINES or tag in PARAGRAPHS:
            self._break("\n" if tag in LINES else "\n\n")
        if tag == "pre":
            self.preformatted = max(0, self.preformatted - 1)
        if tag in REGIONS:
            self.regions[tag] = max(0, self.regions[tag] - 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in VOID or tag not in self.drop:  # <nav/> would never be closed, and holds nothing
            self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        if self.dropping:
            size = len(data) if data.strip() else 0
            self.dropped[self.dropping[0]] = self.dropped.get(self.dropping[0], 0) + size
        elif self.in_title:
            self.titles.append(data)
        elif not self.only or self.regions[self.only]:
            line = self.getpos()[0]
            for n, piece in enumerate(data.split("\n")):
                if n:
                    self._space("\n" if self.preformatted else " ")
                if self.preformatted:
                    self._write(piece.rstrip(), line + n)
                else:
                    self._words(piece, line + n)

    def parse_marked_section(self, i: int, report: int = 1) -> int:
        """``<![…]>`` is a comment in HTML; the inherited method raises on what it does not know."""
        return self.parse_bogus_comment(i)

    def _words(self, piece: str, line: int) -> None:
        words = piece.split()
        if piece[:1].isspace() or not words:
            self._space(" " if piece else "")
        if words:
            self._write(" ".join(words), line)
            if piece[-1].isspace():
                self._space(" ")

    def _write(self, text: str, line: int) -> None:
        if not text:
            return
        bullet = "- " if self.gap.endswith("\n- ") else ""
        if self.length:
            self._append(self.gap.removesuffix(bullet))
        text, self.gap = bullet + text, ""
        if self.heading and self.heading[1] < 0:
            self.heading = (self.heading[0], self.length, len(self.parts))
        if not self.marks or self.marks[-1][1] != line:
            self.marks.append((self.length, line))
        self._append(text)

    def _append(self, text: str) -> None:
        self.parts.append(text)
        self.length += len(text)
        for region, depth in self.regions.items():
            if depth:
                self.inside[region] += len(text)

    def _space(self, kind: str) -> None:
        """A gap of its kind before the next word, unless a wider one waits."""
        if kind == "\n":  # inside <pre>; more than one blank line is none the better
            self.gap = self.gap if self.gap.startswith("\n\n") else self.gap.strip(" ") + "\n"
        elif not self.gap:
            self.gap = kind

    def _break(self, kind: str) -> None:
        if not self.gap.startswith(kind):
            self.gap = kind

    def _end_heading(self) -> None:
        if self.heading and self.heading[1] >= 0:
            level, start, part = self.heading
            title = " ".join("".join(self.parts[part:]).split())[:MAX_TITLE]
            self.headings.append(Heading(start, self.length, level, title))
        self.heading = None
