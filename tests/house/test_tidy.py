"""What must not be in the project: paths of somebody's machine, large files, more dependencies than promised."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: written in pieces, so that this file does not find itself
MACHINE = re.compile(
    "|".join([r"(?<![\w.}])/(?:wo" + r"rk|fa" + r"rm|ro" + r"ot|ho" + r"me/\w+)/", r"fa" + r"rm-(?:bench|studio)"])
)
REGISTRY = re.compile(r"https?://[a-z.]*(?:py" + r"pi|python" + r"hosted|npm" + r"js)\b")


def _tracked() -> list[Path]:
    try:
        done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not a git work tree: {error}")
    return [ROOT / name for name in done.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def test_no_machine_paths_and_no_registry_hosts() -> None:
    found = []
    for path in _tracked():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if MACHINE.search(line) or REGISTRY.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []


def test_no_large_and_no_generated_files_are_tracked() -> None:
    files = _tracked()
    assert [str(p) for p in files if p.stat().st_size > 2_000_000] == []
    assert [str(p) for p in files if p.suffix in (".pyc", ".so", ".pkl", ".pickle") or "__pycache__" in p.parts] == []


def test_dependencies_are_few_and_light() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    names = [re.split(r"[<>=!~\[; ]", line)[0].lower() for line in project["dependencies"]]
    assert len(names) <= 14
    assert not {"torch", "transformers", "sentence-transformers", "onnxruntime", "scikit-learn"} & set(names)


def test_no_index_addresses_in_the_build() -> None:
    for name in ("pyproject.toml", "Makefile", ".ci/run"):
        assert not re.search(r"index-url|find-links|https?://", (ROOT / name).read_text("utf-8")), name


def test_no_pickle_and_no_remote_code() -> None:
    # Reading a pickle is running it; numpy reads them too unless told not to, which is its default.
    bad = re.compile(
        r"^\s*(?:import|from) (?:pickle|cPickle|dill|joblib|shelve|marshal)\b|allow_pickle\s*=\s*True|\beval\(|\bexec\("
    )
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted((ROOT / "sememe").rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if bad.search(line)
    ]
    assert found == []


def test_no_two_test_files_have_one_name() -> None:
    """pytest imports them by their names alone, and stops at the second."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []
