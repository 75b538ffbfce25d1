"""``sememe search``: a question to a collection, or to files that were never indexed."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sememe.cli import hits as shown
from sememe.cli import options
from sememe.cli.failures import NOTHING_FOUND
from sememe.cli.output import opened, printable
from sememe.cli.session import Session
from sememe.cli.sources import stdin_items, where_to_search
from sememe.cli.talk import counted, duration
from sememe.errors import DataError, UsageError
from sememe.progress import amount

if TYPE_CHECKING:
    from sememe.collection.collection import Collection

#: files are searched without an index when that takes less than about so many seconds
PATIENCE = 10.0


@click.command("search")
@click.argument("query")
@click.argument("sources", nargs=-1, metavar="[SRC]...")
@click.option("-c", "--collection", "name", metavar="NAME", help="Search this collection.")
@options.searching
@options.choosing
@click.option("--fusion", type=click.Choice(("scores", "ranks")), help="How hybrid makes one order of two sides.")
@click.option("--rerank", metavar="MODEL", help="Put the best in order by this model; late: by the encoder's tokens.")
@click.option("--facet", "fields", multiple=True, metavar="FIELD", help="Count the values of this field, too.")
@click.option("-C", "--context", type=click.IntRange(0), default=0, metavar="N", help="N lines before and after a hit.")
@click.option("--explain", is_flag=True, help="Say why each hit is one: its words, and how its score came about.")
@options.reading
@options.encoding
@options.formats("json", "jsonl", "csv")
@options.common
def command(
    session: Session, query: str, sources: tuple[str, ...], name: str | None, form: str, out: str | None,
    **how: Any,
) -> int:  # fmt: skip
    """Search a collection, or files that were never indexed.

    SRC is a collection's name, or files and folders, or - for the lines of stdin. Files are read and encoded on the
    spot when that is quick, and nothing is left behind. Exit code 1: nothing found.
    """
    if not query.strip():
        raise UsageError("the query is empty", do=[("for example", 'sememe search "how do we rotate keys" -c notes')])
    target = where_to_search(sources, name, session.settings)
    if isinstance(target, str):
        with session.collection(target) as collection:
            found = _ask(session, collection, query, how)
    else:
        found = _directly(session, target, query, how)
    with opened(out) as output:
        shown.write(output, found, form, verbose=session.talk.verbose)
    shown.say_rest(session.talk, found.hits, session.settings.search_mode, turning=how["after"] is not None)
    return 0 if found.hits else NOTHING_FOUND


def _ask(session: Session, collection: Collection, query: str, how: dict[str, Any]) -> shown.Found:
    now = session.settings
    # A collection that is not there is an error before an encoder is fetched, and words need none.
    if now.search_mode != "words" and collection.binding:
        collection.encoder(session.talk.progress())
    hits = collection.search(
        query,
        None if how["everything"] else now.search_k,
        mode=now.search_mode,
        where=how["where"],
        min_score=how["min_score"],
        after=how["after"],
        refine=options.refinement(how, session.reranker(how["rerank"], collection)),
    )
    facets = [collection.facets(field, how["where"]) for field in how["fields"]]
    contexts = collection.context(hits, how["context"]) if how["context"] else ()
    explained = collection.explain(query, hits, how["where"]) if how["explain"] else ()
    return shown.Found({"query": query}, hits, facets, contexts, explained)


def _directly(session: Session, paths: Sequence[str], query: str, how: dict[str, Any]) -> shown.Found:
    """Index into a folder that is gone afterwards, if that is quick."""
    reading = {
        "text": how["text"],
        "id": how["id_"],
        "meta": list(how["meta"]) or None,
        "glob": how["glob"],
        "progress": session.talk.progress(),
    }
    with tempfile.TemporaryDirectory(prefix="sememe-") as folder, session.collection(Path(folder, "files")) as files:
        if list(paths) == ["-"]:
            files.add(stdin_items(), progress=reading["progress"])
        else:
            _check_quick(files, paths, reading)
            files.index(list(paths), **reading)
        assert files.report is not None
        for note in files.report.notes:
            session.talk.detail(f"note: {printable(note)}")
        if not files.report.chunks:
            raise DataError(
                f"there is nothing to search in {printable(' '.join(paths))}",
                why=[(printable(one.source), printable(one.reason)) for one in files.report.skipped[:5]],
                do=["check the path, the glob, and the ignore files (.gitignore, .sememeignore)"],
            )
        if files.report.skipped:
            skipped = files.report.skipped
            session.talk.warn(f"{counted(len(skipped), 'source')} not searched: {printable(_first(skipped))}")
        return _ask(session, files, query, how)


def _check_quick(files: Collection, paths: Sequence[str], reading: dict[str, Any]) -> None:
    estimate = files.estimate(list(paths), **reading)
    if estimate.seconds > PATIENCE:
        raise UsageError(
            f"to search these files without an index would take about {duration(estimate.seconds)}",
            why=[
                ("files", f"{counted(estimate.files, 'file')}, {amount(estimate.size, 'bytes')}"),
                ("to encode", f"about {amount(estimate.chunks, 'chunks')}"),
            ],
            do=[("index them once", f"sememe index {' '.join(paths)} -c NAME"), ("then", 'sememe search "…" -c NAME')],
        )


def _first(skipped: Sequence[Any]) -> str:
    first = "; ".join(f"{one.source} ({one.reason})" for one in skipped[:3])
    return first + (" …" if len(skipped) > 3 else "")
