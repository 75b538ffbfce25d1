"""Long texts into chunks that a model can take whole.

A chunk ends between two tokens, at the best place that the second half of its room offers: the end of a paragraph,
else of a sentence, a line, a word. Its tokens are counted by tokenising the chunk itself, since a part of a text may
have more tokens than its share of the whole.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sememe.errors import DataError, UsageError
from sememe.shapes import Chunk
from sememe.tokens.boundaries import Boundary, boundary
from sememe.tokens.tokenizer import BATCH_CHARACTERS, Tokenizer, check_texts

#: below this one character may need more tokens than a chunk holds
SMALLEST = 8
#: texts of up to so many characters a token are first counted whole, which is the cheapest way to find that they fit
_SHORT = 6
#: longer texts are tokenised in pieces of about so many characters, on several threads
_PIECE = 16_000

#: a plan asks for the number of tokens of a text, and in the end returns chunks
_Plan = Generator[str, int, list[Chunk]]


def chunk(text: str, tokenizer: Tokenizer, *, size: int = 256, overlap: int = 32) -> list[Chunk]:
    """Cut a text into chunks of at most ``size`` tokens; neighbours share at most ``overlap`` tokens.

    Both count ordinary tokens, without the model's special ones. Every character that is no white space is in a chunk;
    white space around a chunk is no part of it. A text that fits is one chunk; one of white space alone is none.

    Raises:
        UsageError: ``size`` is too small, or ``overlap`` not less than ``size``.
        DataError: one character alone has more than ``size`` tokens.
    """
    return chunk_many([text], tokenizer, size=size, overlap=overlap)[0]


def chunk_many(texts: Sequence[str], tokenizer: Tokenizer, *, size: int = 256, overlap: int = 32) -> list[list[Chunk]]:
    """`chunk` for each text. Many texts in one call cost much less than a call for each."""
    _check(size, overlap)
    check_texts(texts)
    found: list[list[Chunk]] = [[] for _ in texts]
    stripped = [text.strip() for text in texts]
    short = [i for i, text in enumerate(stripped) if text and len(text) <= size * _SHORT]
    long = [i for i, text in enumerate(stripped) if len(text) > size * _SHORT]
    for i, count in zip(short, tokenizer.count([stripped[i] for i in short], specials=False).tolist(), strict=True):
        if count <= size:
            start = _indent(texts[i])
            found[i].append(Chunk(stripped[i], start, start + len(stripped[i]), count))
        else:
            long.append(i)
    for group in _groups(long, stripped):
        plans = {i: _plan(stripped[i], tokenizer, size, overlap) for i in group}
        for i, chunks in _carry_out(plans, tokenizer):
            found[i] = _moved(chunks, _indent(texts[i]))
    return found


def _check(size: int, overlap: int) -> None:
    if size < SMALLEST:
        raise UsageError(f"chunks of {size} tokens are too small", do=[f"use a size of at least {SMALLEST}"])
    if not 0 <= overlap < size:
        raise UsageError(
            f"chunks of {size} tokens cannot overlap by {overlap}",
            do=[f"use an overlap from 0 to {size - 1}; an eighth of the size ({size // 8}) is usual"],
        )


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip())


def _moved(chunks: list[Chunk], by: int) -> list[Chunk]:
    return [Chunk(c.text, c.start + by, c.end + by, c.tokens) for c in chunks] if by else chunks


def _groups(numbers: Iterable[int], texts: Sequence[str]) -> Iterator[list[int]]:
    """Texts that are planned at the same time, so many as fit into memory."""
    group: list[int] = []
    characters = 0
    for i in numbers:
        if group and characters + len(texts[i]) > BATCH_CHARACTERS:
            yield group
            group, characters = [], 0
        group.append(i)
        characters += len(texts[i])
    if group:
        yield group


def _carry_out(plans: dict[int, _Plan], tokenizer: Tokenizer) -> Iterator[tuple[int, list[Chunk]]]:
    """Answer the plans' questions, those of all plans in one batch, until each has its chunks."""
    questions = {i: next(plan) for i, plan in plans.items()}
    while questions:
        counts = tokenizer.count(list(questions.values()), specials=False).tolist()
        asked, questions = questions, {}
        for i, count in zip(asked, counts, strict=True):
            try:
                questions[i] = plans[i].send(count)
            except StopIteration as end:
                yield i, end.value


@dataclass(slots=True)
class _Units:
    """A text in its smallest parts that tokens do not reach across; mostly a unit is one token.

    Unit ``i`` begins at the character ``starts[i]``, which is no white space, and ends where the next one begins. Its
    tokens are those from ``firsts[i]`` to before ``lasts[i]``; between ``lasts[i - 1]`` and ``firsts[i]`` are tokens
    of white space alone. ``ranks[i]`` is the `Boundary` before it. All ascend.
    """

    text: str
    starts: array[int] = field(default_factory=lambda: array("q"))
    firsts: array[int] = field(default_factory=lambda: array("q"))
    lasts: array[int] = field(default_factory=lambda: array("q"))
    ranks: bytearray = field(default_factory=bytearray)

    def __len__(self) -> int:
        return len(self.starts)

    def start(self, i: int) -> int:
        return self.starts[i] if i < len(self.starts) else len(self.text)

    def between(self, i: int, j: int) -> str:
        """The text of the units from ``i`` to before ``j``."""
        return self.text[self.start(i) : self.start(j)].rstrip()

    def tokens(self, i: int, j: int) -> int:
        """How many tokens these units have in the whole text."""
        return self.lasts[j - 1] - self.firsts[i] if j > i else 0


def _units(text: str, tokenizer: Tokenizer) -> _Units:
    """``text`` (without white space around it) in units."""
    pieces = list(_pieces(text))
    units = _Units(text)
    starts, firsts, lasts, ranks = units.starts, units.firsts, units.lasts, units.ranks
    reach = number = 0
    for (base, _), offsets in zip(pieces, tokenizer.offsets([text[a:b] for a, b in pieces]), strict=True):
        for start, end in offsets:
            start, end, number = base + start, base + end, number + 1
            if start < reach:
                lasts[-1], reach = number, max(reach, end)
                continue
            if start < end and text[start].isspace():
                start = end - len(text[start:end].lstrip())
            if start == end:
                continue
            start = start if starts else 0
            ranks.append(boundary(text, starts[-1], start) if starts else Boundary.PARAGRAPH)
            starts.append(start)
            firsts.append(number - 1)
            lasts.append(number)
            reach = end
    if not starts:  # characters that the tokenizer passes over, and nothing else
        units = _Units(text, array("q", [0]), array("q", [0]), array("q", [number]), bytearray([Boundary.PARAGRAPH]))
    return units


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    while len(text) - start > 2 * _PIECE:
        found = (text.find(mark, start + _PIECE, start + 2 * _PIECE) for mark in ("\n\n", "\n", " "))
        end = next((place for place in found if place >= 0), None)
        if end is None:
            break
        yield start, end
        start = end
    yield start, len(text)


def _plan(text: str, tokenizer: Tokenizer, size: int, overlap: int) -> _Plan:
    """The chunks of a text without white space around it."""
    units = _units(text, tokenizer)
    chunks: list[Chunk] = []
    start = done = 0  # in units: where the next chunk begins, and how far the chunks reach already
    while done < len(units):
        room = size
        while True:
            if start < done and units.tokens(start, done + 1) > room:
                start, room = done, size
            end = _best_end(units, start, done, room)
            part = units.between(start, end)
            count = yield part
            if count <= size or end == start + 1:
                break
            # Fewer tokens in proportion, so that few rounds do even where parts have many more than their share.
            weight = units.tokens(start, end)
            room = min(weight - 1, weight * size // count)
        if count <= size:
            at = units.start(start)
            chunks.append(Chunk(part, at, at + len(part), count))
        else:
            chunks += _moved((yield from _plan_unit(part, count, tokenizer, size)), units.start(start))
        done = end
        if done < len(units):
            start = yield from _next_start(units, start, done, overlap)
    return chunks


def _plan_unit(part: str, count: int, tokenizer: Tokenizer, size: int) -> _Plan:
    """A unit that by itself has more tokens than in its text: cut it where its own tokens allow."""
    if len(_units(part, tokenizer)) == 1:
        raise DataError(
            f"a part of the text cannot be cut into chunks of {size} tokens",
            why=[f"{part[:40]!r} ({len(part)} characters) has {count} tokens, and none of them ends inside it"],
            do=["use larger chunks"],
        )
    return (yield from _plan(part, tokenizer, size, 0))


def _best_end(units: _Units, start: int, done: int, room: int) -> int:
    """Where a chunk from ``start`` best ends, having at most ``room`` tokens and at least one new unit."""
    first = units.firsts[start]
    last = max(bisect_right(units.lasts, first + room), done + 1)
    if last >= len(units):
        return len(units)
    # Half of what the chunk has beyond its overlap is kept, so that many short paragraphs make no tiny chunks.
    shared = units.tokens(start, done)
    least = max(bisect_left(units.lasts, first + shared + (room - shared + 1) // 2) + 1, done + 1)
    return max(range(last, min(least, last) - 1, -1), key=units.ranks.__getitem__)


def _next_start(units: _Units, start: int, done: int, overlap: int) -> Generator[str, int, int]:
    """Where the chunk after ``start … done`` begins: at a sentence or word of it, or at ``done``."""
    room = overlap
    while room > 0:
        least = max(bisect_left(units.firsts, units.lasts[done - 1] - room), start + 1)
        if least >= done:
            break
        ranks = units.ranks[least:done]
        wanted = (Boundary.SENTENCE, Boundary.WORD, Boundary.TOKEN)
        at = least + next(i for rank in wanted for i, found in enumerate(ranks) if found >= rank)
        count = yield units.between(at, done)
        if count <= overlap:
            return at
        weight = units.tokens(at, done)
        room = min(weight - 1, weight * overlap // count)
    return done
