"""kill -9 at any moment of any change: what was acknowledged is there, what was not is there whole or not at all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from kill_drill import CALLS, survive

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9 here")]


@pytest.mark.parametrize(
    ("adaptor", "kills", "longest"), [("local", 150, 0.05), ("local", 150, 0.5), ("local-codes", 150, 0.05)]
)
def test_nothing_acknowledged_is_lost(
    adaptor: str, kills: int, longest: float, tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    done = survive(adaptor, tmp_path / "store", kills=kills, seed=seed, longest=longest)
    with capsys.disabled():
        print("cut off:", dict(done.landed))
    assert sum(done.goals.values()) == kills
    assert set(done.goals) == set(CALLS)
