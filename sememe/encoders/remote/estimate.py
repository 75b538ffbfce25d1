"""How many tokens a text has, of a provider whose tokenizer is not here: an estimate that is rather too high.

It is a real `Tokenizer`, so that texts are cut into chunks and windows with it as with any other, but its tokens are
counted by a rule and not by a vocabulary: up to three letters of a to z are one token, a single space between words is
none and up to sixteen in a row are one, any other character is as many as its UTF-8 has bytes, less one, and at least
one. Measured against two tokenizers of OpenAI (docs/decisions/2026-11-22-hosted.md) that is 1.4 to 1.8 times what
English prose and code have, and at worst 0.77 times, on languages that those tokenizers spell in small pieces; so
limits are held at `MARGIN` of what a provider says.
"""

from __future__ import annotations

import functools
import hashlib

from sememe.tokens.files import Loaded
from sememe.tokens.tokenizer import Tokenizer

#: the share of a published limit that is used
MARGIN = 0.75
SAID = "estimated, rather too high: up to three letters a token"
_PIECES = r"[A-Z][a-z]{1,2}|[a-z]{1,3}|[A-Z]{1,2}|[^A-Za-z ]| {2,16}"
#: characters of three and four bytes, and by what they are counted
_LONG = ((r"[\x{800}-\x{FFFF}]", "¤¤"), (r"[\x{10000}-\x{10FFFF}]", "¤¤¤"))


@functools.lru_cache(maxsize=1)
def estimating_tokenizer() -> Tokenizer:
    """The tokenizer of everything that is served elsewhere."""
    import tokenizers
    from tokenizers import Regex, models, normalizers, pre_tokenizers

    backend = tokenizers.Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    backend.normalizer = normalizers.Sequence([normalizers.Replace(Regex(one), mark) for one, mark in _LONG])
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.Split(Regex("^ $"), "removed"),
        ]
    )
    rule = hashlib.sha256(repr((_PIECES, _LONG)).encode()).hexdigest()
    return Tokenizer(Loaded(backend, rule, vocab_size=1, pad_id=0), name="an estimate")


def head(text: str, limit: int) -> tuple[str, int]:
    """The beginning of ``text`` that has at most ``limit`` tokens, and how many it has; at least one character."""
    offsets = next(iter(estimating_tokenizer().offsets([text])))
    count = min(limit, len(offsets))
    if count == len(offsets):
        return text, count
    while count > 1 and offsets[count][0] < offsets[count - 1][1]:  # inside a character
        count -= 1
    return text[: offsets[count - 1][1]], count


def windows(text: str, limit: int) -> list[tuple[str, int]]:
    """All of ``text`` in parts of at most ``limit`` tokens, each with its count."""
    offsets = next(iter(estimating_tokenizer().offsets([text])))
    parts, first = [], 0
    while first < len(offsets):
        last = min(first + limit, len(offsets))
        while first + 1 < last < len(offsets) and offsets[last][0] < offsets[last - 1][1]:
            last -= 1
        parts.append((text[offsets[first][0] : offsets[last - 1][1]], last - first))
        first = last
    return parts
