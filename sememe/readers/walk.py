"""Folders into a list of files: in a stable order, each once, with a name for everything that was not taken.

Real folders are walked first and links after them, so that a file that is reached both ways is known by its own name.
A link is followed when it leads to something inside the given paths that was not read yet; one that leads out of them
is named and not followed, so that a stranger's folder cannot pull other files of the machine into a collection.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pathspec import PathSpec

from sememe.errors import DataError, UsageError
from sememe.readers.ignore import Rules, rules_above, rules_in, understood
from sememe.readers.source import Source
from sememe.shapes import Skipped


@dataclass(frozen=True, slots=True)
class Walk:
    """The files that were found, sorted by name within each given path.

    ``skipped``: what cannot be read, with the reason. ``ignored``: how many entries the ignore files, the glob or the
    rule for hidden names left out, a folder counting as one. ``notes``: what a person may want to know.
    """

    files: tuple[Source, ...]
    skipped: tuple[Skipped, ...] = ()
    ignored: int = 0
    notes: tuple[str, ...] = ()


def walk(paths: Sequence[Path | str] | Path | str, *, glob: Sequence[str] = (), hidden: bool = False) -> Walk:
    """The files under ``paths``.

    Args:
        paths: files and folders. A folder's ignore files do not apply to a path that is given itself.
        glob: patterns as in an ignore file, from each given path (``"*.md"``, ``"docs/**"``); a file is taken when it
            matches, and is not when a later pattern with ``!`` matches too.
        hidden: take names that begin with a dot as well; ``.git`` stays out.

    Raises:
        DataError: a given path does not exist.
        UsageError: a glob cannot be understood.
    """
    given = [paths] if isinstance(paths, (str, Path)) else list(paths)
    roots = _roots(given)
    walker = _Walker(_glob(glob), hidden, tuple(roots))
    for real, (path, shown) in roots.items():
        walker.root(real, path, shown)
    return Walk(tuple(walker.files), tuple(walker.skipped), walker.ignored, tuple(walker.notes))


def printable(name: str) -> str:
    """A file's name as text that can be shown and stored: odd bytes and control characters as escapes."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _roots(given: Sequence[Path | str]) -> dict[str, tuple[Path, str]]:
    """Real path → (path, name shown); names grow by folders above until no two are the same."""
    paths: dict[str, Path] = {}
    for entry in given:
        path = Path(entry)
        # ".." after a link is not what it looks like, so only the system may resolve it.
        path = path.resolve() if ".." in path.parts else path.absolute()
        if not path.exists():
            raise DataError(f'there is no file or folder "{printable(str(entry))}"')
        paths.setdefault(os.path.realpath(path), path)
    depth = dict.fromkeys(paths, 1)

    def shown(real: str) -> str:
        parts = [part for part in paths[real].parts if part != paths[real].anchor]
        return printable("/".join(parts[-depth[real] :]))

    while True:
        names = {real: shown(real) for real in paths}
        taken = list(names.values())
        clashing = [real for real in paths if taken.count(names[real]) > 1 and depth[real] < len(paths[real].parts)]
        if not clashing:
            return {real: (path, names[real]) for real, path in paths.items()}
        for real in clashing:
            depth[real] += 1


def _glob(patterns: Sequence[str]) -> PathSpec[Any] | None:
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    if not patterns:
        return None
    problems: list[str] = []
    lines = ["**", *patterns] if all(pattern.startswith("!") for pattern in patterns) else patterns
    good = understood(lines, "glob", problems)
    if problems:
        raise UsageError("a glob cannot be understood", why=problems)
    # Not GitIgnoreSpec: here ``!old/`` takes back what ``*.md`` took, because the last match decides.
    return PathSpec.from_lines("gitignore", good)


class _Walker:
    """The state of one walk."""

    def __init__(self, glob: PathSpec[Any] | None, hidden: bool, roots: tuple[str, ...]) -> None:
        self.glob, self.hidden, self.roots = glob, hidden, roots
        self.files: list[Source] = []
        self.skipped: list[Skipped] = []
        self.ignored = 0
        self.notes: list[str] = []
        self.seen: set[str] = set()
        self.names: set[str] = set()
        self.links: list[tuple[str, str, Rules | None]] = []
        self.found: list[Source] = []
        self.base = ""

    def root(self, real: str, path: Path, shown: str) -> None:
        self.found, self.base = [], shown
        if path.is_dir():
            above = rules_above(real, self.notes)
            if above is not None and above.leave_out(real, is_folder=True):
                above = None  # who names an ignored folder means it
            self._folder(real, str(path), shown, above)
            while self.links:
                pending, self.links = self.links, []
                for link in pending:
                    self._link(*link)
        else:
            self._file(real, str(path), shown, named=True)
        self.files += sorted(self.found, key=lambda source: source.name)

    def _folder(self, real: str, path: str, shown: str, above: Rules | None) -> None:
        waiting = [(real, path, shown, above)]
        while waiting:
            real, path, shown, above = waiting.pop()
            if real in self.seen:
                continue
            self.seen.add(real)
            rules = rules_in(real, above, self.notes)
            for entry in self._entries(path, shown):
                inner = str(Path(real, entry.name))
                name = f"{shown}/{printable(entry.name)}"
                if self._left_out(entry, inner, rules):
                    self.ignored += 1
                elif entry.is_symlink():
                    self.links.append((entry.path, name, rules))
                elif entry.is_dir(follow_symlinks=False):
                    waiting.append((inner, entry.path, name, rules))
                else:
                    self._file(inner, entry.path, name)

    def _entries(self, path: str, shown: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(path) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self.skipped.append(Skipped(shown, reason_of(error)))
            return []

    def _left_out(self, entry: os.DirEntry[str], inner: str, rules: Rules | None) -> bool:
        if entry.name == ".git" or (entry.name.startswith(".") and not self.hidden):
            return True
        # As in git, a link is a file to a pattern, whatever it leads to.
        return rules is not None and rules.leave_out(inner, is_folder=entry.is_dir(follow_symlinks=False))

    def _link(self, path: str, shown: str, rules: Rules | None) -> None:
        try:
            real = os.path.realpath(path, strict=True)
        except OSError as error:
            broken = isinstance(error, FileNotFoundError)
            self.skipped.append(Skipped(shown, "a link to nothing" if broken else reason_of(error)))
            return
        if not any(real == root or real.startswith(root.rstrip(os.sep) + os.sep) for root in self.roots):
            self.skipped.append(Skipped(shown, f"a link out of the folder, to {printable(real)}"))
        elif real in self.seen:
            self.notes.append(f"{shown} is a link to something that was read already")
        elif Path(real).is_dir():
            self._folder(real, path, shown, rules)
        else:
            self._file(real, path, shown)

    def _file(self, real: str, path: str, shown: str, *, named: bool = False) -> None:
        if real in self.seen:
            return
        if self.glob is not None:
            inside = shown.removeprefix(self.base + "/") if shown != self.base else shown.rpartition("/")[2]
            if not self.glob.match_file(inside):
                self.ignored += 1
                return
        self.seen.add(real)
        try:
            found = Path(path).stat()
        except OSError as error:
            self.skipped.append(Skipped(shown, reason_of(error)))
            return
        if not stat.S_ISREG(found.st_mode):
            self.skipped.append(Skipped(shown, f"not a file but a {kind_of(found.st_mode)}"))
            return
        name = printable(path.replace(os.sep, "/")) if shown in self.names else shown
        self.names.add(name)
        self.found.append(Source(Path(path), name, found.st_size, found.st_mtime_ns, named))


def kind_of(mode: int) -> str:
    """What a special file is."""
    kinds: tuple[tuple[Callable[[int], bool], str], ...] = (
        (stat.S_ISDIR, "folder"),
        (stat.S_ISFIFO, "pipe"),
        (stat.S_ISSOCK, "socket"),
        (stat.S_ISBLK, "block device"),
        (stat.S_ISCHR, "device"),
    )
    return next((kind for test, kind in kinds if test(mode)), "special file")


def reason_of(error: OSError) -> str:
    """Why the system refused a file, in the words of the reports."""
    if isinstance(error, FileNotFoundError):
        return "it is no longer there"
    return (error.strerror or str(error)).lower()
