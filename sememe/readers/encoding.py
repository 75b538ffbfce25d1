"""Bytes into text: which encoding a file is in, and whether it is text at all.

One pass over the bytes (`survey`) takes the hash, looks for a byte order mark, and counts what text does not hold.
Nothing is guessed from language statistics: a file is UTF-8, or says by its mark that it is UTF-16 or UTF-32, or is
taken for cp1252 with a note, or is refused.
"""

from __future__ import annotations

import codecs
import hashlib
from dataclasses import dataclass
from typing import BinaryIO

BLOCK = 1 << 20

#: longest first: the mark of UTF-32-LE begins with that of UTF-16-LE
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

#: control characters that text does not hold (tab, newline, form feed, return, backspace and escape it may)
CONTROLS = bytes(set(range(32)) - {8, 9, 10, 11, 12, 13, 27} | {127})
CONTROL_CHARACTERS = dict.fromkeys(CONTROLS)
HIGH = bytes(range(128, 256))
UNDEFINED_IN_CP1252 = bytes((0x81, 0x8D, 0x8F, 0x90, 0x9D))

CONTROL_SHARE = 0.03
REPLACED_SHARE = 0.05
#: of noise read as UTF-16 some 3 % are halves of characters
REPLACED_SHARE_WIDE = 0.01
#: Western text in cp1252 stays under this share of bytes above 127; other scripts and noise do not
HIGH_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Survey:
    """``hash``: SHA-256 in hex. ``encoding`` is a codec's name, or empty when ``refused`` says why it is no text."""

    hash: str
    size: int
    encoding: str
    note: str = ""
    refused: str = ""


@dataclass(slots=True)
class _Counts:
    size: int = 0
    zeros: int = 0
    controls: int = 0
    high: int = 0
    undefined: int = 0
    letters: int = 0
    replaced: int = 0
    lines: int = 0
    first_bad_line: int = 0


def survey(stream: BinaryIO) -> Survey:
    """Read ``stream`` to its end in blocks and say what it is."""
    digest = hashlib.sha256()
    counts = _Counts()
    encoding = ""
    decoder: codecs.IncrementalDecoder | None = None
    while True:
        block = stream.read(BLOCK)
        if decoder is None:
            encoding = next((name for mark, name in MARKS if block.startswith(mark)), "utf-8")
            decoder = codecs.getincrementaldecoder(encoding)("replace")
        digest.update(block)
        if not counts.zeros:  # no need to look further when it is no text already
            text = decoder.decode(block, final=not block)
            _count(block, text, counts, bytewise=encoding in ("utf-8", "utf-8-sig"))
        if not block:
            return _judge(digest.hexdigest(), encoding, counts)


def decode(data: bytes, encoding: str) -> str:
    """Text with ``\\n`` line ends. A lone ``\\r`` ends a line only in a file that has no other line ends."""
    text = data.decode(encoding, "replace").replace("\r\n", "\n")
    return text.replace("\r", "\n") if "\n" not in text else text


def storable(text: str) -> str:
    """``text`` with each lone surrogate (half of a character, from JSON or Python) as U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return str(text)  # NumPy has strings of its own


def _count(block: bytes, text: str, counts: _Counts, *, bytewise: bool) -> None:
    replaced = text.count("\ufffd")
    if bytewise and replaced:  # the character may also stand in the file
        replaced = max(0, replaced - block.count("\ufffd".encode()))
    if replaced and not counts.first_bad_line:
        counts.first_bad_line = 1 + counts.lines + text.count("\n", 0, text.index("\ufffd"))
    counts.replaced += replaced
    counts.lines += text.count("\n")
    counts.letters += len(text) - len(text.encode("ascii", "ignore")) - replaced
    counts.zeros += text.count("\0")
    if bytewise:
        counts.size += len(block)
        counts.controls += len(block) - len(block.translate(None, CONTROLS))
        counts.high += len(block) - len(block.translate(None, HIGH))
        counts.undefined += len(block) - len(block.translate(None, UNDEFINED_IN_CP1252))
    else:
        counts.size += len(text)
        counts.controls += len(text) - len(text.translate(CONTROL_CHARACTERS))


def _judge(digest: str, encoding: str, counts: _Counts) -> Survey:
    def refused(why: str) -> Survey:
        return Survey(digest, counts.size, "", refused=why)

    size = max(counts.size, 1)
    if counts.zeros or counts.controls / size > CONTROL_SHARE:
        return refused("not text")
    if encoding in ("utf-16", "utf-32"):
        if counts.replaced / size > REPLACED_SHARE_WIDE:
            return refused(f"not text (it has the mark of {encoding.upper()}, but is not)")
        note = f"read as {encoding.upper()}" + _replaced(counts)
        return Survey(digest, counts.size, encoding, note)
    if not counts.replaced:
        return Survey(digest, counts.size, encoding)
    if encoding == "utf-8-sig" or counts.letters >= counts.replaced:
        # Two bytes of cp1252 text that happen to form a UTF-8 letter are rare: letters mean UTF-8 with damage.
        if counts.replaced / size > REPLACED_SHARE:
            return refused(f"not text (UTF-8 with {counts.replaced} broken characters)")
        return Survey(digest, counts.size, encoding, "read as UTF-8" + _replaced(counts))
    if counts.high / size > HIGH_SHARE:
        return refused(f"not text in UTF-8 ({counts.high / size:.0%} of its bytes are above 127): save it as UTF-8")
    codec = "latin-1" if counts.undefined else "cp1252"
    return Survey(digest, counts.size, codec, f"read as {codec}: line {counts.first_bad_line} is not UTF-8")


def _replaced(counts: _Counts) -> str:
    if not counts.replaced:
        return ""
    return f"; {counts.replaced} broken characters shown as \ufffd, the first in line {counts.first_bad_line}"
