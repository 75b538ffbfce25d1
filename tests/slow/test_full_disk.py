"""A disk that is full at any write: a clear error, everything as before, and going on when there is room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="limits of processes are Unix's")]

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.mark.parametrize(
    ("drill", "often"),
    [
        ("full_disk_drill.py", ("put", "compact", "rebuild", "convert")),
        (
            "full_disk_collection_drill.py",
            ("migrate", "back", "export jsonl", "export npy", "backup", "restore", "import"),
        ),
    ],
)
def test_a_full_disk_at_any_write(
    drill: str, often: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = [str(ROOT), str(ROOT / "tests" / "contracts")]
    done = subprocess.run(
        [sys.executable, str(HERE / drill), str(tmp_path)],
        capture_output=True, text=True, timeout=900, env={"PYTHONPATH": os.pathsep.join(path)},
    )  # fmt: skip
    cases = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (done.returncode, cases[-1:], done.stderr[-3000:])
    with capsys.disabled():
        print(dict(Counter(f"{part}: {ended}" for part, _, ended in cases)))
    assert [case for case in cases if case[2] not in ("done", "refused")] == []
    for part in often:
        assert sum(case[0] == part and case[2] == "refused" for case in cases) > 3, part
