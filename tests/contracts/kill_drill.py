"""A child that changes a store until it is killed, and a parent that knows what must be there afterwards.

The child says what it is about to do before each call and that it is done after it. So whatever moment the kill comes
at, the store must hold exactly what it held before the unfinished call, or exactly what it would hold after it.

Every kill has a goal, one kind of call after the other: it comes after the child has said that it tries that, at once
or a moment later. The calls follow from a seed. Where in a call a kill lands, the machine decides, and no test asks.

A nursery imports everything once and forks a child for each kill: several kills a second instead of two.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from drill_servers import addresses
from store_drill import ADAPTORS, DIM, WORDS, record, text_of
from vector_twins import kept_by

from sememe.shapes import Vectors
from sememe.store.contract import Store

HERE = Path(__file__).parent

#: what the child does, and how often each
CALLS = {
    "put": 12,
    "delete": 4,
    "forget": 2,
    "compact": 2,
    "words": 4,
    "reopen": 1,
    "repair": 1,
    "rebuild": 1,
    "migrate": 1,
    "convert": 1,
    "reindex": 1,
}
#: what vectors are converted to: of whole numbers up to 127 none of these loses anything
TYPES = ("float32", "float16", "int8")
#: indexes that are to be had here
INDEXES = ("codes", "hnsw", "ivf") if find_spec("faiss") else ("codes",)


@dataclass
class Contents:
    """What a store holds: the number that each id's text and vector are made of, the sources that are complete, and how
    it keeps its vectors and finds them; None where it has no choice."""

    numbers: dict[str, int] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    vectors: str | None = None
    index: str | None = None

    def after(self, call: dict[str, Any] | None) -> Contents:
        """The contents once ``call`` is done."""
        if call is None:
            return self
        numbers, sources = dict(self.numbers), dict(self.sources)
        if call["verb"] == "rebuild":
            return Contents(dict(call["rows"]), {}, self.vectors, self.index)
        for id in call.get("drop", []):
            numbers.pop(id, None)
        for source in call.get("forget", []):
            sources.pop(source, None)
            numbers = {id: n for id, n in numbers.items() if source_of(n) != source}
        vectors, index = call.get("vectors", self.vectors), call.get("index", self.index)
        return Contents(numbers | call.get("rows", {}), sources | call.get("stamp", {}), vectors, index)


def whole_vector(number: int) -> Vectors:
    """A vector that tells its number in whole numbers up to 127, the first of them 127."""
    rest = np.random.default_rng(number).integers(-127, 128, DIM - 1)
    return np.array([127, *rest], np.float32)


def source_of(number: int) -> str:
    return f"s{number % 7}"


def calls_of(store: Store) -> dict[str, int]:
    """Those that a store knows."""
    known = {
        "words": "words" in store.capabilities,
        "rebuild": hasattr(store, "adopt"),
        "migrate": hasattr(store, "adopt"),
        "convert": getattr(store, "vector_type", None) in TYPES,
        "reindex": hasattr(store, "reindex"),
    }
    return {verb: often for verb, often in CALLS.items() if known.get(verb, True)}


def next_call(chance: random.Random, first: int, calls: dict[str, int], goal: str = "") -> dict[str, Any]:
    """One call, or one of the kind ``goal``, with everything that it needs, as JSON values; ``first`` is the first
    number that was never used."""
    verb = goal or chance.choices(list(calls), list(calls.values()))[0]
    call: dict[str, Any] = {"verb": verb}
    if verb in ("put", "rebuild"):
        n = chance.choice([1, 5, 20, 60])
        call["rows"] = {f"i{id}": first + i for i, id in enumerate(chance.sample(range(150), n))}
    if verb == "put":
        call["drop"] = [f"i{id}" for id in chance.sample(range(150), 3) if f"i{id}" not in call["rows"]]
        call["stamp"] = {source_of(first): str(first)}
    if verb == "delete":
        call["drop"] = [f"i{id}" for id in chance.sample(range(150), chance.choice([1, 10, 100]))]
    if verb == "forget":
        call["forget"] = [source_of(chance.randrange(7))]
    if verb == "convert":
        call["vectors"] = chance.choice(TYPES)
    if verb == "reindex":
        call["index"] = chance.choice(INDEXES)
    return call


def do(call: dict[str, Any], store: Store, adaptor: str, folder: Path) -> Store:
    """Do what ``next_call`` thought of."""
    rows: dict[str, int] = call.get("rows", {})
    kept = [record(text_of(n), source=source_of(n), number=n) for n in rows.values()]
    vectors = np.stack([whole_vector(n) for n in rows.values()]) if rows else np.empty((0, DIM), np.float32)
    match call["verb"]:
        case "put":
            store.put(list(rows), vectors, kept, drop=call["drop"], sources=call["stamp"])
        case "delete" | "forget":
            store.delete(call.get("drop", []), sources=call.get("forget", []))
        case "compact":
            store.compact()
        case "repair":
            store.repair()
        case "convert":
            store.convert(call["vectors"])  # type: ignore[attr-defined]
        case "reindex":
            store.reindex(call["index"])  # type: ignore[attr-defined]
        case "words":
            store.search(None, 3, words=["river"], mode="words")
        case "reopen":
            store.close()
            return ADAPTORS[adaptor](folder)
        case "migrate":
            migrate(store)
            store.close()  # whoever had it open has to open it again
            return ADAPTORS[adaptor](folder)
        case "rebuild":
            beside = folder.with_name(f"{folder.name}-beside-{min(rows.values())}")
            with ADAPTORS[adaptor](beside) as fresh:  # type: ignore[attr-defined]
                _alike(fresh, store)
                fresh.put(list(rows), vectors, kept)
            store.adopt(beside)  # type: ignore[attr-defined]
    return store


def _alike(fresh: Any, store: Any) -> None:
    """A rebuild keeps how vectors are kept and found."""
    if fresh.vector_type != store.vector_type:
        fresh.convert(store.vector_type)
    if fresh.index != store.index:
        fresh.reindex(store.index)


def _ways(store: Any) -> dict[str, str | None]:
    """How a store keeps its vectors and finds them, as far as that can be changed."""
    verbs = calls_of(store)
    return {
        "vectors": store.vector_type if "convert" in verbs else None,
        "index": store.index if "reindex" in verbs else None,
    }


def migrate(store: Any) -> None:
    """To a second set of the same vectors, as another encoder would make them: filled beside, then exchanged."""
    from sememe.store.local.beside import begun

    with begun(store, {"encoder": "letters", "dim": store.dim}) as beside:
        missing = beside.versions(beside.missing().tolist())
        beside.put(missing, store.vectors([version.id for version in missing]))
        beside.exchange()


def change_until_killed(adaptor: str, folder: Path, seed: str, first: int, goal: str) -> None:
    """A few calls of any kind, one of the kind ``goal``, and on until the end."""
    chance = random.Random(seed)
    store = ADAPTORS[adaptor](folder)
    for turn in itertools.count(-chance.randrange(4)):
        call = next_call(chance, first, calls_of(store), "" if turn else goal)
        print("try", json.dumps(call), flush=True)
        store = do(call, store, adaptor, folder)
        print("done", flush=True)
        first += len(call.get("rows", {}))


def nursery(adaptor: str, folder: Path) -> None:
    """For each line "seed first goal" of standard input a child; says when it is over."""
    import tantivy

    import sememe.store.local.care
    import sememe.store.local.store

    assert tantivy and sememe
    if len(INDEXES) > 1:
        import faiss

        assert faiss
    if adaptor == "milvus":
        import pymilvus

        assert pymilvus
    for line in sys.stdin:
        seed, first, goal = line.split()
        pid = os.fork()
        if not pid:
            print("child", os.getpid(), flush=True)
            try:
                change_until_killed(adaptor, folder, seed, int(first), goal)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(1)
        _, status = os.waitpid(pid, 0)
        print(f"\nover {os.waitstatus_to_exitcode(status)}", flush=True)


@dataclass
class Kills:
    """What a drill did: the calls that had been begun when it killed, and in which calls the kills landed."""

    goals: Counter[str] = field(default_factory=Counter)
    landed: Counter[str] = field(default_factory=Counter)


def survive(adaptor: str, folder: Path, *, kills: int, seed: int, longest: float) -> Kills:
    """Kill so many children, look after each.

    Args:
        longest: seconds after which a child is killed at the latest, once it tries what is to be cut off. One kill in
            three comes at once.
    """
    chance = random.Random(seed)
    done = Kills()
    with ADAPTORS[adaptor](folder) as store:  # type: ignore[attr-defined]
        goals = itertools.cycle(calls_of(store))
        contents, first = Contents(**_ways(store)), 0
    with _started(adaptor, folder) as house:
        assert house.stdin is not None
        assert house.stdout is not None
        for turn in range(kills):
            goal, when = next(goals), f"seed {seed}, turn {turn}"
            house.stdin.write(f"{seed}.{turn} {first} {goal}\n")
            house.stdin.flush()
            word, pid = house.stdout.readline().split()
            assert word == "child"
            pending: dict[str, Any] | None = None
            armed = True
            while not (line := house.stdout.readline()).startswith("over"):
                if line.startswith("try") and line.endswith("}\n"):
                    pending = json.loads(line[4:])
                    first += len(pending.get("rows", {}))
                elif line == "done\n":
                    contents, pending = contents.after(pending), None
                if armed and pending is not None and pending["verb"] == goal:
                    armed = False
                    time.sleep(longest * max(0, 1.5 * chance.random() - 0.5))
                    with suppress(ProcessLookupError):  # it ended by itself; what it says of that comes below
                        os.kill(int(pid), signal.SIGKILL)
            assert line == f"over {-signal.SIGKILL}\n", f"{when}: the child ended by itself"
            done.goals[goal] += not armed
            done.landed[pending["verb"] if pending else "between"] += 1
            contents = _looked_at(adaptor, folder, contents, pending, when)
        house.stdin.close()
    return done


def _started(adaptor: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(Path(__file__)), adaptor, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE.parents[1],
        env={"PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE)]), **addresses()},
    )  # fmt: skip


def _looked_at(adaptor: str, folder: Path, before: Contents, pending: dict[str, Any] | None, when: str) -> Contents:
    """All of the store compared with what may be in it; says which it is."""
    store = ADAPTORS[adaptor](folder)
    try:
        health = store.verify()
        assert health.ok, (when, pending, health)
        ids = store.ids()
        kept = store.get(ids)
        numbers = {id: int(str(one.meta["number"])) for id, one in zip(ids, kept, strict=True) if one}
        there = Contents(numbers, dict(store.sources()), **_ways(store))
        assert there in (before, before.after(pending)), (when, pending)
        assert store.count() == len(ids)
        for id, one, vector in zip(ids, kept, store.vectors(ids), strict=True):
            assert one == record(text_of(numbers[id]), source=source_of(numbers[id]), number=numbers[id]), when
            assert vector.tolist() == kept_by(adaptor, whole_vector(numbers[id])).tolist(), when
        if "words" in store.capabilities:
            word = WORDS[len(ids) % len(WORDS)]
            (hits,) = store.search(None, 1000, words=[word], mode="words")
            assert set(hits.ids) == {id for id, n in numbers.items() if word in text_of(n).split()}, when
        (hits,) = store.search(np.ones((1, DIM), np.float32), 1000, mode="dense")
        assert set(hits.ids) == set(ids), when
        if numbers:
            middle = sorted(numbers.values())[len(numbers) // 2]
            above = {id for id, n in numbers.items() if n >= middle}
            where = {"number": {">=": middle}}
            (hits,) = store.search(np.ones((1, DIM), np.float32), 1000, where=where)
            assert (set(hits.ids), store.count(where)) == (above, len(above)), when
            by_source = dict(store.facets("source", limit=None).counts)
            assert by_source == Counter(map(source_of, numbers.values())), when
        return there
    finally:
        store.close()


if __name__ == "__main__":
    nursery(sys.argv[1], Path(sys.argv[2]))
