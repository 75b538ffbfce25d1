"""Hits as people read them and as programs do."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from sememe.cli.output import Output, printable
from sememe.cli.talk import counted
from sememe.shapes import Group, Hit, Hits, Scalar

if TYPE_CHECKING:
    from sememe.cli.talk import Talk
    from sememe.collection.context import Context
    from sememe.collection.explain import Explained
    from sememe.store.facets import Facet

#: part of a score → what it is called on the screen, and how many decimals are worth reading
PARTS = {"cosine": ("cos", 2), "bm25": ("bm25", 1), "hybrid": ("hybrid", 3), "rrf": ("rrf", 4), "rerank": ("rerank", 2)}
COLUMNS = ("id", "score", "kind", "title", "text", "source", "start", "end", "unit", "item", "span", "scores", "meta")


@dataclass(frozen=True, slots=True)
class Found:
    """What was asked, and what it is answered with: hits, the facets that were asked for, and of each hit what stands
    around it and why it is one, where that was asked for."""

    asked: Mapping[str, Any]
    hits: Hits
    facets: Sequence[Facet] = ()
    contexts: Sequence[Context] = ()
    explained: Sequence[Explained] = ()

    def plain(self) -> list[dict[str, Any]]:
        """The hits with all that belongs to each, ready for JSON."""
        rows = [hit.as_dict() for hit in self.hits]
        for row, context in zip(rows, self.contexts, strict=False):
            row["context"] = context.as_dict()
        for row, one in zip(rows, self.explained, strict=False):
            row["explained"] = one.as_dict()
        return rows


def write(output: Output, found: Found, form: str, *, verbose: bool = False) -> None:
    """Write what was found in ``form``: text, json, jsonl or csv; the last two hold hits and nothing else."""
    hits = found.hits
    if form == "json":
        output.json(
            {
                **found.asked,
                "kind": hits.kind,
                "searched": hits.searched,
                "seconds": hits.seconds,
                "hits": found.plain(),
                "cursor": hits.cursor,
                "facets": [facet.as_dict() for facet in found.facets],
            }
        )
    elif form == "jsonl":
        for row in found.plain():
            output.json(row, indent=None)
    elif form == "csv":
        output.rows((hit.as_dict() for hit in hits), COLUMNS)
    else:
        query = str(found.asked.get("query", ""))
        for line in lines(hits, query=query, verbose=verbose, contexts=found.contexts, explained=found.explained):
            output.line(line)
        for facet in found.facets:
            for line in facet_lines(facet):
                output.line(line)


def lines(
    hits: Hits,
    *,
    query: str,
    verbose: bool = False,
    contexts: Sequence[Context] = (),
    explained: Sequence[Explained] = (),
) -> list[str]:
    """For each hit its scores with their kinds, its place and title, and up to two lines around the best words, between
    those that stand around it; then where the others of its group stand, and why it is one."""
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    scores = [_scores(hit, verbose) for hit in hits]
    places = [printable(str(hit.place)) for hit in hits]
    score_width = max(map(len, scores), default=0)
    place_width = min(max(map(len, places), default=0), 60)
    out: list[str] = []
    for at, (hit, score, place) in enumerate(zip(hits, scores, places, strict=True)):
        title = printable(hit.title)
        head = f"{score:<{score_width}}   {place:<{place_width}}"
        out.append(f"{head}   {_bold(title)}" if title else head.rstrip())
        before, after = (contexts[at].before, contexts[at].after) if contexts else ((), ())
        out += [f"  │ {_cut(line, width - 4)}".rstrip() for line in before]
        out += [f"  {line}" for line in snippet(_below_heading(hit), query, width=width - 2)]
        out += [f"  │ {_cut(line, width - 4)}".rstrip() for line in after]
        if hit.group is not None and hit.group.others:
            out.append(f"  {_others(hit.group)}")
        if explained:
            out += [f"  {line}" for line in why(explained[at])]
    return out


def why(one: Explained) -> list[str]:
    """The words of the query that a hit holds, and the sum that its hybrid score is."""
    held = [
        f"{printable(word.word)} ×{word.times}"
        + (f" ({printable(', '.join(word.spelt))})" if word.spelt != (word.word.casefold(),) else "")
        for word in one.words
    ]
    parts = held + ([f"without {printable(', '.join(one.missing))}"] if one.missing else [])
    out = [f"words: {' · '.join(parts)}" if parts else "words: none to look for"]
    if one.steps:
        sums = [
            f"{step.weight:g} × ({step.score:.3f} − {step.zero:.3f}) / ({step.one:.3f} − {step.zero:.3f})"
            if step.zero
            else f"{step.weight:g} × {step.score:.2f} / {step.one:.2f}"
            for step in one.steps
        ]
        shares = " + ".join(f"{step.share:.3f}" for step in one.steps)
        out.append(f"score: {' + '.join(sums)} = {shares} = {sum(step.share for step in one.steps):.3f} hybrid")
    if one.kind not in ("hybrid", "cosine", "bm25"):
        name, decimals = PARTS.get(one.kind, (one.kind, 3))
        out.append(f"order: {one.score:.{decimals}f} {name}")
    return out


def _cut(line: str, width: int) -> str:
    line = printable(line)
    return line if len(line) <= width else line[: width - 2] + " …"


def facet_lines(facet: Facet) -> list[str]:
    """The values of a field with how many chunks hold each."""
    rest = facet.values - len(facet.counts)
    head = f"{printable(facet.field)}: {counted(facet.values, 'value')} in {counted(facet.items, 'chunk')}"
    out = ["", head + (f", {facet.without} without" if facet.without else "")]
    width = max((len(f"{items}") for _, items in facet.counts), default=0)
    out += [f"  {items:>{width}}  {_valued(value)}" for value, items in facet.counts]
    return [*out, f"  … and {counted(rest, 'other value')}"] if rest else out


def _valued(value: Scalar) -> str:
    return printable(value) if isinstance(value, str) else json.dumps(value)


def _others(group: Group) -> str:
    best = ", ".join(f"{printable(str(hit.place))} ({hit.score:.2f})" for hit in group.others[:3])
    return f"+ {len(group.others)} more: {best}" + (", …" if len(group.others) > 3 else "")


def _below_heading(hit: Hit) -> str:
    """The text without its first line where that is the heading which already stands as the title."""
    first, _, rest = hit.text.partition("\n")
    heading = first.strip("#= \t")
    return rest if rest.strip() and heading and hit.title.endswith(heading) else hit.text


def say_rest(talk: Talk, hits: Hits, mode: str, *, turning: bool) -> None:
    """The last line, and the way to the next page for those who are ``turning`` pages; others see it with ``-v``."""
    talk.say(footer(hits, mode))
    if hits.cursor:
        (talk.say if turning else talk.detail)(f"more:  --after {hits.cursor}")


def footer(hits: Hits, mode: str) -> str:
    """``3 hits of 8 412 chunks, hybrid, 9 ms``."""
    ms = hits.seconds * 1000
    took = f"{ms:.0f} ms" if ms >= 1 else "under 1 ms"
    return f"{counted(len(hits), 'hit')} of {counted(hits.searched, 'chunk')}, {mode}, {took}"


def snippet(text: str, query: str, *, width: int) -> list[str]:
    """At most two lines of ``text``, from where most of the query's words stand; its beginning if none does."""
    text = printable(text)
    room = 2 * width - 4
    start = _best_start(text, query, room)
    piece = text[start : start + room]
    if start + room < len(text):
        piece = piece.rsplit(" ", 1)[0] + " …" if " " in piece else piece
    if start:
        piece = "… " + piece
    out: list[str] = []
    while piece and len(out) < 2:
        cut = len(piece) if len(piece) <= width else (piece.rfind(" ", 0, width + 1) if " " in piece[:width] else width)
        out.append(piece[:cut].rstrip())
        piece = piece[cut:].lstrip()
    return out


def _best_start(text: str, query: str, room: int) -> int:
    if len(text) <= room:
        return 0
    stems = {word[: max(4, len(word) - 2)] for word in re.findall(r"\w{3,}", query.casefold())}
    found = [
        (match.start(), stem)
        for match in re.finditer(r"\w+", text)
        for stem in stems
        if match.group().casefold().startswith(stem)
    ]
    best, most = 0, 0
    for at, _ in found:
        inside = len({stem for start, stem in found if at <= start < at + room - 40})
        if inside > most:
            best, most = at, inside
    if best < 40:
        return 0
    # Begin some words earlier, at a word.
    return text.find(" ", max(0, best - 40)) + 1


def _scores(hit: Hit, verbose: bool) -> str:
    parts: dict[str, float | None] = dict(hit.scores) or {hit.kind: hit.score}
    if hit.kind in ("hybrid", "rrf"):
        # A side that did not find the item says so, and the columns stay in place.
        parts = {"cosine": parts.get("cosine"), "bm25": parts.get("bm25")}
    if verbose:
        parts[hit.kind] = hit.score
    return " · ".join(_score(kind, value) for kind, value in parts.items())


def _score(kind: str, value: float | None) -> str:
    name, decimals = PARTS.get(kind, (kind, 3))
    width = 4 if kind == "bm25" else 0
    return f"{'–' if value is None else format(value, f'.{decimals}f'):>{width}} {name}"


def _bold(text: str) -> str:
    colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return click.style(text, bold=True) if colours else text
