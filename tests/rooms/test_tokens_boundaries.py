"""What ends where: the rules of the prose, on prose."""

from __future__ import annotations

import pytest

from sememe.tokens.boundaries import Boundary, boundary


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("A river.\n\n", "A bank", Boundary.PARAGRAPH),
        ("A river\r\n \t\r\n", "A bank", Boundary.PARAGRAPH),
        ("A river\u2029", "A bank", Boundary.PARAGRAPH),
        ("A river. ", "A bank", Boundary.SENTENCE),
        ("A river.\n", "A bank", Boundary.SENTENCE),
        ("A river?  ", "a bank", Boundary.SENTENCE),
        ('He said "no!" ', "A bank", Boundary.SENTENCE),
        ("(A river.) ", "A bank", Boundary.SENTENCE),
        ("« Une rivière… » ", "Une", Boundary.SENTENCE),
        ("I said no. ", "A bank", Boundary.SENTENCE),
        ("It was in 1998. ", "Then", Boundary.SENTENCE),
        ("Река течёт. ", "Дома", Boundary.SENTENCE),
        ("यह नदी है। ", "घर", Boundary.SENTENCE),
        ("أين النهر؟ ", "هنا", Boundary.SENTENCE),
        ("日本語です。", "東京", Boundary.SENTENCE),
        ("「日本語です。」", "東京", Boundary.SENTENCE),
        ("日本語です！\n", "東京", Boundary.SENTENCE),
        ("「日本語です。", "」東京", Boundary.TOKEN),
        ("本当！", "？はい", Boundary.TOKEN),
        ("A river\n", "A bank", Boundary.LINE),
        ("A river,\n", "A bank", Boundary.LINE),
        ("A river\u2028", "A bank", Boundary.LINE),
        ("A river ", "a bank", Boundary.WORD),
        ("A river, ", "a bank", Boundary.WORD),
        ("A river\u00a0", "a bank", Boundary.WORD),
        ("A river, e.g. ", "The Rhine", Boundary.WORD),
        ("(e.g. ", "The Rhine", Boundary.WORD),
        ("Dr. ", "Rhine", Boundary.WORD),
        ("J. ", "Rhine", Boundary.WORD),
        ("z.B. ", "Der Rhein", Boundary.WORD),
        ("See no. ", "5", Boundary.WORD),
        ("Am 3. ", "Oktober", Boundary.WORD),
        ("the river approx. in km. ", "long", Boundary.WORD),
        ("日本", "語", Boundary.WORD),
        ("ภาษา", "ไทย", Boundary.WORD),
        ("日本", "、語", Boundary.TOKEN),
        ("3.", "14", Boundary.TOKEN),
        ("3．", "14", Boundary.TOKEN),
        ("internation", "alization", Boundary.TOKEN),
        ("bank", ". The", Boundary.TOKEN),
        ("example.", "com", Boundary.TOKEN),
        ("👩\u200d", "👩", Boundary.TOKEN),
        ("नदि", "ी", Boundary.TOKEN),
    ],
)
def test_what_ends_here(before: str, after: str, expected: Boundary) -> None:
    assert boundary(before + after, 0, len(before)) is expected
    moved = "Some words. " + before + after
    assert boundary(moved, 12, 12 + len(before)) is expected


def test_nothing_before_the_start_is_looked_at_for_the_gap() -> None:
    assert boundary("a b", 0, 2) is Boundary.WORD
    assert boundary("…… b", 1, 3) is Boundary.SENTENCE
