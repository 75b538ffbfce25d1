"""A cursor: how to go on with a search after its first hits.

It says how many hits were seen and carries a digest of their ids and one of the question; nothing is kept anywhere. The
next page asks the question again and compares: as long as the same hits come first, the pages neither repeat nor skip
anything, whatever happened to the collection in between; if they don't, that is an error and not a wrong page.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sememe.errors import StoreError, UsageError

#: beyond these a number of a cursor is none of ours
MOST = 2**31


@dataclass(frozen=True, slots=True)
class Cursor:
    """``seen`` hits whose ids have the digest ``ids``, found among ``depth`` candidates, of ``question``."""

    question: str
    seen: int = 0
    depth: int = 0
    ids: str = ""

    @classmethod
    def read(cls, text: str | None, question: Mapping[str, Any]) -> Cursor:
        """The cursor that ``text`` is; the beginning for None.

        Raises:
            UsageError: it is none, or one of another question.
        """
        digest = digest_of(question)
        if text is None:
            return cls(digest, ids=digest_of([]))
        try:
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            values = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            version, asked, seen, depth, ids = values
        except (AttributeError, UnicodeError, binascii.Error, ValueError, TypeError, RecursionError):
            raise UsageError("this is no cursor", do=["pass on what hits.cursor says, as it is"]) from None
        numbers = all(type(number) is int and 0 <= number < MOST for number in (version, seen, depth))
        if not numbers or version != 1 or not isinstance(asked, str) or not isinstance(ids, str):
            raise UsageError("this is no cursor of this version", do=["ask again without it"])
        if asked != digest:
            raise UsageError(
                "this cursor belongs to another question",
                why=["the query, the filter, the mode, and whatever else decides the order must be the same"],
                do=["ask the new question without it"],
            )
        return cls(asked, seen, depth, ids)

    def check(self, ids: Sequence[str]) -> None:
        """Compare with the ids that come first now.

        Raises:
            StoreError: they are not those that were seen.
        """
        if len(ids) < self.seen or digest_of(list(ids[: self.seen])) != self.ids:
            raise StoreError(
                "the collection has changed since the page before",
                why=[f"the first {self.seen} hits are no longer those that were seen"],
                do=["ask again from the beginning, without a cursor"],
            )

    def after(self, ids: Sequence[str], depth: int) -> str:
        """The text of the cursor that stands after ``ids``, which are all that were seen."""
        values = [1, self.question, len(ids), depth, digest_of(list(ids))]
        return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def digest_of(value: Any) -> str:
    """16 hex digits that tell plain values apart."""
    plain = json.dumps(value, sort_keys=True, ensure_ascii=True, default=repr)
    return hashlib.sha256(plain.encode()).hexdigest()[:16]
