"""Markdown and reStructuredText: sections, their titles, and the lines that they stand in."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from sememe.readers.read import read
from sememe.readers.source import Reading
from sememe.readers.walk import walk
from sememe.shapes import Place


def reading(folder: Path, name: str, text: str) -> Reading:
    (folder / name).write_text(text, encoding="utf-8", newline="")
    return read(walk([folder / name]).files[0])


def titles(found: Reading) -> list[str]:
    return [item.title for item in found.items]


GUIDE = """What this is about in a few words.

# Guide

How to look after the keys of this house.

## Key rotation ##

Rotate the signing key every ninety days.

### Who

The person on duty this week does.

## Vault

Why there is a vault at all.
"""


def test_one_item_a_section_with_the_path_of_its_headings(tmp_path: Path) -> None:
    found = reading(tmp_path, "guide.md", GUIDE)
    assert titles(found) == ["guide", "Guide", "Guide › Key rotation", "Guide › Key rotation › Who", "Guide › Vault"]
    assert [item.id for item in found.items] == [f"guide.md#{n}" for n in range(1, 6)]
    assert [str(item.place) for item in found.items][:3] == ["guide.md:1", "guide.md:3-5", "guide.md:7-9"]
    assert found.items[2].text == "## Key rotation ##\n\nRotate the signing key every ninety days."
    assert str(found.items[2].where(20, 25)) == "guide.md:9"


def test_places_hold_with_windows_line_ends(tmp_path: Path) -> None:
    found = reading(tmp_path, "guide.md", GUIDE.replace("\n", "\r\n"))
    assert [str(item.place) for item in found.items][:3] == ["guide.md:1", "guide.md:3-5", "guide.md:7-9"]
    assert "\r" not in found.items[2].text


def test_a_lone_carriage_return_is_no_line_end(tmp_path: Path) -> None:
    found = reading(
        tmp_path, "a.md", "some words here\r# not a heading\nmore words\n\n# Real\n\nand its words are these\n"
    )
    assert [str(item.place) for item in found.items] == ["a.md:1-2", "a.md:4-6"]


def test_underlined_headings(tmp_path: Path) -> None:
    text = "Guide\n=====\n\nFive words are enough here.\n\nKeys\n----\nFive words are enough here.\n"
    found = reading(tmp_path, "a.md", text)
    assert titles(found) == ["Guide", "Guide › Keys"]
    assert found.items[1].place == Place("a.md", 6, 8)


def test_what_only_looks_like_a_heading_is_none(tmp_path: Path) -> None:
    text = (
        "# Real\n\nfive words are enough here\n\n```sh\n# not this\nx\n---\n```\n\n~~~~\n```\n# nor this\n~~~\n~~~~\n\n"
        "    # nor indented\n\n#nor without space\n\n####### nor seven\n\n<!-- \n# nor in a comment\n-->\n\n"
        "two lines\nof a paragraph\n---\n\n- a list\n---\n\n| a | b |\n---\n\n---\n"
    )
    assert titles(reading(tmp_path, "a.md", text)) == ["Real"]


def test_titles_lose_their_markup(tmp_path: Path) -> None:
    text = "# The **bold** `code` [link](http://x.y/z) and \\* star {#anchor}\n\nfive words are enough here\n"
    assert titles(reading(tmp_path, "a.md", text)) == ["The bold code link and * star"]


def test_a_section_of_few_words_goes_with_its_first_subsection(tmp_path: Path) -> None:
    text = "# Guide\n\nTwo words\n\n## Keys\n\nfive words are enough here\n\n## Price\n\n42\n"
    found = reading(tmp_path, "a.md", text)
    assert titles(found) == ["Guide › Keys", "Guide › Price"]
    assert found.items[0].text.startswith("# Guide\n\nTwo words\n\n## Keys")
    assert found.items[0].place.start == 1
    assert found.items[1].text == "## Price\n\n42"  # few words, but no subsection to go to


def test_no_item_is_a_heading_alone(tmp_path: Path) -> None:
    text = "# A\n\n## B\n\n## C\n\nfive words are enough here\n\n## D\n"
    found = reading(tmp_path, "a.md", text)
    assert [item.text for item in found.items] == [text.rstrip()]
    assert titles(found) == ["A › C"]
    assert [item.text for item in reading(tmp_path, "b.md", "# Only\n").items] == ["# Only"]


def test_front_matter_is_known_about_each_section_and_part_of_none(tmp_path: Path) -> None:
    text = (
        '---\ntitle: "My: page"\ndraft: true\norder: 007\nweight: 3\nrate: 0.5\n'
        "empty:\ntags: [a, b]\nlist:\n  - x\n---\n"
        "Some words before any heading.\n\n# One\n\nfive words are enough here\n"
    )
    found = reading(tmp_path, "a.md", text)
    known = {"title": "My: page", "draft": True, "order": "007", "weight": 3, "rate": 0.5}
    assert [item.meta for item in found.items] == [known, known]
    assert titles(found) == ["My: page", "One"]
    assert found.items[0].place == Place("a.md", 12, 12)
    assert found.notes == ("front matter: 4 lines are no simple `key: value` and were left out",)


def test_two_rules_at_the_top_are_no_front_matter(tmp_path: Path) -> None:
    found = reading(tmp_path, "a.md", "---\nJust a sentence between two rules.\n\n***\nmore\n---\n")
    assert found.items[0].place.start == 1
    assert found.items[0].meta == {}


LINE = st.one_of(
    st.sampled_from(
        ["", "# A", "## B b", "### C", "===", "---", "```", "~~~", "<!--", "-->", "- x", "title: y", "\ta", "=="]
    ),
    st.text(alphabet="ab #=-`\u2028\x0c", max_size=12),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(LINE, max_size=25), st.sampled_from([".md", ".rst"]))
def test_every_word_is_in_one_item_and_every_place_is_right(
    tmp_path_factory: object, lines: list[str], suffix: str
) -> None:
    folder = tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    text = "\n".join(lines)
    found = reading(folder, f"any{suffix}", text)
    whole = "".join(item.text for item in found.items).split()
    assert "".join(text.split()).endswith("".join(whole))  # all of it, but for front matter
    if not text.startswith("---") and found.items:
        assert "".join(text.split()) == "".join(whole)
    for item in found.items:
        span = text.split("\n")[item.place.start - 1 : item.place.end]
        assert "\n".join(span).rstrip() == item.text
        assert item.title


RST = """=====
Title
=====

Some words before the sections.

Keys
----

Rotate the ``signing`` key every ninety days::

    Not a heading
    -------------

Names of ``keys``
-----------------

Any name of this kind will do.

Deeper
~~~~~~

And one more level below it.

=====  =====
a      b
=====  =====
"""


def test_rst_sections_by_underlines_and_overlines(tmp_path: Path) -> None:
    found = reading(tmp_path, "a.rst", RST)
    assert titles(found) == ["Title", "Title › Keys", "Title › Names of keys", "Title › Names of keys › Deeper"]
    assert [str(item.place) for item in found.items] == ["a.rst:1-5", "a.rst:7-13", "a.rst:15-18", "a.rst:20-27"]


def test_rst_transitions_and_short_underlines_are_no_headings(tmp_path: Path) -> None:
    text = (
        "A paragraph of several words.\n\n--------\n\nAnother one of several words.\n\nLong line here\n--\n\n"
        "    an indented line\n--------------------\n\nwith some words that follow it\n"
    )
    assert titles(reading(tmp_path, "a.rst", text)) == ["a"]
