"""Options that several commands share, each written once."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sememe import settings
from sememe.cli.session import Session
from sememe.cli.talk import Talk, warnings_as_notes
from sememe.errors import UsageError

if TYPE_CHECKING:
    from sememe.collection.refine import Refine, Reranker

Function = TypeVar("Function", bound=Callable[..., Any])


def common(function: Function) -> Callable[..., Any]:
    """``-d``, ``--offline``, ``-q``, ``-v``: what every command takes. The command gets a `Session` first."""

    @click.option("-d", "--dir", "home", metavar="DIR", help="Keep models and collections here, not in the home.")
    @click.option("--offline", is_flag=True, default=None, help="Open no connection beyond this machine.")
    @click.option("-q", "--quiet", is_flag=True, help="Say only errors, and what was left out.")
    @click.option("-v", "--verbose", is_flag=True, help="Say more: what was skipped, the parts of scores, tracebacks.")
    @functools.wraps(function)
    def wrapped(*, home: str | None, offline: bool | None, quiet: bool, verbose: bool, **rest: Any) -> Any:
        flags: dict[str, object] = {"home": home, "offline": offline}
        for option, name in SETTINGS_OF_OPTIONS.items():
            flags[name] = rest.pop(option, None)
        flags["chunk.size"], flags["chunk.overlap"] = rest.pop("set_chunk", None) or (None, None)
        talk = Talk(quiet=quiet, verbose=verbose)
        with warnings_as_notes(talk):
            return function(Session(settings.load(flags), talk), **rest)

    return wrapped


#: options that are settings: their parameter's name in click → the setting
SETTINGS_OF_OPTIONS = {
    "set_model": "model",
    "set_threads": "threads",
    "set_precision": "precision",
    "set_vectors": "vectors",
    "set_index": "index",
    "set_dims": "dims",
    "set_mode": "search.mode",
    "set_k": "search.k",
}


def encoding(function: Function) -> Function:
    """``-m``, ``--threads``, ``--precision``, ``--dims``: for commands that encode."""
    for option in (
        click.option(
            "--dims", "set_dims", type=click.IntRange(0), metavar="N", help="Cut vectors to N numbers; 0 means all."
        ),
        click.option("--precision", "set_precision", type=click.Choice(settings.PRECISIONS), help="Of the arithmetic."),
        click.option("--threads", "set_threads", type=click.IntRange(0), metavar="N", help="0 means all cores."),
        click.option("-m", "--model", "set_model", metavar="MODEL", help="A model's name, or its folder."),
    ):
        function = option(function)
    return function


def keeping(function: Function) -> Function:
    """``--vectors``, ``--index``: for commands that make collections."""
    for option in (
        click.option("--index", "set_index", type=click.Choice(settings.INDEXES), help="How a new one finds vectors."),
        click.option(
            "--vectors", "set_vectors", type=click.Choice(settings.VECTORS), help="How a new collection keeps vectors."
        ),
    ):
        function = option(function)
    return function


def searching(function: Function) -> Function:
    """``-k``, ``--mode``, ``--where``: for commands that search."""
    return limiting(
        click.option("--mode", "set_mode", type=click.Choice(settings.MODES), help="How hits are found.")(function)
    )


def limiting(function: Function) -> Function:
    """``-k``, ``--where``: for commands that answer with hits."""
    for option in (
        click.option(
            "--where", metavar="EXPR", help="Only what satisfies this, e.g. \"lang = 'en' and year >= 2020\"."
        ),
        click.option("-k", "set_k", type=click.IntRange(1), metavar="N", help="How many hits (10)."),
    ):
        function = option(function)
    return function


def choosing(function: Function) -> Function:
    """``--all``, ``--min-score``, ``--group``, ``--diverse``, ``--depth``, ``--after``: which of the hits, and how."""
    for option in (
        click.option("--after", metavar="CURSOR", help="Go on after the hits that ended with this cursor."),
        click.option("--depth", type=click.IntRange(1), metavar="N", help="Candidates of --diverse and ranks (100)."),
        click.option(
            "--diverse", type=click.FloatRange(0, 1), metavar="X", help="Hits that differ: 0 not, 0.3 somewhat."
        ),
        click.option("--group", type=click.Choice(("item", "source")), help="One hit for each, its best."),
        click.option("--min-score", type=float, metavar="X", help="Leave out hits below X, of the score that orders."),
        click.option("--all", "everything", is_flag=True, help="All hits instead of N, e.g. with --min-score."),
    ):
        function = option(function)
    return function


def refinement(how: Mapping[str, Any], rerank: Reranker | None = None) -> Refine:
    """What the options of `choosing` ask for."""
    from sememe.collection.refine import Refine

    return Refine(
        fusion=how.get("fusion") or "scores",
        rerank=rerank,
        group=how["group"],
        diversity=how["diverse"] or 0.0,
        depth=how["depth"],
    )


class Chunking(click.ParamType[tuple[int, int | None]]):
    """``256/32``, or ``256`` alone."""

    name = "SIZE/OVERLAP"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int | None]:
        """Two whole numbers, or one and None."""
        size, slash, overlap = str(value).partition("/")
        if not size.isdecimal() or (slash and not overlap.isdecimal()):
            self.fail(f'"{value}" is not of the form 256/32', param, ctx)
        return int(size), int(overlap) if slash else None


def reading(function: Function) -> Function:
    """``--text``, ``--id``, ``--meta``, ``--glob``, ``--chunk``: for commands that read files."""
    for option in (
        click.option("--chunk", "set_chunk", type=Chunking(), help="Tokens of a chunk, and shared by two neighbours."),
        click.option("--glob", "glob", multiple=True, metavar="PATTERN", help="Only files that match; ! takes out."),
        click.option("--meta", multiple=True, metavar="COL", help="Of tables: keep this column (all, if not given)."),
        click.option("--id", "id_", metavar="COL", help="Of tables: the column that names a row."),
        click.option("--text", metavar="COL", help="Of tables: the column that holds the text."),
    ):
        function = option(function)
    return function


def formats(*names: str) -> Callable[[Function], Callable[..., Any]]:
    """``--json``, ``--jsonl``, ``--csv`` as one parameter ``form``, and ``-o FILE`` as ``out``."""
    about = {
        "json": "One JSON value.",
        "jsonl": "One JSON object a line.",
        "csv": "CSV with a header line.",
    }

    def decorate(function: Function) -> Callable[..., Any]:
        @click.option("-o", "out", metavar="FILE", help="Write to this file; it appears whole or not at all.")
        @functools.wraps(function)
        def wrapped(*args: Any, **rest: Any) -> Any:
            asked = [name for name in names if rest.pop(f"as_{name}")]
            if len(asked) > 1:
                raise UsageError(f"--{asked[0]} and --{asked[1]} exclude each other", do=["choose one"])
            return function(*args, form=asked[0] if asked else "text", **rest)

        command: Callable[..., Any] = wrapped
        for name in reversed(names):
            command = click.option(f"--{name}", f"as_{name}", is_flag=True, help=about[name])(command)
        return command

    return decorate


def answer_yes(function: Function) -> Function:
    """``-y``: do not ask."""
    return click.option("-y", "--yes", is_flag=True, help="Do not ask.")(function)


def sure(question: str, yes: bool) -> None:
    """Ask before something is deleted; where nobody can answer, ``-y`` must have been given."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} There is nobody to answer", do=[("say it beforehand", "--yes")])
    click.confirm(question, abort=True, err=True)
