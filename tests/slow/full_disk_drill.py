"""A child whose disk is full at one place after the other, in the middle of each kind of change.

Two stand-ins for a full disk: files that may not grow beyond a limit (which SQLite meets too), and the k-th call of
Python's own write, fsync, link or rename failing.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from store_drill import ADAPTORS, record, text_of, vector_of

from sememe.errors import StoreError
from sememe.store.contract import Store

#: what is cut off, and the store that it is done to; the last two keep an index of the vectors from the first on
PARTS = {
    "put": "local",
    "delete": "local",
    "compact": "local",
    "rebuild": "local",
    "words": "local",
    "convert": "local-codes",
    "reindex": "local-codes",
    "hnsw": "local-codes",
}


def fill(store: Store, numbers: range) -> None:
    vectors = np.stack([vector_of(n) for n in numbers])
    kept = [record(text_of(n) * 5, source=f"s{n % 3}", number=n) for n in numbers]
    store.put([f"i{n % 500}" for n in numbers], vectors, kept, sources={"s0": str(numbers[0])})


def change(part: str, store: Store, folder: Path) -> None:
    match part:
        case "put":
            fill(store, range(900, 1200))
        case "delete":
            store.delete([f"i{n}" for n in range(0, 500, 2)], sources=["s1"])
        case "compact":
            store.compact()
        case "rebuild":
            store.adopt(folder.parent / "beside")  # type: ignore[attr-defined]
        case "words":
            store.search(None, 1, words=["river"], mode="words")
        case "convert":
            store.convert("int8")  # type: ignore[attr-defined]
        case "reindex":
            store.reindex()  # type: ignore[attr-defined]
        case "hnsw":
            store.reindex("hnsw")  # type: ignore[attr-defined]


def seen(store: Any) -> tuple[Any, ...]:
    ids = store.ids()
    (hits,) = store.search(np.ones((1, 4)), 1000)
    kept = store.get(ids), store.vectors(ids).tolist(), dict(store.sources()), store.count()
    return ids, kept, hits.ids, hits.scores, store.vector_type, store.index


@contextmanager
def limit(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextmanager
def failing(turn: int, met: list[bool]) -> Iterator[None]:
    """Call number ``turn`` of those that change the disk fails; ``met`` is given an element then."""
    calls = itertools.count()

    def wrapped(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if next(calls) == turn:
                met.append(True)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*arguments, **options)

        return call

    places = [
        (os, "write"),
        (os, "fsync"),
        (os, "open"),
        (os, "link"),
        (Path, "replace"),
        (Path, "rename"),
        (Path, "mkdir"),
    ]
    kept = [getattr(place, name) for place, name in places]
    for (place, name), real in zip(places, kept, strict=True):
        setattr(place, name, wrapped(real))
    try:
        yield
    finally:
        for (place, name), real in zip(places, kept, strict=True):
            setattr(place, name, real)


def one(adaptor: str, folder: Path, part: str, full: Any) -> str:
    """One full disk in one change; says how it ended."""
    with ADAPTORS[adaptor](folder) as store:  # type: ignore[attr-defined]
        store.search(np.ones((1, 4)), 1)  # whatever opening makes is there
        before = seen(store)
        try:
            with full:
                change(part, store, folder)
            ended = "done"
        except StoreError as error:
            ended = "refused"
            assert "\n" in str(error), f"it does not say why: {error}"
            assert seen(store) == before, "something was changed"
        problems = store.verify().problems
        assert not problems, problems
        change(part, store, folder)  # there is room again
        after = seen(store)
        assert store.verify().ok
    with ADAPTORS[adaptor](folder) as store:  # type: ignore[attr-defined]
        assert seen(store) == after
        assert store.verify().ok
        (hits,) = store.search(None, 1000, words=["river"], mode="words")
        right = {id for id in store.ids() if "river" in store.get([id])[0].text.split()}
        assert set(hits.ids) == right, "words"
    return ended


def at_every_place(part: str, home: Path, attempt: Callable[[Path, Any], str]) -> None:
    """Try it with a disk that is full here, then there, each time in a copy of the folder ``pristine`` of ``home``;
    print a line for each."""
    met: list[bool] = []
    turns: list[tuple[str, Any]] = [(f"limit {size}", limit(size)) for size in range(0, 400_000, 13_000)]
    turns += [(f"call {turn}", failing(turn, met)) for turn in range(60)]
    for number, (name, full) in enumerate(turns):
        folder = home / f"{part}-{number}"
        shutil.copytree(home / "pristine", folder)
        met.clear()
        try:
            ended = attempt(folder, full)
        except Exception as error:
            ended = f"WRONG {type(error).__name__}: {error}"
        print(json.dumps([part, name, ended]), flush=True)
        shutil.rmtree(folder)
        if name.startswith("call") and not met:
            break


def main(home: Path) -> None:
    with ADAPTORS["local"](home / "pristine") as store:  # type: ignore[attr-defined]
        fill(store, range(500))
        fill(store, range(500, 700))
        store.search(None, 1, words=["river"], mode="words")
        fill(store, range(700, 720))
        store._wrote = False  # so that the words are left behind
    with ADAPTORS["local"](home / "beside") as store:  # type: ignore[attr-defined]
        fill(store, range(2000, 2300))
    for part, adaptor in PARTS.items():
        if part != "hnsw" or find_spec("faiss"):
            at_every_place(part, home, lambda folder, full, a=adaptor, p=part: one(a, folder, p, full))  # type: ignore[misc]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
