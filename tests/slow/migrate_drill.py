"""A child that moves a collection from encoder to encoder until it is killed, and what must be true afterwards.

At each step of a migration the child says its name. A kill that must hit a certain step is exact: the child stops there
and waits, so no clock decides. Other kills come at any moment; nothing is asserted about where they land.
"""
# ruff: noqa: E402 (it also runs by itself, and puts the encoder of the rooms' tests on the path first)

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "rooms")]

from letters import ALPHABET, Letters

from sememe.collection import indexing
from sememe.collection.collection import Collection
from sememe.store.local import beside, vector_file
from sememe.store.local.beside import Beside

BATCH = 8
ENCODERS = {"letters": ALPHABET, "reversed": ALPHABET[::-1], "vowels": "aeiou"}
#: each step that a kill may be aimed at; "put 2" is the second time that this step is come to
STEPS = (
    "append 1", "put 1", "append 2", "put 4", "made 1", "made 2", "linked 1", "linked 2", "taken 1", "sweep 2",
    "swept 2", "remove 1",
)  # fmt: skip


def encoder(name: str) -> Letters:
    return Letters(name, ENCODERS[name])


def other_than(name: str) -> str:
    names = list(ENCODERS)
    return names[(names.index(name) + 1) % len(names)]


def announcing(stop: str) -> None:
    """Make every step say its name; at ``stop`` wait for the end."""
    counts: dict[str, int] = {}

    def at(step: str) -> None:
        counts[step] = counts.get(step, 0) + 1
        print(f"{step} {counts[step]}", flush=True)
        if f"{step} {counts[step]}" == stop:
            sys.stdin.read()

    def told(owner: Any, name: str, before: str = "", after: str = "") -> None:
        real = getattr(owner, name)

        def wrapped(*args: Any, **rest: Any) -> Any:
            if before:
                at(before)
            out = real(*args, **rest)
            if after:
                at(after)
            return out

        setattr(owner, name, wrapped)

    told(vector_file, "append", after="append")
    told(Beside, "put", after="put")
    told(beside, "_made", after="made")
    told(beside, "_linked", after="linked")
    told(Beside, "_take_over", after="taken")
    told(beside, "sweep", before="sweep", after="swept")
    told(vector_file, "remove_others", before="remove")


def child(folder: Path, stop: str) -> None:
    """One migration that halts at ``stop``, or without one any number of them, each after something was added."""
    indexing.BATCH = BATCH
    with Collection(folder, encoder=None) as collection:
        now = collection.binding.encoder
    if stop:
        announcing(stop)
        with Collection(folder, encoder=encoder(now)) as collection:
            collection.migrate(encoder(other_than(now)))
        print("over", flush=True)
        return
    for turn in range(10**6):
        with Collection(folder, encoder=encoder(now)) as collection:
            name = f"{os.getpid()}-{turn}"
            collection.add([{"id": name, "text": f"text {name}"}], id="id")
            print(f"added {name}", flush=True)
            now = other_than(now)
            collection.migrate(encoder(now))


def made(folder: Path) -> None:
    """A collection of 30 texts; the first encoder is the one of letters."""
    with Collection(folder, encoder=encoder("letters")) as collection:
        collection.add([{"id": f"t{n:02}", "text": f"number {n}: " + "ab" * n} for n in range(30)], id="id")


def looked_at(folder: Path, when: str) -> dict[str, str]:
    """Everything compared with everything: each id with its text."""
    with Collection(folder) as collection:
        name = collection.binding.encoder
    with Collection(folder, encoder=encoder(name)) as collection:
        health = collection.verify()
        assert health.ok, (when, health)
        ids = collection.store.ids()
        texts = [record.text for record in collection.get(ids) if record]
        assert len(texts) == len(ids), when
        right = encoder(name).encode(texts).tolist()
        assert collection.store.vectors(ids).tolist() == right, (when, name)
        assert collection.search("number", 5, mode="words").ids, when
        assert collection.search("number", 5, mode="dense").ids, when
        return dict(zip(ids, texts, strict=True))


def finished(folder: Path, when: str) -> None:
    """The migration that was cut off goes on to its end, and back again."""
    before = looked_at(folder, when)
    with Collection(folder) as collection:
        now = collection.binding.encoder
    with Collection(folder, encoder=encoder(now)) as collection:
        collection.add([{"id": "since", "text": f"since {when}"}], id="id")
        collection.migrate(encoder(other_than(now)))
        before["since"] = f"since {when}"
    assert looked_at(folder, when) == before
    with Collection(folder, encoder=encoder(other_than(now))) as collection:
        collection.roll_back(encoder(now))
    assert looked_at(folder, when) == before
    assert len([one for one in folder.iterdir() if one.name.startswith(beside.PREFIX)]) == 1, when
    assert len(vector_file.files(folder)) == 1, when


def started(folder: Path, stop: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, __file__, str(folder), stop], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def killed_at(folder: Path, step: str) -> None:
    """A migration killed at this very step, and what comes after it."""
    before = looked_at(folder, step)
    with Collection(folder) as collection:
        collection.settle()  # so that there is everything to do
    with started(folder, step) as process:
        assert process.stdout is not None
        while (line := process.stdout.readline().strip()) != step:
            assert line not in ("", "over"), f"{step} was never come to"
        process.kill()
    assert looked_at(folder, step) == before
    finished(folder, step)


def killed_at_any_time(folder: Path, *, kills: int, seed: int, longest: float) -> None:
    chance = random.Random(seed)
    known = looked_at(folder, "at first")
    for turn in range(kills):
        when = f"seed {seed}, kill {turn}"
        with started(folder, "") as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("added"), when
            time.sleep(chance.random() * longest)
            process.kill()
            lines = [line, *process.stdout.read().splitlines()]
        acknowledged = {line.split()[1] for line in lines if line.startswith("added ")}
        now = looked_at(folder, when)
        assert set(known) | acknowledged <= set(now), when
        assert len(set(now) - set(known) - acknowledged) <= 1, (
            when
        )  # what was kept, and the kill was quicker than the word
        known = now
    finished(folder, f"seed {seed}")


if __name__ == "__main__":
    child(Path(sys.argv[1]), sys.argv[2])
