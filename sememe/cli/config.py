"""``sememe config``: settings, and where each value came from."""

from __future__ import annotations

import os
from typing import Any

import click

from sememe import settings
from sememe.cli import options
from sememe.cli.output import opened, table
from sememe.cli.session import Session


@click.group("config")
def command() -> None:
    """Settings, and where each value came from: list, get, set, path."""


@command.command("list")
@options.formats("json")
@options.common
def list_(session: Session, form: str, out: str | None) -> None:
    """Every setting with its value and the place that decided it."""
    rows = [(key, session.settings.get(key.name)) for key in settings.KEYS]
    with opened(out) as output:
        if form == "json":
            output.json(
                [{"key": k.name, "value": _plain(v), "from": session.settings.origins[k.name]} for k, v in rows]
            )
            return
        for line in table(
            [(k.name, _shown(v), session.settings.origins[k.name], k.about) for k, v in rows],
            ("key", "value", "from", "what it is"),
        ):
            output.line(line)
    for name in settings.unknown_environment():
        session.talk.warn(f"{name} is set in the environment, and sememe knows no such variable")


@command.command("get")
@click.argument("key")
@options.common
def get(session: Session, key: str) -> None:
    """The value of one setting."""
    value = session.settings.get(key)
    session.talk.detail(f"from {session.settings.origins[key]}")
    with opened(None) as output:
        output.line(_shown(value))


@command.command("set")
@click.argument("key")
@click.argument("value")
@options.common
def set_(session: Session, key: str, value: str) -> None:
    """Write one setting into your own settings file."""
    path = settings.write_user(key, value)
    session.talk.say(f"{key} = {value} in {path}")
    winner = settings.load().origins[key]
    if winner != str(path):
        session.talk.warn(f"{key} is decided by {winner}, which comes before that file")


@command.command("path")
@options.common
def path(session: Session) -> None:
    """Your settings file; it need not exist."""
    with opened(None) as output:
        output.line(os.fspath(settings.user_file()))


def _plain(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
