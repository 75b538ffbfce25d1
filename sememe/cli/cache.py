"""``sememe cache``: what is remembered of texts that were encoded."""

from __future__ import annotations

import click

from sememe.cli import options
from sememe.cli.output import opened
from sememe.cli.session import Session
from sememe.progress import amount


@click.group("cache")
def command() -> None:
    """Vectors that are remembered, so that none is paid for twice: info, clear."""


@command.command("info")
@options.formats("json")
@options.common
def info(session: Session, form: str, out: str | None) -> None:
    """How many vectors are remembered, in which file, and whether new ones are."""
    from sememe.encoders.cache_file import facts
    from sememe.encoders.cached import cache_of

    now = session.settings
    cache = cache_of(now)
    found = cache.info()
    cache.close()
    with opened(out) as output:
        if form == "json":
            output.json({**facts(found), "mode": now.cache_mode})
            return
        output.line(f"file     {found.path}")
        output.line(f"vectors  {found.rows:,}")
        output.line(f"size     {amount(found.bytes, 'bytes')} of at most {amount(found.limit, 'bytes')}")
        output.line(f"mode     {now.cache_mode}  ({now.origins['cache.mode']})")


@command.command("clear")
@options.answer_yes
@options.common
def clear(session: Session, yes: bool) -> None:
    """Forget every remembered vector. Collections are not touched: they have their own."""
    from sememe.encoders.cached import cache_of

    cache = cache_of(session.settings)
    rows = cache.info().rows
    if rows:
        options.sure(f"forget {amount(rows, 'vectors')} in {cache.path}?", yes)
        cache.clear()
    cache.close()
    session.talk.say(f"✔ {amount(rows, 'vectors')} forgotten")
