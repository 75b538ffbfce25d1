"""Which files the ignore files of a folder tree leave out.

The rules are git's: a pattern counts from the folder of the file that it stands in, a deeper file wins over a higher
one, a later line over an earlier one, and ``!`` takes a file back in. `.sememeignore` has the same form and is read
after `.gitignore`, so that it can leave out more, or take back in what git ignores.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

NAMES = (".gitignore", ".sememeignore")
MAX_BYTES = 1_000_000
#: more wildcards than this in one part of a path can take a regular expression hours
MAX_WILDCARDS = 8
#: the group of a pattern's regular expression that holds the slash behind a folder that it matches
FOLDER_MARK = "ps_d"


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules that hold in ``folder``; ``above`` are those of the folder above it."""

    folder: str
    spec: GitIgnoreSpec
    above: Rules | None = None

    def leave_out(self, path: str, *, is_folder: bool) -> bool:
        """``path``: absolute, inside ``folder``."""
        rules: Rules | None = self
        while rules is not None:
            inside = os.path.relpath(path, rules.folder).replace(os.sep, "/")
            verdict = _verdict(rules.spec, inside + "/" if is_folder else inside)
            if verdict is not None:
                return verdict
            rules = rules.above
        return False


def _verdict(spec: GitIgnoreSpec, path: str) -> bool | None:
    """What the last pattern that matches says: leave out, keep, or (None) nothing.

    A pattern of pathspec also matches what stands inside a folder that it matches. Here every entry is asked for on its
    own, from the top, and a folder that is left out is not entered; so, as in git, only a match of the entry itself
    counts: ``!deep/`` takes back the folder, not each file in it.
    """
    name = path[path.rfind("/", 0, -1) + 1 :]
    for pattern in reversed(spec.patterns):
        if pattern.include is not None and pattern.regex is not None and _matches(pattern.regex, path, name):
            return pattern.include
    return None


def _matches(regex: re.Pattern[str], path: str, name: str) -> bool:
    if not regex.pattern.startswith("^"):
        return regex.search(name) is not None  # ``*`` and ``*/``: any name, any folder
    found = regex.match(path)
    if found is None:
        return False
    if found.groupdict().get(FOLDER_MARK):
        return found.end(FOLDER_MARK) == len(path)
    # ``deep/**`` is what stands inside: it ends at the slash of ``deep/`` without the mark.
    return not (path.endswith("/") and found.end() == len(path))


def rules_in(folder: str, above: Rules | None, notes: list[str]) -> Rules | None:
    """The rules of ``folder``; what is wrong with one of its ignore files is added to ``notes``."""
    lines: list[str] = []
    for name in NAMES:
        lines += _read(Path(folder, name), notes)
    spec = GitIgnoreSpec.from_lines(understood(lines, folder, notes))
    return Rules(folder, spec, above) if len(spec) else above


def rules_above(folder: str, notes: list[str]) -> Rules | None:
    """The rules that a git repository around ``folder`` holds for it; none where there is no repository."""
    chain = [Path(folder), *Path(folder).parents]
    top = next((n for n, place in enumerate(chain) if os.path.lexists(place / ".git")), 0)
    rules: Rules | None = None
    for place in reversed(chain[1 : top + 1]):
        rules = rules_in(str(place), rules, notes)
    return rules


def understood(lines: Iterable[str], where: str, notes: list[str]) -> list[str]:
    """Those of the patterns that can be compiled, and matched in a short time; the others are named in ``notes``."""
    good = []
    for line in lines:
        try:
            if any(len(re.findall(r"\*+|\?|\[", part)) > MAX_WILDCARDS for part in line.split("/")):
                raise ValueError("too many wildcards")
            GitIgnoreSpec.from_lines([line])
        except ValueError as error:
            notes.append(f"{where}: the ignore pattern {line[:80]!r} is left out ({error})")
        else:
            good.append(line)
    return good


def _read(path: Path, notes: list[str]) -> list[str]:
    try:
        # A pipe of that name would wait for its other end for ever; a folder of that name is no list.
        if not stat.S_ISREG(path.stat().st_mode):
            return []
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return []
    except OSError as error:
        notes.append(f"{path}: not read ({error.strerror})")
        return []
    if len(data) > MAX_BYTES or b"\0" in data:
        notes.append(f"{path}: not read (not a list of patterns)")
        return []
    return data.decode("utf-8-sig", "replace").splitlines()
