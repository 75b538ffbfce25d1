"""Which reader reads which suffix. A new format is one file and one row here."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from sememe.readers.source import Reader

MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Format:
    """``reader`` is ``module:function``, imported when the first such file comes. ``is_text``: the bytes must be text.
    ``max_bytes``: the largest file that is read unless the caller says otherwise."""

    name: str
    suffixes: tuple[str, ...]
    reader: str
    is_text: bool = True
    max_bytes: int = 64 * MB

    def load(self) -> Reader:
        module, _, function = self.reader.partition(":")
        reader: Reader = getattr(importlib.import_module(f"sememe.readers.{module}"), function)
        return reader


CODE = (
    ".py .pyi .pyx .js .mjs .cjs .jsx .ts .tsx .vue .svelte .go .rs .java .kt .kts .scala .groovy .c .h .cc .cpp .cxx "
    ".hh .hpp .cs .fs .swift .m .mm .rb .pl .pm .php .lua .r .jl .hs .ml .mli .clj .ex .exs .erl .dart .zig .nim .d "
    ".sh .bash .zsh .fish .ps1 .bat .cmd .sql .toml .yaml .yml .ini .cfg .conf .env .properties .xml .svg .css .scss "
    ".less .tex .bib .sty .cmake .mk .gradle .proto .graphql .tf .nix .dockerfile .diff .patch .asm .s .f .f90 .v .vhd"
)

PROSE = ".txt .text .log .org .adoc .asciidoc .textile .srt .vtt"

TEXT = Format("text", tuple(PROSE.split()), "plain:read_text")
SOURCE_CODE = Format("source code", tuple(CODE.split()), "plain:read_code")

FORMATS: tuple[Format, ...] = (
    TEXT,
    SOURCE_CODE,
    Format("Markdown", (".md", ".markdown", ".mdown", ".mkd", ".mdx"), "markdown:read_markdown"),
    Format("reStructuredText", (".rst", ".rest"), "rst:read_rst"),
    Format("HTML", (".html", ".htm", ".xhtml"), "webpage:read_html", max_bytes=16 * MB),
    Format("PDF", (".pdf",), "pdf:read_pdf", is_text=False, max_bytes=256 * MB),
    Format("Parquet", (".parquet",), "parquet:read_parquet", is_text=False, max_bytes=1000 * MB),
    Format("CSV", (".csv", ".tsv", ".tab"), "delimited:read_delimited", max_bytes=256 * MB),
    Format("JSON lines", (".jsonl", ".ndjson"), "json_rows:read_json_lines", max_bytes=256 * MB),
    Format("JSON", (".json",), "json_rows:read_json"),
)

BY_SUFFIX = {suffix: format for format in FORMATS for suffix in format.suffixes}


def format_of(name: str) -> Format | None:
    """The format of a file by the suffix of its name, whatever its case."""
    last = name.rpartition("/")[2]
    dot = last.rfind(".")
    return BY_SUFFIX.get(last[dot:].lower()) if dot > 0 else None
