"""No network without saying so, followed in every child process and thread by the system's own record of calls.

Python's socket module sees only Python's sockets. `strace -f` sees them all: of libraries, of threads, of processes
that a library starts. OpenVINO's usage event, sent at import, is the case that made this test necessary.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.doors.conftest import environment

CALL = re.compile(r"\b(socket|connect|sendto|sendmsg|sendmmsg)\(")
LOCAL = re.compile(r'sin_addr=inet_addr\("127\.|inet_pton\(AF_INET6, "::1"')


@pytest.fixture(scope="module")
def strace() -> str:
    path = shutil.which("strace")
    if not path:
        pytest.skip("strace is not installed; on Debian: apt-get install strace")
    probe = subprocess.run([path, "-f", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("strace may not trace here (ptrace is forbidden)")
    return path


def calls(strace: str, command: list[str], log: Path, env: dict[str, str]) -> tuple[int, list[str]]:
    """The exit code, and every call of the process tree that has to do with a network socket."""
    # A CI's variables and an old consent file would silence OpenVINO's event by themselves.
    clean = {k: v for k, v in environment(env).items() if k not in ("CI", "GITHUB_ACTIONS", "TF_BUILD", "JENKINS_URL")}
    trace = "trace=socket,connect,sendto,sendmsg,sendmmsg"
    done = subprocess.run(
        [strace, "-f", "-qq", "-e", trace, "-s", "64", "-o", str(log), *command],
        capture_output=True, env={**clean, "HOME": str(log.parent)}, stdin=subprocess.DEVNULL, timeout=300, check=False,
    )  # fmt: skip
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if CALL.search(line)]
    return done.returncode, [line for line in lines if re.search(r"\bAF_INET6?\b", line)]


def beyond(lines: list[str]) -> list[str]:
    """Of the calls those that reach for another machine."""
    return [line for line in lines if not re.search(r"\bsocket\(", line) and not LOCAL.search(line)]


def test_the_record_sees_a_grandchild(strace: str, tmp_path: Path) -> None:
    inner = "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.connect(('192.0.2.1', 9))"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    _, lines = calls(strace, [sys.executable, "-c", code], tmp_path / "log", {})
    assert any("192.0.2.1" in line for line in beyond(lines))


COMMANDS = {
    "help": (["--help"], 0),
    "config": (["config", "list"], 0),
    "doctor": (["doctor"], 0),
    "models": (["models", "list"], 0),
    "demo": (["demo"], 0),
    "embed": (["embed", "a text"], 0),
    "index": (["index", "{notes}", "-c", "traced"], 0),
    "search": (["search", "how do keys rotate", "{notes}"], 0),
    "collections": (["collections", "list"], 0),
}


@pytest.mark.model
@pytest.mark.parametrize("offline", [True, False], ids=["offline", "online"])
@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_reaches_out(
    strace: str, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, name: str, offline: bool
) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "keys.md").write_text("# Keys\n\nRotate the signing key every ninety days.\n")
    monkeypatch.delenv("SEMEME_OFFLINE")
    words, expected = COMMANDS[name]
    flag = ["--offline"] if offline and name != "help" else []
    command = [sys.executable, "-m", "sememe", *(word.format(notes=notes) for word in words), *flag]
    code, lines = calls(strace, command, tmp_path / "log", {"SEMEME_HOME": str(home)})
    assert code == expected
    assert lines == []


@pytest.mark.parametrize(
    "words", [["embed", "x"], ["models", "pull", "all-MiniLM-L6-v2"], ["demo"]], ids=lambda w: w[0]
)
def test_offline_without_the_model_reaches_out_neither(
    strace: str, tmp_path: Path, empty_home: Path, words: list[str]
) -> None:
    command = [sys.executable, "-m", "sememe", *words, "--offline"]
    code, lines = calls(strace, command, tmp_path / "log", {})
    assert code == 3
    assert lines == []
