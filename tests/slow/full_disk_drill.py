"""A child whose disk is full at one place after the other, in the middle of each kind of change.

Two stand-ins for a full disk: files that may not grow beyond a limit (which SQLite meets too), and the k-th call of
Python's own write, fsync or rename failing.
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
from pathlib import Path
from typing import Any

import numpy as np
from store_drill import ADAPTORS, record, text_of, vector_of

from sememe.errors import StoreError
from sememe.store.contract import Store

PARTS = ("put", "delete", "compact", "rebuild", "words")


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


def seen(store: Store) -> tuple[Any, ...]:
    ids = store.ids()
    return ids, store.get(ids), store.vectors(ids).tolist(), dict(store.sources()), store.count()


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

    places = [(os, "write"), (os, "fsync"), (Path, "replace"), (Path, "mkdir"), (os, "open")]
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


def main(adaptor: str, home: Path) -> None:
    with ADAPTORS[adaptor](home / "pristine") as store:  # type: ignore[attr-defined]
        fill(store, range(500))
        fill(store, range(500, 700))
        store.search(None, 1, words=["river"], mode="words")
        fill(store, range(700, 720))
        store._wrote = False  # so that the words are left behind
    with ADAPTORS[adaptor](home / "beside") as store:  # type: ignore[attr-defined]
        fill(store, range(2000, 2300))
    for part in PARTS:
        met: list[bool] = []
        turns: list[tuple[str, Any]] = [(f"limit {size}", limit(size)) for size in range(0, 400_000, 13_000)]
        turns += [(f"call {turn}", failing(turn, met)) for turn in range(40)]
        for number, (name, full) in enumerate(turns):
            folder = home / f"{part}-{number}"
            shutil.copytree(home / "pristine", folder)
            met.clear()
            try:
                ended = one(adaptor, folder, part, full)
            except Exception as error:
                ended = f"WRONG {type(error).__name__}: {error}"
            print(json.dumps([part, name, ended]), flush=True)
            shutil.rmtree(folder)
            if name.startswith("call") and not met:
                break


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
