"""What is not counted grows: lines of a file, lines of a function, parameters, and names that mean nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "sememe").rglob("*.py"))
REFUSED = {"utils", "util", "core", "common", "helpers", "helper", "base", "misc", "manager"}
MAX_FILE, MAX_FUNCTION, MAX_PARAMETERS = 400, 60, 7

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, Function):
            yield node


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _parameters(function: Function) -> int:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return len([a for a in every if a.arg not in ("self", "cls")])


def _is_click_command(function: Function) -> bool:
    # A command's parameters are its options, which click passes by name: they are counted on the help page, not here.
    return any("command" in ast.unparse(d) or "option" in ast.unparse(d) for d in function.decorator_list)


def test_there_is_something_to_count() -> None:
    assert len(FILES) > 20


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_file_is_short(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= MAX_FILE


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_functions_are_short(path: Path) -> None:
    long = [
        f"{f.name}: {f.end_lineno - f.lineno + 1}" for f in _functions(path) if f.end_lineno - f.lineno >= MAX_FUNCTION
    ]
    assert long == []


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_functions_take_few_parameters(path: Path) -> None:
    wide = [
        f"{f.name}: {_parameters(f)}"
        for f in _functions(path)
        if _parameters(f) > MAX_PARAMETERS and not _is_click_command(f)
    ]
    assert wide == []


def test_no_module_has_a_name_that_means_nothing() -> None:
    names = {part for path in FILES for part in path.relative_to(ROOT / "sememe").with_suffix("").parts}
    assert names & REFUSED == set()


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        _name(path)
        for path in FILES
        if path.name != "__init__.py" and not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert silent == []


def test_nothing_prints_outside_the_doors() -> None:
    doors = {"cli", "server", "mcp"}
    prints = [
        f"{_name(path)}:{node.lineno}"
        for path in FILES
        if path.relative_to(ROOT / "sememe").parts[0] not in {*doors, "progress.py"}
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert prints == []
