"""``sememe models``: the encoders on disk and the ones that can be fetched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sememe.cli import options
from sememe.cli.models_check import check
from sememe.cli.models_save import save
from sememe.cli.output import Output, opened, printable, table
from sememe.cli.session import Session
from sememe.errors import ModelError
from sememe.progress import amount

if TYPE_CHECKING:
    from sememe.models.catalogue import Entry
    from sememe.models.registry import FileCheck, Installed


@click.group("models")
def command() -> None:
    """Encoders on disk: list, info, pull, add, rm, verify, check, save."""


command.add_command(save)
command.add_command(check)


@command.command("list")
@options.formats("json")
@options.common
def list_(session: Session, form: str, out: str | None) -> None:
    """Every model that can be named: on disk, added by you, or to be fetched."""
    from sememe.models.catalogue import entries
    from sememe.models.registry import installed

    home = session.settings.home
    own = {model.name: model for model in installed(home)}
    rows = [_catalogued(entry, own.pop(entry.name, None), home) for entry in entries()]
    rows += [_added(model) for model in own.values()]
    with opened(out) as output:
        if form == "json":
            output.json(rows)
            return
        shown = [
            (
                row["name"] + (" *" if row["name"] == session.settings.model else ""),
                str(row["dim"] or ""),
                str(row["max_tokens"] or ""),
                amount(row["size"], "bytes") if row["size"] else "",
                row["licence"],
                row["state"],
            )
            for row in rows
        ]
        for line in table(shown, ("model", "dims", "tokens", "size", "licence", "where")):
            output.line(line)
    session.talk.say(f"* is the one that is used when nothing else is said ({session.settings.origins['model']})")


@command.command("info")
@click.argument("model", required=False)
@options.formats("json")
@options.common
def info(session: Session, model: str | None, form: str, out: str | None) -> None:
    """What is known about one model, also where its files are."""
    from sememe.encoders.remote.naming import is_remote

    name = model or session.settings.model
    facts = _hosted(name) if is_remote(name) else _facts(name, session)
    with opened(out) as output:
        if form == "json":
            output.json(facts)
        else:
            _write_facts(output, facts)


@command.command("pull")
@click.argument("model", required=False)
@click.option("--again", is_flag=True, help="Fetch it even if it is here.")
@options.common
def pull(session: Session, model: str | None, again: bool) -> None:
    """Fetch a model ahead of need: with a bar, and checked by SHA-256. Prints its folder."""
    from sememe.models.catalogue import find
    from sememe.models.pull import pull as fetch

    entry = find(model or session.settings.model)
    where = session.settings
    folder = fetch(entry, home=where.home, offline=where.offline, progress=session.talk.progress(), fresh=again)
    session.talk.say(f"✔ {entry.name} is here, and its files are the expected ones")
    with opened(None) as output:
        output.line(str(folder))


@command.command("add")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", help="What to call it; the folder's name if not given.")
@options.common
def add(session: Session, path: Path, name: str | None) -> None:
    """Copy a model's folder (Hugging Face or sentence-transformers layout) under a name. Prints where it is kept."""
    from sememe.models.registry import add as copy

    chosen = name or path.expanduser().resolve().name
    folder = copy(path, chosen, session.settings.home)
    session.talk.say(f"✔ added; use it with  -m {chosen}")
    with opened(None) as output:
        output.line(str(folder))


@command.command("rm")
@click.argument("model")
@options.answer_yes
@options.common
def rm(session: Session, model: str, yes: bool) -> None:
    """Delete a model from sememe's own folder; the cache of other programs is never touched."""
    from sememe.models.registry import remove

    options.sure(f"delete the files of {model}?", yes)
    folder = remove(model, session.settings.home)
    session.talk.say(f"✔ removed {folder}")


@command.command("verify")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@options.formats("json")
@options.common
def verify(session: Session, models: tuple[str, ...], form: str, out: str | None) -> None:
    """Hash every file of the named models, or of all, and compare with what it should be."""
    from sememe.models.registry import installed
    from sememe.models.registry import verify as check

    home = session.settings.home
    names = models or tuple(model.name for model in installed(home))
    checks = [(name, result) for name in names for result in check(name, home)]
    with opened(out) as output:
        if form == "json":
            output.json([_check(name, result) for name, result in checks])
        else:
            rows = [(name, result.path, result.state, result.against) for name, result in checks]
            for line in table(rows, ("model", "file", "state", "by the word of")):
                output.line(line)
    bad = [(name, result) for name, result in checks if result.state != "ok"]
    if bad:
        raise ModelError(
            f"{len(bad)} of {len(checks)} files are not what they should be",
            why=[(f"{name}/{result.path}", result.state) for name, result in bad],
            do=[("fetch it again", f"sememe models pull {name} --again") for name in dict.fromkeys(n for n, _ in bad)],
        )
    session.talk.say(f"✔ {len(checks)} files of {len(names)} models are what they should be")


def _catalogued(entry: Entry, own: Installed | None, home: Path) -> dict[str, Any]:
    from sememe.architectures.families import FAMILIES
    from sememe.models.pull import here

    try:
        folder = here(entry.name, home=home)
        state = str(folder) if folder else "to be fetched"
        if entry.architecture not in FAMILIES:
            state += f"; this version does not run {entry.architecture}"
    except ModelError as error:
        folder, state = None, f"damaged: {error.what}"
    return {
        "name": entry.name,
        "dim": entry.dim,
        "max_tokens": entry.max_tokens,
        "size": own.size if own else entry.size,
        "licence": entry.licence,
        "on_disk": folder is not None,
        "state": state,
    }


def _added(model: Installed) -> dict[str, Any]:
    return {
        "name": model.name,
        "dim": None,
        "max_tokens": None,
        "size": model.size,
        "licence": "",
        "on_disk": True,
        "state": f"{model.folder}  ({model.source})",
    }


def _hosted(name: str) -> dict[str, Any]:
    """What is known of a hosted encoder, without asking anybody, and whether its key is there."""
    from sememe.encoders.remote.open import described, key_state

    encoder = described(name)
    widths = encoder.model.dims
    price, seen = encoder.model.price, encoder.model.seen
    return {
        **encoder.facts(),
        "other dims": f"any up to {encoder.model.widest or encoder.model.dim}"
        if 0 in widths
        else list(map(str, widths)),
        "one request": f"at most {encoder.limits.texts} texts, {encoder.limits.tokens} tokens",
        "price": f"${price:.2f} for a million tokens, by the list of {seen}" if price else "not known",
        "key": key_state(encoder),
    }


def _facts(name: str, session: Session) -> dict[str, Any]:
    from sememe.models.catalogue import find, lookup
    from sememe.models.layout import read_layout
    from sememe.models.pull import here, is_path

    entry = None if is_path(name) else lookup(name)
    folder = Path(name).expanduser() if is_path(name) else here(name, home=session.settings.home)
    if entry is None and folder is None:
        find(name)  # raises, with what comes close
    facts: dict[str, Any] = {}
    if entry is not None:
        facts |= {
            "name": entry.name,
            "dims": entry.dim,
            "longest item": f"{entry.max_tokens} tokens",
            "pooling": entry.pooling,
            "unit length": entry.normalize,
            "prompts": dict(entry.prompts),
            "languages": list(entry.languages),
            "licence": entry.licence,
            "hub repository": f"{entry.repo} at {entry.revision}",
            "size": entry.size,
            "note": entry.note,
        }
    elif folder is not None:
        layout = read_layout(folder)
        facts |= {
            "name": layout.name,
            "pooling": layout.pooling,
            "unit length": layout.normalize,
            "prompts": dict(layout.prompts),
            "assumed": list(layout.assumed),
        }
    return facts | {"on disk": str(folder) if folder else None}


def _write_facts(output: Output, facts: dict[str, Any]) -> None:
    for key, value in facts.items():
        if value not in ("", [], {}):
            output.line(f"{key:<16}{_fact(key, value)}")


def _fact(key: str, value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return amount(value, "bytes") if key == "size" else str(value)
    if isinstance(value, dict):
        return ", ".join(f"{role} {text!r}" for role, text in value.items())
    return ", ".join(value) if isinstance(value, list) else printable(value)


def _check(name: str, result: FileCheck) -> dict[str, str]:
    return {
        "model": name,
        "file": result.path,
        "state": result.state,
        "expected": result.expected,
        "got": result.got,
        "against": result.against,
    }
