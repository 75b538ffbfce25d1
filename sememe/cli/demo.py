"""``sememe demo``: the bundled sample, three searches, and the claim that they work by meaning, checked as it runs."""

from __future__ import annotations

import json
import re
import time
from importlib import resources
from typing import TYPE_CHECKING, Any

import click

from sememe.cli import options
from sememe.cli.hits import lines
from sememe.cli.output import Output, opened
from sememe.cli.session import Session
from sememe.collection import binding
from sememe.errors import MismatchError
from sememe.progress import amount
from sememe.shapes import Hits, Item, Place

if TYPE_CHECKING:
    from sememe.collection.collection import Collection

#: the collection that the demo keeps; the name is unlikely to be anybody's own
NAME = "sememe-sample"

#: words that carry no subject; what remains of a query are its content words
FUNCTION_WORDS = frozenset(
    """a about above after all also am an and any are as at be been before being below between both but by can could did
    do does doing down during each few for from further had has have having he her here hers him his how i if in into is
    it its just me more most my no nor not now of off on once only or other our out over own same she should so some
    such than that the their them then there these they this those through to too under until up very was we were what
    when where which while who whom why will with would you your""".split()  # noqa: SIM905 (words, not strings)
)


@click.command("demo")
@options.formats("json")
@options.encoding
@options.common
def command(session: Session, form: str, out: str | None) -> None:
    """Search a bundled sample by meaning; the fastest way to see what this is.

    Keeps the sample as the collection sememe-sample, so that a second run, and your own searches, start at once.
    """
    began = time.perf_counter()
    encoder = session.encoder()
    how = encoder.describe().get("precision", "")
    loaded = time.perf_counter()
    session.talk.say(f"encoder  {encoder.name}, {encoder.dim} dims, {how}, ready in {loaded - began:.1f} s")
    with _kept(session) as collection:
        report = collection.report
        assert report is not None
        took = f"{report.encoded} encoded in {report.seconds:.1f} s" if report.encoded else "all known already"
        session.talk.say(f"sample   {amount(report.items, 'short texts')}, bundled, public domain; {took}")
        asked = [row["text"] for row in sample("queries") if row.get("demo")]
        found = [(query, collection.search(query, 3, mode="dense")) for query in asked]
    with opened(out) as output:
        if form == "json":
            output.json([_plain(query, hits) for query, hits in found])
        else:
            for number, (query, hits) in enumerate(found, 1):
                _show(output, number, query, hits)
    session.talk.say(f"\ndone in {time.perf_counter() - began:.1f} s. Next, on your own files:")
    session.talk.say(f'  sememe search "a question of your own" -c {NAME}')
    session.talk.say("  sememe index ~/notes -c notes")
    session.talk.say('  sememe search "how do we rotate keys" -c notes')


def _kept(session: Session) -> Collection:
    """The sample as a collection, made or brought up to date; one of another encoder is made anew."""
    items = [
        Item(row.pop("text"), Place("sample", n, n, "row"), title=row.pop("title"), id=row.pop("id"), meta=row)
        for n, row in enumerate(sample("items"), 1)
    ]
    try:
        return session.collection(NAME).add(items, progress=session.talk.progress())
    except MismatchError:
        binding.remove(NAME, session.settings.collections_dir)
        session.talk.say("sample   was kept with another encoder; it is made anew")
        return session.collection(NAME).add(items, progress=session.talk.progress())


def _show(output: Output, number: int, query: str, hits: Hits) -> None:
    output.line(f'\n{number}  "{query}"')
    for line in lines(hits, query=query):
        output.line(f"   {line}")
    shared = shared_words(query, f"{hits[0].title} {hits[0].text}")
    words = ", ".join(content_words(query))
    claim = f"but it shares: {', '.join(shared)}" if shared else f"the best hit has none of the words: {words}"
    output.line(f"   → {claim}")


def _plain(query: str, hits: Hits) -> dict[str, Any]:
    shared = shared_words(query, f"{hits[0].title} {hits[0].text}")
    return {"query": query, "words_shared_with_the_best_hit": shared, "hits": [hit.as_dict() for hit in hits]}


def sample(name: str) -> list[dict[str, Any]]:
    """The rows of one file of the sample: ``items`` or ``queries``."""
    text = resources.files("sememe").joinpath("sample", f"{name}.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def content_words(text: str) -> list[str]:
    """The words of ``text`` that carry its subject, in their order, each once."""
    return [word for word in dict.fromkeys(_words(text)) if word not in FUNCTION_WORDS]


def shared_words(query: str, text: str) -> list[str]:
    """The content words of ``query`` that ``text`` has too, whatever their endings."""
    stems = {_stem(word) for word in _words(text)}
    return [word for word in content_words(query) if _stem(word) in stems]


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text.casefold())


def _stem(word: str) -> str:
    # Rough on purpose, and on the strict side: five letters alike count as the same word.
    return word[:5] if len(word) > 5 else word.removesuffix("s")
