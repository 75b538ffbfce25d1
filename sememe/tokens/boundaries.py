"""How good a place in a text is to end a chunk at.

The rules look only at the characters around a place, know no language and cost about a microsecond. They are right for
plain prose; where they err, a chunk ends at a word instead of a sentence, and nothing is lost.
"""

from __future__ import annotations

from enum import IntEnum


class Boundary(IntEnum):
    """What ends at a place; the greater, the better to cut there."""

    TOKEN = 0
    WORD = 1
    LINE = 2
    SENTENCE = 3
    PARAGRAPH = 4


#: end a sentence where white space follows
_STOPS = frozenset(".!?…؟۔।॥։።")
#: end a sentence by themselves, in scripts that put no space after it
_WIDE_STOPS = frozenset("。！？｡។៕།༎။")
_CLOSERS = "\"'”’»›)]}」』】）》〉*_`"
_OPENERS = "\"'“‘«‹([{「『【（《〈*_`"
#: a full stop after these ends no sentence
_ABBREVIATIONS = frozenset(
    {"al", "approx", "ca", "capt", "cf", "col", "dr", "e.g", "eds", "fig", "figs", "gen", "gov", "hon", "i.e", "jr"}
    | {"lt", "messrs", "mme", "mlle", "mr", "mrs", "ms", "mt", "prof", "rep", "rev", "sen", "sgt", "sr", "st", "vs"}
    | {"bspw", "bzw", "d.h", "evtl", "ggf", "p.ex", "sig", "sra", "srta", "u.a", "vgl", "z.b"}
)
#: nor after these before a number
_BEFORE_NUMBERS = frozenset({"art", "ch", "eq", "no", "nos", "nr", "núm", "p", "pp", "sec", "vol"})
_LONGEST_WORD = 24


def boundary(text: str, start: int, at: int) -> Boundary:
    """What ends before ``text[at]``, a character that is no white space.

    ``start`` is some earlier place with a character that is no white space: nothing before it is taken for the gap.
    """
    left = text[at - 1]
    if left < "\u0e00":  # nearly always: inside a word, or after a word and one space
        if left.isalnum():
            return Boundary.WORD if _between_words(left, text[at]) else Boundary.TOKEN
        if left == " " and text[at - 2].isalnum():
            return Boundary.WORD
    gap_start = start + len(text[start:at].rstrip())
    gap = text[gap_start:at]
    if not gap:
        if left in _WIDE_STOPS or (left in _CLOSERS and _closed_by(text, at) in _WIDE_STOPS):
            inside = text[at] in _CLOSERS or text[at] in _WIDE_STOPS
            return Boundary.TOKEN if inside else Boundary.SENTENCE
        return Boundary.WORD if _between_words(left, text[at]) else Boundary.TOKEN
    lines = 0 if gap == " " else max(gap.count("\n"), gap.count("\r"), 2 * gap.count("\u2029"), gap.count("\u2028"))
    if lines >= 2:
        return Boundary.PARAGRAPH
    if _ends_sentence(text, gap_start, text[at]):
        return Boundary.SENTENCE
    return Boundary.LINE if lines else Boundary.WORD


def _ends_sentence(text: str, end: int, following: str) -> bool:
    last = text[end - 1]
    if last in _CLOSERS:
        last = _closed_by(text, end)
    if last in _WIDE_STOPS:
        return True
    if last not in _STOPS:
        return False
    return last != "." or not _is_abbreviation(text, end, following)


def _closed_by(text: str, end: int) -> str:
    """The last character before ``end`` that closes no quotation or bracket."""
    return text[max(0, end - _LONGEST_WORD) : end].rstrip(_CLOSERS + " \u00a0\u202f")[-1:] or " "


def _is_abbreviation(text: str, end: int, following: str) -> bool:
    """Whether the full stop before ``end`` belongs to a word, an initial or a number."""
    if following.islower():
        return True
    words = text[max(0, end - _LONGEST_WORD) : end].rstrip(_CLOSERS)[:-1].split()
    word = words[-1].lstrip(_OPENERS) if words else ""
    initial = len(word) == 1 and word.isupper()
    numbering = len(word) <= 2 and word.isdecimal()
    word = word.lower()
    return initial or numbering or word in _ABBREVIATIONS or (following.isdecimal() and word in _BEFORE_NUMBERS)


def _between_words(left: str, right: str) -> bool:
    """Whether a word may end between two characters that no space parts."""
    if right < "\u0e00" and left < "\u0e00":  # only scripts beyond are written without spaces
        return False
    if right.isdecimal() or not right.isalnum():
        return False
    return _unspaced(left) or _unspaced(right)


def _unspaced(character: str) -> bool:
    """Whether the character's script puts no spaces between words."""
    point = ord(character)
    return (
        0x0E00 <= point < 0x0F00  # Thai, Lao
        or 0x1000 <= point < 0x10A0  # Burmese
        or 0x1780 <= point < 0x1800  # Khmer
        or 0x3000 <= point < 0xA000  # Japanese kana, Chinese characters and their punctuation
        or 0xF900 <= point < 0xFB00
        or 0xFF00 <= point < 0xFFF0
        or 0x20000 <= point < 0x40000
    )
