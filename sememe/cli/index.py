"""``sememe index``: files into a collection, and again when they changed."""

from __future__ import annotations

import csv
import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sememe.cli import options
from sememe.cli.failures import PARTLY
from sememe.cli.output import opened, printable
from sememe.cli.session import Session
from sememe.cli.sources import existing, stdin_items
from sememe.cli.talk import counted, duration
from sememe.collection.binding import Binding, remove
from sememe.errors import DataError, LockedError, MissingError, UsageError
from sememe.progress import amount
from sememe.shapes import Skipped

if TYPE_CHECKING:
    from sememe.collection.collection import Collection
    from sememe.collection.indexing import Report


@click.command("index")
@click.argument("sources", nargs=-1, metavar="SRC...")
@click.option("-c", "--collection", "name", metavar="NAME", help="The collection; made if it does not exist.")
@click.option("--rebuild", is_flag=True, help="Encode everything anew; the old one answers until it is done.")
@click.option("--dry-run", is_flag=True, help="Say what it would take, and do nothing.")
@options.reading
@options.encoding
@options.keeping
@options.formats("json")
@options.common
def command(
    session: Session, sources: tuple[str, ...], name: str | None, rebuild: bool, dry_run: bool, form: str,
    out: str | None, **reading: Any,
) -> int:  # fmt: skip
    """Read files, cut them into chunks, encode them, keep them as a collection.

    Again with the same collection, only what changed is encoded. Ignore files are honoured. - reads stdin, a text a
    line. Exit code 4: done, but something was skipped; the list is in NAME.skipped.csv.
    """
    from sememe.readers.walk import walk

    name = _checked(sources, name)
    sources = tuple(existing(sources))
    columns = {"text": reading["text"], "id": reading["id_"], "meta": list(reading["meta"]) or None}
    with session.collection(name) as collection:
        existed = collection.exists
        if sources == ("-",):
            collection.add(stdin_items(), progress=session.talk.progress())
        else:
            found = walk(sources, glob=reading["glob"])
            _say_found(session, found.ignored, len(found.files), sources)
            if not found.files and not existed:
                raise _nothing(sources, found.skipped, reading["glob"])
            how = {**columns, "glob": reading["glob"]}
            if dry_run:
                fresh = _anew(collection) if rebuild and existed else collection
                return _dry_run(session, fresh, sources, how, (form, out))
            if not (rebuild and existed):
                _say_encoder(session, collection)
            with _nothing_left_behind(collection):
                collection.index(list(sources), **how, rebuild=rebuild, progress=session.talk.progress())
        report = collection.report
        assert report is not None
        if not existed and not collection.count():
            _forget_empty(collection)
            raise _nothing(sources, report.skipped, reading["glob"])
        if collection.binding.cut and (rebuild or not existed):
            session.say_cut(collection.encoder())
        return _tell(session, collection, report, (form, out))


def _checked(sources: Sequence[str], name: str | None) -> str:
    shown = " ".join(sources) or "notes/"
    if name is None:
        raise UsageError("a collection needs a name", do=[("for example", f"sememe index {shown} -c notes")])
    if not sources:
        raise UsageError("what to index is missing", do=[("for example", f"sememe index notes/ -c {name}")])
    if "-" in sources and len(sources) > 1:
        raise UsageError("stdin (-) and files are not indexed together", do=["index one after the other"])
    return name


def _say_found(session: Session, ignored: int, files: int, sources: Sequence[str]) -> None:
    left_out = f"   ({ignored} left out by ignore files, globs, or as hidden)" if ignored else ""
    session.talk.say(f"{printable(' '.join(sources))}: {counted(files, 'file')}{left_out}")


def _say_encoder(session: Session, collection: Collection) -> None:
    encoder = collection.encoder(session.talk.progress())
    if collection.exists:
        size, overlap = collection.binding.chunk_size, collection.binding.chunk_overlap
    else:
        size, overlap = session.settings.chunk_size, session.settings.chunk_overlap
    how = encoder.describe().get("precision", "")
    session.talk.say(f"encoder  {encoder.name} ({encoder.dim} dims, {how})   chunks {size} tokens / {overlap} overlap")


def _anew(collection: Collection) -> Collection:
    """An empty collection, never made, that stands for ``collection`` when it is rebuilt."""
    from sememe.collection.collection import Collection
    from sememe.store.local.store import open_store

    encoder = collection.asked
    if encoder is None:
        with open_store(collection.folder) as store:
            encoder = Binding.read(store.manifest, collection.name).encoder
    return Collection(collection.folder / "anew", encoder=encoder, settings=collection.settings)


def _dry_run(
    session: Session, collection: Collection, sources: Sequence[str], how: dict[str, Any], where: tuple[str, str | None]
) -> int:
    estimate = collection.estimate(list(sources), **how, progress=session.talk.progress())
    with opened(where[1]) as output:
        if where[0] == "json":
            output.json(dataclasses.asdict(estimate))
            return 0
        output.line(f"files    {amount(estimate.files, 'to read')}, {amount(estimate.size, 'bytes')}")
        output.line(f"chunks   about {amount(estimate.chunks, 'chunks')}, {amount(estimate.tokens, 'tokens')}")
        alone = " for reading; what the service takes is not known" if estimate.cost else ""
        output.line(f"time     about {duration(estimate.seconds)}{alone}")
        if estimate.cost:
            output.line(f"cost     {estimate.cost}")
        output.line(f"disk     about {amount(estimate.bytes, 'bytes')}")
    session.talk.say(f"judged by {estimate.sampled} of the files; nothing was written")
    return 0


def _tell(session: Session, collection: Collection, report: Report, where: tuple[str, str | None]) -> int:
    for note in report.notes:
        session.talk.warn(printable(note))
    written = skipped_list(session, collection.name, report.skipped)
    info = collection.info()
    if where[0] == "json":
        with opened(where[1]) as output:
            output.json(
                {
                    "collection": collection.name,
                    "total": {"chunks": info.chunks, "sources": info.sources, "bytes": info.bytes},
                    **dataclasses.asdict(report),
                    "skipped_list": written,
                }
            )
    from sememe.store.vector_type import find

    vectors = amount(info.chunks * find(info.vectors).width(info.binding.dim), "bytes")
    files = f", {counted(info.sources, 'file')}" if info.sources else ""
    session.talk.say(
        f"✔ {collection.name}: {counted(info.chunks, 'chunk')}{files}, {vectors} of vectors by {info.binding.encoder}"
        + ("" if info.vectors == "float32" else f", kept as {info.vectors}")
    )
    session.talk.say(
        f"  {report.encoded} encoded, {report.reused} known already, {report.deleted} gone; "
        f"{counted(report.unchanged, 'file')} unchanged, {report.removed} removed; {duration(report.seconds)}"
    )
    session.talk.say(f'try  sememe search "…" -c {collection.name}')
    return PARTLY if report.skipped else 0


def skipped_list(session: Session, name: str, skipped: Sequence[Skipped]) -> str | None:
    """Say what was skipped, and write all of it to ``NAME.skipped.csv``; the answer is that file's name."""
    if not skipped:
        return None
    reasons = Counter(one.reason for one in skipped)
    summary = "; ".join(f"{n} × {reason}" for reason, n in reasons.most_common(3)) + (" …" if len(reasons) > 3 else "")
    path = Path(f"{name}.skipped.csv")
    try:
        with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["source", "reason"])
            writer.writerows((one.source, one.reason) for one in skipped)
        place = f"; the list is in {path}"
    except OSError as error:
        place = f"; {path} cannot be written ({error.strerror}), so here they all are:"
    session.talk.warn(f"{len(skipped)} skipped ({printable(summary)}){place}")
    if session.talk.verbose or not place.endswith(str(path)):
        for one in skipped:
            session.talk.warn(f"skipped {printable(one.source)}: {printable(one.reason)}")
    return str(path) if place.endswith(str(path)) else None


def _nothing(sources: Sequence[str], skipped: Sequence[Skipped], glob: Sequence[str]) -> DataError:
    why: list[str | tuple[str, str]] = [(printable(one.source), printable(one.reason)) for one in skipped[:5]]
    if len(skipped) > 5:
        why.append(f"and {len(skipped) - 5} more")
    if glob:
        why.append(("only files like", " ".join(glob)))
    shown = "stdin" if tuple(sources) == ("-",) else printable(" ".join(sources))
    return DataError(
        f"there is nothing to index in {shown}",
        why=why or ["no file was found"],
        do=["check the path, the glob, and the ignore files (.gitignore, .sememeignore)"],
    )


@contextmanager
def _nothing_left_behind(collection: Collection) -> Iterator[None]:
    """A collection that was made for this run leaves again when the data cannot be read."""
    existed = collection.exists
    try:
        yield
    except (DataError, MissingError):
        if not existed:
            _forget_empty(collection)
        raise


def _forget_empty(collection: Collection) -> None:
    if not collection.exists or collection.count():
        return
    collection.close()
    with suppress(LockedError):  # another process is putting something in: then it is not empty for long
        remove(collection.name, collection.folder.parent)
