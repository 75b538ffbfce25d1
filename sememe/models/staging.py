"""Where a model lies while it comes in, and the step that makes it whole.

Files are gathered in ``.NAME.part`` beside the place they will have, each with the suffix ``.part`` until its checksum
is right. Only when all are right is the folder renamed, so a reader sees either nothing or the whole model; what an
interrupted fetch leaves behind is taken up by the next one. A lock keeps two fetches of one model apart.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sememe.errors import ModelError
from sememe.models import receipt
from sememe.models.layout import inside
from sememe.progress import Progress, amount


class SourceFailed(Exception):
    """One source could not give the model; the next is tried, and the reason is kept for the final error."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a file must turn out to be. ``algorithm`` is ``sha256``, or ``git`` for the id that git gives a small file;
    ``origin`` says who knows it: ``catalogue`` or ``hub``."""

    path: str
    size: int
    algorithm: str
    digest: str
    origin: str


class Digest:
    """Checks a stream of bytes against an `Expected`; the SHA-256 is always computed, for the receipt."""

    def __init__(self, expected: Expected) -> None:
        self.expected = expected
        self.size = 0
        self._sha256 = hashlib.sha256()
        self._git = hashlib.sha1(b"blob %d\0" % expected.size, usedforsecurity=False)

    def update(self, block: bytes) -> None:
        self.size += len(block)
        self._sha256.update(block)
        if self.expected.algorithm == "git":
            self._git.update(block)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    @property
    def got(self) -> str:
        return self._git.hexdigest() if self.expected.algorithm == "git" else self.sha256

    @property
    def right(self) -> bool:
        return self.size == self.expected.size and self.got == self.expected.digest


class Staging:
    """The folder in which one model is gathered."""

    def __init__(self, models: Path, name: str) -> None:
        self.name = name
        self.target = models / name
        self.folder = models / f".{name}.part"
        self.hashes: dict[str, tuple[str, str]] = {}

    def file(self, path: str) -> Path:
        """Where the finished file goes."""
        return inside(self.folder, path, source=self.folder)

    def part(self, path: str) -> Path:
        """Where the unfinished file grows; its folder exists."""
        file = self.file(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.with_name(file.name + ".part")

    def tag(self, path: str) -> Path:
        """Where the server's tag of the unfinished file is kept, to go on with the same file only."""
        return Path(f"{self.part(path)}.tag")

    def has(self, expected: Expected) -> bool:
        """Whether the whole file lies here from an earlier fetch, and is right."""
        for file in (self.file(expected.path), self.part(expected.path)):
            if file.is_file() and file.stat().st_size == expected.size:
                digest = Digest(expected)
                feed(digest, file)
                if digest.right:
                    file.replace(self.part(expected.path))
                    self.accept(digest)
                    return True
        return False

    def accept(self, digest: Digest) -> None:
        """Turn the part into the file when its checksum is right; else delete it.

        Raises:
            ModelError: the file is not the expected one; it was not kept.
        """
        part = self.part(digest.expected.path)
        if not digest.right:
            part.unlink(missing_ok=True)
            self.tag(digest.expected.path).unlink(missing_ok=True)
            raise wrong_file(self.name, digest)
        sync(part)
        part.replace(self.file(digest.expected.path))
        self.hashes[digest.expected.path] = (digest.sha256, digest.expected.origin)

    def finish(self, *, source: str, revision: str) -> Path:
        """Write the receipt and put the folder in its place."""
        for file in sorted(self.folder.rglob("*"), reverse=True):
            if file.is_dir():
                with contextlib.suppress(OSError):  # what still holds a file stays
                    file.rmdir()
            elif file.relative_to(self.folder).as_posix() not in self.hashes:
                file.unlink()
        made = receipt.make(self.folder, self.name, source=source, revision=revision, hashes=self.hashes)
        receipt.write(self.folder, made)
        sync(self.folder / receipt.NAME)
        replace_folder(self.folder, self.target)
        return self.target


def wrong_file(name: str, digest: Digest) -> ModelError:
    """The error for a fetched file whose checksum is wrong."""
    expected = digest.expected
    kind = "SHA-256" if expected.algorithm == "sha256" else "checksum"
    why: list[str | tuple[str, str]] = [("file", expected.path)]
    if digest.size != expected.size:
        why.append(("bytes", f"{expected.size} expected, {digest.size} got"))
    why += [("expected", expected.digest), ("got", digest.got)]
    return ModelError(
        f"{name}: the fetched file does not have the expected {kind}; it was not kept",
        why=why,
        do=[
            ("try again", f"sememe models pull {name}"),
            ("from a copied folder", f"sememe models add /path/to/{name} --name {name}"),
        ],
    )


def feed(digest: Digest, file: Path) -> None:
    """Read what is already there into the digest."""
    with file.open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)


def replace_folder(new: Path, target: Path) -> None:
    """Put ``new`` where ``target`` is or will be; an old one is gone only when the new one stands."""
    old = target.with_name(f".{target.name}.old")
    if old.exists():
        shutil.rmtree(old)
    if target.exists():
        target.rename(old)
    try:
        new.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    sync(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def sync(path: Path) -> None:
    """Make a file or folder survive a power cut; a file system that cannot is left alone."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def check_space(folder: Path, needed: int) -> None:
    """`ModelError` when the disk has not ``needed`` bytes left."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ModelError(
            f"there is not enough room in {folder}",
            why=[("needed", amount(needed, "bytes")), ("free", amount(free, "bytes"))],
            do=[("or keep models elsewhere", "set SEMEME_HOME to a folder on another disk")],
        )


@contextlib.contextmanager
def locked(models: Path, name: str, progress: Progress) -> Iterator[None]:
    """Hold the lock of one model, waiting for another process that fetches it."""
    models.mkdir(parents=True, exist_ok=True)
    with (models / f".{name}.lock").open("a+b") as handle:
        if not _try_lock(handle):
            progress.note(f"another process is fetching {name}; waiting for it")
            _wait_lock(handle)
        try:
            yield
        finally:
            _unlock(handle)


try:
    import fcntl
except ImportError:  # Windows
    import msvcrt
    import time

    def _try_lock(handle: IO[bytes]) -> bool:
        handle.seek(0)
        try:
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True

    def _wait_lock(handle: IO[bytes]) -> None:
        while not _try_lock(handle):
            time.sleep(0.1)

    def _unlock(handle: IO[bytes]) -> None:
        handle.seek(0)
        msvcrt.locking(handle.fileno(), msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined,unused-ignore]
else:

    def _try_lock(handle: IO[bytes]) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _wait_lock(handle: IO[bytes]) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX)

    def _unlock(handle: IO[bytes]) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)
