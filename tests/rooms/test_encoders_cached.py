"""The memory of encoders: what is asked for once, what a damaged or shared file costs, and what goes when there is no
room."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sememe.encoders import cache_file
from sememe.encoders.cache_file import CacheWarning, Kept, VectorCache
from sememe.encoders.cached import GROUP, CachedEncoder
from sememe.encoders.contract import LongItemWarning
from sememe.encoders.load import load_encoder
from sememe.errors import DataError
from sememe.shapes import Encoded
from tests import tiny_bert
from tests.remote_server import environment, serving

ROOT = Path(__file__).resolve().parents[2]


class Letters:
    """An encoder of six tokens, a token a character, that remembers what it was asked."""

    name, dim, max_tokens, fingerprint = "letters", 4, 6, "f" * 64
    precision = "f32"

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.roles: list[str] = []
        self.fail_after: int | None = None

    def describe(self) -> dict[str, str]:
        return {"precision": self.precision}

    def encode_report(self, items: Sequence[str], *, role: str, on_long: str, progress: Any = None) -> Encoded:
        if on_long == "error":
            for row, text in enumerate(items):
                if len(text) > self.max_tokens:
                    raise DataError(f"item {row} is longer")
        if self.fail_after is not None and sum(map(len, self.asked)) >= self.fail_after:
            raise KeyboardInterrupt
        self.asked.append(list(items))
        self.roles.append(role)
        vectors = np.stack([np.zeros(4), *(self.vector(text, role, on_long) for text in items)])[1:]
        used = np.array([len(t) if on_long == "mean" else min(len(t), 6) for t in items], np.int32)
        dropped = np.array([0 if on_long == "mean" else max(0, len(t) - 6) for t in items], np.int32)
        return Encoded(vectors.astype(np.float32), used, dropped)

    def vector(self, text: str, role: str, on_long: str) -> Any:
        seen = text if on_long == "mean" else text[:6]
        bits = hashlib.sha256(f"{role} {seen}".encode("utf-8", "surrogatepass")).digest()[:16]
        return np.frombuffer(bits, "<u4").astype(np.float32)

    def close(self) -> None: ...


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[VectorCache]:
    one = VectorCache(tmp_path / "cache" / "vectors.sqlite")
    yield one
    one.close()


@pytest.fixture
def letters() -> Letters:
    return Letters()


@pytest.fixture
def encoder(letters: Letters, cache: VectorCache) -> CachedEncoder:
    return CachedEncoder(letters, cache)  # type: ignore[arg-type]


def kept(name: str, *, width: int = 4, way: str = "") -> Kept:
    key = hashlib.sha256(name.encode()).digest()
    return Kept(key, np.random.default_rng(len(name)).normal(size=width).astype(np.float32), 3, 0, way)


# --- what is asked


def test_each_text_is_asked_for_once_and_order_is_kept(encoder: CachedEncoder, letters: Letters) -> None:
    first = encoder.encode(["b", "a", "b", "c", "a"])
    assert letters.asked == [["b", "a", "c"]]
    again = encoder.encode(["c", "d", "a", "b", "d"])
    assert letters.asked == [["b", "a", "c"], ["d"]]
    np.testing.assert_array_equal(again[[0, 2, 3]], first[[3, 1, 0]])
    np.testing.assert_array_equal(again[1], letters.vector("d", "document", "cut"))
    assert encoder.missing(["a", "x", "y", "x"]) == ["x", "y"]


def test_another_process_role_precision_or_encoder_is_another_vector(
    encoder: CachedEncoder, letters: Letters, cache: VectorCache
) -> None:
    encoder.encode(["a"])
    encoder.encode(["a"], role="query")
    assert letters.asked == [["a"], ["a"]]
    for change in ({"fingerprint": "e" * 64}, {"precision": "bf16"}):
        other = Letters()
        vars(other).update(change)
        CachedEncoder(other, cache).encode(["a"])  # type: ignore[arg-type]
        assert other.asked == [["a"]]
    same = Letters()
    with closing(VectorCache(cache.path)) as reopened:
        CachedEncoder(same, reopened).encode(["a"])  # type: ignore[arg-type]
    assert same.asked == []


def test_long_items_are_known_by_the_way_they_were_dealt_with(encoder: CachedEncoder, letters: Letters) -> None:
    texts = ["short", "much too long", "longer than six"]
    cut = encoder.encode_report(texts, on_long="cut")
    mean = encoder.encode_report(texts, on_long="mean")
    assert letters.asked == [texts, texts[1:]]
    assert cut.dropped.tolist() == [0, 7, 9]
    assert mean.dropped.tolist() == [0, 0, 0]
    assert (cut.vectors[1:] != mean.vectors[1:]).any(axis=1).all()
    for way, expected in (("cut", cut), ("mean", mean)):
        again = encoder.encode_report(texts, on_long=way)
        np.testing.assert_array_equal(again.vectors, expected.vectors)
        assert again.used.tolist() == expected.used.tolist()
    assert len(letters.asked) == 2


def test_warnings_and_errors_do_not_depend_on_what_is_kept(encoder: CachedEncoder) -> None:
    texts = ["a", "much too long", "b", "longer than six"]
    for known in ([], texts[1:2], texts):
        if known:
            encoder.encode(known, on_long="cut")
        with pytest.warns(LongItemWarning, match=r"2 of 4 items.*item 3 lost 9 of 15"):
            encoder.encode(texts)
    for known, said in (([], "item 1"), (["c"], "item 1"), (["c", "much too long"], "item 1")):
        fresh = CachedEncoder(Letters(), VectorCache(encoder.cache.path.with_name(f"{len(known)}.sqlite")))  # type: ignore[arg-type]
        fresh.encode(known, on_long="cut")
        with pytest.raises(DataError, match=said):
            fresh.encode(["c", "much too long", "b"], on_long="error")
        fresh.close()


def test_the_number_in_an_error_counts_all_items(encoder: CachedEncoder) -> None:
    encoder.encode(["a", "b"])
    with pytest.raises(DataError, match="item 2"):
        encoder.encode(["a", "b", "much too long"], on_long="error")


def test_an_interruption_costs_no_more_than_a_group(encoder: CachedEncoder, letters: Letters) -> None:
    texts = [f"{n:x}" for n in range(3 * GROUP)]
    letters.fail_after = 2 * GROUP
    with pytest.raises(KeyboardInterrupt):
        encoder.encode(texts)
    letters.fail_after = None
    letters.asked.clear()
    vectors = encoder.encode(texts)
    assert letters.asked == [texts[2 * GROUP :]]
    np.testing.assert_array_equal(vectors[5], letters.vector(texts[5], "document", "cut"))


@settings(max_examples=25)
@given(st.lists(st.lists(st.text(max_size=9), max_size=6), max_size=5))
def test_with_and_without_it_is_the_same(tmp_path_factory: pytest.TempPathFactory, calls: list[list[str]]) -> None:
    letters = Letters()
    with closing(VectorCache(tmp_path_factory.mktemp("c") / "v.sqlite")) as cache:
        encoder = CachedEncoder(letters, cache)  # type: ignore[arg-type]
        for texts in calls:
            for way in ("cut", "mean"):
                got = encoder.encode_report(texts, on_long=way)
                plain = Letters().encode_report(texts, role="document", on_long=way)
                np.testing.assert_array_equal(got.vectors, plain.vectors)
                assert got.used.tolist() == plain.used.tolist()
                assert got.dropped.tolist() == plain.dropped.tolist()


def test_nothing_of_a_text_is_in_the_file(encoder: CachedEncoder, cache: VectorCache) -> None:
    encoder.encode(["secret"])
    cache.close()
    assert not [path for path in cache.path.parent.iterdir() if b"secret" in path.read_bytes()]


# --- the file


def test_what_was_used_least_recently_goes_first(tmp_path: Path) -> None:
    with closing(VectorCache(tmp_path / "v.sqlite", limit=300_000)) as cache:
        names = [f"n{n}" for n in range(60)]
        for name in names:
            cache.put([kept(name, width=2000)])
            cache.get([kept("n0").key], "cut")
        found = cache.get([kept(name).key for name in names], "cut")
        there = [name for name in names if kept(name).key in found]
        assert there[0] == "n0"
        assert there[1:] == names[-len(there[1:]) :]
        assert 15 < len(there) < 40
        assert cache.info().bytes <= 300_000
        assert cache.info().rows == len(there)


def test_more_than_fits_leaves_a_whole_file(tmp_path: Path) -> None:
    with closing(VectorCache(tmp_path / "v.sqlite", limit=50_000)) as cache:
        cache.put([kept(f"n{n}", width=2000) for n in range(50)])
        assert cache.info().bytes <= 50_000
        assert 0 < cache.info().rows < 6


def test_info_and_clear(cache: VectorCache) -> None:
    assert (cache.info().rows, cache.info().bytes, cache.clear()) == (0, 0, 0)
    assert not cache.path.exists()
    cache.put([kept(f"n{n}", width=500) for n in range(100)])
    before = cache.info()
    assert before.rows == 100
    assert cache.clear() == 100
    after = cache.info()
    assert after.rows == 0
    assert after.bytes < before.bytes / 5


@pytest.mark.parametrize("column", ["vector", "used", "dropped", "way", "key", "seal"])
def test_a_row_that_was_changed_is_dropped_said_and_made_anew(
    column: str, encoder: CachedEncoder, letters: Letters, cache: VectorCache
) -> None:
    expected = encoder.encode(["a", "b"])
    cache.close()
    values = {"vector": "zeroblob(16)", "used": "used + 1", "dropped": "'x'", "way": "'cut'", "seal": "zeroblob(16)"}
    with closing(sqlite3.connect(cache.path)) as connection, connection:
        other = "(SELECT key FROM vectors WHERE id = 2)"
        if column == "key":  # the vector of one text under the key of another
            connection.execute(f"CREATE TABLE k AS SELECT {other} AS key")
            connection.execute("DELETE FROM vectors WHERE id = 2")
            connection.execute("UPDATE vectors SET key = (SELECT key FROM k)")
        else:
            connection.execute(f"UPDATE vectors SET {column} = {values[column]} WHERE id = 1")
    with pytest.warns(CacheWarning, match="1 vectors in .* are not what was written"):
        np.testing.assert_array_equal(encoder.encode(["a", "b"]), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(encoder.encode(["a", "b"]), expected)


def _noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(path.stat().st_size))


def _head(path: Path) -> None:
    path.write_bytes(b"\0" * 100 + path.read_bytes()[100:])


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _other(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE mine (x)")


@pytest.mark.parametrize("damage", [_noise, _head, _half, _other])
def test_a_damaged_file_is_set_aside_and_said(damage: Any, encoder: CachedEncoder, cache: VectorCache) -> None:
    texts = [f"{n:x}" for n in range(500)]
    expected = encoder.encode(texts)
    cache.close()
    damage(cache.path)
    damaged = cache.path.read_bytes()
    with pytest.warns(CacheWarning, match="set aside as vectors.sqlite.damaged-1"):
        np.testing.assert_array_equal(encoder.encode(texts), expected)
    assert cache.path.with_name("vectors.sqlite.damaged-1").stat().st_size >= len(damaged) // 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(encoder.encode(texts), expected)
        assert encoder.missing(texts) == []


def test_a_file_that_cannot_be_written_costs_no_vector(letters: Letters, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with closing(VectorCache(tmp_path / "file" / "v.sqlite")) as cache, pytest.warns(CacheWarning, match="not kept"):
        vectors = CachedEncoder(letters, cache).encode(["a"])  # type: ignore[arg-type]
    np.testing.assert_array_equal(vectors[0], letters.vector("a", "document", "cut"))


def test_a_writer_that_does_not_end_costs_no_vector(letters: Letters, cache: VectorCache) -> None:
    CachedEncoder(letters, cache).encode(["a"])  # type: ignore[arg-type]
    with closing(sqlite3.connect(cache.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with closing(VectorCache(cache.path, patience=0.01)) as mine, pytest.warns(CacheWarning, match="locked"):
            CachedEncoder(letters, mine).encode(["a", "b"])  # type: ignore[arg-type]
        other.execute("ROLLBACK")
    assert letters.asked == [["a"], ["b"]]


WORK = """
import sys, numpy as np, hashlib
from pathlib import Path
from sememe.encoders.cache_file import VectorCache, Kept
cache = VectorCache(Path(sys.argv[1]), limit=int(sys.argv[3]))
sys.stdin.readline()
for n in range(60):
    names = [f"text {(n * 7 + i) % 100}" for i in range(10)]
    keys = [hashlib.sha256(name.encode()).digest() for name in names]
    for key, one in cache.get(keys, "cut").items():
        assert one.vector.tobytes() == np.full(200, key[0], np.float32).tobytes()
    cache.put([Kept(key, np.full(200, key[0], np.float32), 1, 0) for key in keys])
print("done")
"""


def test_a_new_file_waits_for_who_is_just_making_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "v.sqlite"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            other.execute("ROLLBACK")

    monkeypatch.setattr(cache_file.time, "sleep", wait)
    assert VectorCache(path).get([b"key"], "") == {}
    assert len(waited) == 3
    other.close()


@pytest.mark.parametrize("limit", [10_000_000, 60_000])
def test_three_processes_at_once(tmp_path: Path, limit: int) -> None:
    path = tmp_path / "v.sqlite"
    command = [sys.executable, "-W", "error", "-c", WORK, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen([*command, str(n), str(limit)], cwd=ROOT, **pipes) for n in range(3)]  # type: ignore[call-overload]
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        out, err = worker.communicate(timeout=120)
        assert (out, err) == ("done\n", "")
    with closing(VectorCache(path, limit=limit)) as cache:
        assert cache.info().rows == 100 or cache.info().bytes <= limit


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_opens_its_own(cache: VectorCache) -> None:
    cache.put([kept("a")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            cache.put([kept("b")])
            both = len(cache.get([kept("a").key, kept("b").key], "cut")) == 2
            code = 0 if both and cache._process == os.getpid() else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(cache.get([kept("a").key, kept("b").key], "cut")) == 2


# --- who has one


def test_hosted_encoders_have_one_unless_told_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = tiny_bert.write(tmp_path / "tiny")
    with serving() as server:
        for name, value in environment(server, "ollama").items():
            monkeypatch.setenv(name, value)
        wanted = {"auto": (True, False), "on": (True, True), "off": (False, False)}
        for mode, answer in wanted.items():
            monkeypatch.setenv("SEMEME_CACHE_MODE", mode)
            made = [load_encoder(name, home=tmp_path, offline=True) for name in ("ollama:m", local)]
            assert tuple(isinstance(one, CachedEncoder) for one in made) == answer
            for one in made:
                one.close()
        monkeypatch.setenv("SEMEME_CACHE_MODE", "auto")
        for _ in range(2):
            encoder = load_encoder("ollama:m", home=tmp_path, offline=True)
            encoder.encode(["a", "b"])
            encoder.close()
        assert server.texts() == [["a", "b"], ["width"]]
        assert (tmp_path / "cache" / "vectors.sqlite").is_file()
