"""``sememe collections convert``: the vectors of a collection kept as another type, and what that costs."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from sememe import settings
from sememe.cli import options
from sememe.cli.output import opened
from sememe.cli.session import Session
from sememe.cli.sources import collection_folder
from sememe.cli.talk import counted
from sememe.errors import UsageError
from sememe.progress import amount

if TYPE_CHECKING:
    from sememe.store.local.loss import Loss


@click.command("convert")
@click.argument("name")
@click.option("--vectors", required=True, type=click.Choice(settings.VECTORS), help="How they are kept from now on.")
@click.option("--dry-run", is_flag=True, help="Measure what it would cost, and change nothing.")
@options.answer_yes
@options.formats("json")
@options.common
def command(session: Session, name: str, vectors: str, dry_run: bool, yes: bool, form: str, out: str | None) -> None:
    """Keep the vectors of a collection as float32, float16, int8 or binary.

    What it costs is measured on the collection itself before anything changes: of 200 chunks the ten nearest before
    and after (recall@10), and the cosine of every vector with what is kept of it.
    """
    collection_folder(session, name)
    with session.collection(name) as collection:
        store = collection.store
        if store.vector_type == vectors and not dry_run:
            raise UsageError(f"{name} keeps its vectors as {vectors} already")
        loss = store.measure_loss(vectors)
        if not dry_run:
            session.talk.say(in_words(loss))
            if _smaller(loss):
                options.sure(f"keep the vectors of {name} as {vectors}? What is left out does not come back.", yes)
            loss = store.convert(vectors)
    with opened(out) as output:
        if form == "json":
            output.json(dataclasses.asdict(loss) | {"converted": not dry_run})
        elif dry_run:
            output.line(in_words(loss))
    if dry_run:
        session.talk.say("nothing was changed")
        return
    before, after = (amount(loss.rows * width, "bytes") for width in (loss.before, loss.after))
    session.talk.say(f"✔ {name}: {counted(loss.rows, 'vector')} kept as {vectors}, {after} instead of {before}")


def in_words(loss: Loss) -> str:
    """One line: the type, and what it costs against the one before."""
    recall = "" if loss.recall is None else f"recall@10 {loss.recall:.4f} ({loss.asked} chunks asked), "
    return (
        f"{loss.vectors} against {loss.against}: {recall}cosine {loss.cosine:.5f} in the mean, {loss.least:.5f} at "
        f"the least; {loss.after} bytes a vector instead of {loss.before}"
    )


def _smaller(loss: Loss) -> bool:
    return loss.after < loss.before
