"""Filters: what is written and what it means, the twin and the SQL against each other, and nothing slips through."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sememe.errors import UsageError
from sememe.shapes import Place, Record
from sememe.store.filter_fields import check_fields
from sememe.store.filter_sql import compile_filter
from sememe.store.filter_tree import And, Expr, Not, Or, Test
from sememe.store.filters import matches, parse
from sememe.store.record_rows import COLUMNS, row_of


def record(text: str = "text", *, source: str = "a.md", title: str = "", **meta: Any) -> Record:
    return Record(text, Place(source, 1, 1), title, meta=meta)


@pytest.mark.parametrize(
    ("written", "tree"),
    [
        ('lang = "en"', Test("lang", "=", "en")),
        ("lang == 'en'", Test("lang", "=", "en")),
        ('lang != "en"', Not(Test("lang", "=", "en"))),
        ('lang <> "en"', Not(Test("lang", "=", "en"))),
        ("year >= 2020", Test("year", ">=", 2020)),
        ("size < -1.5e3", Test("size", "<", -1500.0)),
        ("starred", Test("starred", "is true")),
        ("NOT starred", Not(Test("starred", "is true"))),
        ("a and b or c", Or((And((Test("a", "is true"), Test("b", "is true"))), Test("c", "is true")))),
        ("a and (b or c)", And((Test("a", "is true"), Or((Test("b", "is true"), Test("c", "is true")))))),
        ("not a and b", And((Not(Test("a", "is true")), Test("b", "is true")))),
        ('tag in ("a", "b")', Test("tag", "in", ("a", "b"))),
        ("tag not in ('a')", Not(Test("tag", "in", ("a",)))),
        ("tag in ()", Test("tag", "in", ())),
        ("x in (1, null)", Or((Test("x", "in", (1,)), Test("x", "is null")))),
        ('path like "old/%"', Test("path", "like", "old/%")),
        ('path not like "old/%"', Not(Test("path", "like", "old/%"))),
        ("x is null", Test("x", "is null")),
        ("x is not null", Not(Test("x", "is null"))),
        ("x = null", Test("x", "is null")),
        ("x != null", Not(Test("x", "is null"))),
        ("x exists", Test("x", "exists")),
        ("`due date` = true", Test("due date", "=", True)),
        ("meta.title = 'x'", Test("meta.title", "=", "x")),
        ("größe > 1", Test("größe", ">", 1)),
        (r"""x = 'it''s "so" \\ \' a\n'""", Test("x", "=", """it's "so" \\ ' a\\n""")),
        ('x = "a""b"', Test("x", "=", 'a"b')),
        (r'x like "100\%"', Test("x", "like", r"100\%")),
    ],
)
def test_written_filters(written: str, tree: Expr) -> None:
    assert parse(written) == tree


@pytest.mark.parametrize(
    ("mapping", "written"),
    [
        ({"lang": "en"}, 'lang = "en"'),
        ({"lang": None}, "lang is null"),
        ({"lang": ["en", "de"]}, 'lang in ("en", "de")'),
        ({"lang": "en", "year": {">=": 2020, "<": 2022}}, 'lang = "en" and year >= 2020 and year < 2022'),
        ({"or": [{"a": True}, {"b": 1}]}, "a = true or b = 1"),
        ({"not": {"x": {"like": "o%"}}}, 'not x like "o%"'),
        ({"x": {"not in": [1]}}, "x not in (1)"),
        ({"x": {"!=": None}}, "x is not null"),
        ({"x": {"exists": True}}, "x exists"),
        ({"x": {"exists": False}}, "not x exists"),
    ],
)
def test_json_says_the_same(mapping: Any, written: str) -> None:
    def flat(expr: Expr | None) -> Any:
        """Nested ands are one."""
        if isinstance(expr, And):
            parts = [flat(part) for part in expr.parts]
            return ("and", [inner for part in parts for inner in (part[1] if part[0] == "and" else [part])])
        return ("one", expr)

    assert flat(parse(mapping)) == flat(parse(written))


def test_no_filter_and_an_empty_mapping_let_all_through() -> None:
    assert parse(None) is None
    assert matches(parse({}), "x", record())
    assert not matches(parse({"or": []}), "x", record())


@pytest.mark.parametrize(
    ("written", "at", "said"),
    [
        ("", 0, "expected the name of a field"),
        ("lang =", 6, "expected a text in quotes, a number"),
        ('lang = "en', 7, "this quote is never closed"),
        ("lang = en", 7, 'a text stands in quotes: "en"'),
        ('lang ~ "en"', 5, "this is no part of a filter"),
        ("(lang = 1", 9, 'expected ")"'),
        ("lang = 1)", 8, 'expected "and", "or" or the end'),
        ("lang = 1 year = 2", 9, 'expected "and", "or" or the end'),
        ("x in 1", 5, 'expected "("'),
        ("x in (1 2)", 8, 'expected "," or ")"'),
        ("x like 5", 7, "expected a text in quotes"),
        ("x not 5", 6, 'expected "in" or "like"'),
        ("x is 5", 5, 'expected "null"'),
        ("and", 0, "expected the name of a field"),
        ("x = 2020-01-01", 4, "this is no part of a filter"),
        ("a = 1; drop table rows", 5, "this is no part of a filter"),
        ("not " * 200 + "a", 404, "nested deeper"),
        ("(" * 5000, 101, "nested deeper"),
    ],
)
def test_a_mistake_is_shown_where_it_is(written: str, at: int, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(written)
    assert said in caught.value.what
    assert f"at character {at + 1}:" in caught.value.what
    shown, caret = caught.value.why
    assert isinstance(shown, str)
    assert isinstance(caret, str)
    assert shown[caret.index("^") :][:1] == written[at : at + 1]


@pytest.mark.parametrize(
    "mapping",
    [
        {"x": {"~": 1}},
        {"x": {"exists": 1}},
        {"x": {"in": "text"}},
        {"x": {"like": 1}},
        {"x": {"like": "a\\"}},
        {"x": {"<": None}},
        {"x": float("nan")},
        {"x": "a\0b"},
        {"x": "\ud800"},
        {"x": [{}]},
        {"x": b"x"},
        {"and": {"x": 1}},
        {"or": ["x"]},
        {"not": []},
        {1: 2},
        ["x"],
        7,
    ],
)
def test_what_is_no_filter_is_refused(mapping: Any) -> None:
    with pytest.raises(UsageError):
        parse(mapping)


def test_nesting_has_an_end() -> None:
    deep: dict[str, Any] = {"x": 1}
    for _ in range(150):
        deep = {"not": deep}
    with pytest.raises(UsageError, match="nested deeper"):
        parse(deep)


@pytest.mark.parametrize(
    ("written", "yes", "no"),
    [
        ('x = "a"', ["a", ["b", "a"]], ["A", None, 1, True, []]),
        ("x = 1", [1, 1.0, [2, 1]], ["1", True, 2]),
        ("x = true", [True], [1, "true", False]),
        ("x", [True, [False, True]], [False, 1, "yes", None]),
        ('x != "a"', ["b", None, 1, ["b"]], ["a", ["a", "b"]]),
        ("x > 1", [2, 1.5, [0, 3]], [1, "2", None, True]),
        ("x >= 2", [2, 2.0, 3], [1]),
        ("x <= 2", [2, 2.0, 1], [3]),
        ("x < 2", [1], [2]),
        ('x < "b"', ["a", "B"], ["b", 1, None]),
        ("x < true", [False], [True, 0]),
        ("x is null", [None], ["", 0, [], [None]]),
        ("x exists", [None, 1, []], []),
        ('x like "a%b_"', ["abx", "AxxBx"], ["abxx", "ab", 5, None]),
        (r'x like "\%\_\\\\"', ["%_\\"], ["a_\\", "%a\\"]),
        ('x like "%\n%"', ["a\nb"], ["ab"]),
        ('x like "é"', ["é"], ["É"]),
        ('x in ("a", 1, true)', ["a", 1, True, ["c", 1.0]], ["1", False, None, 2]),
    ],
)
def test_what_a_test_means(written: str, yes: list[Any], no: list[Any]) -> None:
    expr = parse(written)
    assert expr is not None
    for value, wanted in [(value, True) for value in yes] + [(value, False) for value in no]:
        assert matches(expr, "id", record(x=value)) is wanted, value
        assert _sql_says(expr, [record(x=value)]) == [wanted], value


def test_absent_fields() -> None:
    for written, wanted in (("x is null", True), ("x exists", False), ("x", False), ("x != 1", True), ("x < 1", False)):
        expr = parse(written)
        assert expr is not None
        assert (matches(expr, "i", record()), _sql_says(expr, [record()])) == (wanted, [wanted])


def test_own_fields_and_meta_of_the_same_name() -> None:
    kept = record("the text", source="x/a.md", title="A title", title_="t", **{"meta.": 1}, id="mine")
    for written in ("id = 'i'", "source like 'x/%'", "title = 'A title'", "text like '%TEXT'", "meta.id = 'mine'"):
        expr = parse(written)
        assert expr is not None
        assert (matches(expr, "i", kept), _sql_says(expr, [kept])) == (True, [True])
    for written in ("id = 'mine'", "id > 1", "text is null", "title"):
        expr = parse(written)
        assert expr is not None
        assert (matches(expr, "i", kept), _sql_says(expr, [kept])) == (False, [False])


def test_an_unknown_field_names_the_nearest() -> None:
    known = [("lang", "text"), ("year", "number"), ("starred", "yes/no"), ("starred", "null")]
    with pytest.raises(UsageError) as caught:
        check_fields(parse("lnag = 'en'") or And(()), known)
    assert str(caught.value) == (
        'no record has a field "lnag"\n  fields  id, source, title, text, lang, starred, year\n  → did you mean:  lang'
    )
    for wrong in ("year = '2020'", "lang > 5", "starred = 1", "year", "year in ('a', true)"):
        with pytest.raises(UsageError, match="holds"):
            check_fields(parse(wrong) or And(()), known)
    for right in ("year in ('a', 2)", "lang is null", "year exists", "meta.lang = 'x'", "text = 'x'", "starred"):
        check_fields(parse(right) or And(()), known)


# --- the SQL against the twin ----------------------------------------------------------------------------------------


def _sql_says(expr: Expr, records: list[Record]) -> list[bool]:
    connection = sqlite3.connect(":memory:")
    connection.execute(f"CREATE TABLE records (number INTEGER PRIMARY KEY, id, {COLUMNS})")
    marks = ", ".join("?" * (2 + len(COLUMNS.split(","))))
    for number, one in enumerate(records):
        connection.execute(f"INSERT INTO records VALUES ({marks})", (number, "i", *row_of(one)))
    sql, values = compile_filter(expr)
    rows = connection.execute(f"SELECT ({sql}) FROM records ORDER BY number", values).fetchall()
    connection.close()
    assert all(value in (0, 1) for (value,) in rows), rows
    return [bool(value) for (value,) in rows]


#: texts that would do harm if they were ever read as SQL, JSON or a pattern
HOSTILE = [
    "' OR 1=1 --",
    '"; DROP TABLE records; --',
    "$",
    '$."a"',
    "%",
    "_",
    "\\",
    "*",
    "[",
    "null",
    "true",
    "1",
    "😀",
]
LETTERS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4)
STRINGS = LETTERS | st.sampled_from(HOSTILE)
KEYS = st.sampled_from(["a", "b", "id", "a.b", "a b", 'q"q', "back\\slash", "$", "[0]", "#", "ключ", "new\nline", ""])
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3) | st.sampled_from([0.5, -1.25, 1e10, 3.0, 2.5e-3])
SCALARS = st.none() | st.booleans() | NUMBERS | STRINGS
METAS = st.dictionaries(KEYS, SCALARS | st.lists(SCALARS, max_size=3), max_size=4)
RECORDS = st.builds(
    lambda text, source, title, meta: Record(text, Place(source, 1, 1), title, meta=meta),
    STRINGS, STRINGS, STRINGS, METAS,
)  # fmt: skip
FIELDS = KEYS.map(lambda key: f"meta.{key}") | st.sampled_from(["a", "b", "id", "source", "title", "text"])
PATTERNS = STRINGS.map(lambda text: text.replace("\\", "\\\\")) | st.sampled_from(["a%", "%", "_", r"\%%", "%A%"])
OPERANDS = (
    st.tuples(st.sampled_from(["=", "!=", "in", "not in"]), st.lists(SCALARS, max_size=3)).map(
        lambda pair: (pair[0], pair[1] if "in" in pair[0] else (pair[1] + [None])[0])
    )
    | st.tuples(st.sampled_from(["<", "<=", ">", ">="]), SCALARS.filter(lambda value: value is not None))
    | st.tuples(st.sampled_from(["like", "not like"]), PATTERNS)
    | st.tuples(st.just("exists"), st.booleans())
)
LEAVES = st.tuples(FIELDS, OPERANDS).map(lambda pair: {pair[0]: {pair[1][0]: pair[1][1]}})
FILTERS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: {"and": parts})
        | st.lists(inner, max_size=3).map(lambda parts: {"or": parts})
        | inner.map(lambda part: {"not": part})
    ),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None)
@given(FILTERS, st.lists(RECORDS, min_size=1, max_size=4))
def test_sql_and_twin_agree(where: dict[str, Any], records: list[Record]) -> None:
    expr = parse(where)
    assert expr is not None
    assert _sql_says(expr, records) == [matches(expr, "i", one) for one in records]


@given(STRINGS, STRINGS)
def test_a_quoted_text_is_that_text(value: str, field: str) -> None:
    for quote in "\"'":
        quoted = quote + value.replace("\\", "\\\\").replace(quote, quote * 2) + quote
        assert parse(f"x = {quoted}") == Test("x", "=", value)
    if field and "`" not in field:
        assert parse(f"`{field}` = 1") == Test(field, "=", 1)


TOKENS = st.sampled_from(["a", "and", "(", ")", "not", "=", "1", "'x'", "in", ",", "like"])
WRITTEN = st.text(max_size=30) | st.lists(TOKENS).map(" ".join)


@settings(max_examples=300)
@given(WRITTEN)
def test_any_text_is_a_filter_or_an_error(written: str) -> None:
    try:
        expr = parse(written)
    except UsageError:
        return
    assert expr is not None
    assert _sql_says(expr, [record(a=1)]) == [matches(expr, "i", record(a=1))]


def test_json_numbers_beyond_sqlites_do_not_break_it() -> None:
    expr = parse({"x": {">": 10**30}})
    assert expr is not None
    assert _sql_says(expr, [record(x=5), record(x=json.loads("1" + "0" * 40))]) == [False, True]
