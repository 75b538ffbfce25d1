"""The written form of a filter: text into the tree of `filters`, with errors that point at the place.

    any   = all ("or" all)*
    all   = one ("and" one)*
    one   = "not" one | "(" any ")" | test
    test  = field [ op value | ["not"] "in" "(" value ("," value)* ")" | ["not"] "like" text
                  | "is" ["not"] "null" | "exists" ]

A field is a name such as ``year`` or ``meta.title``; any other name stands in backticks: `` `due date` = "…" ``. A text
stands in double or single quotes, the quote itself is doubled or follows a backslash.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from sememe.errors import UsageError
from sememe.shapes import Scalar
from sememe.store.filter_tree import COMPARISONS, MAX_DEPTH, And, Expr, Not, Or, Test, build

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>"(?:[^"\\]|""|\\.)*"|'(?:[^'\\]|''|\\.)*')
      | (?P<field>`[^`]+`)
      | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.-]))
      | (?P<word>[^\W\d][\w.-]*)
      | (?P<sign><=|>=|!=|<>|==|[=<>(),])
    )""",
    re.VERBOSE | re.DOTALL,
)
_SPELLINGS = {"==": "=", "<>": "!="}
_WORDS = {"and", "or", "not", "in", "like", "is", "null", "exists", "true", "false"}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    value: str
    at: int


def parse_text(text: str) -> Expr:
    """The tree of a written filter.

    Raises:
        UsageError: with the text, a caret under the place, and what was expected there.
    """
    parser = _Parser(text)
    expr = parser.any(0)
    if parser.token.kind != "end":
        parser.fail('expected "and", "or" or the end')
    return expr


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.token = _Token("", "", 0)
        self.step()

    def step(self) -> _Token:
        """Give the present token and read the next."""
        passed = self.token
        if not self.text[self.at :].strip():
            self.token = _Token("end", "", len(self.text.rstrip()))
            return passed
        found = _TOKEN.match(self.text, self.at)
        if found is None:
            at = self.at + len(self.text[self.at :]) - len(self.text[self.at :].lstrip())
            self.token = _Token("unknown", self.text[at], at)
            quote = self.text[at] in "\"'`"
            self.fail("this quote is never closed" if quote else "this is no part of a filter")
        kind = str(found.lastgroup)
        value, at = found.group(kind), found.start(kind)
        if kind == "word" and value.lower() in _WORDS:
            kind, value = "key", value.lower()
        self.token = _Token(kind, value, at)
        self.at = found.end()
        return passed

    def fail(self, expected: str) -> NoReturn:
        at = self.token.at
        start = max(0, at - 60)
        shown = self.text[start : at + 40].replace("\n", " ").replace("\t", " ")
        raise UsageError(
            f"the filter cannot be read at character {at + 1}: {expected}",
            why=[shown, " " * (at - start) + "^"],
            do=['write it like  lang = "en" and (year >= 2020 or starred)'],
        )

    def takes(self, kind: str, value: str) -> bool:
        if self.token.kind == kind and self.token.value == value:
            self.step()
            return True
        return False

    def any(self, depth: int) -> Expr:
        parts = [self.all(depth)]
        while self.takes("key", "or"):
            parts.append(self.all(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def all(self, depth: int) -> Expr:
        parts = [self.one(depth)]
        while self.takes("key", "and"):
            parts.append(self.one(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def one(self, depth: int) -> Expr:
        if depth > MAX_DEPTH:
            self.fail(f"nested deeper than {MAX_DEPTH} levels")
        if self.takes("key", "not"):
            return Not(self.one(depth + 1))
        if self.takes("sign", "("):
            expr = self.any(depth + 1)
            if not self.takes("sign", ")"):
                self.fail('expected ")"')
            return expr
        return self.test()

    def test(self) -> Expr:
        if self.token.kind not in ("word", "field"):
            self.fail("expected the name of a field")
        field = self.step().value.strip("`")
        if self.token.kind == "sign" and _SPELLINGS.get(self.token.value, self.token.value) in COMPARISONS:
            op = _SPELLINGS.get(self.token.value, self.token.value)
            self.step()
            return build(field, op, self.value())
        if self.takes("key", "is"):
            op = "is not null" if self.takes("key", "not") else "is null"
            if not self.takes("key", "null"):
                self.fail('expected "null"')
            return build(field, op, None)
        if self.takes("key", "exists"):
            return Test(field, "exists")
        if self.token.kind == "key" and self.token.value in ("not", "in", "like"):
            negated = "not " if self.takes("key", "not") else ""
            if self.takes("key", "in"):
                return build(field, negated + "in", self.values())
            if not self.takes("key", "like"):
                self.fail('expected "in" or "like"')
            if self.token.kind != "text":
                self.fail("expected a text in quotes")
            return build(field, negated + "like", self.value())
        return Test(field, "is true")

    def values(self) -> list[Scalar]:
        if not self.takes("sign", "("):
            self.fail('expected "("')
        values = []
        if not self.takes("sign", ")"):
            values.append(self.value())
            while self.takes("sign", ","):
                values.append(self.value())
            if not self.takes("sign", ")"):
                self.fail('expected "," or ")"')
        return values

    def value(self) -> Scalar:
        kind, value = self.token.kind, self.token.value
        if kind == "text":
            self.step()
            return _unquoted(value)
        if kind == "number":
            self.step()
            # More digits than Python reads as a whole number are too many for any field.
            return float(value) if re.search(r"[.eE]", value) or len(value) > 4000 else int(value)
        if kind == "key" and value in ("true", "false", "null"):
            self.step()
            return {"true": True, "false": False, "null": None}[value]
        if kind == "word":
            self.fail(f'expected a value; a text stands in quotes: "{value}"')
        self.fail("expected a text in quotes, a number, true, false or null")


def _unquoted(text: str) -> str:
    quote = text[0]
    # Only the quote and the backslash need a backslash; before % or _ it stays, for `like` to see.
    return re.sub(rf"{quote}{quote}|\\([{quote}\\])", lambda found: found.group(1) or quote, text[1:-1])
