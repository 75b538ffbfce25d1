"""What was written when a model came in, so that a later change is noticed.

Beside the files of a model lies ``.sememe.json``: where they came from, and of each file its SHA-256, size, time and
what it was checked against. On every load sizes and times are compared, which costs nothing; a file that was touched
is hashed again before it is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sememe.errors import ModelError
from sememe.models import jsonfile
from sememe.models.layout import inside

NAME = ".sememe.json"
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file as it was when it came in. ``checked`` says against what: ``catalogue``, ``hub`` or ``nothing``."""

    sha256: str
    size: int
    mtime_ns: int
    checked: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where a model came from and what its files were."""

    name: str
    source: str
    revision: str
    date: str
    files: Mapping[str, FileRecord]


def make(folder: Path, name: str, *, source: str, revision: str, hashes: Mapping[str, tuple[str, str]]) -> Receipt:
    """A receipt for the files of ``folder``; ``hashes`` maps each path to its SHA-256 and what that was checked by."""
    files = {}
    for path, (sha256, checked) in hashes.items():
        status = (folder / path).stat()
        files[path] = FileRecord(sha256, status.st_size, status.st_mtime_ns, checked)
    return Receipt(name, source, revision, datetime.now(UTC).isoformat(timespec="seconds"), files)


def write(folder: Path, receipt: Receipt) -> None:
    """Put the receipt beside the files, in one step."""
    temporary = folder / f"{NAME}.{os.getpid()}"
    temporary.write_text(json.dumps({"version": 1, **asdict(receipt)}, indent=1), "utf-8")
    temporary.replace(folder / NAME)


def read(folder: Path) -> Receipt | None:
    """The receipt of a folder, None when it has none; `ModelError` when it is broken."""
    path = folder / NAME
    if not path.exists():
        return None
    found = jsonfile.read_object(path)
    try:
        files = {inside_name(name, path): _record(fields) for name, fields in found["files"].items()}
        words = [str(found[key]) for key in ("name", "source", "revision", "date")]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{path} is damaged", why=[repr(error)[:200]]) from None
    return Receipt(words[0], words[1], words[2], words[3], files)


def inside_name(name: str, source: Path) -> str:
    """``name`` when it stays inside the folder of ``source``; else `ModelError`."""
    inside(source.parent, name, source=source)
    return name


def check(folder: Path, receipt: Receipt) -> None:
    """Compare the files with their receipt: sizes and times always, contents where a time differs.

    Raises:
        ModelError: a file is gone or is not what came in; it is named with what was expected and what is there.
    """
    _check_strangers(folder, receipt)
    touched = {}
    for path, record in receipt.files.items():
        now = _status(folder, path, receipt.name)
        if now.st_size != record.size:
            raise damaged(receipt.name, folder / path, f"{record.size} bytes", f"{now.st_size} bytes")
        if now.st_mtime_ns != record.mtime_ns:
            got = hash_file(folder / path)
            if got != record.sha256:
                raise damaged(receipt.name, folder / path, record.sha256, got)
            touched[path] = replace(record, mtime_ns=now.st_mtime_ns)
    if touched:
        # Same contents, new time (a copied folder): remember it. A read-only folder is hashed again next time.
        with contextlib.suppress(OSError):
            write(folder, replace(receipt, files={**receipt.files, **touched}))


def _check_strangers(folder: Path, receipt: Receipt) -> None:
    # A config that was not there when the model came in could change what the model does.
    for parent in {(folder / path).parent for path in receipt.files}:
        for file in parent.iterdir() if parent.is_dir() else ():
            path = file.relative_to(folder).as_posix()
            if file.suffix in (".json", ".safetensors") and file.name != NAME and path not in receipt.files:
                raise ModelError(
                    f"{receipt.name}: {file} was not there when the model was installed; it is not loaded",
                    do=[("remove that file, or fetch the model again", f"sememe models pull {receipt.name}")],
                )


def damaged(name: str, file: Path, expected: str, got: str) -> ModelError:
    """The error for a file that is not what came in."""
    return ModelError(
        f"{name}: {file} is not the file that was installed; it is not loaded",
        why=[("expected", expected), ("got", got)],
        do=[
            ("fetch it again", f"sememe models pull {name}"),
            ("look at all its files", f"sememe models verify {name}"),
        ],
    )


def hash_file(path: Path, *, advance: Callable[[int], None] | None = None) -> str:
    """SHA-256 of a file, in hex; ``advance`` is told the bytes read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            if advance is not None:
                advance(len(block))
    return digest.hexdigest()


def fingerprint_files(folder: Path, paths: Iterable[Path], *, home: Path | None = None) -> str:
    """One SHA-256 over the names and contents of some files of a model, in hex.

    A recorded hash is used where size and time are the recorded ones; other files are read. With ``home``, hashes of
    files outside of sememe's own folder (a path, the Hugging Face cache) are remembered there.
    """
    receipt = read(folder)
    memory = Memory(home) if home is not None else None
    digest = hashlib.sha256()
    for path in sorted(paths):
        relative = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
        record = receipt.files.get(relative) if receipt is not None else None
        status = path.stat()
        if record is not None and (record.size, record.mtime_ns) == (status.st_size, status.st_mtime_ns):
            sha256 = record.sha256
        else:
            sha256 = memory.hash(path) if memory is not None else hash_file(path)
        digest.update(f"{relative}\0{sha256}\n".encode())
    if memory is not None:
        memory.save()
    return digest.hexdigest()


class Memory:
    """Hashes of files that are not sememe's own, kept in ``home`` by path, size and time."""

    def __init__(self, home: Path) -> None:
        self.path = home / "models" / ".hashes.json"
        self.known: dict[str, Any] = {}
        self.changed = False
        if self.path.exists():
            with contextlib.suppress(ModelError):  # only a memory: without it the files are read again
                self.known = jsonfile.read_object(self.path)

    def hash(self, path: Path) -> str:
        """SHA-256 of ``path``, read only when its size or time is new."""
        status = path.stat()
        key, state = str(path.resolve()), [status.st_size, status.st_mtime_ns]
        known = self.known.get(key)
        if isinstance(known, list) and len(known) == 3 and known[:2] == state and isinstance(known[2], str):
            return known[2]
        sha256 = hash_file(path)
        self.known[key] = [*state, sha256]
        self.changed = True
        return sha256

    def save(self) -> None:
        """Keep what was learnt; a folder that cannot be written is no error here."""
        if not self.changed:
            return
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}")
            temporary.write_text(json.dumps(self.known), "utf-8")
            temporary.replace(self.path)
            self.changed = False


def _status(folder: Path, path: str, name: str) -> os.stat_result:
    try:
        return (folder / path).stat()
    except OSError:
        raise ModelError(
            f"{name}: {folder / path} is missing", do=[("fetch it again", f"sememe models pull {name}")]
        ) from None


def _record(fields: Mapping[str, Any]) -> FileRecord:
    record = FileRecord(
        str(fields["sha256"]), int(fields["size"]), int(fields["mtime_ns"]), str(fields.get("checked", "nothing"))
    )
    if len(record.sha256) != 64:
        raise ValueError(f"not a SHA-256: {record.sha256!r:.80}")
    return record
