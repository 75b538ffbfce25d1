"""One source into its items, whatever happens to the file meanwhile.

Nothing that a file does ends a run: what cannot be read is `Skipped` with the reason. Only a `DataError` about options
that do not fit a file leaves `read`, and only when the caller named that very file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sememe.errors import DataError, MissingExtraError
from sememe.progress import amount
from sememe.readers.encoding import survey
from sememe.readers.formats import TEXT, Format, format_of
from sememe.readers.source import Document, Reading, ReadOptions, Source, Unreadable
from sememe.readers.walk import kind_of, reason_of
from sememe.shapes import Skipped

DEFAULTS = ReadOptions()


def read(source: Source, options: ReadOptions = DEFAULTS) -> Reading:
    """The items of ``source``, what of it was skipped, and its hash.

    Raises:
        DataError: the named file's columns are not clear, or not the ones that ``options`` ask for.
        MissingExtraError: the named file's format needs a package that is not installed.
    """
    digest = ""
    try:
        with _opened(source, options) as (stream, format):
            found = survey(stream)
            digest = found.hash
            if found.refused and (format is None or format.is_text):
                raise Unreadable(found.refused + ("" if format else _no_reader(source)))
            stream.seek(0)
            result = (format or TEXT).load()(Document(source, stream, found), options)
    except OSError as error:
        return _skipped(source, reason_of(error))
    except Unreadable as error:
        return _skipped(source, str(error), digest)
    except (DataError, MissingExtraError) as error:
        if source.named:
            raise
        return _skipped(source, _told(error), digest)
    except MemoryError:
        return _skipped(source, "it does not fit into memory", digest)
    notes = [found.note] if found.note and (format is None or format.is_text) else []
    return Reading(source, tuple(result.items), digest, tuple(result.skipped), (*notes, *result.notes))


def file_hash(source: Source) -> str:
    """SHA-256 of the file's bytes in hex, as `Reading.hash` has it, or empty when it cannot be read now."""
    try:
        with _opened(source, ReadOptions(max_bytes=2**63)) as (stream, _):
            return survey(stream).hash
    except (OSError, Unreadable):
        return ""


@contextmanager
def _opened(source: Source, options: ReadOptions) -> Iterator[tuple[BinaryIO, Format | None]]:
    # Without O_NONBLOCK a pipe put in the file's place would wait for its other end for ever.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    handle = os.open(source.path, flags)
    with os.fdopen(handle, "rb") as stream:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable(f"not a file but a {kind_of(status.st_mode)}")
        format = format_of(source.name)
        limit = options.max_bytes if options.max_bytes is not None else (format or TEXT).max_bytes
        if status.st_size > limit:
            sizes = f"{amount(status.st_size, 'bytes')}, over the limit of {amount(limit, 'bytes')}"
            raise Unreadable(f"{sizes} (the option max_bytes lifts it)")
        if not status.st_size:
            raise Unreadable("empty")
        yield stream, format


def _no_reader(source: Source) -> str:
    suffix = Path(source.name).suffix
    return f" (no reader for {suffix})" if suffix else ""


def _skipped(source: Source, reason: str, digest: str = "") -> Reading:
    return Reading(source, (), digest, (Skipped(source.name, reason),))


def _told(error: DataError | MissingExtraError) -> str:
    """The error in one line."""
    return str(error).replace("\n  → ", "; ").replace("\n  ", "; ")
