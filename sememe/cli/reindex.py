"""``sememe collections reindex``: how the vectors of a collection are found, changed or made anew."""

from __future__ import annotations

import time

import click

from sememe import settings
from sememe.cli import options
from sememe.cli.output import opened
from sememe.cli.session import Session
from sememe.cli.sources import collection_folder
from sememe.cli.talk import counted, duration


@click.command("reindex")
@click.argument("name")
@click.option("--index", type=click.Choice(settings.INDEXES), help="Another kind than it has now.")
@options.formats("json")
@options.common
def command(session: Session, name: str, index: str | None, form: str, out: str | None) -> None:
    """Make the index of the vectors anew, of another kind if one is named.

    The vectors and the records are not touched. hnsw and ivf need FAISS, and minutes where there are hundreds of
    thousands of chunks; searches wait for it. A small collection is searched without any index.
    """
    collection_folder(session, name)
    with session.collection(name) as collection:
        store = collection.store
        before, kind, chunks = store.index, index or store.index, store.count()
        session.talk.say(f"{name}: {counted(chunks, 'vector')}, making {kind}" + (f", was {before}" * (kind != before)))
        started = time.perf_counter()
        store.reindex(kind)
        seconds = time.perf_counter() - started
    with opened(out) as output:
        if form == "json":
            output.json({"index": kind, "before": before, "chunks": chunks, "seconds": round(seconds, 3)})
    session.talk.say(f"✔ {name} finds its vectors by {kind} ({duration(seconds)})")
