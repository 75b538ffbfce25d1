"""What can be chosen about learning word vectors, each value checked when it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sememe.errors import UsageError
from sememe.progress import SILENT, Progress

ARCHITECTURES = ("skip-gram", "cbow", "dbow", "dm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Parts of words of ``shortest`` to ``longest`` characters, hashed into ``buckets`` rows."""

    shortest: int = 3
    longest: int = 6
    buckets: int = 200_000

    def __post_init__(self) -> None:
        if not 1 <= self.shortest <= self.longest or self.buckets < 1:
            raise UsageError(f"there are no parts of {self.shortest} to {self.longest} in {self.buckets} buckets")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A model of words.

    ``architecture``: "skip-gram" (each word around a centre predicts it) or "cbow" (their mean does); for paragraph
    vectors "dbow" and "dm". ``negatives``: words drawn as noise for each centre, shared by its window; 0 means
    hierarchical softmax instead. ``rate`` falls along a line to ``last_rate``. Words seen less than ``min_count``
    times are not learned; ``sample`` thins out frequent ones (see `Vocabulary.keep`). ``parts`` makes it fastText.
    """

    dim: int = 100
    window: int = 5
    architecture: str = "skip-gram"
    negatives: int = 5
    epochs: int = 5
    rate: float = 0.025
    last_rate: float = 0.0001
    min_count: int = 5
    max_words: int | None = None
    sample: float = 0.001
    noise_power: float = 0.75
    parts: Parts | None = None

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise UsageError(f'there is no architecture "{self.architecture}"', why=[", ".join(ARCHITECTURES)])
        for name, least in (("dim", 1), ("window", 1), ("negatives", 0), ("epochs", 1), ("min_count", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is at least {least}, not {getattr(self, name)}")
        if not 0 < self.last_rate <= self.rate:
            raise UsageError(f"the rate falls from {self.rate} to {self.last_rate}: both above 0, the second smaller")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """How a model is learned; with one thread, or ``deterministic``, two runs give the same bits.

    ``checkpoint``: a folder that is written after every epoch, and from which an interrupted run goes on. ``journal``:
    a file that gets a JSON line for every epoch. ``stop_after``: end after so many epochs of those planned, as if
    interrupted there.
    """

    threads: int = 1
    seed: int = 1
    deterministic: bool = False
    checkpoint: Path | None = None
    journal: Path | None = None
    progress: Progress = SILENT
    stop_after: int | None = None

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise UsageError(f"a model is learned by at least one thread, not {self.threads}")


#: told the epoch (from 1) and its figures
Report = Callable[[int, dict[str, float]], None]
