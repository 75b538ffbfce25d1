"""A change to a store on Milvus, from the first row to the one that says it is whole; and that one writes at a time.

Milvus has no locks either. A writer puts a row of its own into the log and looks whether there is another: of two that
come together at least one sees the other and steps back. The row of a process that is dead is nobody's lock: on the
same machine the operating system knows, elsewhere it is one whose beat has stood still for `SILENT` seconds.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sememe.errors import LockedError, SememeError, StoreError, UsageError
from sememe.store.servers.milvus_log import LOCKS, PLACES, Log, State, bodies
from sememe.store.servers.milvus_rows import parts_of
from sememe.store.servers.milvus_session import BYTES, MOST, WIDEST_TEXT, Row, Session

#: seconds after which a writer on another machine that has not moved is taken for dead, and between two of its beats
SILENT, BEAT = 30.0, 3.0
#: the last places of a change: that it is whole, and that it was given up
_WHOLE, _GIVEN_UP = PLACES - 2, PLACES - 1

_HELD: set[int] = set()


class Change:
    """Rows of one change; nobody sees them before `commit`."""

    def __init__(self, session: Session, state: State, lock: _Lock) -> None:
        self._session, self._lock = session, lock
        self.state = state
        self.number = next_number(state)
        self._next = 0
        self._notes: list[Row] = []
        self._begun = False
        self.committed = False

    def items(self, rows: Sequence[Row], *, width: int) -> None:
        """New items, each without its number."""
        for row in rows:
            row["record"], *others = parts_of(row["record"])
            row["rest"], row["parts"] = self.number * PLACES + self._next, len(others)
            rest = [{"kind": "rest", "body": part, "vector": [0.0, 1.0]} for part in others]
            self._write(self._session.log, rest, WIDEST_TEXT)
        self._write(self._session.items, rows, width)

    def note(self, kind: str, entries: Iterable[Any]) -> None:
        """Facts, dead rows, or rows that are set aside, for the log."""
        self._notes += [{"kind": kind, "body": body, "vector": [0.0, 1.0]} for body in bodies(entries)]

    def _write(self, name: str, rows: Sequence[Row], width: int) -> None:
        if self._next + len(rows) > _WHOLE:
            raise UsageError(f"one change has at most {_WHOLE:,} rows in Milvus", do=["put the items in several calls"])
        step = max(1, min(MOST, BYTES // width))
        for start in range(0, len(rows), step):
            self._begin()
            part = rows[start : start + step]
            first = self.number * PLACES + self._next
            numbered = [{**row, "number": first + i, "change": self.number} for i, row in enumerate(part)]
            self._session.insert(name, numbered)
            self._next += len(part)

    def _begin(self) -> None:
        """Before the first row: sign the lock with the number, so that whoever finds it knows which rows they are."""
        if not self._begun:
            self._lock.sign(self.number)
            self._begun = True
        self._lock.beat()

    def commit(
        self, *, items: int, floor: int | None = None, base: int | None = None, purged: int | None = None
    ) -> None:
        """Make all of it count, in one row."""
        self._write(self._session.log, self._notes, 1 << 16)
        self._begin()
        old = self.state
        body = {
            "store": old.store,
            "items": items,
            "floor": old.floor if floor is None else floor,
            "base": old.base if base is None else base,
            "purged": old.purged if purged is None else purged,
        }
        mark(self._session, "whole", self.number, body)
        self.committed = True

    def give_up(self) -> None:
        if self._begun and not self.committed:
            give_up(self._session, self.number)


def next_number(state: State) -> int:
    """The number of the next change: none was ever used by another."""
    return max(state.change, *state.given_up, 0) + 1


def mark(session: Session, kind: str, change: int, body: Mapping[str, Any]) -> None:
    """The row of the log that says what became of a change."""
    number = change * PLACES + (_WHOLE if kind == "whole" else _GIVEN_UP)
    row = {"number": number, "change": change, "kind": kind, "body": json.dumps(body), "vector": [0.0, 1.0]}
    session.insert(session.log, [row])


def give_up(session: Session, change: int) -> None:
    """Rows of a change that will never be whole: hidden first, then removed."""
    mark(session, "given up", change, {"at": time.time()})
    remove_given_up(session, change)


def remove_given_up(session: Session, change: int) -> None:
    """What has arrived of it so far."""
    session.delete(session.items, f"change == {change}")
    session.delete(session.log, f'change == {change} and kind != "given up" and kind != "lock"')


@contextmanager
def changing(session: Session, log: Log) -> Iterator[Change]:
    """The only writer's change; without a `commit` inside it leaves nothing behind.

    Raises:
        LockedError: another writer was not done in time.
    """
    with session.turn:
        lock = _Lock(session, next_number(log.state))
        lock.take()
        keep = False
        try:
            for dead in lock.dead:
                _take_over(session, log, dead)
            change = Change(session, log.refreshed(), lock)
            try:
                yield change
            except BaseException:
                keep = True  # unless it can be given up: then the next writer does that
                if not change.committed and log.refreshed().change < change.number:
                    change.give_up()
                keep = False
                raise
            if change.committed:
                log.refreshed()
        finally:
            lock.release(keep=keep)


def abandoned(session: Session) -> bool:
    """Whether a writer of this machine died in the middle; the next change ends what it began."""
    lock = _Lock(session, 0)
    return not lock.others({}) and bool(lock.dead)


def _take_over(session: Session, log: Log, dead: Row) -> None:
    """End what a writer that died has begun: it is whole, or is given up."""
    change = json.loads(dead["body"])["change"]
    if change > log.refreshed().change:
        give_up(session, change)
    session.delete(session.log, f"number in [{dead['number']}]")


class _Lock:
    """A writer's row in the log, signed with the number of the change that it will be, as far as is known."""

    def __init__(self, session: Session, change: int) -> None:
        self._session = session
        self._number = LOCKS + secrets.randbelow(LOCKS)
        self._row = {"token": self._number, "place": _place(), "pid": os.getpid(), "change": change, "beat": 0,
                     "since": datetime.now(UTC).astimezone().isoformat(timespec="seconds")}  # fmt: skip
        self._beaten = 0.0
        self.dead: list[Row] = []

    def take(self) -> None:
        deadline = time.monotonic() + self._session.timeout
        watched: dict[tuple[int, int], float] = {}
        chance = random.Random(self._number)
        alive: list[dict[str, Any]] = []
        while True:
            if not alive:
                _HELD.add(self._number)
                self._write()
                alive = self.others(watched)
                if not alive:
                    return
                self.release(keep=False)
            if time.monotonic() >= deadline:
                raise self._locked(alive[0])
            time.sleep(min(0.01 + 0.05 * chance.random(), max(0.0, deadline - time.monotonic())))
            alive = self.others(watched)

    def others(self, watched: dict[tuple[int, int], float]) -> list[dict[str, Any]]:
        """The writers that live; `dead` are the rows of others."""
        alive, self.dead = [], []
        for part in self._session.rows(self._session.log, 'kind == "lock"', ["change", "body"], width=1000):
            for row in part:
                if row["number"] == self._number:
                    continue
                body = json.loads(row["body"])
                since = watched.setdefault((row["number"], body["beat"]), time.monotonic())
                if _is_dead(body) or time.monotonic() - since > SILENT:
                    self.dead.append(row)
                else:
                    alive.append(body)
        return alive

    def _locked(self, other: Mapping[str, Any]) -> LockedError:
        host = str(other["place"]).partition(" ")[0]
        return LockedError(
            f"another process is writing to {self._session.address.shown}",
            why=[("writer", f"process {other['pid']} on {host}, since {other['since']}"),
                 ("waited", f"{self._session.timeout:g} s")],
            do=["try again when it is done, or wait longer (timeout=…)",
                f"if it is dead, wait longer than {SILENT:g} s: then its lock no longer counts"],
        )  # fmt: skip

    def _write(self) -> None:
        row = {"number": self._number, "change": 0, "kind": "lock", "body": json.dumps(self._row), "vector": [0.0, 1.0]}
        self._session.replace(self._session.log, row)
        self._beaten = time.monotonic()

    def sign(self, change: int) -> None:
        if self._row["change"] != change:
            self._row["change"] = change
            self._write()

    def beat(self) -> None:
        if time.monotonic() - self._beaten > BEAT:
            self.check()
            self._row["beat"] = int(str(self._row["beat"])) + 1
            self._write()

    def check(self) -> None:
        """Refuse to go on if others have taken this process for dead."""
        if not self._session.count(self._session.log, f"number == {self._number}"):
            raise StoreError(
                f"another process took this writer of {self._session.address.shown} for dead; nothing was changed",
                why=[("silent for longer than", f"{SILENT:g} s")],
                do=["do it again"],
            )

    def release(self, *, keep: bool) -> None:
        """Let others write. The row stays where the server is not there to remove it: it counts no longer."""
        _HELD.discard(self._number)
        if not keep:
            with suppress(SememeError):
                self._session.delete(self._session.log, f"number in [{self._number}]")


def _place() -> str:
    """What process numbers are unique in: this machine since its last start, or a container on it."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def _is_dead(body: Mapping[str, Any]) -> bool:
    """Whether a writer of this machine is no more. Of others nobody knows."""
    if body["place"] != _place():
        return False
    if body["pid"] == os.getpid():
        return body["token"] not in _HELD
    if sys.platform == "win32":
        return False  # there os.kill ends the process instead of asking
    try:
        os.kill(int(body["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
