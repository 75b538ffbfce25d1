"""The long tests use the drills of the contracts; each prints the seed that it ran with."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contracts"))


@pytest.fixture
def seed(capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> int:
    """A new one each time; ``SEED=… make torture`` runs an old one again."""
    chosen = int(os.environ.get("SEED") or int.from_bytes(os.urandom(4), "little"))
    with capsys.disabled():
        print(f"\n{request.node.name}: SEED={chosen}", flush=True)
    return chosen
