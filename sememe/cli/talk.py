"""What a command says while it works. All of it goes to stderr; stdout belongs to the data."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sememe.progress import SILENT, Phase, Progress, amount

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


@dataclass(frozen=True, slots=True)
class Talk:
    """How much is said: ``-q`` leaves only errors and what was left out, ``-v`` adds the details."""

    quiet: bool = False
    verbose: bool = False

    def say(self, text: str) -> None:
        """What a person at the terminal likes to know."""
        if not self.quiet:
            _write(text)

    def detail(self, text: str) -> None:
        """What only ``-v`` shows."""
        if self.verbose:
            _write(text)

    def warn(self, text: str) -> None:
        """Something was left out or cut: said even with ``-q``."""
        _write(f"note: {text}")

    def progress(self) -> Progress:
        """Bars on a terminal, a line now and then elsewhere, nothing with ``-q``."""
        if self.quiet:
            return SILENT
        return BarProgress() if on_terminal() else LineProgress()


def on_terminal() -> bool:
    """Whether stderr is a terminal that can rewrite a line."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class LineProgress:
    """For logs and pipes: a line for every tenth, not more than one a second, and at least one every ten seconds."""

    @contextmanager
    def phase(self, name: str, *, total: int | None, unit: str) -> Iterator[Phase]:
        """Open a phase; one that is over within a second leaves no line."""
        yield _Lines(name, total, unit)

    def note(self, text: str) -> None:
        """Say it on its own line."""
        _write(text)


class _Lines:
    def __init__(self, name: str, total: int | None, unit: str) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.done = self.tenth = 0
        self.started = self.written = time.monotonic()

    def advance(self, n: int = 1) -> None:
        self.done += n
        now = time.monotonic()
        tenth = self.done * 10 // self.total if self.total else 0
        silent = now - self.written
        if silent >= 10 or (tenth > self.tenth and silent >= 1):
            self.tenth, self.written = tenth, now
            rate = amount(round(self.done / (now - self.started)), self.unit)
            done = amount(self.done, self.unit)
            if self.total:
                done = f"{done.removesuffix(f' {self.unit}')} of {amount(self.total, self.unit)}"
            _write(f"{self.name:<10} {done}  {rate}/s")


class WithinPhase:
    """Lets a job that opens phases of its own move one that is open already: many batches, one bar."""

    def __init__(self, outer: Phase) -> None:
        self.outer = outer

    @contextmanager
    def phase(self, name: str, *, total: int | None, unit: str) -> Iterator[Phase]:
        """The outer phase, whatever is asked for."""
        yield self.outer

    def note(self, text: str) -> None:
        """Say it on its own line."""
        _write(text)


class BarProgress:
    """For a terminal: one bar a phase, redrawn at most ten times a second (drawn by rich, imported at the first)."""

    @contextmanager
    def phase(self, name: str, *, total: int | None, unit: str) -> Iterator[Phase]:
        """Open a phase and draw its bar until it is left."""
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        bars = RichProgress(
            TextColumn("{task.description:<10}"),
            BarColumn(28),
            TextColumn("{task.fields[figures]}"),
            console=Console(stderr=True),
            auto_refresh=False,
        )
        with bars:
            yield _Bar(bars, bars.add_task(name, total=total, figures=""), total, unit)

    def note(self, text: str) -> None:
        """Say it on its own line."""
        _write(text)


class _Bar:
    def __init__(self, bars: RichProgress, task: TaskID, total: int | None, unit: str) -> None:
        self.bars, self.task, self.total, self.unit = bars, task, total, unit
        self.done = 0
        self.started, self.drawn = time.monotonic(), 0.0

    def advance(self, n: int = 1) -> None:
        self.done += n
        now = time.monotonic()
        finished = self.total is not None and self.done >= self.total
        if now - self.drawn < 0.1 and not finished:
            return
        self.drawn = now
        rate = self.done / max(now - self.started, 1e-9)
        of = f"/{amount(self.total, self.unit)}" if self.total else f" {self.unit if self.unit != 'bytes' else ''}"
        eta = f"  eta {(self.total - self.done) / rate:.0f} s" if self.total and rate and not finished else ""
        done = amount(self.done, self.unit).removesuffix(f" {self.unit}")
        figures = f"{done}{of}  {amount(int(rate), self.unit)}/s{eta}"
        self.bars.update(self.task, completed=self.done, figures=figures, refresh=True)


def counted(n: int, thing: str) -> str:
    """``1 file``, ``8 412 chunks``."""
    return f"1 {thing}" if n == 1 else amount(n, f"{thing}s")


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``4 min``, ``2.5 h``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def warnings_as_notes(talk: Talk) -> AbstractContextManager[Any]:
    """Inside this, what the library warns of is said as a note, without file names and line numbers."""
    import warnings

    @contextmanager
    def shown() -> Iterator[None]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("always", category=UserWarning)
            warnings.showwarning = lambda message, *_rest, **_more: talk.warn(str(message))
            yield

    return shown()


def _write(text: str) -> None:
    # A closed stderr must not end the work.
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        return
