"""Every error that sememe raises on purpose, in one tree.

    SememeError                 what happened, why, what to do          exit 2
    ├── UsageError              asked for something that does not exist
    ├── DataError               an input is broken, or not what it claims to be
    ├── StoreError              a collection or store cannot do what was asked
    │   ├── MismatchError       vectors of two encoders would be mixed
    │   ├── LockedError         another process is writing
    │   ├── ReplacedError       another process has put other contents in its place
    │   └── DamagedError        a file of the store is not what was written
    ├── MissingError            something is needed that is not here     exit 3
    │   ├── MissingModelError   a model is not on disk and cannot be fetched
    │   ├── MissingExtraError   an optional dependency is not installed
    │   ├── MissingKeyError     a hosted service wants a key, and the environment has none
    │   └── OfflineError        the network is needed, and was forbidden
    ├── ServiceError            a service cannot be reached, refuses, fails or answers nonsense
    └── ModelError              a model's files are damaged, unsafe or unknown   exit 3

The text of an error has three parts, always in this order: *what* happened, the facts that show *why* (with the
numbers), and what to *do* about it. Errors of the standard library (``OSError`` …) are turned into one of these
where the reason is known.
"""

from __future__ import annotations

from collections.abc import Sequence

#: a plain line, or a (label, text) pair; the labels of consecutive pairs are aligned
Line = str | tuple[str, str]


class SememeError(Exception):
    """What happened, why, and what to do.

    Args:
        what: one sentence without a final full stop.
        why: facts with their numbers, one a line.
        do: remedies, one a line; of a pair the second part is a command that can be copied.
    """

    exit_code = 2

    def __init__(self, what: str, *, why: Sequence[Line] = (), do: Sequence[Line] = ()) -> None:
        self.what = what
        self.why = tuple(why)
        self.do = tuple(do)
        super().__init__(what)

    def __str__(self) -> str:
        lines = [self.what]
        lines += [f"  {line}" for line in _aligned(self.why, joint="  ")]
        lines += [f"  → {line}" for line in _aligned(self.do, joint=":  ")]
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders (worker pools) by their constructor's arguments.
        return (_rebuild, (type(self), self.what, self.why, self.do))


class UsageError(SememeError):
    """The caller asked for a name, option or combination that does not exist."""


class DataError(SememeError):
    """An input is broken, hostile, or not what it claims to be."""


class StoreError(SememeError):
    """A collection or store cannot do what was asked; it is as it was before."""


class MismatchError(StoreError):
    """The vectors of two encoders would be mixed."""


class LockedError(StoreError):
    """Another process is writing."""


class ReplacedError(StoreError):
    """A store that is open has been rebuilt, or moved to another encoder, by somebody else: open it again."""


class DamagedError(StoreError):
    """A file of the store is not what was written."""


class MissingError(SememeError):
    """Something is needed that is not here."""

    exit_code = 3


class MissingModelError(MissingError):
    """A model is not on disk and cannot, or may not, be fetched."""


class MissingExtraError(MissingError):
    """An optional dependency is not installed."""


class MissingKeyError(MissingError):
    """A hosted service wants a key, and the environment has none."""


class OfflineError(MissingError):
    """The network is needed, and was forbidden."""


class ServiceError(SememeError):
    """A service cannot be reached, refuses, fails, or answers what it should not."""


class ModelError(SememeError):
    """The files of a model are damaged, unsafe, or of a kind that sememe does not know."""

    exit_code = 3


def _aligned(lines: Sequence[Line], joint: str) -> list[str]:
    width = max((len(line[0]) for line in lines if isinstance(line, tuple)), default=0)
    out = []
    for line in lines:
        if isinstance(line, str):
            out.append(line)
        else:
            label, text = line
            out.append(f"{label + joint:<{width + len(joint)}}{text}" if label else text)
    return out


def _rebuild(kind: type[SememeError], what: str, why: Sequence[Line], do: Sequence[Line]) -> SememeError:
    return kind(what, why=why, do=do)
