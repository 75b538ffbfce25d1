"""kill -9 during migrations: at every step, and at any moment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from migrate_drill import STEPS, killed_at, killed_at_any_time, made

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9 here")]


def test_killed_at_every_step(tmp_path: Path) -> None:
    made(tmp_path / "c")
    for step in STEPS:
        killed_at(tmp_path / "c", step)


def test_killed_at_any_time(tmp_path: Path, seed: int) -> None:
    made(tmp_path / "c")
    killed_at_any_time(tmp_path / "c", kills=40, seed=seed, longest=1.0)
