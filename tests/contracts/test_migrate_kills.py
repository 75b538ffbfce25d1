"""A few exact kills during a migration; all of them, and kills at any moment, are in `make torture`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.slow.migrate_drill import killed_at, made

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9 here")


def test_a_killed_migration_leaves_one_of_the_two_and_goes_on(tmp_path: Path) -> None:
    made(tmp_path / "c")
    for step in ("put 1", "taken 1", "sweep 2"):
        killed_at(tmp_path / "c", step)
