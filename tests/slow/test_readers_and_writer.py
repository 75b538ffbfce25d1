"""Four processes read what a fifth one changes, for a minute: no error, no answer that is torn or wrong, no growing
memory. Each vector and text is made of one number, so that a reader knows what belongs together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="memory is read from /proc")]

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SECONDS = 60


def start(*arguments: object) -> subprocess.Popen[str]:
    path = [str(ROOT), str(ROOT / "tests" / "contracts")]
    return subprocess.Popen(
        [sys.executable, str(HERE / "reading_drill.py"), *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={"PYTHONPATH": os.pathsep.join(path)},
    )  # fmt: skip


@pytest.mark.parametrize("adaptor", ["local", "local-codes"])
def test_four_readers_and_a_writer(adaptor: str, tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "s"
    start("make", adaptor, folder, seed, 0).communicate()
    children = [start("write", adaptor, folder, seed, SECONDS)]
    children += [start("read", adaptor, folder, seed + n, SECONDS) for n in range(4)]
    said = []
    for child in children:
        out, err = child.communicate(timeout=SECONDS * 3)
        assert child.returncode == 0, err[-3000:]
        said.append(json.loads(out))
    with capsys.disabled():
        print(said)
    for reader in said[1:]:
        assert reader["grown"] < 60_000_000
