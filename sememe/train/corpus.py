"""Texts to learn from, read once from start to end: files, folders, compressed or not, lines or JSON records.

A corpus yields lists of words, a line or record each. It is read in blocks, so its size does not matter, and going
through it again starts at its first line. Nothing is left out unsaid: a file that is no text is an error with its name.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from sememe.errors import DataError, UsageError
from sememe.extras import require

#: letters with an apostrophe inside, or digits
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+")
_BLOCK = 1 << 20
#: longer lines are cut at a space, so that a file without line ends fits into memory
LONGEST_LINE = 1 << 20
SUFFIXES = (".txt", ".text", ".md", ".jsonl", ".ndjson")
PACKED = (".gz", ".zst")

#: what a model learns from: a corpus, or anything that yields texts or lists of words
Texts = Iterable[str] | Iterable[list[str]]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Files and folders as lists of words.

    ``paths``: files, or folders, of which every file ending in .txt, .text, .md, .jsonl or .ndjson is read, also with
    .gz or .zst after it, in the order of their names. ``field`` is where a JSON record has its text. ``words`` says
    what words are: "words" (runs of letters or digits) or "spaces" (what stands between spaces); ``lower`` folds case.
    """

    paths: tuple[Path, ...]
    field: str = "text"
    words: str = "words"
    lower: bool = True

    def __post_init__(self) -> None:
        if self.words not in ("words", "spaces"):
            raise UsageError(f'words are found by "words" or by "spaces", not by "{self.words}"')

    def __iter__(self) -> Iterator[list[str]]:
        split = splitter(self.words, lower=self.lower)
        for path in self.files():
            for text in _texts(path, self.field):
                found = split(text)
                if found:
                    yield found

    def files(self) -> list[Path]:
        """The files that are read, in their order.

        Raises:
            UsageError: a path that does not exist, or a folder in which nothing is to be read.
        """
        out: list[Path] = []
        for path in self.paths:
            if path.is_dir():
                inside = sorted(p for p in path.rglob("*") if p.is_file() and _kind(p) in SUFFIXES)
                if not inside:
                    raise UsageError(f"{path} has no file to learn from", why=["ending in " + ", ".join(SUFFIXES)])
                out += inside
            elif path.is_file():
                out.append(path)
            else:
                raise UsageError(f"{path} does not exist")
        return out


def corpus(*paths: str | Path, field: str = "text", words: str = "words", lower: bool = True) -> Corpus:
    """The texts of files and folders; see `Corpus`."""
    if not paths:
        raise UsageError("a corpus needs a file or a folder")
    return Corpus(tuple(Path(path) for path in paths), field, words, lower)


def sentences(texts: Texts) -> Iterator[list[str]]:
    """Lists of words of anything that a model learns from; plain texts are split as `Corpus` does by default."""
    if isinstance(texts, str):
        raise UsageError("a text alone is no corpus", do=["for files: corpus(path)", "for texts: a list of them"])
    split = splitter("words", lower=True)
    for text in texts:
        yield split(text) if isinstance(text, str) else list(text)


def splitter(words: str, *, lower: bool) -> Callable[[str], list[str]]:
    """A function from a text to its words."""
    find: Callable[[str], list[str]] = str.split if words == "spaces" else _WORD.findall
    return (lambda text: find(text.lower())) if lower else find


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _open(path: Path) -> IO[bytes]:
    if path.suffix.lower() == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    if path.suffix.lower() == ".zst":
        zstandard = require("zstandard", extra="train", purpose=f"reading {path.name}")
        return cast("IO[bytes]", zstandard.open(path, "rb"))
    return path.open("rb")


def _texts(path: Path, field: str) -> Iterator[str]:
    records = _kind(path) in (".jsonl", ".ndjson")
    try:
        with _open(path) as file:
            if not records:
                yield from _lines(file)
                return
            with io.TextIOWrapper(file, "utf-8") as lines:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        yield _text_of(line, field, f"{path}:{number}")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no UTF-8 text", why=[f"{error.reason} at byte {error.start} of a block"]) from None
    except (EOFError, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged", why=[str(error)]) from None
    except Exception as error:
        if type(error).__name__ != "ZstdError":
            raise
        raise DataError(f"{path} is damaged", why=[str(error)]) from None


def _lines(file: IO[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    rest = ""
    while block := file.read(_BLOCK):
        lines = (rest + decoder.decode(block)).split("\n")
        rest = lines.pop()
        yield from lines
        while len(rest) > LONGEST_LINE:
            cut = rest.rfind(" ", 0, LONGEST_LINE) + 1 or LONGEST_LINE
            yield rest[:cut]
            rest = rest[cut:]
    yield rest + decoder.decode(b"", final=True)


def _text_of(line: str, field: str, place: str) -> str:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place} is no JSON", why=[str(error)]) from None
    text = record if isinstance(record, str) else record.get(field) if isinstance(record, dict) else None
    if not isinstance(text, str):
        known = ", ".join(list(record)[:8]) if isinstance(record, dict) else type(record).__name__
        raise DataError(f'{place} has no text in "{field}"', why=[("it has", known)], do=["name the field: field=…"])
    return text
