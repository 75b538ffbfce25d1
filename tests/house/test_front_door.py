"""The names that we promise to keep, and what importing them costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import sememe

#: to add a name is to make a promise: change this list in the same commit, and say why
PROMISED = ["embed", "load_encoder", "similarity", "Collection", "Refine", "Hits", "SememeError"]

#: what `import sememe` may load beside the standard library
OUR_OWN = {"sememe"}

HEAVY = {
    "numpy", "openvino", "tokenizers", "tantivy", "turbovec", "pandas", "pyarrow", "pypdfium2", "httpx2", "rich",
    "platformdirs", "pathspec", "torch", "transformers", "tomllib", "asyncio", "ssl", "sqlite3", "concurrent.futures",
}  # fmt: skip


def _loaded_by(code: str) -> set[str]:
    script = f"{code}\nimport sys, json; print('\\n' + json.dumps(sorted(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    return set(json.loads(out.splitlines()[-1]))


def _plain_python() -> set[str]:
    return _loaded_by("")


def test_front_door_is_the_pinned_list_and_small() -> None:
    assert sememe.__all__ == PROMISED
    assert len(sememe.__all__) <= 10


def test_every_name_opens() -> None:
    for name in sememe.__all__:
        assert getattr(sememe, name).__name__ == name
    assert set(dir(sememe)) == {*PROMISED, "__version__"}


def test_import_loads_nothing_but_itself_and_the_standard_library() -> None:
    new = _loaded_by("import sememe") - _plain_python()
    tops = {name.partition(".")[0] for name in new}
    assert tops - set(sys.stdlib_module_names) <= OUR_OWN
    assert not new & HEAVY


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys; sys.argv = ['sememe', '--help']\n"
        "from sememe.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass"
    )
    new = _loaded_by(code) - _plain_python()
    assert not new & HEAVY
    tops = {name.partition(".")[0] for name in new}
    assert tops - set(sys.stdlib_module_names) <= OUR_OWN | {"click"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    try:
        sememe.embedd  # type: ignore[attr-defined]  # noqa: B018
    except AttributeError as error:
        assert "embedd" in str(error)
    else:
        raise AssertionError("sememe.embedd exists")


@pytest.mark.skipif(sys.platform == "win32", reason="the times of children are Unix's")
@pytest.mark.parametrize(
    ("arguments", "bound"), [(["-c", "import sememe"], 0.2), (["-m", "sememe", "--help"], 0.3)], ids=["import", "help"]
)
def test_the_door_opens_at_once(arguments: list[str], bound: float) -> None:
    # The work of the processor, the least of five: what other programs do meanwhile is not ours. Usual: a third of the
    # bound. What it may load, the tests above say.
    seconds = []
    for _ in range(5):
        before = os.times()
        subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
        after = os.times()
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(seconds) <= bound
