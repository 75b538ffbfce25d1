"""The word index: Tantivy over titles and texts, derived from the records and never trusted alone.

It holds nothing but the number of a row and its words. Beside it stands how far it has come (``synced.json``), and
catching up means to add the rows that came after and to take out those that went. A folder that is missing, damaged, of
another form or of another store is made anew; one that may not be written is replaced by an index in memory.

The file says what it is about to do before Tantivy commits and what was done after, so a reader that finds it in
between knows that it has to wait, and a process that died in between leaves a trace.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import os
import re
import shutil
import sqlite3
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sememe.errors import StoreError
from sememe.store.local import index_files, seals
from sememe.store.local.index_files import Unusable as Unusable
from sememe.store.local.lock import FileLock
from sememe.store.record_rows import COLUMNS

FOLDER = "words"
STATE = "synced.json"
#: what an index was made by; another value means: make it anew
FORM = "2: simple, lower, folded, english stems; title twice, text; files with checksums"
ANALYZER = "sememe"
#: Tantivy's k1, and the most that a word's frequency can multiply its weight by
K1 = 1.2
#: so many words of a query in a text are as good as words can get
ENOUGH = 3
#: what a single letter of a query counts beside longer words
LETTER = 0.25
#: words of a query beyond these are not looked at
TERMS = 1000
#: rows that are looked up one by one
SINGLY = 2000
#: bytes that Tantivy collects before it writes a segment
HEAP = 50_000_000

TITLE, TEXT = (2 + COLUMNS.split(", ").index(name) for name in ("title", "text"))

_SCRIPTS_WITHOUT_SPACES = re.compile("([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])")


@dataclass(frozen=True, slots=True)
class Match:
    """Rows that hold words of a query, best first, ties in no order: numbers and BM25 scores."""

    numbers: list[int]
    scores: list[float]
    complete: bool


class Words:
    """An open word index that stands at one change of its store."""

    def __init__(self, index: Any, change: int) -> None:
        self.index, self.change = index, change
        self.searcher = index.searcher()

    def best(self, text: str, limit: int, *, among: list[int] | None = None) -> Match:
        """The ``limit`` best rows by BM25 over any of the words of ``text``, which has no syntax.

        Args:
            among: the only row numbers that may answer.
        """
        import tantivy

        wanted = terms(text)
        if not wanted or not limit:
            return Match([], [], True)
        parts = []
        for term, times in wanted.items():
            one = tantivy.Query.term_query(self.index.schema, "text", term)
            one = one if times == 1 else tantivy.Query.boost_query(one, float(times))
            parts.append((tantivy.Occur.Should, one))
        query = tantivy.Query.boolean_query(parts)
        if among is not None:
            chosen = self._among(among)
            must = tantivy.Occur.Must
            # The choice is worth nothing, so that the score is that of the words alone.
            query = tantivy.Query.boolean_query([(must, query), (must, tantivy.Query.const_score_query(chosen, 0.0))])
        with guarded():
            hits = self.searcher.search(query, limit, count=False).hits
            numbers = self.searcher.fast_field_values("number", [address for _, address in hits])
        return Match([int(n or 0) for n in numbers], [float(f"{score:.6g}") for score, _ in hits], len(hits) < limit)

    def _among(self, numbers: list[int]) -> Any:
        """The rows of these numbers. One by one Tantivy looks up a few; a set of them it holds against every number."""
        import tantivy

        query, schema = tantivy.Query, self.index.schema
        if len(numbers) > SINGLY:
            return query.term_set_query(schema, "number", numbers)
        should = tantivy.Occur.Should
        return query.boolean_query([(should, query.term_query(schema, "number", number)) for number in numbers])

    def numbers(self) -> list[int]:
        """Every row number in the index."""
        import tantivy

        with guarded():
            limit = max(self.searcher.num_docs, 1)
            hits = self.searcher.search(tantivy.Query.all_query(), limit, count=False).hits
            numbers = self.searcher.fast_field_values("number", [address for _, address in hits])
        return [int(number or 0) for number in numbers]

    def yardstick(self, text: str) -> float:
        """The most that `ENOUGH` words of ``text``, or all if it has fewer, could bring on the average: what a good
        score is for this query. 0 without words."""
        n = self.searcher.num_docs
        most = []
        for term, times in terms(text).items():
            with guarded():
                frequency = min(self.searcher.doc_freq("text", term), n)
            if times >= 1:  # what counts less is no measure of a good score
                most.append(times * (K1 + 1) * math.log(1 + (n - frequency + 0.5) / (frequency + 0.5)))
        return sum(most) / len(most) * min(len(most), ENOUGH) if most else 0.0


def terms(text: str) -> dict[str, float]:
    """The words of a query, as stems, with their counts; those that carry no meaning only where there are no others,
    and a single letter, mostly what an apostrophe or an initial leaves over, for less beside longer words."""
    found = _analyzer(stop=True).analyze(prepared(text)) or stems(text)
    counts = dict(itertools.islice(Counter(found).items(), TERMS))
    less = LETTER if any(map(_is_long, counts)) else 1
    return {term: times if _is_long(term) else times * less for term, times in counts.items()}


def stems(text: str) -> list[str]:
    """The words of a text as they stand in the index."""
    found: list[str] = _analyzer().analyze(prepared(text))
    return found


def _is_long(term: str) -> bool:
    return len(term) > 1 or not "a" <= term <= "z"


def prepared(text: str) -> str:
    """One spelling of equal letters, and each letter of a script without spaces as a word of its own."""
    if text.isascii():
        return text
    text = text.encode("utf-8", "replace").decode()  # half a surrogate pair is a word of nothing
    return _SCRIPTS_WITHOUT_SPACES.sub(r" \1 ", unicodedata.normalize("NFKC", text))


class Ahead(Exception):
    """The word index stands at a later change than the transaction that asks."""


@contextmanager
def guarded() -> Iterator[None]:
    """Whatever Tantivy raises, a Rust panic included, as `Unusable`."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise Unusable(str(error)) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise Unusable(str(error)) from error


def open_words(folder: Path, lock: FileLock, connection: sqlite3.Connection, *, writable: bool) -> Words:
    """The index at exactly the state that ``connection``'s transaction sees; catches up where it is behind.

    Raises:
        Ahead: the index is at a later state already; ask again with a new transaction.
    """
    key, change = _store_key(connection), _change(connection)
    state = _noted(folder, key)
    if state and "until" not in state and state["change"] == change:
        with suppress(Unusable):
            index_files.check(folder, state["files"])
            words = Words(_opened(folder), change)
            if _noted(folder, key) == state:
                return words
            raise Ahead  # another process moved it while it was being opened
    if not writable:
        if state and _reach(state) > change:
            raise Ahead
        return in_memory(connection)
    with lock:
        state = _noted(folder, key)
        if state and _reach(state) > change:
            raise Ahead
        return _caught_up(folder, connection, state)


def rebuild(folder: Path, lock: FileLock, connection: sqlite3.Connection) -> None:
    """Make the index anew from the records."""
    with lock:
        _caught_up(folder, connection, None)


def standing_at(folder: Path, connection: sqlite3.Connection) -> Words | None:
    """The index if it stands at the state that the transaction sees; nothing is written.

    Raises:
        Unusable: it says that it does, and cannot be read.
    """
    state = _noted(folder, _store_key(connection))
    change = _change(connection)
    if state is None or "until" in state or state["change"] != change:
        return None
    index_files.check(folder, state["files"], again=True)
    return Words(_opened(folder), change)


def in_memory(connection: sqlite3.Connection) -> Words:
    """An index that is on no disk, for a folder that may not be written."""
    import tantivy

    index = tantivy.Index(_schema())
    index.register_tokenizer(ANALYZER, _analyzer())
    writer = index.writer(heap_size=HEAP, num_threads=1)
    _add(writer, connection, -1)
    writer.commit()
    index.reload()
    return Words(index, _change(connection))


def _caught_up(folder: Path, connection: sqlite3.Connection, state: Mapping[str, Any] | None) -> Words:
    key, change = _store_key(connection), _change(connection)
    log_from = int(connection.execute("SELECT log_from FROM state").fetchone()[0])
    done = -1 if state is None or state["change"] < log_from else int(state["change"])
    if state is not None and done >= 0:
        with suppress(Unusable):  # what is there cannot be built upon: make it anew
            index_files.check(folder, state["files"], begun="until" in state)
            return _written(folder, connection, key, (done, change), state["files"])
    try:
        return _written(folder, connection, key, (-1, change), {})
    except Unusable as error:
        raise StoreError("the word index cannot be written", why=[("because", str(error)), str(folder)]) from error


def _written(
    folder: Path, connection: sqlite3.Connection, key: str, span: tuple[int, int], files: Mapping[str, int]
) -> Words:
    """Bring the index from one change of ``span`` (-1: from nothing) to the other; ``files`` are those it had."""
    import tantivy

    done, change = span
    state = {"form": FORM, "store": key, "change": done, "until": change, "files": dict(files)}
    with guarded():
        if done < 0:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            _note(folder, state)
            index = _ours(tantivy.Index(_schema(), path=str(folder)))
        else:
            index = _opened(folder)
            _note(folder, state)
        writer = index.writer(heap_size=HEAP, num_threads=1)
        if done >= 0:
            # What a process that died in between may have added is taken out before it is added again.
            kind = tantivy.FieldType.Unsigned
            later = tantivy.Query.range_query(index.schema, "number", kind, lower_bound=done, include_lower=False)
            writer.delete_documents_by_query(later)
            log = connection.execute("SELECT number FROM removed WHERE change > ? AND number <= ?", [done, done])
            while part := [number for (number,) in log.fetchmany(1000)]:
                # By query: a term of a Python int is a signed one, and an unsigned field holds none such.
                writer.delete_documents_by_query(tantivy.Query.term_set_query(index.schema, "number", part))
        _add(writer, connection, done)
        writer.commit()
        writer.wait_merging_threads()
        index.reload()
        words = Words(index, change)
        if words.searcher.num_docs != connection.execute("SELECT live FROM state").fetchone()[0]:
            raise Unusable("it does not hold as many rows as there are")
        _note(folder, {"form": FORM, "store": key, "change": change, "files": index_files.sums(folder, files)})
        return words


def _add(writer: Any, connection: sqlite3.Connection, done: int) -> None:
    import tantivy

    sql = f"SELECT number, id, {COLUMNS}, seal FROM records WHERE number > ? ORDER BY number"
    rows = connection.execute(sql, [done])
    for row in rows:
        number, title, text = (seals.proved(row)[place] for place in (0, TITLE, TEXT))
        document = tantivy.Document()
        document.add_unsigned("number", number)
        # A word of the title counts twice, as if it stood in the text (docs/decisions).
        document.add_text("text", prepared(f"{title}\n{title}\n{text}" if title else text))
        writer.add_document(document)


def _opened(folder: Path) -> Any:
    import tantivy

    with guarded():
        return _ours(tantivy.Index.open(str(folder)))


def _ours(index: Any) -> Any:
    """``index`` with our words, and without a thread that looks after its folder: it is asked to reload when it has
    to, and a watcher may write its lock file into a folder that is being removed."""
    index.config_reader("manual")
    index.register_tokenizer(ANALYZER, _analyzer())
    return index


def _schema() -> Any:
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("number", stored=False, indexed=True, fast=True)
    builder.add_text_field("text", tokenizer_name=ANALYZER, index_option="freq")
    return builder.build()


@functools.cache
def _analyzer(*, stop: bool = False) -> Any:
    import tantivy

    filters = [tantivy.Filter.remove_long(100), tantivy.Filter.lowercase(), tantivy.Filter.ascii_fold()]
    if stop:
        filters.append(tantivy.Filter.stopword("english"))
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    for one in (*filters, tantivy.Filter.stemmer("english")):
        builder = builder.filter(one)
    return builder.build()


def _store_key(connection: sqlite3.Connection) -> str:
    row = connection.execute("SELECT value FROM manifest WHERE key = 'store'").fetchone()
    return str(json.loads(row[0]))


def _change(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT change FROM state").fetchone()[0])


def _note(folder: Path, state: Mapping[str, Any]) -> None:
    fresh = folder / (STATE + ".new")
    with fresh.open("w", encoding="utf-8") as file:
        json.dump({**state, "seal": seals.seal_of(json.dumps(state))}, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(folder / STATE)


def _noted(folder: Path, key: str) -> dict[str, Any] | None:
    """What the index says of itself; None where there is none of this store and form."""
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(state, dict) or state.get("form") != FORM or state.get("store") != key:
        return None
    return state if state.pop("seal", None) == seals.seal_of(json.dumps(state)) else None


def _reach(state: Mapping[str, Any]) -> int:
    """The latest change that the index may hold something of."""
    return int(state.get("until", state["change"]))
