"""PDF: one item a document, its text layer page by page, counted in pages.

PDF files pack their streams, and a small one may unpack to more than a machine holds. So the packed streams are
measured before PDFium sees the file.
"""

from __future__ import annotations

import re
import threading
import zlib
from collections.abc import Iterator

from sememe.progress import amount
from sememe.readers.encoding import storable
from sememe.readers.source import Document, Found, ReadOptions, Unreadable
from sememe.shapes import Item, Place, Skipped

MAX_PAGES = 20_000
MAX_CHARS = 50_000_000
MAX_PAGE_CHARS = 2_000_000
#: what one packed stream, and all of them, may unpack to, in bytes
MAX_STREAM = 128_000_000
MAX_STREAMS = 4_000_000_000

STREAM = re.compile(rb"stream\r?\n")
#: PDFium may not be called from two threads at once
_PDFIUM = threading.Lock()

TWICE_PACKED = re.compile(rb"/(?:Fl|LZW)\w*\s*(?:/A\w+\s*)*/(?:Fl|LZW|RL|Run)")
#: names may spell any letter in hexadecimal
SPELLED = re.compile(rb"#([0-9A-Fa-f]{2})")


def read_pdf(document: Document, options: ReadOptions) -> Found:
    """The text of all pages with a mark where each begins; pages without text are named."""
    data = document.stream.read()
    if b"%PDF-" not in data[:1024]:
        raise Unreadable("not a PDF file")
    _refuse_bombs(data)
    found = Found()
    parts: list[str] = []
    marks: list[tuple[int, int]] = []
    length = pages = blank = 0
    for pages, text in _one_at_a_time(data):
        if length > MAX_CHARS:
            rest = Skipped(f"{document.source.name} p.{pages}-", f"over {MAX_CHARS} characters before this page")
            found.skipped.append(rest)
            break
        if text is None:
            blank += 1
        elif not text.strip():
            found.skipped.append(Skipped(f"{document.source.name} p.{pages}", f"no text layer (page {pages})"))
        else:
            marks.append((length, pages))
            parts.append(text)
            length += len(text) + 2
    if not parts:
        scanned = pages > blank
        raise Unreadable("no text layer: a scanned document? run OCR first" if scanned else "empty (blank pages)")
    if blank:
        found.notes.append(f"{blank} blank pages")
    place = Place(document.source.name, marks[0][1], marks[-1][1], "page")
    title = document.source.stem
    found.items = [Item("\n\n".join(parts), place, title, document.source.name, marks=tuple(marks))]
    return found


def _one_at_a_time(data: bytes) -> Iterator[tuple[int, str | None]]:
    with _PDFIUM:
        yield from _pages(data)


def _pages(data: bytes) -> Iterator[tuple[int, str | None]]:
    """Number from 1 and text of each page; None for a page on which nothing is drawn."""
    import pypdfium2
    from pypdfium2 import raw

    try:
        pdf = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        locked = "password" in str(error).lower()
        raise Unreadable("encrypted: it needs a password" if locked else f"a damaged PDF file ({error})") from None
    try:
        count = len(pdf)
        if not count:
            raise Unreadable("a damaged PDF file (no pages)")
        if count > MAX_PAGES:
            raise Unreadable(f"{count} pages, more than {MAX_PAGES}")
        for n in range(count):
            try:
                page = pdf[n]
            except pypdfium2.PdfiumError:
                yield n + 1, ""
                continue
            try:
                yield n + 1, _text(page) if raw.FPDFPage_CountObjects(page) else None
            except pypdfium2.PdfiumError:
                yield n + 1, ""
            finally:
                page.close()
    finally:
        pdf.close()


def _text(page: object) -> str:
    layer = page.get_textpage()  # type: ignore[attr-defined]
    try:
        text: str = layer.get_text_range(0, min(layer.count_chars(), MAX_PAGE_CHARS))
    finally:
        layer.close()
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    # PDFium writes U+FFFE or U+0002 where a word was divided at the end of a line.
    text = re.sub("[\ufffe\x02]\n?", "", text).replace("\0", "")
    return storable(text)


def _refuse_bombs(data: bytes) -> None:
    if TWICE_PACKED.search(SPELLED.sub(lambda found: bytes.fromhex(found[1].decode()), data)):
        raise Unreadable("a stream is packed twice, which only hides its size")
    total = 0
    for begin in STREAM.finditer(data):
        size = _unpacked(data, begin.end())
        total += size
        if size > MAX_STREAM or total > MAX_STREAMS:
            raise Unreadable(f"its streams unpack to more than {amount(MAX_STREAM, 'bytes')}")


def _unpacked(data: bytes, start: int) -> int:
    """What the stream at ``start`` unpacks to, in bytes, counted no further than `MAX_STREAM`; 0 when not packed."""
    if data[start : start + 1] not in (b"\x78", b"\x68", b"\x58", b"\x48", b"\x38", b"\x28", b"\x18", b"\x08"):
        return 0
    unpack = zlib.decompressobj()
    size, waiting, at = 0, b"", start
    try:
        while size <= MAX_STREAM and not unpack.eof and (waiting or at < len(data)):
            if not waiting:
                waiting, at = data[at : at + 65_536], at + 65_536
            size += len(unpack.decompress(waiting, 1 << 20))
            waiting = unpack.unconsumed_tail
    except zlib.error:
        pass
    return size
