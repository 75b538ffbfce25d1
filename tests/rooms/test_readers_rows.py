"""Items from Python values: texts, rows, columns, data frames, Arrow tables, Parquet files, paths."""

from __future__ import annotations

import datetime
import decimal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sememe.errors import DataError, MissingExtraError, UsageError
from sememe.readers.read import ReadOptions, read
from sememe.readers.rows import items_from, paths_of
from sememe.readers.walk import walk
from sememe.shapes import Item, Place, Skipped, content_hash

LONG = "a long text about refunds that never arrived"


def test_texts_get_ids_from_their_content_and_equal_ones_are_kept_once() -> None:
    found = items_from(["one", "two", "one"])
    assert [item.text for item in found.items] == ["one", "two"]
    assert found.items[1].id == content_hash("two")[:16]
    assert found.items[1].place == Place("data", 2, 2, "row")
    assert found.notes == ("1 equal to an earlier one: kept once",)
    assert items_from(["new", "two"]).items[1].id == found.items[1].id


def test_what_is_no_text_is_named() -> None:
    found = items_from(["one", "", None, " ", 4])
    assert len(found.items) + len(found.skipped) == 5
    assert found.skipped == (
        Skipped("data row 2", "empty"),
        Skipped("data row 3", "no text but a NoneType"),
        Skipped("data row 4", "empty"),
        Skipped("data row 5", "no text but a int"),
    )


def test_a_list_of_texts_has_no_columns_to_name() -> None:
    with pytest.raises(UsageError, match="no columns"):
        items_from(["one"], ReadOptions(id="id"))


@pytest.mark.parametrize("empty", [[], (), {}, iter([]), np.array([], dtype=str)])
def test_nothing_gives_nothing(empty: Any) -> None:
    assert items_from(empty).items == ()


@pytest.mark.parametrize("value", [("a", "b"), iter(["a", "b"]), np.array(["a", "b"]), {"a": 1, "b": 2}.keys()])
def test_any_iterable_of_texts(value: Any) -> None:
    assert [item.text for item in items_from(value).items] == ["a", "b"]


def test_mappings_follow_the_rules_of_tables() -> None:
    found = items_from([{"id": 7, "text": LONG, "n": 1}, {"id": 8, "text": ""}, "no row", {"id": 9, "text": LONG}])
    assert [(item.id, dict(item.meta)) for item in found.items] == [("7", {"n": 1}), ("9", {})]
    assert {skipped.source for skipped in found.skipped} == {"data row 2", "data row 3"}
    with pytest.raises(DataError, match='data has no column "body"'):
        items_from([{"text": LONG}], ReadOptions(text="body"))


def test_rows_without_id_get_one_from_all_of_their_content() -> None:
    rows = [{"text": LONG, "n": 1}, {"text": LONG, "n": 2}, {"n": 1, "text": LONG}]
    found = items_from(rows)
    assert len(found.items) == 2  # the third is the first again
    assert found.notes == ("1 equal to an earlier one: kept once",)
    assert items_from(rows[1:2]).items[0].id == found.items[1].id


def frame(**columns: Any) -> Any:
    return pytest.importorskip("pandas").DataFrame(columns)


def arrow(**columns: Any) -> Any:
    return pytest.importorskip("pyarrow").table(columns)


class Polars:
    """What of a polars frame is used: polars itself is not needed to test it."""

    def __init__(self, **columns: Any) -> None:
        self.columns = list(columns)
        self.values = columns

    def iter_rows(self) -> Any:
        return zip(*self.values.values(), strict=True)


@pytest.mark.parametrize("make", [frame, arrow, Polars, dict], ids=["pandas", "arrow", "polars", "columns"])
def test_tables_of_all_libraries_give_the_same_items(make: Callable[..., Any]) -> None:
    value = make(nr=["x", "y", "z"], body=[LONG, None, "short"], n=[1, 2, 3], when=[datetime.date(2026, 1, 2)] * 3)
    found = items_from(value, ReadOptions(text="body", id="nr"), name="tickets")
    assert [(item.id, item.text, str(item.place)) for item in found.items] == [
        ("x", LONG, "tickets row 1"), ("z", "short", "tickets row 3"),
    ]  # fmt: skip
    assert [dict(item.meta) for item in found.items] == [{"n": n, "when": "2026-01-02"} for n in (1, 3)]
    assert found.skipped == (Skipped("tickets row 2", 'empty "body"'),)


def test_the_scalars_of_other_libraries_become_plain_ones() -> None:
    pandas = pytest.importorskip("pandas")
    row = {
        "text": LONG, "a": np.float32(0.5), "b": np.int64(3), "c": np.bool_(True), "d": pandas.NA, "e": pandas.NaT,
        "f": float("nan"), "g": decimal.Decimal("1.50"), "h": pandas.Timestamp("2026-01-02"), "i": np.array([1, 2]),
        "j": 2**70, "k": b"bytes", "l": {"deep": 1}, "m": np.str_("s"),
    }  # fmt: skip
    found = items_from([row])
    assert dict(found.items[0].meta) == {
        "a": 0.5, "b": 3, "c": True, "d": None, "e": None, "f": None, "g": "1.50", "h": "2026-01-02T00:00:00",
        "i": [1, 2], "j": str(2**70), "m": "s",
    }  # fmt: skip
    assert {type(value) for value in found.items[0].meta.values()} == {float, int, bool, type(None), str, list}
    assert len(found.notes) == 2


def test_columns_must_agree() -> None:
    with pytest.raises(DataError, match="differ in length"):
        items_from({"text": ["a", "b"], "n": [1]})
    with pytest.raises(UsageError, match='the column "text" is no list'):
        items_from({"text": "one row", "n": 1})
    with pytest.raises(DataError, match='two columns are called "1"'):
        items_from({1: ["a"], "1": ["b"]})


@pytest.mark.parametrize("value", [3, b"bytes", None, object()])
def test_other_values_hold_no_items(value: Any) -> None:
    with pytest.raises(UsageError, match="holds no items"):
        items_from(value)


def test_items_pass_as_they_are() -> None:
    items = [Item("a", Place("x"), id="1"), Item("b", Place("x"), id="2")]
    assert items_from(items).items == tuple(items)
    with pytest.raises(DataError, match='the id "1" is there twice'):
        items_from([items[0], Item("c", Place("x"), id="1")])


def test_a_string_is_a_path_and_a_list_of_strings_is_texts(tmp_path: Path) -> None:
    assert paths_of("notes") == [Path("notes")]
    assert paths_of(["notes"]) is None
    assert paths_of([Path("a"), Path("b")]) == [Path("a"), Path("b")]
    (tmp_path / "a.txt").write_text("some text")
    (tmp_path / "b.txt").write_text("")
    assert items_from(str(tmp_path / "a.txt")).hash
    found = items_from(tmp_path)
    assert [item.id for item in found.items] == [f"{tmp_path.name}/a.txt"]
    assert found.skipped == (Skipped(f"{tmp_path.name}/b.txt", "empty"),)
    assert len(items_from([tmp_path / "a.txt", tmp_path / "b.txt"]).items) == 1


def test_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "t.parquet"
    parquet.write_table(arrow(id=["x", "y"], body=[LONG, None], n=[1, 2], o=[{"a": 1}, {"a": 2}]), path)
    found = read(walk([path]).files[0])
    (item,) = found.items
    assert (item.id, item.text, str(item.place), dict(item.meta)) == ("x", LONG, "t.parquet row 1", {"n": 1})
    assert found.skipped == (Skipped("t.parquet row 2", 'empty "body"'),)
    assert found.notes[1] == 'the column "o" is not kept where it is no plain value (a dict)'
    with pytest.raises(DataError, match='has no column "nr"'):
        read(walk([path]).files[0], ReadOptions(id="nr"))


def test_damaged_parquet_is_named(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "t.parquet"
    parquet.write_table(arrow(body=[LONG + str(n) for n in range(500)]), path)
    data = path.read_bytes()
    for broken in (data[:100], data[:-20], b"PAR1" + b"\xff" * 100 + b"PAR1", data[:200] + b"\0" * 300 + data[500:]):
        path.write_bytes(broken)
        (skipped,) = read(walk([path]).files[0]).skipped
        assert skipped.reason.startswith("not a Parquet file that can be read")


def test_parquet_without_pyarrow_says_which_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match='needs the package "pyarrow"'):
        read(walk([tmp_path / "t.parquet"]).files[0])
    assert 'pip install "sememe[parquet]"' in read(walk([tmp_path]).files[0]).skipped[0].reason


def test_reading_a_list_imports_no_data_frames() -> None:
    code = (
        "import sys; from sememe.readers.rows import items_from; items_from(['a']); items_from([{'text': 'a'}]);"
        "print([name for name in ('numpy', 'pandas', 'pyarrow', 'polars', 'pypdfium2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
