"""What people install: everything that runs, and nothing else."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed; pip install 'sememe[dev]' brings it")
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    assert path.name.endswith("-py3-none-any.whl")
    return zipfile.ZipFile(path)


def test_wheel_has_what_runs(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    ours = {p.relative_to(ROOT).as_posix() for p in (ROOT / "sememe").rglob("*.py") if "__pycache__" not in p.parts}
    data = {"py.typed", "models/catalogue.toml", "sample/items.jsonl", "sample/queries.jsonl"}
    assert {*ours, *(f"sememe/{name}" for name in data)} <= names


def test_wheel_has_nothing_else(wheel: zipfile.ZipFile) -> None:
    for entry in wheel.infolist():
        assert entry.filename.startswith(("sememe/", "sememe-")), entry.filename
        assert Path(entry.filename).suffix not in (".pyc", ".so", ".log", ".tmp", ".partial"), entry.filename
        assert not {"__pycache__", "tests", ".mypy_cache", ".ruff_cache"} & set(entry.filename.split("/"))
        assert entry.file_size <= 2_000_000, entry.filename


def test_wheel_carries_its_licence(wheel: zipfile.ZipFile) -> None:
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())
