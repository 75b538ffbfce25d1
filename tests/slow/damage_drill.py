"""A child that damages copies of a store, asks them, repairs them, and writes down what came of it, one line a case.

Before each case its name is printed, so that whoever started the child knows which one ended it.
"""

from __future__ import annotations

import itertools
import json
import random
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from store_drill import ADAPTORS, record, text_of, vector_of

from sememe.errors import SememeError
from sememe.store.contract import Store
from sememe.store.local.salvage import salvage

ITEMS = 400
CUTS, FLIPS = 10, 100
WHERE = "number >= 500 and number < 800"


def make(adaptor: str, folder: Path) -> None:
    """A store with a past: rows were replaced, deleted, compacted, and replaced again."""
    store = ADAPTORS[adaptor](folder)
    for start in (0, 200, 400, 600):
        numbers = range(start, start + 200)
        ids = [f"i{n % ITEMS:03}" for n in numbers]
        kept = [record(text_of(n), source=f"s{n % 5}", title=f"title {n}", number=n) for n in numbers]
        store.put(ids, np.stack([vector_of(n) for n in numbers]), kept, sources={f"s{n}": str(start) for n in range(5)})
        if start == 400:
            store.compact()
    store.delete([f"i{n:03}" for n in range(0, ITEMS, 9)])
    store.close()


def answers(store: Store) -> dict[str, Callable[[], Any]]:
    """Questions by name; those that start with "all" may be answered in part, never wrongly."""

    def hits(k: int, **options: Any) -> list[tuple[Any, ...]]:
        found = store.search(
            np.stack([vector_of(10**6), vector_of(10**6 + 1)]), k, words=["river", "bank n650"], **options
        )
        return [(hit.id, hit.score, hit.text, hit.title, dict(hit.meta)) for one in found for hit in one]

    return {
        "dense": lambda: hits(10, mode="dense"),
        "all dense": lambda: hits(1000, mode="dense", where=WHERE),
        "words": lambda: hits(10, mode="words"),
        "hybrid": lambda: hits(10, mode="hybrid"),
        "all records": lambda: [one for one in store.get([f"i{n:03}" for n in range(ITEMS)]) if one is not None],
        "all vectors": lambda: [(id, store.vectors([id]).tolist()) for id in store.ids()],
        "all ids": lambda: store.ids(),
        "ids": lambda: [store.ids("s1"), store.ids(items=[""]), dict(store.known([store.get(["i001"])[0].hash]))],
        "count": lambda: [store.count(), store.count(WHERE), dict(store.sources())],
    }


def damages(path: Path, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """The file cut off at ten places, and with a bit flipped at a hundred."""
    whole = path.read_bytes()
    for turn in range(CUTS if whole else 0):
        yield f"cut {len(whole) * turn // CUTS}", whole[: len(whole) * turn // CUTS]
    for _ in range(FLIPS if whole else 0):
        place, bit = chance.randrange(len(whole)), chance.randrange(8)
        yield f"flip {place}.{bit}", whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :]


def asked(adaptor: str, folder: Path, right: dict[str, Any]) -> dict[str, str]:
    """Each question to the damaged store: "right", the name of the error, "part of it", or "WRONG"."""
    said = {}
    try:
        store = ADAPTORS[adaptor](folder)
    except SememeError as error:
        return {"open": type(error).__name__}
    for name, ask in answers(store).items():
        try:
            answer = ask()
        except SememeError as error:
            said[name] = type(error).__name__
            continue
        if answer == right[name]:
            said[name] = "right"
        elif name.startswith("all") and all(part in right[name] for part in answer):
            said[name] = "part of it"
        else:
            said[name] = "WRONG"
    store.close()
    return said


def mended(adaptor: str, folder: Path, right: dict[str, Any]) -> dict[str, Any]:
    """Repair, and what is there then: how many items are lost, and whether each of them was named."""
    notes: list[str] = []
    affected: set[str] = set()
    try:
        with ADAPTORS[adaptor](folder) as store:  # type: ignore[attr-defined]
            health = store.repair()
    except SememeError:
        try:
            health = salvage(folder)
        except SememeError as error:
            return {"repair": type(error).__name__}
    notes += health.problems
    affected |= set(health.affected)
    with ADAPTORS[adaptor](folder) as store:  # type: ignore[attr-defined]
        after = store.verify()
        there = dict(answers(store)["all vectors"]())
        wanted = dict(right["all vectors"])
        texts = answers(store)["all records"]()
        store.put(["new"], vector_of(1)[np.newaxis], [record("new", number=1)])
        again = store.verify()
        return {
            "repair": "ok" if after.ok and again.ok else f"STILL BAD {after.problems} {again.problems}",
            "lost": len(wanted) - len(there),
            "unnamed": len(set(wanted) - set(there) - affected),
            "nameless": sum(int(note.split()[1]) for note in notes if "more items" in note),
            "wrong": sum(wanted.get(id) != vector for id, vector in there.items())
            + sum(text not in right["all records"] for text in texts)
            + abs(len(texts) - len(there)),
        }


def main(adaptor: str, pristine: Path, name: str, seed: str) -> None:
    chance = random.Random(seed)
    # A folder of its own for each case: Tantivy's threads may look at what they have mapped for a while yet.
    rooms = (pristine.parent / f"room-{name.replace('/', '-')}-{number}" for number in itertools.count())
    room = next(rooms)
    shutil.copytree(pristine, room)
    store = ADAPTORS[adaptor](room)
    right = {question: ask() for question, ask in answers(store).items()}
    store.close()
    for case, data in damages(pristine / name, chance):
        print(json.dumps({"case": case}), flush=True)
        try:
            said: dict[str, Any] = {}
            for part in (asked, mended):
                shutil.rmtree(room)
                room = next(rooms)
                shutil.copytree(pristine, room)
                (room / name).write_bytes(data)
                said |= part(adaptor, room, right)
        except Exception:
            said = {"UNEXPECTED": traceback.format_exc()}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], Path(sys.argv[3]))
    else:
        main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4])
