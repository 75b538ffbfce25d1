"""Every file of a collection cut off and with flipped bits: a named error or a right answer, never a crash or a wrong
hit; and repair brings back what the damage did not touch and names the rest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    path = [str(ROOT), str(ROOT / "tests" / "contracts")]
    return subprocess.run(
        [sys.executable, str(HERE / "damage_drill.py"), *map(str, arguments)],
        capture_output=True, text=True, timeout=600, env={"PYTHONPATH": os.pathsep.join(path)},
    )  # fmt: skip


def cases(done: subprocess.CompletedProcess[str]) -> list[tuple[str, dict[str, Any]]]:
    """What the child said, case by case; if something ended it, in which."""
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (done.returncode, lines[-1:], done.stderr[-2000:])
    return [(one["case"], said) for one, said in zip(lines[::2], lines[1::2], strict=True)]


@pytest.mark.parametrize("adaptor", ["local", "local-float16", "local-int8", "local-binary"])
def test_damage_is_named_and_never_answered(
    adaptor: str, tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    pristine = tmp_path / "pristine"
    assert run("make", adaptor, pristine).returncode == 0
    names = sorted(path.relative_to(pristine).as_posix() for path in pristine.rglob("*") if path.is_file())
    suffix = {"local": "f32", "local-float16": "f16", "local-int8": "i8", "local-binary": "b1"}[adaptor]
    assert {"records.sqlite", f"vectors-1.{suffix}", "words/meta.json", "words/synced.json"} <= set(names)
    # Of a smaller type no other file differs from those of the first run.
    for name in names if adaptor == "local" else [f"vectors-1.{suffix}"]:
        found = cases(run(adaptor, pristine, name, f"{seed} {name}"))
        tally = Counter(f"{key}: {value}" for _, said in found for key, value in said.items() if isinstance(value, str))
        lost = sorted(said["lost"] for _, said in found if "lost" in said)
        with capsys.disabled():
            print(f"{name}: {len(found)} cases", dict(tally), f"lost at most {lost[-1:]}" if lost else "")
        data = (pristine / name).read_bytes()
        for case, said in found:
            look(name, case, said, data)


def leads_on(data: bytes, case: str) -> bool:
    """Whether the flipped bit is in a page of SQLite that says where others are; what is lost with it is on those."""
    page = int(case.split()[1].split(".")[0]) // 4096 * 4096
    return data[page or 100] not in (10, 13)  # the leaves of indexes and of tables


def look(name: str, case: str, said: dict[str, Any], data: bytes) -> None:
    where = (name, case, said)
    truth = name.startswith(("records", "vectors"))
    assert "UNEXPECTED" not in said, f"{where[:2]}\n{said['UNEXPECTED']}"
    assert "WRONG" not in said.values(), where
    assert "part of it" not in said.values(), where
    if not truth:
        assert set(said.values()) <= {"right", "ok", 0}, where  # what is derived is made anew
    elif said["repair"] == "ok":
        assert said["wrong"] == 0, where
        assert said["unnamed"] <= said["nameless"], where
        if case.startswith("flip") and not (name == "records.sqlite" and leads_on(data, case)):
            assert said["lost"] <= (200 if name == "records.sqlite" else 1), where  # as many as a page has rows
    else:
        # The first page of the records, with which everything is lost, and a file that is cut off before its manifest.
        assert (name, said["repair"]) == ("records.sqlite", "DamagedError"), where
        assert case.startswith("cut") or int(case.split()[1].split(".")[0]) < 3 * 4096, where
