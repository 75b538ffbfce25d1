"""Tables of any kind: which column is the text, which the id, what each row becomes, what is left out and named."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sememe.errors import DataError
from sememe.readers import lines, table
from sememe.readers.read import ReadOptions, read
from sememe.readers.source import Reading, Source
from sememe.readers.walk import walk
from sememe.shapes import Place, Skipped

LONG = "a long text about refunds that never arrived"


def reading(folder: Path, name: str, data: bytes | str, **options: Any) -> Reading:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read(walk([path]).files[0], ReadOptions(**options))


def test_a_row_is_an_item_with_its_other_columns(tmp_path: Path) -> None:
    found = reading(
        tmp_path,
        "tickets.csv",
        f"id,subject,body,lang,priority,open,rate,zip,when\r\n"
        f't1,Refund,"{LONG},\r\nand a second line",en,3,true,0.5,00501,2026-01-02\r\n'
        f"t2,Other,{LONG},de,,FALSE,2,10115,\r\n",
        text="body",
        id="id",
    )
    one, two = found.items
    assert (one.id, one.place, one.text) == ("t1", Place("tickets.csv", 1, 1, "row"), f"{LONG},\r\nand a second line")
    assert str(two.place) == "tickets.csv row 2"
    assert dict(one.meta) == {
        "subject": "Refund", "lang": "en", "priority": 3, "open": True, "rate": 0.5, "zip": "00501",
        "when": "2026-01-02",
    }  # fmt: skip
    assert dict(two.meta) == {
        "subject": "Other", "lang": "de", "priority": None, "open": False, "rate": 2.0, "zip": "10115", "when": None,
    }  # fmt: skip
    assert isinstance(two.meta["rate"], float)
    assert (found.skipped, found.notes) == ((), ())


def test_where_a_chunk_of_a_row_stands_is_the_row(tmp_path: Path) -> None:
    found = reading(tmp_path, "a.jsonl", '\n{"text": "one\\ntwo\\nthree"}\n')
    assert str(found.items[0].where(8, 13)) == "a.jsonl:2"


def test_a_column_that_is_not_there_is_an_error_with_the_ones_that_are(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        reading(tmp_path, "tickets.csv", f"id,subject,body,created,lang\n1,Hi,{LONG},2026-01-02,en\n", text="text")
    assert str(caught.value) == (
        'tickets.csv has no column "text"\n'
        "  columns               id, subject, body, created, lang\n"
        f"  longest average text  body ({len(LONG)} chars), created (10 chars), subject (2 chars)\n"
        '  → name one of them:  --text body   (in Python: text="body")'
    )
    for options in ({"id": "nr"}, {"meta": ("nr",)}):
        with pytest.raises(DataError, match='has no column "nr"'):
            reading(tmp_path, "tickets.csv", f"id,body\n1,{LONG}\n", **options)


@pytest.mark.parametrize(
    ("header", "rows", "chosen"),
    [
        ("a,Body,c", f"{LONG},short one,{LONG}", "Body"),  # by its name, whatever its case
        ("a,b", f"{LONG},short", "a"),  # by its length
        ("a,b", f"123456789012345678,{LONG}", "b"),  # numbers are no text
        ("a", "x", "a"),  # the only one
    ],
)
def test_the_text_column_is_chosen_where_there_is_one_candidate(
    tmp_path: Path, header: str, rows: str, chosen: str
) -> None:
    found = reading(tmp_path, "a.csv", f"{header}\n{rows}\n")
    assert found.items[0].text == rows.split(",")[header.split(",").index(chosen)]
    assert found.notes[0].startswith(f'text from the column "{chosen}" (')


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("a,b", f"{LONG},{LONG}"),  # two of one length
        ("a,b", f"{LONG},{LONG[:15]}"),  # not three times as long
        ("a,b", "a word,x"),  # too short
        ("text,body", f"{LONG},x"),  # two of the names
        ("a,b", "1,2"),  # no text at all
    ],
)
def test_an_unclear_text_column_is_an_error_that_shows_them(tmp_path: Path, header: str, row: str) -> None:
    with pytest.raises(DataError, match="not clear which column") as caught:
        reading(tmp_path, "a.csv", f"{header}\n{row}\n")
    assert "--text" in str(caught.value)


def test_ragged_and_empty_rows_are_named_and_the_counts_match(tmp_path: Path) -> None:
    found = reading(tmp_path, "a.csv", f"id,text\n1,{LONG}\n2\n3,x,y\n4,\n,\n\n6,{LONG}\n")
    assert [item.id for item in found.items] == ["1", "6"]
    assert set(found.skipped) == {
        Skipped("a.csv row 2", "1 columns where the header has 2 (line 3)"),
        Skipped("a.csv row 3", "3 columns where the header has 2 (line 4)"),
        Skipped("a.csv row 4", 'empty "text"'),
        Skipped("a.csv row 5", "an empty row"),
    }
    assert found.items[1].place.start == 6 == len(found.items) + len(found.skipped)


def test_a_table_without_rows_is_named(tmp_path: Path) -> None:
    assert reading(tmp_path, "a.csv", "id,text\n").skipped == (Skipped("a.csv", "no rows"),)
    assert reading(tmp_path, "a.jsonl", "\n\n").skipped == (Skipped("a.jsonl", "no rows"),)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    rows = [["nr", "text", "x"], ["1", 'some, "quoted"; | text\nwith a line', "a,b"], ["2", "more; text", "c;d"]]
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter).writerows(rows)
    found = reading(tmp_path, "a.csv", written.getvalue())
    assert [(item.text, item.meta["x"]) for item in found.items] == [tuple(row[1:]) for row in rows[1:]]


def test_one_column_keeps_its_commas(tmp_path: Path) -> None:
    found = reading(tmp_path, "a.csv", 'text\nhello, world; again\n"quoted, too"\n')
    assert [item.text for item in found.items] == ["hello, world; again", "quoted, too"]


def test_quotes_in_tsv_are_letters_unless_they_hold_delimiters(tmp_path: Path) -> None:
    plain = reading(tmp_path, "a.tsv", 'id\ttext\n1\t"To be" he said\n2\t5" nails\n3\t"whole ""cell"""\n')
    assert [item.text for item in plain.items] == ['"To be" he said', '5" nails', 'whole "cell"']
    quoted = reading(tmp_path, "b.tsv", 'id\ttext\n1\t"a\tb"\n2\t"c\nd"\n')
    assert [item.text for item in quoted.items] == ["a\tb", "c\nd"]


def test_a_quote_that_is_never_closed_is_named_with_its_lines(tmp_path: Path) -> None:
    found = reading(tmp_path, "a.csv", f'id,text\n1,{LONG}\n2,"never closed\n3,{LONG}\n')
    assert [item.id for item in found.items] == ["1"]
    assert found.skipped == (Skipped("a.csv row 2", "lines 3-4: a quote is opened and never closed"),)


def test_marks_and_encodings_of_tables(tmp_path: Path) -> None:
    text = "id;text\n1;Grüße aus Köln\n"
    for codec, note in (
        ("utf-8-sig", None),
        ("utf-16", "read as UTF-16"),
        ("cp1252", "read as cp1252: line 2 is not UTF-8"),
    ):
        found = reading(tmp_path, "a.csv", text.encode(codec))
        assert (found.items[0].text, found.items[0].id) == ("Grüße aus Köln", "1")
        assert found.notes == ((note,) if note else ())


def test_a_column_of_several_kinds_is_text(tmp_path: Path) -> None:
    found = reading(tmp_path, "a.csv", f"text,a,b,c\n{LONG},true,1,1\n{LONG},2,x,2.5\n")
    assert [tuple(item.meta.values()) for item in found.items] == [("true", "1", 1.0), ("2", "x", 2.5)]


def test_columns_without_a_name_or_with_the_same(tmp_path: Path) -> None:
    found = reading(tmp_path, "a.csv", f"text,,x,x\n{LONG},1,2,3\n")
    assert dict(found.items[0].meta) == {"column 2": 1, "x": 2, "x (4)": 3}
    assert found.notes == ('two columns are called "x"; the later one is "x (4)"',)


def test_only_the_asked_columns_are_kept(tmp_path: Path) -> None:
    found = reading(tmp_path, "a.csv", f"id,text,a,b\n1,{LONG},2,3\n", meta=("b", "id"))
    assert dict(found.items[0].meta) == {"b": 3, "id": 1}
    assert reading(tmp_path, "a.csv", f"id,text,a\n1,{LONG},2\n", meta=()).items[0].meta == {}


def test_ids_that_repeat_are_an_error_when_asked_for_and_numbers_when_not(tmp_path: Path) -> None:
    data = f"id,text\n1,{LONG}\n1,{LONG}\n2,{LONG}\n"
    with pytest.raises(DataError, match="not unique") as caught:
        reading(tmp_path, "a.csv", data, id="id")
    assert '"1" in row 1 and row 2' in str(caught.value)
    found = reading(tmp_path, "a.csv", data)
    assert [item.id for item in found.items] == ["a.csv#1", "a.csv#2", "a.csv#3"]
    assert found.notes == ('the column "id" is not taken for ids ("1" is there twice); rows are numbered instead',)


def test_rows_with_an_empty_id_are_named(tmp_path: Path) -> None:
    found = reading(tmp_path, "a.csv", f"nr,text\n,{LONG}\n2,{LONG}\n", id="nr")
    assert [item.id for item in found.items] == ["2"]
    assert found.skipped == (Skipped("a.csv row 1", 'empty id (column "nr")'),)


def test_ids_of_tables_in_a_folder_don_t_meet(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(f"id,text\n1,{LONG}\n")
    sources = walk([tmp_path]).files
    assert len({read(source).items[0].id for source in sources}) == 2
    assert {read(source, ReadOptions(id="id")).items[0].id for source in sources} == {"1"}


def test_the_title_column(tmp_path: Path) -> None:
    (item,) = reading(tmp_path, "a.jsonl", json.dumps({"_id": "x", "title": "Wings", "text": LONG})).items
    assert (item.id, item.title, item.text) == ("x", "Wings", LONG)


def test_json_lines_name_what_is_broken(tmp_path: Path) -> None:
    found = reading(
        tmp_path, "a.jsonl", f'{{"text": "{LONG}"}}\nbroken\n\n[1]\n"a text alone"\n{{"text": null}}\n{{"text": [1]}}\n'
    )
    assert [(item.text, item.place.start) for item in found.items] == [(LONG, 1), ("a text alone", 5)]
    reasons = {skipped.source: skipped.reason for skipped in found.skipped}
    assert reasons["a.jsonl:2"].startswith("not JSON: ")
    assert reasons["a.jsonl:4"] == "neither an object nor a text but a list"
    assert reasons["a.jsonl:6"] == 'empty "text"'
    assert reasons["a.jsonl:7"] == '"text" holds no text but a list'
    assert len(found.items) + len(found.skipped) == 6


def test_a_file_of_nothing_but_broken_lines_is_named_once(tmp_path: Path) -> None:
    found = reading(tmp_path, "a.jsonl", "words\n" * 1000)
    assert len(found.skipped) == 1
    assert found.skipped[0].reason.startswith("no JSON lines (line 1: not JSON")


def test_values_that_no_record_can_hold(tmp_path: Path) -> None:
    row = (
        '{"text": "x", "nan": NaN, "inf": 1e999, "big": 123456789012345678901234567890, "o": {"a": 1}, '
        '"l": [1, "a"], "half": "\\ud800"}'
    )
    found = reading(tmp_path, "a.jsonl", row)
    assert dict(found.items[0].meta) == {
        "nan": None, "inf": None, "big": "123456789012345678901234567890", "l": [1, "a"], "half": "\ufffd",
    }  # fmt: skip
    assert found.notes == ('the column "o" is not kept where it is no plain value (a dict)',)


def test_deep_nesting_and_endless_numbers_are_a_broken_line(tmp_path: Path) -> None:
    found = reading(
        tmp_path, "a.jsonl", '{"text": "ok"}\n' + '{"a":' * 100_000 + "\n" + '{"text": ' + "9" * 10_000 + "}\n"
    )
    assert found.skipped[0] == Skipped("a.jsonl:2", "not JSON: nested too deeply")
    assert found.skipped[1].reason.startswith("not JSON: Exceeds the limit")


def test_a_line_that_is_too_long_is_named_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_LINE", 100)
    data = [json.dumps({"text": text}) for text in ("one", "x" * 500, "three")]
    found = reading(tmp_path, "a.jsonl", "\n".join(data))
    assert [(item.text, item.place.start) for item in found.items] == [("one", 1), ("three", 3)]
    assert [skipped.source for skipped in found.skipped] == ["a.jsonl:2"]
    found = reading(tmp_path, "a.csv", "id,text\n1,one\n2," + "x" * 500 + "\n3,three\n")
    assert [item.text for item in found.items] == ["one", "three"]
    assert [skipped.source for skipped in found.skipped] == ["a.csv row 2"]


def test_too_many_rows_end_with_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MAX_ROWS", 2)
    found = reading(tmp_path, "a.csv", "text\na\nb\nc\nd\n")
    assert len(found.items) == 2
    assert found.skipped == (Skipped("a.csv row 3", "this and all later rows: over 2 rows"),)


@pytest.mark.parametrize(
    "value", [[{"text": "a"}, {"text": "b"}], ["a", "b"], {"rows": [{"text": "a"}, {"text": "b"}], "n": 2, "tags": []}]
)
def test_json_with_a_list_of_rows(tmp_path: Path, value: Any) -> None:
    found = reading(tmp_path, "a.json", json.dumps(value, indent=1))
    assert [(item.text, str(item.place), item.id) for item in found.items] == [
        ("a", "a.json row 1", "a.json#1"), ("b", "a.json row 2", "a.json#2"),
    ]  # fmt: skip


def test_other_json_is_text(tmp_path: Path) -> None:
    found = reading(tmp_path, "package.json", '{\n "name": "x",\n "n": [1, 2]\n}\n')
    assert (found.items[0].text, found.items[0].place) == (
        '{\n "name": "x",\n "n": [1, 2]\n}',
        Place("package.json", 1, 4),
    )
    with pytest.raises(DataError, match='has no column "name"'):
        reading(tmp_path, "package.json", '{"name": "x"}', text="name")


def test_broken_json_says_where(tmp_path: Path) -> None:
    assert "line 2 column 1" in reading(tmp_path, "a.json", '[{"text": "a"},\n').skipped[0].reason
    assert reading(tmp_path, "a.json", "[" * 100_000).skipped == (Skipped("a.json", "not JSON: nested too deeply"),)


CELL = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from('\n,;"\t|'), max_size=20)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8), st.sampled_from([",", ";", "|"]))
def test_csv_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], delimiter: str) -> None:
    written = io.StringIO()
    writer = csv.writer(written, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("text", "other"), *rows])
    path = tmp_path_factory.getbasetemp() / "round.csv"
    path.write_text(written.getvalue(), encoding="utf-8", newline="")
    found = read(Source(path, "round.csv", 0, 0, True), ReadOptions(text="text"))
    expected = [text for text, _ in rows if text.strip()]
    assert [item.text for item in found.items] == expected
    assert len(found.items) + len(found.skipped) == len(rows)
    for item in found.items:
        other = rows[item.place.start - 1][1]
        kept = item.meta["other"]
        assert (
            kept == other
            or (kept is None and not other)
            or str(kept).lower() == other.strip().lower()
            or float(str(kept)) == float(other)
        )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["text", "id", "a", "title", "\ud800"]), JSON, max_size=5) | JSON, max_size=6
    )
)
def test_json_lines_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    path = tmp_path_factory.getbasetemp() / "round.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    try:
        found = read(Source(path, "round.jsonl", 0, 0, True), ReadOptions())
    except DataError:
        return
    if any(isinstance(row, (dict, str)) for row in rows) and found.items:
        assert len(found.items) + len(found.skipped) == len(rows)
    for item in found.items:
        row = rows[item.place.start - 1]
        value = row if isinstance(row, str) else row.get("text")
        if isinstance(value, str) and not any(0xD800 <= ord(c) < 0xE000 for c in value):
            assert item.text == value
        for kept in item.meta.values():
            assert kept is None or isinstance(kept, (str, bool, int, list)) or math.isfinite(kept)
