"""Models that other programs have already fetched into the Hugging Face cache. It is read, never written.

Layout: ``models--org--name/snapshots/<commit>/…`` with links to ``blobs/``, and ``refs/main`` naming a commit.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from sememe.models.catalogue import Entry
from sememe.models.receipt import Memory
from sememe.models.staging import SourceFailed


def place() -> Path:
    """The cache's folder: ``HF_HUB_CACHE``, else ``HF_HOME``/hub, else ~/.cache/huggingface/hub."""
    if cache := os.environ.get("HF_HUB_CACHE"):
        return Path(cache).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "huggingface" / "hub"


def find(entry: Entry, memory: Memory) -> Path:
    """The snapshot of ``entry``: the pinned revision, else the one that ``refs/main`` names, if its files are right.

    Raises:
        SourceFailed: there is none, it lacks files, or a file is not the one that the catalogue names.
    """
    reasons = []
    for snapshot in snapshots(entry.repo, entry.revision):
        reason = _wrong(snapshot, entry, memory)
        if reason is None:
            return snapshot
        reasons.append(f"snapshot {snapshot.name[:12]}: {reason}")
    raise SourceFailed("; ".join(reasons) or "not in the Hugging Face cache")


def snapshots(repo: str, revision: str = "main") -> list[Path]:
    """The snapshots of a repository that may be meant: the named revision first, then the one of ``refs/main``."""
    folder = place() / ("models--" + repo.replace("/", "--"))
    found = []
    for name in (revision, _ref(folder, revision), _ref(folder, "main")):
        path = folder / "snapshots" / name
        if name and path.is_dir() and path not in found:
            found.append(path)
    return found


def _ref(folder: Path, name: str) -> str:
    try:
        text = (folder / "refs" / name).read_text("utf-8", "replace")[:100].strip()
    except (OSError, ValueError):
        return ""
    return text if re.fullmatch(r"[0-9a-zA-Z]+", text) else ""


def _wrong(snapshot: Path, entry: Entry, memory: Memory) -> str | None:
    missing = [path for path, spec in entry.files.items() if not spec.optional and not (snapshot / path).is_file()]
    if missing:
        return f"lacks {', '.join(missing)}"
    for path, spec in entry.files.items():
        file = snapshot / path
        if not file.is_file():
            continue
        if spec.size is not None and file.stat().st_size != spec.size:
            return f"{path} has {file.stat().st_size} bytes instead of {spec.size}"
        # The cache names a large file by its SHA-256, as the hub announced it.
        blob = file.resolve().name
        expected = spec.sha256 or (blob if re.fullmatch("[0-9a-f]{64}", blob) else None)
        if expected is not None and memory.hash(file) != expected:
            return f"{path} is not the file that the {'catalogue' if spec.sha256 else 'hub'} names"
    return None
