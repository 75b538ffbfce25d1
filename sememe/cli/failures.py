"""How the command line ends when something went wrong: one shape of message, one table of exit codes."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from sememe.errors import SememeError, UsageError

#: the shell's own meaning of 70 (EX_SOFTWARE): a mistake in the program, not of the person who called it
FAULT = 70
INTERRUPTED = 130
PARTLY = 4
NOTHING_FOUND = 1


class ReaderLeft(Exception):
    """Whoever read our stdout has had enough (``| head``): no error, and nothing to say."""


def report(error: BaseException, arguments: Sequence[str] = ()) -> int:
    """Say on stderr what happened; the answer is the exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else FAULT
    if isinstance(error, ReaderLeft | BrokenPipeError):
        return 0
    if isinstance(error, click.Abort | KeyboardInterrupt):
        _say("interrupted: finished work is kept; the same command again goes on from there  [exit 130]")
        return INTERRUPTED
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        _say(error.format_message())
        return UsageError.exit_code
    known = _known(error)
    if os.environ.get("SEMEME_DEBUG") or (known is None and {"-v", "--verbose"} & set(arguments)):
        import traceback

        _say("".join(traceback.format_exception(error)).rstrip())
    if known is None:
        shown = SememeError(
            f"sememe itself failed: {type(error).__name__}: {error}",
            do=[
                ("see where", "run the same command with SEMEME_DEBUG=1 in the environment"),
                ("tell us", "that output and `sememe doctor --json` make a good report"),
            ],
        )
        return _print(shown, FAULT)
    return _print(known, known.exit_code)


def leave(code: int) -> NoReturn:
    """End the process; a closed stdout must not add a complaint of its own at the very end."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _known(error: BaseException) -> SememeError | None:
    if isinstance(error, SememeError):
        return error
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "sememe"
        return UsageError(error.format_message().rstrip("."), do=[("see", f"{command} --help")])
    if isinstance(error, click.ClickException):
        return UsageError(error.format_message().rstrip("."))
    if isinstance(error, MemoryError):
        return SememeError("there is not enough memory for this", do=["give it less at once, or close other programs"])
    if isinstance(error, OSError):
        return _of_the_system(error)
    return None


def _of_the_system(error: OSError) -> SememeError | None:
    name = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SememeError(
            f"{name}no space left on the disk",
            why=["what was finished before is kept"],
            do=["make room, then run the same command again", ("or keep it elsewhere", "-d DIR")],
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return SememeError(
            f"{name}{error.strerror}", do=["check who owns it, or choose another place with -d DIR or -o FILE"]
        )
    if error.errno in (errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG):
        return SememeError(f"{name}{error.strerror}", do=["check the path"])
    return None


def _print(error: SememeError, code: int) -> int:
    _say(f"error: {error}  [exit {code}]")
    return code


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)
