"""HTML: what is kept, how it reads, and the lines that it stands in."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sememe.readers import webpage
from sememe.readers.read import read
from sememe.readers.source import Reading
from sememe.readers.walk import walk
from sememe.readers.webtext import PageText


def reading(folder: Path, markup: str, name: str = "p.html") -> Reading:
    (folder / name).write_text(markup, encoding="utf-8")
    return read(walk([folder / name]).files[0])


def texts(folder: Path, markup: str) -> list[str]:
    return [item.text for item in reading(folder, markup).items]


PAGE = """<!doctype html>
<html><head><title>Keys &amp; more</title><style>p { color: red }</style>
<script>if (a < b) { document.write("<p>no</p>") }</script></head>
<body><nav><a href="/">Home</a></nav><header>Banner</header>
<main>
<header><h1>Guide
to keys</h1></header>
<p>Rotate the <b>signing</b> key every
90&nbsp;days &mdash; always.</p>
<ul><li>first<li>second <i>item</i></ul>
<h2>Table</h2>
<table><tr><th>name<th>days</tr><tr><td>signing<td>90</tr></table>
<pre>
def f():
    return 1
</pre>
one<br>two
</main>
<aside>Buy now</aside><footer>Imprint</footer></body></html>
"""


def test_the_main_text_reads_well_and_the_rest_is_left_out(tmp_path: Path) -> None:
    found = reading(tmp_path, PAGE)
    assert [item.title for item in found.items] == ["Guide to keys", "Guide to keys › Table"]
    assert found.items[0].text == (
        "Guide to keys\n\nRotate the signing key every 90 days — always.\n\n- first\n- second item"
    )
    assert found.items[1].text == ("Table\n\nname | days\nsigning | 90\n\ndef f():\n    return 1\n\none\ntwo")
    assert found.notes == ()


def test_places_are_the_lines_of_the_file(tmp_path: Path) -> None:
    lines = PAGE.splitlines()
    for item in reading(tmp_path, PAGE).items:
        for word in ("keys", "Rotate", "always", "second", "Table", "signing |", "return", "two"):
            if (at := item.text.find(word)) >= 0:
                where = item.where(at, at + len(word))
                assert word.split()[0] in lines[where.start - 1], word
    first, second = reading(tmp_path, PAGE).items
    assert (str(first.place), str(second.place)) == ("p.html:6-10", "p.html:11-17")


def test_text_before_the_first_heading_has_the_title_of_the_page(tmp_path: Path) -> None:
    found = reading(tmp_path, "<title>Some &lt;page&gt;</title><p>A few words without any heading")
    assert [item.title for item in found.items] == ["Some <page>"]
    assert [item.title for item in reading(tmp_path, "<p>A few words").items] == ["p"]


def test_an_article_that_holds_most_of_the_text_is_taken_alone(tmp_path: Path) -> None:
    assert texts(tmp_path, "<div>Menu one two</div><article><p>" + "word " * 50 + "</article>") == [
        "word " * 49 + "word"
    ]
    assert texts(tmp_path, "<article>short</article><p>" + "word " * 50)[0].startswith("short\n\nword")


def test_a_page_that_stands_in_a_form_is_read(tmp_path: Path) -> None:
    page = "<p>Banner</p><nav>Home</nav><form><p>All of this page is one form.</p></form>"
    assert texts(tmp_path, page) == ["Banner\n\nAll of this page is one form."]
    assert texts(tmp_path, "<p>A page with a small search form.</p><form>Search</form>") == [
        "A page with a small search form."
    ]


def test_navigation_that_is_never_closed_does_not_swallow_the_page(tmp_path: Path) -> None:
    found = reading(tmp_path, "<nav>Home <p>The text of the page itself.")
    assert "The text of the page itself." in found.items[0].text
    assert found.notes == ("<nav> is never closed, so it was not left out",)
    found = reading(tmp_path, "<nav>Home <main>The text of the page itself.</main>")
    assert [item.text for item in found.items] == ["The text of the page itself."]
    assert found.notes == ()


def test_a_page_of_nothing_but_navigation_is_read_with_a_note(tmp_path: Path) -> None:
    found = reading(tmp_path, "<nav>Home and other pages</nav>")
    assert found.items[0].text == "Home and other pages"
    assert "no main text" in found.notes[0]


def test_words_in_one_line_of_markup_stay_apart_or_together_as_shown(tmp_path: Path) -> None:
    assert texts(tmp_path, "<p>bold<b>ness</b>, a <i>b</i> c</p><p>d</p>") == ["boldness, a b c\n\nd"]


def test_embedded_pictures_are_no_text_and_no_problem(tmp_path: Path) -> None:
    found = reading(tmp_path, '<p>before <img src="data:image/png;base64,' + "QUJD" * 50_000 + '"> after</p>')
    assert (found.items[0].text, found.notes) == ("before after", ())


def test_a_page_without_text_is_named(tmp_path: Path) -> None:
    assert reading(tmp_path, "<html><body><script>x</script></body></html>").skipped[0].reason == "no text"


@pytest.mark.parametrize(
    "junk", ["<!--", "<a ", "</a", "<![x", "<?", '<a b="', "<", "<script></s", "<div>", "<nav>", "<h1>x", "&", "&#1"]
)
def test_markup_that_never_ends_takes_no_time(tmp_path: Path, junk: str) -> None:
    started = time.process_time()
    found = reading(tmp_path, "<p>the text</p>" + junk * (150_000 // len(junk)))
    assert time.process_time() - started < 10  # the plain parser takes minutes for some of these
    assert found.items[0].text.startswith("the text")


def test_an_endless_tag_is_not_looked_through_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = []

    class Watched(PageText):
        def feed(self, data: str) -> None:
            waiting.append(len(self.rawdata))
            super().feed(data)

    monkeypatch.setattr(webpage, "PageText", Watched)
    assert texts(tmp_path, "<p>before <a " + 'x="1" ' * 20_000 + "> after</p>") == ["before after"]
    assert max(waiting) <= 20_000
    assert len(waiting) > 10


def test_what_was_passed_over_is_said(tmp_path: Path) -> None:
    found = reading(tmp_path, "<p>the text</p>\n<!-- " + "word " * 10_000 + "<p>swallowed")
    assert [item.text for item in found.items] == ["the text"]
    assert found.notes == ("a tag or comment after line 1 never ends: the rest was left out",)


TAGS = """
<p> </p> <div> </div> <h1> </h2> <main> </main> <article> <nav> </nav> <form> </form> <table> <tr> <td> <li> <pre>
</pre> <br/> <title> </title> <script> </script> <!-- --> <![CDATA[ ]]> <!x <? &amp; &#0; &#xD800; < > word <header>
"""
TAG = st.sampled_from([*TAGS.split(), "\n"])


@settings(max_examples=100, deadline=None)
@given(st.lists(TAG, max_size=30))
def test_any_markup_is_read_and_its_lines_are_lines_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, tags: list[str]
) -> None:
    markup = " ".join(["seen", *tags])
    found = reading(tmp_path_factory.getbasetemp(), markup, "any.html")
    last = markup.count("\n") + 1
    for item in found.items:
        assert 1 <= item.place.start <= item.place.end <= last
        assert list(item.marks) == sorted(item.marks)
        assert item.marks[0][0] == 0
