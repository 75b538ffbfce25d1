"""Documentation runs: every Python block of the README and the guides, and every `$ sememe …` line at least parses.

A block that is not meant to run says so in its first line: ```` ```python no-run ````. The blocks of one page share
their names, and stand in a folder with `notes/` and `tickets.csv`, made from the bundled sample, and
`my-models/`, where the default model is.
"""

from __future__ import annotations

import importlib
import json
import re
import shlex
from pathlib import Path

import click
import pytest

from sememe.cli.main import COMMANDS, program

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python(?P<how>[^\n]*)\n(?P<code>.*?)^```", re.M | re.S)
SHELL = re.compile(r"^```(?:console|bash|text)?\n(?P<lines>.*?)^```", re.M | re.S)


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _code(page: Path) -> list[str]:
    text = page.read_text("utf-8")
    out = []
    for block in BLOCK.finditer(text):
        if "no-run" not in block["how"]:
            # As many empty lines before it as stand above it on the page: a traceback names the page's line.
            out.append("\n" * (text.count("\n", 0, block.start()) + 1) + block["code"])
    return out


def _commands(page: Path) -> list[str]:
    found = []
    for block in SHELL.finditer(page.read_text("utf-8")):
        for line in block["lines"].splitlines():
            if line.startswith("$ ") and "sememe " in line:
                found.append("sememe " + line.partition("sememe ")[2])
    return found


@pytest.fixture
def desk(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with some files to read."""
    desk = tmp_path / "desk"
    (desk / "notes").mkdir(parents=True)
    rows = [json.loads(line) for line in (ROOT / "sememe/sample/items.jsonl").read_text("utf-8").splitlines()]
    for row in rows[:40]:
        (desk / "notes" / f"{row['id']}.md").write_text(f"# {row['title']}\n\n{row['text']}\n", "utf-8")
    lines = [f'{row["id"]},"{row["text"].replace(chr(34), chr(39))}",{row["topic"]}' for row in rows[:40]]
    (desk / "tickets.csv").write_text("\n".join(["id,body,topic", *lines]) + "\n", "utf-8")
    (desk / "my-models").symlink_to(home / "models")
    monkeypatch.chdir(desk)
    return desk


@pytest.mark.model
@pytest.mark.parametrize("page", [page for page in PAGES if _code(page)], ids=_name)
def test_python_blocks_run(page: Path, desk: Path) -> None:
    names: dict[str, object] = {}
    for code in _code(page):
        exec(compile(code, str(page), "exec"), names)


def test_the_readme_has_something_to_run() -> None:
    assert _code(ROOT / "README.md")
    assert _commands(ROOT / "README.md")


@pytest.mark.parametrize("page", [page for page in PAGES if _commands(page)], ids=_name)
def test_commands_parse(page: Path) -> None:
    for line in _commands(page):
        words = shlex.split(line.partition(" #")[0].partition(" | ")[0].partition(" > ")[0], comments=True)[1:]
        if words[0].startswith("-"):
            continue
        assert words[0] in COMMANDS, line
        command: click.Command = importlib.import_module(f"sememe.cli.{words[0]}").command
        rest = words[1:]
        if isinstance(command, click.Group):
            assert rest[0] in command.commands, line
            command, rest = command.commands[rest[0]], rest[1:]
        try:
            command.make_context(line, rest, parent=click.Context(program)).close()
        except click.exceptions.Exit:
            continue  # --help
        except click.ClickException as error:
            raise AssertionError(f"{_name(page)}: {line}: {error.format_message()}") from None


def test_links_lead_somewhere() -> None:
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            if not re.match(r"[a-z]+:", target) and not (page.parent / target).exists():
                broken.append(f"{_name(page)}: {target}")
    assert broken == []
