"""The program as a whole: help, versions, exit codes, streams, and faults of our own."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import sememe
from sememe.cli.main import COMMANDS
from tests.doors.conftest import Run, environment

ROOT = Path(__file__).resolve().parents[2]


def every_command() -> Iterator[tuple[str, click.Command]]:
    for name in COMMANDS:
        command = importlib.import_module(f"sememe.cli.{name}").command
        yield name, command
        if isinstance(command, click.Group):
            for inner, sub in command.commands.items():
                yield f"{name} {inner}", sub


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_command_says(name: str) -> None:
    command = importlib.import_module(f"sememe.cli.{name}").command
    assert command.name == name
    assert (command.help or "").split("\n\n")[0].replace("\n", " ").strip() == COMMANDS[name]


def test_every_command_and_option_has_help_and_a_place_in_the_docs() -> None:
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    for name, command in every_command():
        assert command.help, name
        assert f"sememe {name}" in page, f"docs/cli.md does not mention: sememe {name}"
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help or parameter.show_default, f"{name} {parameter.opts}"
                assert any(option in page for option in parameter.opts), f"docs/cli.md lacks {name} {parameter.opts}"
    for name in COMMANDS:
        assert f"\n## sememe {name}" in page, f"docs/cli.md has no section for {name}"


def test_version(run: Run) -> None:
    ran = run("--version")
    assert (ran.code, ran.out) == (0, f"sememe, version {sememe.__version__}\n")


def test_help_goes_to_stdout(run: Run) -> None:
    ran = run("--help")
    assert (ran.code, ran.err) == (0, "")
    for name in COMMANDS:
        assert f"\n  {name} " in ran.out


def test_without_a_command_the_help_is_talk_and_the_code_2(run: Run) -> None:
    ran = run()
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("Usage: ")


def test_an_unknown_command_has_a_neighbour(run: Run) -> None:
    ran = run("serach", "x")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == 'error: there is no command "serach"\n  → did you mean:  sememe search  [exit 2]\n'


def test_an_unknown_option(run: Run) -> None:
    ran = run("config", "list", "--frobnicate")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "error: No such option '--frobnicate'\n  → see:  sememe config list --help  [exit 2]\n"


def test_two_formats_exclude_each_other(run: Run, empty_home: Path) -> None:
    ran = run("search", "q", "-c", "x", "--json", "--csv")
    assert (ran.code, ran.err) == (2, "error: --json and --csv exclude each other\n  → choose one  [exit 2]\n")


_FAULTY = """
import sys
from sememe.cli import config, main
def broken(path): raise {error}
config.opened = broken
sys.argv = ["sememe", "config", "path", *sys.argv[1:]]
main.main()
"""


def _faulty(error: str, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    code = _FAULTY.format(error=error)
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment(env), check=False
    )


def test_a_fault_of_ours_is_short_and_says_how_to_see_more() -> None:
    done = _faulty("ValueError('odd')")
    assert done.returncode == 70
    assert done.stderr == (
        "error: sememe itself failed: ValueError: odd\n"
        "  → see where:  run the same command with SEMEME_DEBUG=1 in the environment\n"
        "  → tell us:    that output and `sememe doctor --json` make a good report  [exit 70]\n"
    )


@pytest.mark.parametrize(("arguments", "env"), [(["-v"], {}), ([], {"SEMEME_DEBUG": "1"})])
def test_the_traceback_is_there_when_asked_for(arguments: list[str], env: dict[str, str]) -> None:
    done = _faulty("ValueError('odd')", *arguments, env=env)
    assert done.returncode == 70
    assert done.stderr.startswith("Traceback (most recent call last)")
    assert "in broken" in done.stderr


@pytest.mark.parametrize(
    ("error", "code", "first"),
    [
        ("KeyboardInterrupt", 130, "interrupted: finished work is kept"),
        ("OSError(28, 'No space left on device', 'vectors.f32')", 2, "error: vectors.f32: no space left on the disk"),
        ("PermissionError(13, 'Permission denied', '/there')", 2, "error: /there: Permission denied"),
        ("MemoryError()", 2, "error: there is not enough memory for this"),
        ("FileNotFoundError(2, 'No such file or directory', 'x.txt')", 2, "error: x.txt: No such file or directory"),
    ],
)
def test_what_the_system_refuses_is_said_plainly(error: str, code: int, first: str) -> None:
    done = _faulty(error)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.lstrip("\n").startswith(first)
    assert f"[exit {code}]" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="SIGPIPE and /bin/sh")
def test_a_reader_that_leaves_is_no_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "texts").write_text("a text\n" * 3)
    # The reader closes its end before anything is written.
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "sememe", "config", "list"], stdout=writing, stderr=subprocess.PIPE, env=environment(),
        check=False
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_config_list_says_where_values_come_from(run: Run, tmp_path: Path) -> None:
    (tmp_path / "cwd" / "sememe.toml").write_text("search.k = 3\n")
    ran = run("config", "list", "--offline", env={"SEMEME_THREADS": "2"})
    rows = {line.split()[0]: line for line in ran.out.splitlines()}
    assert ran.code == 0
    assert "3" in rows["search.k"]
    assert str(tmp_path / "cwd" / "sememe.toml") in rows["search.k"]
    assert "SEMEME_THREADS in the environment" in rows["threads"]
    assert "true" in rows["offline"]
    assert "flag" in rows["offline"]


def test_config_set_get_and_a_variable_that_means_nothing(run: Run) -> None:
    ran = run("config", "set", "search.k", "7")
    assert ran.code == 0
    assert run("config", "get", "search.k").out == "7\n"
    assert run("config", "path").out.strip() in ran.err
    ran = run("config", "set", "search.k", "8", env={"SEMEME_SEARCH_K": "9"})
    assert "note: search.k is decided by SEMEME_SEARCH_K in the environment" in ran.err
    ran = run("config", "list", "-q", env={"SEMEME_MODLE": "x"})
    assert ran.err == "note: SEMEME_MODLE is set in the environment, and sememe knows no such variable\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("get", "modle"), 'error: there is no setting "modle"\n'),
        (("set", "threads", "many"), "error: config set: threads = 'many' is not accepted\n"),
        (("get",), "error: Missing argument 'KEY'\n"),
    ],
)
def test_config_mistakes(run: Run, arguments: tuple[str, ...], message: str) -> None:
    ran = run("config", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(message)
