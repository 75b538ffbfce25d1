"""PDF files, written by hand here: text, pages without, damage, and packed streams that are too large."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from sememe.readers import pdf
from sememe.readers.read import read
from sememe.readers.source import Reading
from sememe.readers.walk import walk
from sememe.shapes import Place, Skipped

DRAWING = b"0 0 100 100 re f"  # a black square, as a scan would be a picture


def shown(text: str) -> bytes:
    return b"BT /F1 12 Tf 72 720 Td (%s) Tj ET" % text.encode("latin-1")


def written(pages: Sequence[bytes], *, filters: bytes = b"", trailer: bytes = b"") -> bytes:
    """A PDF file with one content stream a page."""
    count = len(pages)
    kids = b" ".join(b"%d 0 R" % (4 + 2 * n) for n in range(count))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, count),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for n, content in enumerate(pages):
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % (5 + 2 * n)
        )
        objects.append(b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), filters, content))
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + table + b"trailer\n"
    start = out.rindex(b"xref\n")
    return out + b"<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, start)


def reading(folder: Path, data: bytes) -> Reading:
    (folder / "r.pdf").write_bytes(data)
    return read(walk([folder / "r.pdf"]).files[0])


def test_a_document_is_one_item_with_a_mark_where_each_page_begins(tmp_path: Path) -> None:
    found = reading(tmp_path, written([shown("Rotate the key."), shown("Why a vault.")]))
    (item,) = found.items
    assert item.text == "Rotate the key.\n\nWhy a vault."
    assert (item.id, item.title, item.place) == ("r.pdf", "r", Place("r.pdf", 1, 2, "page"))
    assert str(item.where(item.text.index("vault"), len(item.text))) == "r.pdf p.2"
    assert (found.skipped, found.notes) == ((), ())


def test_a_page_without_text_layer_is_named_and_a_blank_one_noted(tmp_path: Path) -> None:
    found = reading(tmp_path, written([shown("one"), DRAWING, b"", shown("four")]))
    assert found.skipped == (Skipped("r.pdf p.2", "no text layer (page 2)"),)
    assert found.notes == ("1 blank pages",)
    assert str(found.items[0].where(5, 9)) == "r.pdf p.4"


def test_a_document_without_text_layer_is_named_once_with_what_to_do(tmp_path: Path) -> None:
    found = reading(tmp_path, written([DRAWING, DRAWING]))
    assert found.skipped == (Skipped("r.pdf", "no text layer: a scanned document? run OCR first"),)
    assert reading(tmp_path, written([b"", b""])).skipped == (Skipped("r.pdf", "empty (blank pages)"),)


def test_damaged_and_false_pdf_files_are_named(tmp_path: Path) -> None:
    good = written([shown("one"), shown("two")])
    assert reading(tmp_path, b"words, but no PDF").skipped == (Skipped("r.pdf", "not a PDF file"),)
    for data in (good[:200], b"%PDF-1.7\n" + random.Random(0).randbytes(3000), written([])):
        (skipped,) = reading(tmp_path, data).skipped
        assert skipped.reason.startswith("a damaged PDF file (")


@pytest.mark.parametrize("length", range(100, 1200, 100))
def test_a_pdf_cut_anywhere_gives_items_or_a_reason(tmp_path: Path, length: int) -> None:
    found = reading(tmp_path, written([shown("one"), shown("two")])[:length])
    assert found.items or found.skipped


def test_an_encrypted_document_says_that_it_needs_a_password(tmp_path: Path) -> None:
    lock = b"/Encrypt << /Filter /Standard /V 2 /R 3 /Length 128 /P -44 /O (%s) /U (%s) >> /ID [(a)(b)]"
    found = reading(tmp_path, written([shown("one")], trailer=lock % (b"a" * 32, b"b" * 32)))
    assert found.skipped == (Skipped("r.pdf", "encrypted: it needs a password"),)


def test_a_packed_stream_is_read(tmp_path: Path) -> None:
    found = reading(tmp_path, written([zlib.compress(shown("packed"))], filters=b"/Filter /FlateDecode"))
    assert found.items[0].text == "packed"


def test_a_stream_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "MAX_STREAM", 3_000_000)
    bomb = zlib.compress(shown("one") + b" " * 4_000_000)
    assert len(bomb) < 10_000
    found = reading(tmp_path, written([bomb], filters=b"/Filter /FlateDecode"))
    assert found.skipped == (Skipped("r.pdf", "its streams unpack to more than 3.0 MB"),)


@pytest.mark.parametrize("filters", [b"[/FlateDecode /FlateDecode]", b"[ /Fl/Fl ]", b"[/Flate#44ecode /Fl#61teDecode]"])
def test_a_stream_that_is_packed_twice_is_refused(tmp_path: Path, filters: bytes) -> None:
    twice = zlib.compress(zlib.compress(shown("one")))
    found = reading(tmp_path, written([twice], filters=b"/Filter " + filters))
    assert found.skipped == (Skipped("r.pdf", "a stream is packed twice, which only hides its size"),)


def test_limits_of_pages_and_characters_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = written([shown("page one"), shown("page two"), shown("page three")])
    monkeypatch.setattr(pdf, "MAX_CHARS", 12)
    found = reading(tmp_path, data)
    assert found.items[0].text == "page one\n\npage two"
    assert found.skipped == (Skipped("r.pdf p.3-", "over 12 characters before this page"),)
    monkeypatch.setattr(pdf, "MAX_PAGES", 2)
    assert reading(tmp_path, data).skipped == (Skipped("r.pdf", "3 pages, more than 2"),)
