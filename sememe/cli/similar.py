"""``sememe similar``: the neighbours of what is in a collection already."""

from __future__ import annotations

from typing import Any

import click

from sememe.cli import hits as shown
from sememe.cli import options
from sememe.cli.failures import NOTHING_FOUND
from sememe.cli.output import opened
from sememe.cli.session import Session


@click.command("similar")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("-c", "--collection", "name", required=True, metavar="NAME", help="The collection that they are in.")
@click.option("--unlike", multiple=True, metavar="ID", help="Keep away from this one (again for more).")
@options.limiting
@options.choosing
@options.formats("json", "jsonl", "csv")
@options.common
def command(
    session: Session, ids: tuple[str, ...], name: str, unlike: tuple[str, ...], form: str, out: str | None,
    **how: Any,
) -> int:  # fmt: skip
    """Find the neighbours of items by their vectors.

    ID is that of a chunk, or of an item with all of its chunks; several are taken together. Needs no encoder. Exit
    code 1: nothing found.
    """
    with session.collection(name) as collection:
        found = collection.similar(
            ids,
            None if how["everything"] else session.settings.search_k,
            unlike=unlike,
            where=how["where"],
            min_score=how["min_score"],
            after=how["after"],
            refine=options.refinement(how),
        )
    with opened(out) as output:
        asked = {"like": list(ids), "unlike": list(unlike)}
        shown.write(output, shown.Found(asked, found), form, verbose=session.talk.verbose)
    shown.say_rest(session.talk, found, "similar", turning=how["after"] is not None)
    return 0 if found else NOTHING_FOUND
