"""One interface for work that takes time.

A long job opens named phases and moves them on; who draws them is none of its business. In the library nothing is
drawn (``SILENT``), with one exception that ``models`` makes on purpose: the one-time fetch of a model is shown on
stderr by ``StderrProgress``. The command line brings its own drawing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO, Protocol


class Phase(Protocol):
    """One named stretch of work with a count."""

    def advance(self, n: int = 1) -> None:
        """``n`` more units are done."""


class Progress(Protocol):
    """Where a job tells how far it is."""

    def phase(self, name: str, *, total: int | None, unit: str) -> AbstractContextManager[Phase]:
        """Open a phase: ``with progress.phase("encode", total=8412, unit="chunks") as phase: …``."""

    def note(self, text: str) -> None:
        """Something a person should know that is no error."""


class _SilentPhase:
    def advance(self, n: int = 1) -> None:
        pass


class SilentProgress:
    """Draws nothing. Notes are dropped too, so a job must *also* return what it has to say in its result."""

    @contextmanager
    def phase(self, name: str, *, total: int | None, unit: str) -> Iterator[Phase]:
        yield _SilentPhase()

    def note(self, text: str) -> None:
        pass


SILENT = SilentProgress()


class StderrProgress:
    """A plain bar on stderr, rewritten at most ten times a second; one line per tenth where it is no terminal."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self.stream = stream

    @contextmanager
    def phase(self, name: str, *, total: int | None, unit: str) -> Iterator[Phase]:
        drawn = _DrawnPhase(self.stream or sys.stderr, name, total, unit)
        try:
            yield drawn
        finally:
            drawn.close()

    def note(self, text: str) -> None:
        print(text, file=self.stream or sys.stderr)


class _DrawnPhase:
    def __init__(self, stream: IO[str], name: str, total: int | None, unit: str) -> None:
        self.stream, self.name, self.total, self.unit = stream, name, total, unit
        self.done = 0
        self.terminal = stream.isatty()
        self.started = time.monotonic()
        self.drawn_at = 0.0
        self.drawn_tenth = -1

    def advance(self, n: int = 1) -> None:
        self.done += n
        now = time.monotonic()
        if self.terminal:
            if now - self.drawn_at >= 0.1:
                self.drawn_at = now
                self.stream.write("\r" + self._line())
                self.stream.flush()
        elif self.total and self.done * 10 // self.total > self.drawn_tenth:
            self.drawn_tenth = self.done * 10 // self.total
            self.stream.write(self._line() + "\n")
            self.stream.flush()

    def close(self) -> None:
        if self.terminal:
            self.stream.write("\r" + self._line() + "\n")
            self.stream.flush()

    def _line(self) -> str:
        rate = self.done / max(time.monotonic() - self.started, 1e-9)
        done, speed = f"{amount(self.done, self.unit)}", f"{amount(int(rate), self.unit)}/s"
        if not self.total:
            return f"{self.name:<10} {done}  {speed}"
        filled = 28 * min(self.done, self.total) // self.total
        eta = (self.total - self.done) / rate if rate else 0
        bar = "━" * filled + " " * (28 - filled)
        return f"{self.name:<10} {bar}  {done} of {amount(self.total, self.unit)}  {speed}  eta {eta:.0f} s  "


def amount(n: int, unit: str) -> str:
    """``amount(90868376, "bytes") == "90.9 MB"``; other units are counted: ``amount(3, "chunks") == "3 chunks"``."""
    if unit != "bytes":
        return f"{n:,} {unit}".replace(",", " ")
    if n < 1000:
        return f"{n} B"
    if n < 1000**2:
        return f"{n / 1000:.1f} kB"
    if n < 1000**3:
        return f"{n / 1000**2:.1f} MB"
    return f"{n / 1000**3:.2f} GB"
