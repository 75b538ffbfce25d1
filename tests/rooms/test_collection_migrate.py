"""A collection moved to another encoder: priced, resumable, answering meanwhile, switched in one step, and back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from letters import ALPHABET, Letters

from sememe.collection import indexing, migration
from sememe.collection.collection import Collection
from sememe.collection.migrate import aside
from sememe.collection.migration import text_of
from sememe.errors import DataError, LockedError, MismatchError, StoreError, UsageError
from sememe.shapes import Place, Record, content_hash
from sememe.store.local.store import open_store

LONG = " ".join(f"Sentence {'abcdefghijklmnopqrstuvwxyz'[n] * 3} stands here." for n in range(26))
OTHER = ALPHABET[::-1]
TEXTS = {f"t{n:02}": f"number {n}: " + "ab" * n + "z" * (n % 5) for n in range(30)}


class Counting(Letters):
    """Its account is that of its tokenizer; ``before`` each batch something may happen; it may stop after so many."""

    def __init__(self, *args: Any, stop: int = 10**9, before: Callable[[], None] | None = None, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self.stop, self.before = stop, before

    def encode_report(self, items: Any, **options: Any) -> Any:
        if self.before is not None and len(items) > 1:
            self.before()
        if len(self.encoded) + len(items) > self.stop:
            raise KeyboardInterrupt
        made = super().encode_report(items, **options)
        tokens = self.tokenizer.count(items)
        used = np.minimum(tokens, self.max_tokens).astype(np.int32)
        return type(made)(made.vectors, used, (tokens - used).astype(np.int32))


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Collection]:
    def make(name: str = "notes", **options: Any) -> Collection:
        return Collection(name, **{"encoder": Letters(), "home": tmp_path / "home", **options})

    return make


@pytest.fixture
def notes(made: Callable[..., Collection]) -> Collection:
    return made().add([{"id": id, "text": text, "n": len(text)} for id, text in TEXTS.items()], id="id")


def content(collection: Collection) -> dict[str, Any]:
    ids = collection.store.ids()
    kept = zip(collection.store.get(ids), collection.store.vectors(ids).tolist(), strict=True)
    return dict(zip(ids, kept, strict=True))


def by_hand(encoder: Letters, collection: Collection) -> dict[str, Any]:
    """What must be in a collection after a migration."""
    ids = collection.store.ids()
    records = [record for record in collection.get(ids) if record]
    texts = [record.title + "\n" + record.text if record.title else record.text for record in records]
    return dict(zip(ids, zip(records, encoder.encode(texts).tolist(), strict=True), strict=True))


def test_a_migration_encodes_what_is_kept_and_changes_nothing_else(notes: Collection, tmp_path: Path) -> None:
    notes.add([{"id": "long", "title": "A title", "text": LONG}], id="id")
    before = {id: record for id, (record, _) in content(notes).items()}
    words = notes.search("number 7", mode="words")
    other = Counting("reversed", OTHER)
    done = notes.migrate(other)
    assert (done.encoder, done.before, done.chunks, done.encoded) == ("reversed", "letters", len(before), len(before))
    assert content(notes) == by_hand(other, notes)
    assert {id: record for id, (record, _) in content(notes).items()} == before
    assert notes.search("number 7", mode="words").ids == words.ids
    assert notes.search("abab", 1, mode="dense", where="n > 20")[0].kind == "cosine"
    assert (notes.binding.encoder, notes.binding.chunk_size) == ("reversed", 256)
    assert notes.verify().ok
    notes.add(["after"])
    assert notes.report is not None
    assert notes.report.encoded == 1
    notes.close()
    with Collection("notes", encoder=other, home=tmp_path / "home") as again:
        assert again.search("after", 1).ids
        # The same content again has a vector that is known.
        again.add([{"id": id, "text": text, "n": len(text)} for id, text in TEXTS.items()], id="id")
        assert again.report is not None
        assert (again.report.encoded, again.report.reused) == (0, 30)


def test_another_width(notes: Collection) -> None:
    done = notes.migrate(Counting("vowels", "aeiou"))
    assert (notes.store.dim, done.chunks) == (5, 30)
    assert notes.search("a", 3, mode="dense").ids
    assert notes.verify().ok


def test_the_price_is_said_and_nothing_is_written(notes: Collection) -> None:
    notes.close()
    files = sorted(path.name for path in notes.folder.rglob("*"))
    other = Counting("vowels", "aeiou", max_tokens=20)
    price = notes.migration(other)
    texts = list(TEXTS.values())
    counts = other.tokenizer.count(texts)
    assert (price.encoder, price.dim, price.chunks, price.done, price.sampled) == ("vowels", 5, 30, 0, 30)
    assert price.tokens == int(counts.sum())
    assert (price.long, price.longest, price.max_tokens) == (int((counts > 20).sum()), int(counts.max()), 20)
    assert (price.bytes, price.kept) == (30 * (5 * 4 + 32), 30 * (26 * 4 + 32))
    assert price.seconds > 0
    notes.close()
    assert sorted(path.name for path in notes.folder.rglob("*")) == files
    with pytest.raises(UsageError, match="come from letters already"):
        notes.migration(Letters())


def test_a_large_collection_is_judged_by_a_sample(notes: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration, "COUNTED", 10)
    price = notes.migration(Counting("vowels", "aeiou"))
    true = int(Letters().tokenizer.count(list(TEXTS.values())).sum())
    assert price.sampled == 10
    assert 0.8 * true < price.tokens < 1.2 * true


def test_cut_short_it_goes_on_and_the_old_answers(
    notes: Collection, made: Callable[..., Collection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "BATCH", 8)
    before = content(notes)
    with pytest.raises(KeyboardInterrupt):
        notes.migrate(Counting("reversed", OTHER, stop=20))
    with made() as still:
        assert content(still) == before
        assert still.verify().ok
        assert still.search("abab", 1).ids
        (half,) = aside(still)
        assert (half.encoder, half.chunks, half.replaced) == ("reversed", 16, "")
        assert still.migration(Counting("reversed", OTHER)).done == 16
        with pytest.raises(StoreError, match="nothing that notes could go back to"):
            still.roll_back()
    rest = Counting("reversed", OTHER)
    done = notes.migrate(rest)
    assert done.encoded == 14
    assert content(notes) == by_hand(Letters("reversed", OTHER), notes)


def test_another_goal_lets_go_of_what_was_half_made(notes: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "BATCH", 8)
    with pytest.raises(KeyboardInterrupt):
        notes.migrate(Counting("reversed", OTHER, stop=20))
    done = notes.migrate(Counting("vowels", "aeiou"))
    assert done.notes == ("an unfinished migration to reversed was let go",)
    assert [(one.encoder, bool(one.replaced)) for one in aside(notes)] == [("letters", True)]


def test_what_others_change_meanwhile_is_not_lost(
    notes: Collection, made: Callable[..., Collection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "BATCH", 8)
    turns = iter(range(100))

    def meanwhile() -> None:
        turn = next(turns)
        if turn >= 5:
            return  # four batches and what came meanwhile; now the lock is held
        with made() as other:  # as another process does: a store, a lock and connections of its own
            other.add(
                [{"id": "t03", "text": f"changed {turn}", "n": 1}, {"id": f"new{turn}", "text": "z" * turn + "q"}],
                id="id",
            )
            other.delete([f"t{10 + turn}"])
            assert len(other.search("number", 5)) == 5

    other = Counting("reversed", OTHER, before=meanwhile)
    notes.migrate(other)
    assert next(turns) >= 5
    ids = {id for id in TEXTS if id not in {f"t{10 + n}" for n in range(5)}} | {f"new{n}" for n in range(5)}
    assert set(notes.store.ids()) == ids
    assert notes.get(["t03"])[0].text == "changed 4"  # type: ignore[union-attr]
    assert content(notes) == by_hand(Letters("reversed", OTHER), notes)
    assert notes.verify().ok


def test_the_last_changes_wait_for_the_switch(
    notes: Collection, made: Callable[..., Collection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is added until the lock is taken is encoded under it; who writes then waits, and is told afterwards."""
    seen: list[str] = []
    locked: list[str] = []

    def meanwhile() -> None:
        if not seen:
            with made() as other:
                other.add([{"id": "late", "text": "late"}, {"id": "later", "text": "later"}], id="id")
            seen.append("added")
            return
        # Encoding once more, now under the writer's lock.
        with made(timeout=0.01) as other:
            try:
                other.add(["never"])
            except LockedError:
                locked.append("refused")
            assert other.search("late", 1, mode="words").ids == ("late",)

    notes.migrate(Counting("reversed", OTHER, before=meanwhile))
    assert locked == ["refused"]
    assert set(notes.store.ids()) == {*TEXTS, "late", "later"}
    assert content(notes) == by_hand(Letters("reversed", OTHER), notes)


def test_an_open_collection_follows_or_is_refused(
    notes: Collection, made: Callable[..., Collection], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoders = {"letters": Letters(), "reversed": Counting("reversed", OTHER)}
    monkeypatch.setattr("sememe.encoders.load.load_encoder", lambda name, **options: encoders[name])
    free, bound, writer = made(encoder=None), made(encoder=Letters()), made(encoder=None)
    for one in (free, bound, writer):
        one.search("abab", 3)
    notes.migrate(encoders["reversed"])
    wanted = notes.search("abab", 30, mode="dense")
    # Nobody said which encoder it must be: it takes the one of the vectors.
    found = free.search("abab", 30, mode="dense")
    assert (found.ids, found.scores) == (wanted.ids, wanted.scores)
    assert free.binding.encoder == "reversed"
    # Opened for the old one, it does not search the new vectors with old ones; of the same width here.
    for use in (lambda: bound.search("abab", mode="dense"), lambda: bound.add(["x"]), lambda: bound.delete(["t01"])):
        with pytest.raises(MismatchError, match="another encoder"):
            use()
    writer.add([{"id": "x", "text": "by the new one"}], id="id")
    assert content(writer) == by_hand(Letters("reversed", OTHER), writer)
    for one in (free, bound, writer):
        one.close()


def test_going_back(notes: Collection) -> None:
    before = content(notes)
    kept = notes.migrate(Counting("reversed", OTHER)).kept
    assert [(one.encoder, one.chunks, bool(one.replaced)) for one in aside(notes)] == [("letters", 30, True)]
    assert kept == sum(one.bytes for one in aside(notes)) > 30 * 26 * 4
    encoder = Letters()
    assert notes.roll_back(encoder).encoded == 0
    assert encoder.encoded == []
    assert content(notes) == before
    # And there again, at no cost.
    other = Counting("reversed", OTHER)
    assert notes.migration(other).done == 30
    assert notes.migrate(other).encoded == 0
    assert content(notes) == by_hand(other, notes)
    # What came after the switch is encoded on the way back, and only that.
    notes.add([{"id": "t05", "text": "replaced"}, {"id": "new", "text": "new"}], id="id")
    notes.delete(["t06"])
    encoder = Letters()
    with pytest.raises(MismatchError):
        notes.roll_back(Letters("third", "abc"))
    assert notes.roll_back(encoder).encoded == 2
    assert encoder.encoded[-2:] == ["replaced", "new"]
    assert content(notes) == by_hand(Letters(), notes)
    assert notes.verify().ok


def test_settling(notes: Collection, tmp_path: Path) -> None:
    assert notes.settle() == 0
    notes.migrate(Counting("reversed", OTHER))
    size = notes.info().bytes
    freed = notes.settle()
    assert freed > 30 * 26 * 4
    assert notes.info().bytes == size - freed
    assert aside(notes) == []
    with pytest.raises(StoreError, match="nothing that notes could go back to"):
        notes.roll_back(Letters())
    assert notes.verify().ok


def test_only_the_last_is_kept(notes: Collection) -> None:
    notes.migrate(Counting("reversed", OTHER))
    notes.migrate(Counting("vowels", "aeiou"))
    assert [one.encoder for one in aside(notes)] == ["reversed"]
    notes.roll_back(Counting("reversed", OTHER))
    assert notes.binding.encoder == "reversed"
    assert [one.encoder for one in aside(notes)] == ["vowels"]


# --- texts that do not fit -------------------------------------------------------------------------------------------


def test_chunks_that_are_too_long_are_refused_before_anything_is_encoded(notes: Collection) -> None:
    before = content(notes)
    other = Counting("short", OTHER, max_tokens=20)
    counts = dict(zip(TEXTS, other.tokenizer.count(list(TEXTS.values())).tolist(), strict=True))
    longest = max(counts, key=lambda id: (counts[id], id))
    with pytest.raises(DataError) as caught:
        notes.migrate(other)
    said = str(caught.value)
    assert f"{sum(n > 20 for n in counts.values())} chunks of notes are longer than short takes" in said
    assert f"{counts[longest]} tokens: {longest}" in said
    assert "sememe collections migrate notes --to short --long mean" in said
    assert "sememe index PATH … -c notes --rebuild -m short" in said
    assert len(other.encoded) <= 1
    assert content(notes) == before
    done = notes.migrate(other, on_long="cut")
    tokens = sum(max(0, n - 20) for n in counts.values())
    assert done.notes == (
        f"{sum(n > 20 for n in counts.values())} chunks were longer than the encoder takes: {tokens} tokens cut",
    )
    with pytest.raises(UsageError, match="warnings"):
        notes.migrate(Letters(), on_long="warn")


def test_a_long_chunk_that_comes_meanwhile_is_refused_too(notes: Collection, made: Callable[..., Collection]) -> None:
    def meanwhile() -> None:
        other.before = None
        with made() as writer:
            writer.add([{"id": "late", "text": "late " * 60}], id="id")

    longest = int(Letters().tokenizer.count(list(TEXTS.values())).max())
    other = Counting("short", OTHER, max_tokens=longest, before=meanwhile)
    assert longest < 60
    with pytest.raises(DataError, match="5 chunks of notes are longer than short takes"):
        notes.migrate(other)
    assert notes.binding.encoder == "letters"


def test_vectors_without_texts_cannot_be_moved(notes: Collection) -> None:
    notes.store.put(["bare"], np.ones((1, 26)), [Record("", Place("s"))])
    with pytest.raises(DataError, match="1 of 31 chunks of notes have no text") as caught:
        notes.migrate(Counting("reversed", OTHER))
    assert "bare" in str(caught.value)


def test_what_is_encoded_is_what_the_hash_says() -> None:
    record = Record("a text", Place("s"), "A long title", hash=content_hash("A long\na text"))
    assert text_of(record) == "A long\na text"
    assert text_of(Record("a text", Place("s"), "Title", hash=content_hash("a text"))) == "a text"
    assert text_of(Record("a text", Place("s"), "Title", hash=content_hash("Title\na text"))) == "Title\na text"
    assert text_of(Record("a text", Place("s"), "Title")) == "Title\na text"
    assert text_of(Record("a text", Place("s"), "Title", hash="of another hand")) == "Title\na text"


def test_a_disk_without_room_is_said_before(notes: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(notes.folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    other = Counting("reversed", OTHER)
    with pytest.raises(StoreError, match="no room for the vectors by reversed"):
        notes.migrate(other)
    assert other.encoded == []


# --- several at once -------------------------------------------------------------------------------------------------


def test_two_migrations_at_once(notes: Collection, made: Callable[..., Collection]) -> None:
    refused: list[str] = []

    def meanwhile() -> None:
        for use in (
            lambda other: other.migrate(Counting("vowels", "aeiou")),
            lambda other: other.roll_back(),
            lambda other: other.settle(),
        ):
            with made() as other, pytest.raises(LockedError) as caught:
                use(other)
            refused.append(str(caught.value))

    notes.migrate(Counting("reversed", OTHER, before=meanwhile))
    assert len(refused) == 3
    assert all("notes" in said and f"process {os.getpid()}" in said for said in refused)


def test_a_rebuild_meanwhile_ends_it(notes: Collection, made: Callable[..., Collection], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a zebra")

    def meanwhile() -> None:
        with made("second") as second, open_store(notes.folder) as store:
            second.index(tmp_path / "a.txt")
            store.adopt(second.folder)

    with pytest.raises(StoreError, match="rebuilt"):
        notes.migrate(Counting("reversed", OTHER, before=meanwhile))
    with made() as collection:
        assert collection.count() == 1
        assert aside(collection) == []
        assert collection.verify().ok


def test_a_rebuild_lets_go_of_what_was_kept(made: Callable[..., Collection], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a zebra")
    with made() as collection:
        collection.index(tmp_path / "a.txt")
        collection.migrate(Counting("reversed", OTHER))
    with made(encoder=Counting("reversed", OTHER)) as collection:
        collection.index(tmp_path / "a.txt", rebuild=True)
        assert aside(collection) == []
        assert [path for path in collection.folder.iterdir() if path.name.startswith("beside-")] == []


def test_an_unknown_encoder_is_mended_by_a_migration(made: Callable[..., Collection], tmp_path: Path) -> None:
    from sememe.collection.transfer import import_collection
    from sememe.settings import load

    (tmp_path / "c.json").write_text(
        '{"ids": ["1"], "embeddings": [[1, 0]], "documents": ["a zebra"], "metadatas": [null]}'
    )
    came = import_collection(
        tmp_path / "c.json", "notes", encoder="unknown", settings=load({"home": tmp_path / "home"})
    ).collection
    with came, pytest.raises(MismatchError, match="nobody said") as caught:
        came.search("x")
    assert "sememe collections migrate notes --to MODEL" in str(caught.value)
    other = Counting("reversed", OTHER)
    with came:
        came.migrate(other)
        assert came.search("zebra", mode="dense").ids == ("1",)
        came.roll_back()
        assert came.store.dim == 2
