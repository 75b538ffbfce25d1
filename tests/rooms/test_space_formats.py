"""Files of vectors: what is written is read back, what is broken is refused where it is broken."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sememe.errors import DataError, SememeError, UsageError
from sememe.space.formats import lines
from sememe.space.formats import word2vec as binary
from sememe.space.formats.decimals import PAD, decimals, decimals_slow
from sememe.space.formats.files import read_space, sniff, write_space
from sememe.space.space import Space

ENDINGS = [".txt", ".vec", ".bin", ".npy", ".npz", ".safetensors", ".parquet", ""]


def small() -> Space:
    rng = np.random.default_rng(3)
    return Space(("king", "größe", "東京", "a'b", "x\x1f"), rng.normal(size=(5, 3)).astype(np.float32))


def refused(path: Path, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        read_space(path, **options)  # type: ignore[arg-type]
    return str(caught.value)


def written(folder: Path, content: bytes, name: str = "x.txt") -> Path:
    (folder / name).write_bytes(content)
    return folder / name


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_written_is_read_back(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"space{ending}"
    write_space(small(), path)
    back = read_space(path)
    assert back.labels == small().labels
    np.testing.assert_array_equal(back.matrix, small().matrix)
    assert back.provenance["source"] == path.name
    first = read_space(path, limit=2)
    assert (first.labels, first.matrix.tolist()) == (small().labels[:2], small().matrix[:2].tolist())


@pytest.mark.parametrize("ending", [".npy", ".npz", ".safetensors", ".parquet"])
def test_labels_with_blanks_and_line_breaks(ending: str, tmp_path: Path) -> None:
    space = Space((" new york ", "a\nb", "", "\t"), np.eye(4))
    write_space(space, tmp_path / f"s{ending}")
    assert read_space(tmp_path / f"s{ending}").labels == space.labels
    for bad in (".txt", ".bin", ""):
        with pytest.raises(DataError, match="cannot stand in"):
            write_space(space, tmp_path / f"s2{bad}")


@pytest.mark.parametrize("ending", [".npy", ".safetensors"])
def test_numbers_stay_in_the_mapped_file(ending: str, tmp_path: Path) -> None:
    write_space(small(), tmp_path / f"s{ending}")
    owner = read_space(tmp_path / f"s{ending}").matrix
    while isinstance(owner, np.ndarray) and not isinstance(owner, np.memmap) and owner.base is not None:
        owner = owner.base
    assert not isinstance(owner, np.ndarray) or isinstance(owner, np.memmap)


def test_glove_has_no_line_of_counts(tmp_path: Path) -> None:
    path = tmp_path / "g.txt"
    write_space(small(), path, format="glove")
    assert path.read_text().startswith("king ")
    assert read_space(path).labels == small().labels
    packed = written(tmp_path, gzip.compress(path.read_bytes()), "g.txt.gz")
    assert read_space(packed).labels == small().labels


def test_lines_are_read_from_the_right(tmp_path: Path) -> None:
    text = "a 1 2 3\nnew york 4 5 6\n. . . 7 8 9 \r\n\xa0 0.5 -1e-3 +2\nb\t1\t2\t3"
    space = read_space(written(tmp_path, text.encode()))
    assert space.labels == ("a", "new york", ". . .", "\xa0", "b")
    assert space.matrix.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [0.5, np.float32(-1e-3), 2], [1, 2, 3]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a 1 2\nb 1\nc 1 2\n", ["line 2: a label and 2 numbers", "2 pieces"]),
        (b"a 1 2\nb 1 2\nc 1", ["line 3: a label and 2 numbers", "cut off"]),
        (b"a 1 2\nb 1 2\n\nc 1 2\n", ["line 3", "0 pieces"]),
        (b"a 1 2\nb 1 2\nx y 1,5 2\n", ["line 3, column 5", "'1,5' is no finite number", "number 1 of 2"]),
        (b"a 1 2\nb 1 nan\n", ["line 2, column 5", "'nan'"]),
        (b"a 1 2\nb -inf 1\n", ["line 2, column 3", "'-inf'"]),
        (b"a 1 2\nb 1 1e39\n", ["line 2, column 5", "'1e39'"]),
        (b"2 2\na 1 2\nb 1 2_0\n", ["line 3, column 5", "'2_0'"]),
        (b"3 2\na 1 2\nb 1 2\n", ["is not whole", "3 rows", "there are    2"]),
        (b"1 2\na 1 2\nb 1 2\n", ["line 1 says  1 rows"]),
        (b"99999999999999999 2\na 1 2\n", ["99999999999999999 rows"]),
        (b"a 1 2\nb 1 2\na 3 4\n", ["line 3: the label 'a' is there twice", "in line 1", "repeated="]),
        (b"2 2\na 1 2\na 3 4\n", ["line 3: the label 'a'", "in line 2"]),
        (b"a 1 2\n\xff\xfe 1 2\n", ["line 2: the label is not UTF-8", "unreadable="]),
        (b"", ["holds no vectors"]),
        (b"2 2\n", ["holds no vectors"]),
        (b"\n\n", ["holds no vectors"]),
        (b"word\nother\n", ["no label with numbers"]),
        (b"\x00\x01\x02\x03" * 20, ["no format that is known"]),
        (b"\x80\x04\x95\x00", ["is a pickle", "save_word2vec_format"]),
        (pickle.dumps({"a": 1}), ["is a pickle"]),
    ],
)
def test_broken_text_is_refused_where_it_is_broken(content: bytes, said: list[str], tmp_path: Path) -> None:
    message = refused(written(tmp_path, content))
    for part in said:
        assert part in message


def test_places_are_counted_over_the_borders_of_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLOCK", 64)
    rows = [f"w{n} {n}.5 {-n}.25" for n in range(100)]
    path = written(tmp_path, "\n".join(rows).encode() + b"\n\n\n")
    space = read_space(path)
    assert len(space) == 100
    assert space["w77"].tolist() == [77.5, -77.25]
    rows[77] = "w77 77.5 oops"
    assert "line 78, column 10: 'oops'" in refused(written(tmp_path, "\n".join(rows).encode()))
    rows[77] = "\n"
    assert "line 78" in refused(written(tmp_path, "\n".join(rows).encode()))
    monkeypatch.setattr(lines, "LONGEST", 100)
    assert "the line does not end" in refused(written(tmp_path, b"a" + b" 1" * 500))


def test_repeated_and_unreadable_as_asked(tmp_path: Path) -> None:
    path = written(tmp_path, b"a 1 2\nb 1 2\na 3 4\n\xffx 5 6\n")
    assert "UTF-8" in refused(path, repeated="first")
    space = read_space(path, repeated="first", unreadable="replace")
    assert (space.labels, space["a"].tolist()) == (("a", "b", "\ufffdx"), [1, 2])
    assert space.provenance["left out"].startswith("1 rows")
    with pytest.raises(UsageError, match='repeated="last" is not known'):
        read_space(path, repeated="last")
    with pytest.raises(UsageError, match='format="excel"'):
        read_space(path, format="excel")
    with pytest.raises(UsageError, match="leaves nothing"):
        read_space(path, limit=0)
    assert "is not there" in refused(tmp_path / "none.txt")


def word2vec(rows: int = 3, dim: int = 2, words: list[bytes] | None = None, between: bytes = b"") -> bytes:
    words = [b"a", b"bb", b"ccc"] if words is None else words
    numbers = np.frombuffer(b"    \n\n\n\n" * dim, "<f4")[:dim]  # as bytes these are blanks and line breaks
    return f"{rows} {dim}\n".encode() + between.join(word + b" " + numbers.tobytes() for word in words)


@pytest.mark.parametrize("between", [b"", b"\n"])
def test_blanks_among_the_numbers_of_a_binary_file(between: bytes, tmp_path: Path) -> None:
    space = read_space(written(tmp_path, word2vec(between=between) + between), format="word2vec")
    assert space.labels == ("a", "bb", "ccc")
    assert space["a"].tobytes() == b"    \n\n\n\n"


def test_binary_over_the_borders_of_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space(tuple(f"word{n}" for n in range(50)), np.random.default_rng(1).normal(size=(50, 7)))
    write_space(space, tmp_path / "s.bin")
    for step in (5, 29, 64, 1000):
        monkeypatch.setattr(binary, "STEP", step)
        back = binary.read_word2vec(tmp_path / "s.bin") if step > 28 else space
        assert back.labels == space.labels
        np.testing.assert_array_equal(back.matrix, space.matrix)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (word2vec(rows=900), "900 rows of 2 numbers"),
        (word2vec(rows=10**17), "is cut off"),
        (word2vec()[:-1], "cut off"),
        (word2vec(words=[b"a" * 30, b"b"]), "cut off in row 3"),
        (word2vec() + b"more", "holds more than its 3 rows"),
        (word2vec(words=[b"a", b"", b"cc"]), "row 2, byte 14: there is no word"),
        (word2vec(words=[b"a", b"\xff", b"cc"]), "row 2: the label is not UTF-8"),
        (word2vec(words=[b"a", b"b", b"a"]), "row 3: the label 'a' is there twice"),
        (b"3 2\na " + np.array([np.nan, 1], "<f4").tobytes() + word2vec()[14:], "holds NaN"),
        (b"x 2\n", "two counts"),
    ],
)
def test_a_broken_binary_file_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    assert said in refused(written(tmp_path, content, "x.bin"), format="word2vec")


def test_formats_are_seen_from_the_contents(tmp_path: Path) -> None:
    for ending, kind in zip(
        ENDINGS, ["text", "text", "word2vec", "npy", "npz", "safetensors", "parquet", "projector"], strict=True
    ):
        write_space(small(), tmp_path / f"s{ending}")
        (tmp_path / f"s{ending}").rename(tmp_path / "other.dat")
        assert sniff(tmp_path / "other.dat") == kind
        (tmp_path / "other.dat").rename(tmp_path / f"old{ending}")
    with pytest.raises(UsageError, match="no format is known for a"):
        write_space(small(), tmp_path / "a.xyz")


def test_arrays_want_labels_that_fit_and_no_pickles(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.eye(2, dtype=np.float32))
    assert "m.labels.txt" in refused(tmp_path / "m.npy")
    words = written(tmp_path, b"a\nb\n", "words.txt")
    assert read_space(tmp_path / "m.npy", labels=words).labels == ("a", "b")
    assert "3 labels" in refused(tmp_path / "m.npy", labels=written(tmp_path, b"a\nb\nc", "w3.txt"))
    assert "line 2: the label is not UTF-8" in refused(
        tmp_path / "m.npy", labels=written(tmp_path, b"a\n\xff\n", "w4.txt")
    )
    np.save(tmp_path / "o.npy", np.array([{}], object))
    assert "can be read" in refused(tmp_path / "o.npy", labels=words)
    np.savez(tmp_path / "o.npz", vectors=np.array([[{}]], object), labels=np.array(["a"]))
    assert "not what it claims" in refused(tmp_path / "o.npz")
    np.savez(tmp_path / "n.npz", vectors=np.eye(2), words=np.array(["a", "b"]))
    assert read_space(tmp_path / "n.npz").labels == ("a", "b")
    np.savez(tmp_path / "b.npz", vectors=np.eye(2), words=np.array([b"a", b"b"]))
    assert read_space(tmp_path / "b.npz").labels == ("a", "b")
    np.savez(tmp_path / "q.npz", other=np.eye(2))
    assert "holds no array vectors" in refused(tmp_path / "q.npz")


def test_an_array_that_claims_more_than_there_is(tmp_path: Path) -> None:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 10**6)})
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("vectors.npy", head.getvalue())
        archive.writestr("labels.npy", b"")
    assert "not what it claims" in refused(tmp_path / "x.npz")
    assert "can be read" in refused(written(tmp_path, head.getvalue(), "x.npy"), labels=written(tmp_path, b"a"))


def test_projector_with_columns(tmp_path: Path) -> None:
    written(tmp_path, b"1\t2\n3\t4\n", "tensors.tsv")
    words = written(tmp_path, b"id\tWord\n7\tking\n8\tqueen\n", "metadata.tsv")
    assert read_space(tmp_path).labels == ("king", "queen")
    words.write_bytes(b"id\tword\n7\tking\n8\n")
    assert "metadata.tsv, line 3: there is no column 2" in refused(tmp_path)
    words.write_bytes(b"king\n")
    assert "1 labels, 2 rows" in refused(tmp_path)
    words.write_bytes(b"king\nqueen\n")
    written(tmp_path, b"1\t2\n3\tx\n", "tensors.tsv")
    assert "line 2, column 2: 'x'" in refused(tmp_path)
    written(tmp_path, b"1\t2\n3\n", "tensors.tsv")
    assert "line 2: 1 numbers instead of 2" in refused(tmp_path)


def test_parquet_needs_one_column_of_each(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "p.parquet"
    np.save(tmp_path / "m.npy", np.eye(2, dtype=np.float32))
    parquet.write_table(pyarrow.table({"w": ["a", "b"], "n": [1, 2]}), path)
    assert read_space(tmp_path / "m.npy", labels=path).labels == ("a", "b")
    parquet.write_table(pyarrow.table({"w": ["a", None]}), path)
    assert "one column of strings" in refused(tmp_path / "m.npy", labels=path)
    parquet.write_table(pyarrow.table({"w": ["a", "b"], "v": [[1.0, 2.0], [3.0, 4.0]], "n": [1, 2]}), path)
    assert read_space(path).matrix.tolist() == [[1, 2], [3, 4]]
    parquet.write_table(pyarrow.table({"w": ["a", "b"], "v": [[1.0, 2.0], [3.0]]}), path)
    assert "several widths" in refused(path)
    parquet.write_table(pyarrow.table({"w": ["a", None], "v": [[1.0], [3.0]]}), path)
    assert "without a value" in refused(path)
    parquet.write_table(pyarrow.table({"w": ["a"], "x": ["a"], "v": [[1.0]]}), path)
    assert "strings: w, x" in refused(path)
    assert "as Parquet" in refused(written(tmp_path, b"PAR1 and nothing else", "q.parquet"))


def test_tensors_with_other_labels(tmp_path: Path) -> None:
    write_space(small(), tmp_path / "s.safetensors")
    words = written(tmp_path, json.dumps(list("abcde")).encode(), "w.json")
    assert read_space(tmp_path / "s.safetensors", labels=words).labels == tuple("abcde")


number = st.from_regex(r"-?[0-9]{0,9}\.?[0-9]{0,17}(e-?[0-9]{1,2})?", fullmatch=True) | st.text(
    "0159.-+e_x/:", max_size=20
)


@settings(max_examples=80, deadline=None)
@given(st.lists(number, min_size=1, max_size=30))
def test_decimals_are_those_of_float(texts: list[str]) -> None:
    data, starts, ends = b"\n" * PAD, [], []
    for text in texts:
        starts.append(len(data))
        data += text.encode()
        ends.append(len(data))
        data += b" "
    buffer = np.frombuffer(data, np.uint8)
    fast = decimals(buffer, np.array(starts), np.array(ends))
    slow = decimals_slow(buffer, np.array(starts), np.array(ends))
    np.testing.assert_array_equal(fast, slow)
    np.testing.assert_array_equal(np.signbit(fast), np.signbit(slow))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ending=st.sampled_from(ENDINGS[:-1]),
    at=st.integers(0, 10**6),
    junk=st.binary(max_size=12),
    way=st.sampled_from(["cut", "put", "set"]),
)
def test_damage_is_read_or_refused_and_nothing_else(
    ending: str, at: int, junk: bytes, way: str, tmp_path: Path
) -> None:
    path = tmp_path / f"d{ending}"
    write_space(small(), path)
    data = path.read_bytes()
    at %= len(data)
    path.write_bytes(
        {"cut": data[:at], "put": data[:at] + junk + data[at:], "set": data[:at] + junk + data[at + len(junk) :]}[way]
    )
    try:
        space = read_space(path)
    except SememeError:
        return
    assert len(space) == len(set(space.labels))
    assert np.isfinite(space.matrix).all()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_fasttext_model_is_read_or_refused(data: st.DataObject, tmp_path: Path) -> None:
    whole = (Path(__file__).parents[1] / "oracle" / "golden" / "words" / "fasttext.bin").read_bytes()
    at = data.draw(st.integers(0, 1200))
    junk = data.draw(st.binary(min_size=1, max_size=8))
    path = written(tmp_path, whole[:at] + junk + whole[at + len(junk) :] if at % 3 else whole[:at], "f.bin")
    try:
        space = read_space(path, format="fasttext")
    except SememeError:
        return
    assert np.isfinite(space.matrix).all()


def test_the_end_of_a_line_has_no_parts_in_fasttext(tmp_path: Path) -> None:
    whole = (Path(__file__).parents[1] / "oracle" / "golden" / "words" / "fasttext.bin").read_bytes()
    assert whole.count(b"king\0") == 1
    before = read_space(written(tmp_path, whole, "a.bin"))
    after = read_space(written(tmp_path, whole.replace(b"king\0", b"</s>\0"), "b.bin"))
    assert before.subwords is not None
    rows = before.subwords.rows("king")
    own = before["king"] * (len(rows) + 1) - before.subwords.matrix[rows].sum(axis=0)
    np.testing.assert_allclose(after["</s>"], own, atol=1e-5)
