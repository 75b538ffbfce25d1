"""What of a folder has changed since it was last indexed.

Each file that is completely in a collection leaves a stamp beside its name. A later run passes over a file whose size
and time are those of the stamp, and failing that, whose content is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sememe.readers.read import file_hash
from sememe.readers.source import ReadOptions, Source
from sememe.readers.walk import Walk

#: a file that was stamped so soon after it was written may have been written once more in the same tick of its clock
SETTLED_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Stamp:
    """What is remembered of a file that is completely in the collection."""

    sha256: str
    size: int
    mtime_ns: int
    path: str
    options: str
    stamped_ns: int

    def text(self) -> str:
        return json.dumps([self.sha256, self.size, self.mtime_ns, self.path, self.options, self.stamped_ns])

    @classmethod
    def parse(cls, text: str) -> Stamp:
        try:
            sha256, size, mtime_ns, path, options, stamped_ns = json.loads(text)
            return cls(str(sha256), int(size), int(mtime_ns), str(path), str(options), int(stamped_ns))
        except (ValueError, TypeError):
            return cls(text, -1, 0, "", "", 0)  # of another hand: only the hash counts

    @classmethod
    def of(cls, source: Source, sha256: str, options: ReadOptions) -> Stamp:
        return cls(sha256, source.size, source.mtime_ns, str(source.path.absolute()), spelt(options), time.time_ns())

    def same_file(self, source: Source) -> bool:
        """Whether size and time alone show that nothing changed."""
        return (self.size, self.mtime_ns, self.path) == (
            source.size,
            source.mtime_ns,
            str(source.path.absolute()),
        ) and self.stamped_ns - self.mtime_ns > SETTLED_NS


def spelt(options: ReadOptions) -> str:
    """The options that a file was read with, as text: read with others it may hold something else."""
    return json.dumps([options.text, options.id, options.meta])


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run has to do: files to read, stamps to renew, names that leave."""

    changed: tuple[Source, ...]
    renewed: Mapping[str, str]
    gone: tuple[str, ...]
    unchanged: int

    @property
    def bytes(self) -> int:
        return sum(source.size for source in self.changed)


def plan(
    walk: Walk, stamps: Mapping[str, Stamp], options: ReadOptions, paths: Sequence[Path], *, everything: bool
) -> Plan:
    """Compare the files that were found with those that are in the collection.

    Args:
        everything: nothing that belongs there was left out (by a glob), so what was not found is gone.
    """
    changed: list[Source] = []
    renewed: dict[str, str] = {}
    found = set()
    for source in (_own_name(source, stamps) for source in walk.files):
        found.add(source.name)
        stamp = stamps.get(source.name)
        if stamp is None or stamp.options != spelt(options):
            changed.append(source)
        elif not stamp.same_file(source):
            digest = file_hash(source)
            if digest and digest == stamp.sha256:
                renewed[source.name] = Stamp.of(source, digest, options).text()
            else:
                changed.append(source)
    roots = [path.absolute() for path in paths]
    gone = [
        name
        for name, stamp in stamps.items()
        if name not in found and under(stamp.path, roots) and (everything or not Path(stamp.path).exists())
    ]
    return Plan(tuple(changed), renewed, tuple(gone), len(walk.files) - len(changed))


def _own_name(source: Source, stamps: Mapping[str, Stamp]) -> Source:
    """Another file of the same short name is in the collection: this one goes by its whole path."""
    stamp = stamps.get(source.name)
    path = source.path.absolute()
    if stamp is None or not stamp.path or stamp.path == str(path) or not Path(stamp.path).exists():
        return source
    return replace(source, name=path.as_posix())


def under(path: str, roots: Sequence[Path]) -> bool:
    """Whether ``path`` is one of ``roots`` or inside of one."""
    return bool(path) and any(Path(path) == root or root in Path(path).parents for root in roots)
