"""Collections: bound to one encoder, filled from anything, brought up to date by what changed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from letters import Letters

from sememe.collection import binding, indexing
from sememe.collection.collection import Collection
from sememe.collection.indexing import chunk_id
from sememe.errors import DamagedError, DataError, LockedError, MismatchError, StoreError, UsageError
from sememe.settings import load

ROOT = Path(__file__).resolve().parents[2]
LONG = " ".join(f"Sentence {'abcdefghijklmnopqrstuvwxyz'[n] * 3} stands here." for n in range(26))


@pytest.fixture
def encoder() -> Letters:
    return Letters()


@pytest.fixture
def made(tmp_path: Path, encoder: Letters) -> Callable[..., Collection]:
    """Makes collections in a home of the test's own."""

    def make(name: str = "notes", **options: Any) -> Collection:
        return Collection(name, **{"encoder": encoder, "home": tmp_path / "home", **options})

    return make


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("zebras are striped")
    (folder / "b.txt").write_text(LONG)
    (folder / "sub" / "c.md").write_text("# Foxes\n\nquick brown foxes\n\n# Dogs\n\nlazy dogs\n")
    old = time.time() - 60  # long ago, as most files are
    for file in folder.rglob("*.*"):
        os.utime(file, (old, old))
    return folder


def content(collection: Collection) -> dict[str, Any]:
    store = collection.store
    ids = store.ids()
    kept = zip(store.get(ids), store.vectors(ids).tolist(), strict=True)
    return dict(zip(ids, kept, strict=True))


# --- names and opening -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../x", "a/../../x", "A", "a b", "", ".", "..", "nötes", "x\0", "a\\..\\b", "con:"])
def test_a_name_that_is_none_is_refused(name: str, made: Callable[..., Collection]) -> None:
    with pytest.raises(UsageError):
        made(name)


def test_a_path_is_a_path(tmp_path: Path, made: Callable[..., Collection]) -> None:
    assert made("notes").folder == tmp_path / "home" / "collections" / "notes"
    assert made(str(tmp_path / "Else Where")).folder == tmp_path / "Else Where"
    assert made(tmp_path / "Else Where").folder == tmp_path / "Else Where"
    assert made("./x").folder == Path.cwd() / "x"


def test_nothing_is_made_before_something_is_added(made: Callable[..., Collection], tmp_path: Path) -> None:
    collection = made()
    assert (collection.exists, collection.count(), repr(collection)) == (False, 0, "Collection('notes', empty)")
    assert not (tmp_path / "home").exists()
    made("other").add(["x"])
    with pytest.raises(StoreError) as caught:
        collection.search("x")
    assert str(caught.value) == (
        'there is no collection "notes"\n  there are  other\n  → make it:  sememe index PATH … -c notes'
    )


def test_opening_counting_and_words_need_no_encoder(
    made: Callable[..., Collection], monkeypatch: pytest.MonkeyPatch
) -> None:
    made().add(["a zebra", "a horse"]).close()

    def never(*args: object, **rest: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(Collection, "_loaded", never)
    with made(encoder=None) as collection:
        assert collection.count() == 2
        assert [hit.text for hit in collection.search("zebras", mode="words")] == ["a zebra"]
        assert collection.info().binding.encoder == "letters"
        assert repr(collection) == "Collection('notes', 2 chunks, letters)"
        with pytest.raises(UsageError, match="is not known"):
            collection.search("x", mode="sparse")


def test_it_is_made_with_the_settings_and_keeps_them(made: Callable[..., Collection], tmp_path: Path) -> None:
    first = load({"chunk.size": 16, "chunk.overlap": 4, "home": tmp_path / "home"})
    with made(settings=first) as collection:
        collection.add([LONG])
        many = collection.count()
        assert (collection.binding.chunk_size, collection.binding.chunk_overlap) == (16, 4)
        assert collection.binding.recipe == {"model": "letters", "pooling": "sum"}
    with made() as collection:
        collection.add([LONG + "x"])
        assert collection.count() >= 2 * many
    other = load({"chunk.size": 32, "chunk.overlap": 4, "home": tmp_path / "home"})
    with pytest.raises(UsageError, match="cut into chunks of 16 tokens with 4 shared"):
        made(settings=other).count()


def test_the_home_of_names(made: Callable[..., Collection], tmp_path: Path) -> None:
    home = tmp_path / "home" / "collections"
    assert binding.names(home) == []
    for name in ("b", "a"):
        made(name).add(["x"]).close()
    (home / "no-collection").mkdir()
    assert binding.names(home) == ["a", "b"]
    binding.rename("a", "c", home)
    with pytest.raises(StoreError, match='called "c" already'):
        binding.rename("b", "c", home)
    binding.remove("b", home)
    assert binding.names(home) == ["c"]
    with pytest.raises(StoreError, match='no collection "b"'):
        binding.remove("b", home)
    with made("c") as collection, collection.store.writing(), pytest.raises(LockedError):
        binding.remove("c", home)


# --- another encoder -------------------------------------------------------------------------------------------------


def test_another_encoder_is_refused_and_nothing_changes(made: Callable[..., Collection]) -> None:
    with made() as collection:
        before = content(collection.add(["a zebra"]))
        date = collection.binding.created[:10]
    for other, width, remark in (
        (Letters("vowels", "aeiou"), 5, "another width"),
        (Letters("reversed", "zyxwvutsrqponmlkjihgfedcba"), 26, "same width, another space"),
    ):
        collection = made(encoder=other)
        for use in (lambda c: c.search("x"), lambda c: c.add(["y"]), lambda c: c.count(), lambda c: c.index(ROOT)):
            with pytest.raises(MismatchError) as caught:
                use(collection)
            wide = max(len(other.name), 7)
            assert str(caught.value) == "\n".join(
                [
                    "this collection was built with another encoder",
                    f"  collection  notes  {'letters':<{wide}}    26 dims  ({date})",
                    f"  you asked          {other.name:<{wide}}  {width:>4} dims  ({remark})",
                    '  → search with its own encoder:  sememe search "…" -c notes',
                    f"  → or move it over:              sememe collections migrate notes --to {other.name}",
                ]
            )
    with made() as collection:
        assert content(collection) == before


def test_a_name_is_refused_without_loading_it(made: Callable[..., Collection]) -> None:
    made().add(["x"]).close()
    with pytest.raises(MismatchError, match="another encoder") as caught:
        made(encoder="bge-small-en-v1.5").search("x")
    assert "384 dims  (another width)" in str(caught.value)
    # Its own name, however long it is written, is no other encoder.
    with made(encoder="someone/letters") as collection:
        assert collection.count() == 1


def test_the_same_name_with_other_weights_is_refused(made: Callable[..., Collection]) -> None:
    made().add(["x"]).close()
    with pytest.raises(MismatchError, match="another encoder") as caught:
        made(encoder=Letters("letters", "abcdefghijklmnopqrstuvwxyÿ")).search("x")
    assert "the same name, other weights or another recipe" in str(caught.value)


# --- adding ----------------------------------------------------------------------------------------------------------


def test_adding_again_changes_nothing(made: Callable[..., Collection], encoder: Letters) -> None:
    with made() as collection:
        assert collection.add(["a zebra", "a horse"]) is collection
        assert collection.report is not None
        assert (collection.report.items, collection.report.encoded) == (2, 2)
        before = content(collection)
        collection.add(["a zebra", "a horse"])
        assert collection.report is not None
        assert (collection.report.encoded, collection.report.reused, collection.report.deleted) == (0, 2, 0)
        assert content(collection) == before
        assert encoder.encoded == ["a zebra", "a horse"]


def test_rows_with_ids_replace_each_other(made: Callable[..., Collection]) -> None:
    rows = [{"id": "t1", "body": LONG, "lang": "en"}, {"id": "t2", "body": "foxes", "lang": "de"}]
    with made() as collection:
        collection.add(rows, text="body", id="id")
        many = [id for id in collection.store.ids() if id.startswith("t1")]
        assert len(many) > 3
        assert many[0] == "t1~1"
        (hit,) = collection.search("foxes", 1, where='lang = "de"')
        assert (hit.id, hit.meta["lang"]) == ("t2", "de")
        collection.add([{"id": "t1", "body": "short now", "lang": "en"}], text="body", id="id")
        assert collection.store.ids() == ["t1", "t2"]
        assert collection.report is not None
        assert collection.report.deleted == len(many)
        assert collection.delete(["t2", "unknown"]) == 1
        assert collection.count() == 1


def test_deleting_an_item_takes_all_of_its_chunks(made: Callable[..., Collection]) -> None:
    with made() as collection:
        collection.add([{"id": "t1", "text": LONG}, {"id": "t2", "text": "foxes"}], id="id")
        assert collection.delete(["t1"]) > 3
        assert collection.store.ids() == ["t2"]


@pytest.mark.parametrize("item", ["x", "x~1", "x~1~1", "x~", "~", "~2", "a~b", "1"])
def test_no_two_chunks_have_one_id(item: str) -> None:
    others = ["x", "x~1", "x~2", "x~1~1", "x~", "~", "~1", "~2", "a~b", "1"]
    mine = {chunk_id(item, 1, 1), *(chunk_id(item, n, 3) for n in (1, 2, 3))}
    assert len(mine) in (3, 4)
    for other in others:
        if other != item:
            assert not mine & {chunk_id(other, 1, 1), *(chunk_id(other, n, 3) for n in (1, 2, 3))}


def test_a_chunk_knows_its_place_and_its_item(made: Callable[..., Collection], notes: Path, encoder: Letters) -> None:
    with made() as collection:
        collection.index(notes)
        first, second = collection.get(["notes/sub/c.md#1", "notes/sub/c.md#2"])
        assert first is not None
        assert second is not None
        assert (first.title, first.text, str(first.place)) == (
            "Foxes",
            "# Foxes\n\nquick brown foxes",
            "notes/sub/c.md:1-3",
        )
        assert (second.title, str(second.place)) == ("Dogs", "notes/sub/c.md:5-7")
        assert "Dogs\n# Dogs\n\nlazy dogs" in encoder.encoded
        for id in collection.store.ids("notes/b.txt"):
            (kept,) = collection.get([id])
            assert kept is not None
            assert kept.item == "notes/b.txt"
            assert LONG[slice(*kept.span)] == kept.text
        assert set(collection.sources()) == {"notes/a.txt", "notes/b.txt", "notes/sub/c.md"}


def test_a_chunk_leaves_room_for_its_title(made: Callable[..., Collection], encoder: Letters) -> None:
    with made() as collection:
        collection.add([{"title": "a b c d e f g", "text": LONG}, {"title": "word " * 100, "text": LONG}])
        assert len(encoder.encoded) > 6
        counts = encoder.tokenizer.count(encoder.encoded)
        assert counts.max() <= encoder.max_tokens
        assert all(text.startswith(("a b c d e f g\n", "word ")) for text in encoder.encoded)
        # Of a title without end only the beginning is encoded; the whole is kept.
        assert {len(hit.title.split()) for hit in collection.search("sentence", 100)} == {7, 100}


def test_equal_contents_are_encoded_once(made: Callable[..., Collection], encoder: Letters, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for name in "abc":
        (tmp_path / "d" / f"{name}.txt").write_text("x\n\nthe same text")
    with made() as collection:
        report = collection.index(tmp_path / "d")
        assert (report.chunks, report.encoded, report.reused) == (3, 3, 0)  # their titles differ
        collection.add([{"id": n, "text": "same"} for n in "pqr"], id="id")
        assert collection.report is not None
        assert (collection.report.chunks, collection.report.encoded, collection.report.reused) == (3, 1, 2)


# --- searching -------------------------------------------------------------------------------------------------------


def test_searching(made: Callable[..., Collection]) -> None:
    with made() as collection:
        collection.add(["aaaa", "aabb", "bbbb", "zebra crossing"])
        hits = collection.search("aa", 3, mode="dense")
        assert [hit.text for hit in hits] == ["aaaa", "aabb", "zebra crossing"]
        assert hits.scores[:2] == pytest.approx((1, 0.5**0.5))
        assert [hit.text for hit in collection.search("aa", mode="dense", min_score=0.7)] == ["aaaa", "aabb"]
        assert collection.search("aa", mode="dense", min_score=2).ids == ()
        best = collection.search("crossing", 1)[0]
        assert (best.text, best.kind, set(best.scores)) == ("zebra crossing", "hybrid", {"cosine", "bm25"})
        with pytest.raises(UsageError, match="no record has a field"):
            collection.search("x", where="lang = 'en'")
        with pytest.raises(UsageError, match="a query is a text"):
            collection.search(["x"])  # type: ignore[arg-type]


# --- bringing up to date ---------------------------------------------------------------------------------------------


def test_only_what_changed_is_read_and_encoded(
    made: Callable[..., Collection], notes: Path, encoder: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_files: list[str] = []
    real = indexing.read
    monkeypatch.setattr(
        indexing, "read", lambda source, options: read_files.append(source.name) or real(source, options)
    )
    with made() as collection:
        first = collection.index(notes)
        assert (first.files, first.unchanged, first.items) == (3, 0, 4)
        assert first.encoded == first.chunks == collection.count()
        read_files.clear()
        encoder.encoded.clear()
        assert collection.index(notes).unchanged == 3
        (notes / "a.txt").touch()  # another time, the same content
        assert collection.index(notes).unchanged == 3
        assert (read_files, encoder.encoded) == ([], [])
        (notes / "sub" / "c.md").write_text("# Foxes\n\nquick brown foxes\n\n# Cats\n\nmany cats\n")
        report = collection.index(notes)
        assert (report.unchanged, report.encoded, report.reused, report.deleted) == (2, 1, 1, 0)
        assert (read_files, encoder.encoded) == (["notes/sub/c.md"], ["Cats\n# Cats\n\nmany cats"])
        (notes / "sub" / "c.md").write_text("# Foxes\n\nquick brown foxes\n")
        assert collection.index(notes).deleted == 2  # one section now: its id has no number
        assert collection.store.ids("notes/sub/c.md") == ["notes/sub/c.md"]
        assert collection.verify().ok


def test_a_file_written_again_at_once_is_seen(made: Callable[..., Collection], tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("first")
    with made() as collection:
        collection.index(file)
        before = file.stat()
        file.write_text("other")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        collection.index(file)
        assert [hit.text for hit in collection.search("x", mode="dense")] == ["other"]


def test_files_that_are_gone_leave(made: Callable[..., Collection], notes: Path, tmp_path: Path) -> None:
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "x.txt").write_text("stays")
    with made() as collection:
        collection.index([notes, beside])
        (notes / "b.txt").unlink()
        report = collection.index(notes)
        assert report.removed == 1
        assert report.deleted > 3
        assert set(collection.sources()) == {"notes/a.txt", "notes/sub/c.md", "beside/x.txt"}
        # A glob says nothing about the files that it leaves out, except of those that are no longer there.
        (notes / "a.txt").unlink()
        assert collection.index(notes, glob=["*.rst"]).removed == 1
        assert set(collection.sources()) == {"notes/sub/c.md", "beside/x.txt"}
        (notes / ".gitignore").write_text("sub/\n")
        assert collection.index(notes).removed == 1
        assert set(collection.sources()) == {"beside/x.txt"}


def test_a_renamed_file_keeps_its_vectors(made: Callable[..., Collection], tmp_path: Path, encoder: Letters) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.csv").write_text("id,text\n1,one\n2,two\n")
    with made() as collection:
        collection.index(tmp_path / "d", id="id")
        encoder.encoded.clear()
        (tmp_path / "d" / "a.csv").rename(tmp_path / "d" / "b.csv")
        report = collection.index(tmp_path / "d", id="id")
        assert (report.removed, report.encoded, report.reused, report.skipped) == (1, 0, 2, ())
        assert encoder.encoded == []
        assert collection.store.ids("d/b.csv") == ["1", "2"]


def test_an_id_of_another_file_is_not_taken_over_in_silence(made: Callable[..., Collection], tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.csv").write_text("id,text\n1,one\n2,two\n")
    (tmp_path / "d" / "b.csv").write_text("id,text\n2,other\n3,three\n")
    with made() as collection:
        for _ in range(2):
            report = collection.index(tmp_path / "d", id="id")
        (tmp_path / "d" / "b.csv").write_text("id,text\n2,another\n3,three\n")
        report = collection.index(tmp_path / "d", id="id")
        assert [skipped.reason for skipped in report.skipped] == ['the id "2" is already that of d/a.csv']
        assert [record.text for record in collection.get(["1", "2", "3"]) if record] == ["one", "two", "three"]


def test_two_folders_of_one_name_do_not_mix(made: Callable[..., Collection], tmp_path: Path) -> None:
    for parent in ("p", "q"):
        (tmp_path / parent / "docs").mkdir(parents=True)
        (tmp_path / parent / "docs" / "x.txt").write_text(f"from {parent}")
    with made() as collection:
        collection.index(tmp_path / "p" / "docs")
        collection.index(tmp_path / "q" / "docs")
        assert set(collection.sources()) == {"docs/x.txt", (tmp_path / "q" / "docs" / "x.txt").as_posix()}
        assert {hit.text for hit in collection.search("x")} == {"from p", "from q"}
        assert collection.index(tmp_path / "q" / "docs").unchanged == 1


def test_what_cannot_be_read_is_named(made: Callable[..., Collection], tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "a.txt").write_text("good")
    (folder / "b.txt").write_bytes(bytes(range(256)) * 10)
    with made() as collection:
        report = collection.index(folder)
        assert [skipped.source for skipped in report.skipped] == ["d/b.txt"]
        assert set(collection.sources()) == {"d/a.txt"}
        # A text that becomes something else leaves; what it was is no longer there.
        (folder / "a.txt").write_bytes(bytes(range(256)) * 10)
        report = collection.index(folder)
        assert (len(report.skipped), report.deleted, collection.count()) == (2, 1, 0)
    with made() as collection, pytest.raises(DataError, match="there is no file or folder"):
        collection.index(tmp_path / "nothing")


def test_halves_of_characters_do_not_stop_a_run(made: Callable[..., Collection], tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"text": "a \\ud800 b", "k": "\\udfff"}\n{"text": "nul \\u0000 here"}\n')
    with made() as collection:
        collection.index(tmp_path / "x.jsonl")
        collection.add(["half \ud800 of", "nul \0 here"])
        assert collection.count() == 4
        assert collection.verify().ok


def test_other_columns_are_another_reading(made: Callable[..., Collection], tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("subject,body\nred fox,a long text about foxes\n")
    with made() as collection:
        collection.index(tmp_path / "t.csv", text="body")
        collection.index(tmp_path / "t.csv", text="subject")
        assert [hit.text for hit in collection.search("fox", mode="words")] == ["red fox"]
        assert collection.count() == 1


def test_the_progress_reaches_its_end(made: Callable[..., Collection], notes: Path) -> None:
    class Seen:
        total = done = 0

        def phase(self, name: str, *, total: int | None, unit: str) -> Any:
            self.total, self.unit = total or 0, unit
            return self

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *exc: object) -> None:
            pass

        def advance(self, n: int = 1) -> None:
            self.done += n

        def note(self, text: str) -> None:
            pass

    seen = Seen()
    with made() as collection:
        collection.index(notes, progress=seen)  # type: ignore[arg-type]
    assert seen.done == seen.total == sum(file.stat().st_size for file in notes.rglob("*.*"))


def test_an_estimate_writes_nothing(made: Callable[..., Collection], notes: Path, tmp_path: Path) -> None:
    with made() as collection:
        guess = collection.estimate(notes)
        assert not (tmp_path / "home").exists()
        report = collection.index(notes)
        assert (guess.files, guess.chunks, guess.sampled) == (3, report.chunks, 3)
        assert guess.tokens > 0
        assert collection.estimate(notes).files == 0


# --- rebuilding ------------------------------------------------------------------------------------------------------


def test_rebuilding_with_another_encoder(made: Callable[..., Collection], notes: Path) -> None:
    made().index(notes)
    vowels = Letters("vowels", "aeiou")
    with made(encoder=vowels) as collection:
        report = collection.index(notes, rebuild=True)
        assert report.unchanged == 0
        assert report.encoded == report.chunks == collection.count()
        assert collection.info().binding.encoder == "vowels"
        assert collection.store.dim == 5
        assert collection.search("foxes", 1)[0].title == "Foxes"
        assert collection.verify().ok
        assert not (collection.folder / "rebuild").exists()
    with pytest.raises(MismatchError):
        made().search("x")


def test_rebuilding_with_its_own_encoder_and_other_chunks(
    made: Callable[..., Collection], notes: Path, tmp_path: Path
) -> None:
    made().index(notes)
    flags = load({"chunk.size": 12, "chunk.overlap": 2, "home": tmp_path / "home"})
    with made(settings=flags) as collection:
        with pytest.raises(UsageError, match="cut into chunks"):
            collection.index(notes)
        collection.index(notes, rebuild=True)
        assert collection.binding.chunk_size == 12


def test_a_rebuild_loses_nothing(made: Callable[..., Collection], notes: Path) -> None:
    with made() as collection:
        collection.index(notes)
        collection.add(["a loose item"])
        before = content(collection)
        with pytest.raises(StoreError, match="would lose") as caught:
            collection.index(notes / "sub", rebuild=True)
        assert re.search(r"other files +2: notes/a.txt, notes/b.txt\n", str(caught.value))
        assert re.search(r"items that came from no file +1\n", str(caught.value))
        assert content(collection) == before


def test_an_interrupted_rebuild_answers_with_the_old_and_goes_on(
    made: Callable[..., Collection], notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "BATCH", 4)
    made().index(notes)

    class Stopping(Letters):
        def encode_report(self, items: Any, **options: Any) -> Any:
            if len(self.encoded) >= 8:
                raise KeyboardInterrupt
            return super().encode_report(items, **options)

    with made(encoder=Stopping("vowels", "aeiou")) as collection, pytest.raises(KeyboardInterrupt):
        collection.index(notes, rebuild=True)
    with made() as collection:
        assert collection.search("foxes", 1)[0].title == "Foxes"
    going_on = Letters("vowels", "aeiou")
    with made(encoder=going_on) as collection:
        report = collection.index(notes, rebuild=True)
        assert 0 < len(going_on.encoded) < report.chunks + report.unchanged * 10
        assert collection.verify().ok
        whole = content(collection)
    with made("fresh", encoder=Letters("vowels", "aeiou")) as collection:
        collection.index(notes)
        assert content(collection) == whole


# --- interruptions ---------------------------------------------------------------------------------------------------


def test_finished_work_is_kept_and_the_next_run_goes_on(
    made: Callable[..., Collection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "BATCH", 5)
    folder = tmp_path / "many"
    folder.mkdir()
    for n in range(40):
        (folder / f"{n:02}.txt").write_text(f"text number {n}")

    class Stopping(Letters):
        def encode_report(self, items: Any, **options: Any) -> Any:
            if len(self.encoded) >= 15:
                raise KeyboardInterrupt
            return super().encode_report(items, **options)

    with made(encoder=Stopping()) as collection:
        with pytest.raises(KeyboardInterrupt):
            collection.index(folder)
        assert collection.count() == 15
        assert len(collection.sources()) == 15
    rest = Letters()
    with made(encoder=rest) as collection:
        report = collection.index(folder)
        assert (report.encoded, collection.count()) == (25, 40)
        assert collection.verify().ok


WORKER = """
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from letters import Letters
    from sememe.collection import indexing
    from sememe.collection.collection import Collection
    indexing.BATCH = 7
    collection = Collection(Path(sys.argv[2]), encoder=Letters())
    print("ready", flush=True)
    class Told(Letters):
        def encode_report(self, items, **options):
            print(len(items), flush=True)
            return super().encode_report(items, **options)
    collection._encoder = collection.asked = Told()
    collection.index(sys.argv[3])
    print("done", flush=True)
"""


@pytest.mark.parametrize("batches", [1, 3, 8])
def test_a_killed_run_is_completed_by_the_next(made: Callable[..., Collection], tmp_path: Path, batches: int) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for n in range(60):
        (folder / f"{n:02}.txt").write_text(f"text number {n}\n" * (1 + n % 30))
    with made() as collection:
        collection.index(folder)
        whole = content(collection)
    arguments = [
        sys.executable,
        "-c",
        textwrap.dedent(WORKER),
        str(Path(__file__).parent),
        str(tmp_path / "c"),
        str(folder),
    ]
    child = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    )
    with child:
        assert child.stdout is not None
        for _ in range(1 + batches):
            assert child.stdout.readline() not in ("", "done\n")
        child.kill()
    with made(tmp_path / "c") as collection:
        partly = collection.count() if collection.exists else 0
        report = collection.index(folder)
        assert report.encoded + report.reused + partly >= len(whole)
        assert content(collection) == whole
        assert collection.verify().ok


def test_two_runs_at_once(made: Callable[..., Collection], notes: Path) -> None:
    with made() as one:
        one.index(notes)
        (notes / "a.txt").write_text("something new")
        second = Letters()
        with one.store.writing(), made(timeout=0.05, encoder=second) as two:
            with pytest.raises(LockedError) as caught:
                two.index(notes)
            assert second.encoded == []  # it waits before it works, not after
            assert f"process {os.getpid()}" in str(caught.value)
            # Reading goes on.
            assert two.search("foxes", 1)[0].title == "Foxes"


def test_a_closed_collection_opens_again(made: Callable[..., Collection]) -> None:
    collection = made().add(["x"])
    collection.close()
    collection.close()
    assert collection.count() == 1
    collection.close()


# --- damage ----------------------------------------------------------------------------------------------------------


def test_a_collection_that_cannot_be_opened_is_mended_and_read_again(
    made: Callable[..., Collection], notes: Path
) -> None:
    with made() as collection:
        collection.index(notes)
        before, folder = content(collection), collection.folder
    os.truncate(folder / "records.sqlite", (folder / "records.sqlite").stat().st_size - 4096)
    with made() as collection:
        with pytest.raises(DamagedError, match="--repair notes"):
            collection.count()
        collection.repair()
        assert collection.verify().ok
        collection.index(notes)
        assert content(collection) == before
        assert collection.verify().ok
