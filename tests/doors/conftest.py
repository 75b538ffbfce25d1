"""The command line as other programs see it: a process with arguments, streams and an exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Ran:
    """How one run ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The test's own environment, without what a terminal or a CI puts there."""
    dropped = {"COLUMNS", "LINES", "FORCE_COLOR", "PYTHONWARNINGS"}
    return {**{k: v for k, v in os.environ.items() if k not in dropped}, **(extra or {})}


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without models and collections, and no way to fetch any."""
    folder = tmp_path / "empty-home"
    monkeypatch.setenv("SEMEME_HOME", str(folder))
    monkeypatch.setenv("SEMEME_OFFLINE", "1")
    for name in ("HF_HOME", "HF_HUB_CACHE", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """``run("search", "q", "notes", stdin="…", env={…}, cwd=…)``"""
    work = tmp_path / "cwd"
    work.mkdir()

    def go(*arguments: str, stdin: str | bytes = b"", env: Mapping[str, str] | None = None, cwd: Path = work) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "sememe", *arguments],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True, cwd=cwd, env=environment(env), timeout=120, check=False,
        )  # fmt: skip
        return Ran(done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8"))

    return go
