"""``sememe collections export``, ``import``, ``backup``, ``restore``: collections on their way out and in."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from sememe.cli import options
from sememe.cli.output import printable
from sememe.cli.session import Session
from sememe.cli.sources import collection_folder
from sememe.cli.talk import counted, duration
from sememe.errors import UsageError
from sememe.progress import amount


@click.command("export")
@click.argument("name")
@click.option("--to", type=click.Choice(["parquet", "jsonl", "npy"]), required=True, help="The form; npy is a folder.")
@click.option("-o", "out", metavar="PATH", required=True, help="Write here; it appears whole or not at all.")
@click.option("--packed", is_flag=True, help="Of jsonl: vectors as base64 of float32, little-endian.")
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
@options.common
def export(session: Session, name: str, to: str, out: str, packed: bool, overwrite: bool) -> None:
    """Write texts, fields and vectors for other programs: Parquet, JSON lines, or NumPy."""
    from sememe.collection.transfer import export_collection

    collection_folder(session, name)
    began = time.perf_counter()
    with session.collection(name) as collection:
        chunks = export_collection(
            collection, out, to, packed=packed, overwrite=overwrite, progress=session.talk.progress()
        )  # fmt: skip
    _wrote(session, out, chunks, began)


@click.command("import")
@click.argument("path")
@click.argument("name")
@click.option("-m", "--model", "encoder", metavar="MODEL",
              help="What the vectors come from, where the file does not say it; unknown, if nobody knows.")  # fmt: skip
@click.option("--text", metavar="COL", help="Of exports of others: the column that holds the text.")
@click.option("--id", "id_", metavar="COL", help="Of exports of others: the column that names a row.")
@click.option("--vector", metavar="COL", help="Of exports of others: the column that holds the vector.")
@click.option(
    "--meta", multiple=True, metavar="COL", help="Of exports of others: keep this column (all, if not given)."
)
@click.option(
    "--existing",
    type=click.Choice(["refuse", "keep", "replace"]),
    help="Put it into the collection that is there; what becomes of ids that it has for something else.",
)
@click.option("--encode", is_flag=True, help="With --existing: make new vectors of its texts, and leave its own alone.")
@options.common
def import_(
    session: Session, path: str, name: str, encoder: str | None, text: str | None, id_: str | None,
    vector: str | None, meta: tuple[str, ...], existing: str | None, encode: bool,
) -> None:  # fmt: skip
    """Make a collection of an export: ours, or of Chroma, Qdrant or LanceDB.

    Ours say which encoder their vectors come from; for those of others it has to be said with -m. NAME must be new,
    unless --existing says that it may be there.
    """
    from sememe.collection.binding import folder_of, is_collection
    from sememe.collection.transfer import import_collection
    from sememe.store.exchange.foreign import Columns

    columns = Columns(text=text, id=id_, vector=vector, meta=meta or None)
    if existing and is_collection(folder_of(name, session.settings.collections_dir)):
        _join(session, path, name, existing=existing, encode=encode, encoder=encoder, columns=columns)
        return
    if encode:
        raise UsageError("--encode is for a collection that is there", do=[("say so", "--existing refuse --encode")])
    began = time.perf_counter()
    done = import_collection(
        path, name, encoder=encoder, columns=columns, settings=session.settings, progress=session.talk.progress()
    )
    with done.collection as collection:
        bound = collection.binding
        for note in done.notes:
            session.talk.say(printable(note))
        session.talk.say(
            f"✔ {collection.name}: {counted(done.chunks, 'chunk')} from {done.kind}, {bound.dim} dims by "
            f"{printable(bound.encoder)}; {duration(time.perf_counter() - began)}"
        )


def _join(session: Session, path: str, name: str, **how: Any) -> None:
    from sememe.collection.joining import import_into

    began = time.perf_counter()
    with session.collection(name) as collection:
        done = import_into(path, collection, progress=session.talk.progress(), **how)
        for note in done.notes:
            session.talk.say(printable(note))
        parts = [(done.added, "added"), (done.replaced, "replaced"), (done.kept, "left as they were here")]
        parts += [(done.same, "here already"), (done.encoded, "encoded")]
        said = ", ".join(amount(number, what) for number, what in parts if number)
        session.talk.say(
            f"✔ {collection.name}: {counted(done.rows, 'chunk')} from {done.kind}{': ' if said else ''}{said}; "
            f"{duration(time.perf_counter() - began)}"
        )
        if done.colliding:
            rest = " …" if len(done.colliding) < done.replaced + done.kept else ""
            session.talk.say(f"  ids that were here: {printable(', '.join(done.colliding))}{rest}")


@click.command("backup")
@click.argument("name")
@click.option("-o", "out", metavar="FILE", required=True, help="Write here; it appears whole or not at all.")
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
@options.common
def backup(session: Session, name: str, out: str, overwrite: bool) -> None:
    """Write a collection to one file, also while it is being written to."""
    from sememe.collection.transfer import backup_collection

    collection_folder(session, name)
    began = time.perf_counter()
    with session.collection(name) as collection:
        chunks = backup_collection(collection, out, overwrite=overwrite, progress=session.talk.progress())
    _wrote(session, out, chunks, began)


@click.command("restore")
@click.argument("file")
@click.option("--name", metavar="NAME", help="Call it so, and not as it was called.")
@options.common
def restore(session: Session, file: str, name: str | None) -> None:
    """Make the collection of a backup again, and verify it."""
    from sememe.collection.transfer import restore_collection

    began = time.perf_counter()
    with restore_collection(file, name, settings=session.settings, progress=session.talk.progress()) as collection:
        chunks = counted(collection.count(), "chunk")
        session.talk.say(
            f"✔ {collection.name} is back: {chunks} by {printable(collection.binding.encoder)}, verified; "
            f"{duration(time.perf_counter() - began)}"
        )


def _wrote(session: Session, out: str, chunks: int, began: float) -> None:
    path = Path(out)
    size = sum(file.stat().st_size for file in ([path] if path.is_file() else path.iterdir()))
    session.talk.say(
        f"✔ {out}: {counted(chunks, 'chunk')}, {amount(size, 'bytes')}; {duration(time.perf_counter() - began)}"
    )
