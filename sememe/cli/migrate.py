"""``sememe collections migrate``, ``rollback``, ``settle``: a collection to another encoder, back, and for good."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from sememe.cli import options
from sememe.cli.output import opened, printable
from sememe.cli.session import Session
from sememe.cli.sources import collection_folder
from sememe.cli.talk import counted, duration
from sememe.progress import amount
from sememe.settings import PRECISIONS

if TYPE_CHECKING:
    from sememe.collection.collection import Collection
    from sememe.collection.migrate import Aside, Migrated
    from sememe.collection.migration import Cost

LONG = click.option(
    "--long", "on_long", type=click.Choice(("error", "mean", "cut")), default="error",
    help="Chunks longer than the encoder takes: refuse, average windows, or cut.",
)  # fmt: skip

THREADS = click.option("--threads", "set_threads", type=click.IntRange(0), metavar="N", help="0 means all cores.")
PRECISION = click.option("--precision", "set_precision", type=click.Choice(PRECISIONS), help="Of the arithmetic.")


@click.command("migrate")
@click.argument("name")
@click.option("--to", "model", metavar="MODEL", required=True, help="The other encoder: a model's name, or its folder.")
@click.option("--dry-run", is_flag=True, help="Say what it would take, and do nothing.")
@LONG
@THREADS
@PRECISION
@options.answer_yes
@options.formats("json")
@options.common
def migrate(
    session: Session, name: str, model: str, dry_run: bool, on_long: str, yes: bool, form: str, out: str | None
) -> None:
    """Move a collection to another encoder, from the texts that it keeps.

    The old vectors answer until the new ones are complete, and are kept afterwards: `rollback` goes back to them,
    `settle` lets them go. Ctrl-C keeps what is finished; the same command goes on from there.
    """
    collection_folder(session, name)
    with session.collection(name) as collection:
        encoder = session.encoder(model)
        before = collection.binding.encoder
        cost = collection.migration(encoder, progress=session.talk.progress())
        if dry_run:
            with opened(out) as output:
                if form == "json":
                    output.json({"collection": name, "from": before, **dataclasses.asdict(cost)})
                else:
                    for line in _lines(cost, before):
                        output.line(line)
            session.talk.say(f"{_judged(cost)}; nothing was written")
            return
        for line in _lines(cost, before):
            session.talk.say(line)
        options.sure(f"move {name} to {printable(encoder.name)}?", yes)
        with _goes_on(session, collection, f"--to {shlex.quote(model)}", on_long):
            done = collection.migrate(encoder, on_long=on_long, progress=session.talk.progress())
        _tell(session, collection, done, (form, out))


@click.command("rollback")
@click.argument("name")
@click.option("-m", "--model", metavar="MODEL", help="The old encoder, where its name does not lead to it: its folder.")
@LONG
@THREADS
@PRECISION
@options.formats("json")
@options.common
def rollback(session: Session, name: str, model: str | None, on_long: str, form: str, out: str | None) -> None:
    """Go back to the vectors of before the last migration. What was added since is encoded."""
    collection_folder(session, name)
    with session.collection(name) as collection:
        done = collection.roll_back(model, on_long=on_long, progress=session.talk.progress())
        _tell(session, collection, done, (form, out))


@click.command("settle")
@click.argument("name")
@options.answer_yes
@options.common
def settle(session: Session, name: str, yes: bool) -> None:
    """Let go of the vectors that a migration kept or has half made. Then there is no way back but another migration."""
    from sememe.collection.migrate import aside
    from sememe.errors import DamagedError

    collection_folder(session, name)
    with session.collection(name) as collection:
        try:
            found = aside(collection)
            if not found:
                collection.settle()  # what a run that was cut off has left is no loss to anybody
                session.talk.say(f"{name} keeps no other vectors than those in use")
                return
            for one in found:
                session.talk.say(in_words(one))
        except DamagedError as error:
            session.talk.warn(error.what)
        options.sure(f"let go of them, for good? {name} itself is not touched.", yes)
        freed = collection.settle()
        session.talk.say(f"✔ {name}: {amount(freed, 'bytes')} are free")


def aside(collection: Collection) -> list[Aside]:
    """What lies beside the vectors in use."""
    from sememe.collection.migrate import aside

    return aside(collection)


def in_words(one: Aside) -> str:
    """What lies beside the vectors in use, as one line."""
    what = f"{counted(one.chunks, 'chunk')} by {printable(one.encoder)}, {one.dim} dims, {amount(one.bytes, 'bytes')}"
    if one.replaced:
        return f"kept: {what}; in use until {one.replaced[:10]}"
    return f"half made: {what}"


def _lines(cost: Cost, before: str) -> Iterator[str]:
    todo = cost.chunks - cost.done
    yield f"encoder  {printable(before)} → {printable(cost.encoder)} ({cost.dim} dims)"
    there = f" of {cost.chunks}, {cost.done} are done already" if cost.done else ""
    yield f"chunks   {amount(todo, 'to encode')}{there}, about {amount(cost.tokens, 'tokens')}"
    yield f"cost     {cost.cost}" if cost.cost else f"time     about {duration(cost.seconds)}"
    yield f"disk     {amount(cost.bytes, 'bytes')} more; {amount(cost.kept, 'bytes')} of old vectors are kept"
    if cost.long:
        yield (
            f"long     about {counted(cost.long, 'chunk')} of more than the {cost.max_tokens} tokens that it takes; "
            f"the longest of the sample has {cost.longest}: see --long"
        )


def _judged(cost: Cost) -> str:
    return f"judged by {counted(cost.sampled, 'chunk')}"


@contextmanager
def _goes_on(session: Session, collection: Collection, how: str, on_long: str) -> Iterator[None]:
    """After Ctrl-C, say how far it came and how it goes on."""
    try:
        yield
    except KeyboardInterrupt:
        from sememe.collection.migrate import aside

        for one in aside(collection):
            if not one.replaced:
                total = counted(collection.count(), "chunk")
                session.talk.say(f"{one.chunks} of {total} are encoded; the old vectors answer")
        long = "" if on_long == "error" else f" --long {on_long}"
        session.talk.say(f"go on with  sememe collections migrate {collection.name} {how}{long} --yes")
        raise


def _tell(session: Session, collection: Collection, done: Migrated, where: tuple[str, str | None]) -> None:
    for note in done.notes:
        session.talk.warn(printable(note))
    if where[0] == "json":
        with opened(where[1]) as output:
            output.json({"collection": collection.name, **dataclasses.asdict(done)})
    session.talk.say(
        f"✔ {collection.name}: {counted(done.chunks, 'chunk')} by {printable(done.encoder)}, {done.encoded} encoded "
        f"now; {duration(done.seconds)}"
    )
    session.talk.say(f"  the vectors by {printable(done.before)} are kept, {amount(done.kept, 'bytes')}:")
    session.talk.say(f"  go back with  sememe collections rollback {collection.name}")
    session.talk.say(f"  or let them go with  sememe collections settle {collection.name}")
