"""The door for people at a terminal: finds the command that was typed and runs it.

A command's module is imported only when that command is used, so that ``sememe --help`` answers at once; the one-line
descriptions stand here for the same reason, and a house test holds them equal to the commands' own.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from typing import NoReturn

import click

import sememe
from sememe.cli import failures
from sememe.errors import UsageError

#: name → one line; the module has the command's name
COMMANDS = {
    "demo": "Search a bundled sample by meaning; the fastest way to see what this is.",
    "index": "Read files, cut them into chunks, encode them, keep them as a collection.",
    "search": "Search a collection, or files that were never indexed.",
    "similar": "Find the neighbours of items by their vectors.",
    "embed": "Turn texts into vectors.",
    "collections": "What is kept, and care for it: list, info, verify, convert, reindex, migrate, export, backup …",
    "serve": "Serve encoders, rerankers and collections over HTTP.",
    "train": "Learn vectors of words from files: word2vec, fasttext, glove, ppmi.",
    "models": "Encoders on disk: list, info, pull, add, rm, verify, check, save.",
    "cache": "Vectors that are remembered, so that none is paid for twice: info, clear.",
    "config": "Settings, and where each value came from: list, get, set, path.",
    "doctor": "What is installed, what is on disk, and whether it works.",
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and imports a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None for a name that does not exist."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"sememe.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the typed command; a name that does not exist is answered with the nearest one."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            raise UsageError(
                f'there is no command "{args[0]}"',
                do=[("did you mean", f"sememe {near[0]}") if near else ("see them all", "sememe --help")],
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(sememe.__version__, prog_name="sememe")
def program() -> None:
    """Search your own files by meaning, on your own machine.

    \b
      sememe demo                                  see it work on a bundled sample
      sememe index notes/ -c notes                 read and keep a folder
      sememe search "how do we rotate keys" -c notes

    Data goes to stdout, everything else to stderr. Exit codes: 0 ok · 1 nothing found · 2 usage or data ·
    3 missing model or extra · 4 partly done · 70 a fault in sememe · 130 interrupted.
    """


def main() -> NoReturn:
    """Run the command line of this process and leave with its exit code."""
    try:
        code = program.main(prog_name="sememe", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:
        code = failures.report(error, sys.argv[1:])
    failures.leave(code if isinstance(code, int) else 0)
