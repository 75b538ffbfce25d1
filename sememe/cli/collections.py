"""``sememe collections``: what is kept, and care for it."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from sememe.cli import convert, exchange, migrate, options, reindex
from sememe.cli.output import opened, printable, table
from sememe.cli.session import Session
from sememe.cli.sources import collection_folder
from sememe.cli.talk import counted
from sememe.collection import binding
from sememe.errors import DamagedError, SememeError
from sememe.progress import amount


@click.group("collections")
def command() -> None:
    """What is kept, and care for it: list, info, verify, convert, reindex, migrate, export, backup …"""


for one in (convert.command, reindex.command, migrate.migrate, migrate.rollback, migrate.settle):
    command.add_command(one)
for one in (exchange.export, exchange.import_, exchange.backup, exchange.restore):
    command.add_command(one)


@command.command("list")
@options.formats("json")
@options.common
def list_(session: Session, form: str, out: str | None) -> None:
    """Every collection with its encoder, its chunks and its size."""
    rows = [_row(session, name) for name in binding.names(session.settings.collections_dir)]
    with opened(out) as output:
        if form == "json":
            output.json(rows)
        elif rows:
            shown = [
                (row["name"], row["encoder"], str(row["dim"]), str(row["chunks"]), str(row["files"]),
                 amount(row["bytes"], "bytes"), row["created"][:10], row["problem"])
                for row in rows
            ]  # fmt: skip
            for line in table(shown, ("collection", "encoder", "dims", "chunks", "files", "size", "made", "")):
                output.line(line)
    if not rows:
        session.talk.say(f"no collections yet in {session.settings.collections_dir}")
        session.talk.say("make one:  sememe index FOLDER -c NAME")


@command.command("info")
@click.argument("name")
@options.formats("json")
@options.common
def info(session: Session, name: str, form: str, out: str | None) -> None:
    """One collection: its encoder, how it was cut, how large it is, where it is."""
    collection_folder(session, name)
    with session.collection(name) as collection:
        told = collection.info()
        facts = _row(session, name) | {
            "chunk size": told.binding.chunk_size,
            "chunk overlap": collection.binding.chunk_overlap,
            "fingerprint": collection.binding.fingerprint,
            "recipe": dict(collection.binding.recipe or {}),
            "folder": str(collection.folder),
            "vectors": told.vectors,
            "index": told.index,
            "loss": dataclasses.asdict(told.loss) if told.loss else None,
        }
        beside = migrate.aside(collection)
    with opened(out) as output:
        if form == "json":
            output.json(facts | {"beside": [dataclasses.asdict(one) for one in beside]})
            return
        for key, value in facts.items():
            if key == "bytes":
                value = amount(value, "bytes")
            if key == "loss":
                value = convert.in_words(told.loss) if told.loss else ""
            if isinstance(value, dict):
                value = ", ".join(f"{k} {v}" for k, v in value.items())
            if value != "":
                output.line(f"{key:<15}{printable(str(value))}")
        for one in beside:
            output.line(f"{'beside':<15}{migrate.in_words(one)}")


@command.command("rename")
@click.argument("old")
@click.argument("new")
@options.common
def rename(session: Session, old: str, new: str) -> None:
    """Give a collection another name."""
    collection_folder(session, old)
    binding.rename(old, new, session.settings.collections_dir)
    session.talk.say(f"✔ {old} is now {new}")


@command.command("rm")
@click.argument("name")
@options.answer_yes
@options.common
def rm(session: Session, name: str, yes: bool) -> None:
    """Delete a collection with all that is in it. The files that it came from are not touched."""
    folder = collection_folder(session, name)
    options.sure(f"delete the collection {name} in {folder}?", yes)
    binding.remove(name, session.settings.collections_dir)
    session.talk.say(f"✔ {name} is gone")


@command.command("verify")
@click.argument("name")
@click.option("--repair", is_flag=True, help="Set aside what is damaged, by name, and rebuild what is derived.")
@options.formats("json")
@options.common
def verify(session: Session, name: str, repair: bool, form: str, out: str | None) -> None:
    """Compare records, vectors and words with each other."""
    collection_folder(session, name)
    with session.collection(name) as collection:
        if repair:
            did = collection.repair()
            for problem in did.problems:
                session.talk.warn(printable(problem))
            if did.problems:
                session.talk.say(f"what is set aside:  sememe collections quarantine {name}")
        health = collection.verify()
    with opened(out) as output:
        if form == "json":
            output.json(
                {"ok": health.ok, "checked": dict(health.checked), "problems": list(health.problems),
                 "affected": list(health.affected)}
            )  # fmt: skip
        else:
            for what, number in health.checked.items():
                output.line(f"{what:<15}{number}")
    if not health.ok:
        raise DamagedError(
            f"{name} is damaged: {len(health.problems)} problems",
            why=[printable(problem) for problem in health.problems[:10]],
            do=[("mend it", f"sememe collections verify {name} --repair")],
        )
    session.talk.say(f"✔ {name} is whole")


@command.command("quarantine")
@click.argument("name")
@click.option("--clear", is_flag=True, help="Forget what is set aside, once you have looked through it.")
@options.answer_yes
@options.formats("json", "jsonl")
@options.common
def quarantine(session: Session, name: str, clear: bool, yes: bool, form: str, out: str | None) -> None:
    """What repair has set aside: the texts of items that are not in the collection any more.

    With --jsonl -o FILE they can be read in again:  sememe index FILE -c NAME --text text --id id
    """
    from sememe.store.local import quarantine as kept

    folder = collection_folder(session, name)
    if clear:
        options.sure(f"forget what is set aside in {name}?", yes)
        session.talk.say(f"✔ {counted(kept.clear(folder), 'text')} forgotten")
        return
    rows = [one.as_row() for one in kept.listed(folder)]
    with opened(out) as output:
        if form == "json":
            output.json(rows)
        elif form == "jsonl":
            for row in rows:
                output.json(row, indent=None)
        elif rows:
            shown = [(row["id"], row["source"], row["title"], row["text"][:60]) for row in rows]
            for line in table(shown, ("id", "source", "title", "text")):
                output.line(line)
    if not rows:
        session.talk.say(f"nothing is set aside in {name}")
    for copy in kept.damaged_copies(folder):
        session.talk.say(f"the damaged records are kept in {copy}; remove that folder when nothing is missing")


@command.command("path")
@click.argument("name")
@options.common
def path(session: Session, name: str) -> None:
    """The folder of a collection, which can be copied to another machine as it is."""
    folder = collection_folder(session, name)
    with opened(None) as output:
        output.line(str(folder))


def _row(session: Session, name: str) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "encoder": "", "dim": 0, "chunks": 0, "files": 0, "bytes": 0, "created": "",
                           "problem": ""}  # fmt: skip
    try:
        with session.collection(name) as collection:
            facts = collection.info()
            made = facts.binding
            return row | {"encoder": made.encoder, "dim": made.dim, "chunks": facts.chunks, "files": facts.sources,
                          "bytes": facts.bytes, "created": made.created}  # fmt: skip
    except SememeError as error:
        # One that cannot be opened must not hide the others.
        return row | {"problem": error.what}
