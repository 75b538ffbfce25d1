"""What is true of a store on Milvus: a log beside its items, whose last whole change is the state.

Milvus has no transactions over several rows. So nothing is ever changed in place. A change writes new rows, each with
the change's number, and notes in the log which rows are dead, which sources complete, and which fields new; last of all
comes one row that says the change is whole. Whoever reads takes the last whole change and looks at no row of a later
one, and at no dead one. What a client leaves behind that was killed is marked as given up, and stays unseen for ever,
also what reaches the server only afterwards.

Dead rows are removed when there are many (`milvus_care.purge`). A whole change may therefore name a ``floor``: a reader
of an earlier state than that may have missed rows, and asks again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from sememe.errors import DataError, StoreError, UsageError
from sememe.store.servers.milvus_session import WIDEST_TEXT, Row, Session

T = TypeVar("T")

#: a row's number is the number of its change and its place in it
PLACES = 1 << 20
#: lock rows have random numbers from here on
LOCKS = 1 << 62
#: bytes of the list in one row
PART = 60_000
#: how often a reader asks again when dead rows are removed under it
TURNS = 20
COLUMNS = {
    "number": {"type": "INT64", "is_primary": True},
    "change": {"type": "INT64"},
    "kind": {"type": "VARCHAR", "max_length": 16},
    "body": {"type": "VARCHAR", "max_length": WIDEST_TEXT},
    "vector": {"type": "FLOAT_VECTOR", "dim": 2},  # Milvus has no collections without
}
INDEXES = {"vector": {"index_type": "FLAT", "metric_type": "COSINE"}}


@dataclass(frozen=True, slots=True)
class State:
    """All but the items. ``dead`` are rows that nobody sees any more, ``aside`` those that repair set aside."""

    change: int = -1
    store: str = ""
    items: int = 0
    since: int = 0  # entries of the log since it was last written anew
    floor: int = 0
    base: int = 0
    purged: int = 0
    sources: dict[str, str] = field(default_factory=dict)
    fields: frozenset[tuple[str, str]] = frozenset()
    dead: Mapping[int, int] = field(default_factory=dict)  # each with the change that noted it
    aside: frozenset[int] = frozenset()
    given_up: Mapping[int, float] = field(default_factory=dict)  # each with the second when that was noted

    def seen(self, also: str = "") -> str:
        """The expression of the items that are in the store."""
        parts = [f"change <= {self.change}"]
        if hidden := sorted({*self.dead, *self.aside}):
            parts.append(f"number not in {hidden}")
        if self.given_up:
            parts.append(f"change not in {sorted(self.given_up)}")
        return " and ".join([*parts, f"({also})"] if also else parts)


class Log:
    """Reads the state, as little of it as is new."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.state = State()

    def read(self, ask: Callable[[State], T]) -> T:
        """What ``ask`` answers for one state.

        Raises:
            StoreError: dead rows were removed under each of many attempts.
        """
        with self._session.turn:
            # Mostly nothing has changed since the last question: then it is enough to look for that afterwards.
            state, fresh = self.state, False
            for _ in range(TURNS):
                answer, refused = self._asked(ask, state)
                last = max(self._whole(state.change)[1], key=lambda one: int(one["change"]), default=None)
                same = last is not None and last["store"] == state.store
                if last and same and (last["change"] == state.change or (fresh and last["floor"] <= state.change)):
                    if refused:
                        raise refused
                    return cast(T, answer)
                state, fresh = self.refreshed(), True
        raise StoreError(
            f"{self._session.address.shown} changed all the time while it was read",
            why=[("attempts", str(TURNS))],
            do=["ask again when fewer are writing"],
        )

    def _asked(self, ask: Callable[[State], T], state: State) -> tuple[T | None, UsageError | None]:
        """The answer, or why there is none: both count only if the state does."""
        try:
            return ask(state), None
        except UsageError as refused:
            return None, refused

    def refreshed(self) -> State:
        """The state now. It may lack what is removed in this very moment; whoever is not the writer uses `read`."""
        old = self.state
        given_up, whole = self._whole(old.change)
        if not whole or (old.store and whole[0]["store"] != old.store):
            self.state = State()
            if old.store:
                shown = self._session.address.shown
                raise StoreError(f"{shown} was made anew by another process", do=["open it again"])
            return self.state
        last = whole[-1]
        if last["change"] == old.change:
            self.state = replace(old, given_up=given_up)
        else:
            # What was removed from the log since may have been news to us.
            self.state = self._folded(State() if last["floor"] > old.change else old, last, given_up)
        return self.state

    def _whole(self, since: int) -> tuple[dict[int, float], list[dict[str, Any]]]:
        """The numbers that were given up, and what the whole changes from ``since`` on say, in their order."""
        given_up: dict[int, float] = {}
        whole = []
        condition = f'kind == "given up" or (kind == "whole" and change >= {since})'
        for row in self._rows(condition):
            if row["kind"] == "given up":
                given_up[row["change"]] = json.loads(row["body"])["at"]
            else:
                whole.append({**json.loads(row["body"]), "change": row["change"]})
        whole = [one for one in whole if one["change"] not in given_up]
        return given_up, sorted(whole, key=lambda one: int(one["change"]))

    def _folded(self, old: State, last: dict[str, Any], given_up: Mapping[int, float]) -> State:
        """``old`` with all that happened up to the change ``last``."""
        start = max(old.change + 1, last["base"])
        sources, fields = dict(old.sources), set(old.fields)
        dead, aside, since = dict(old.dead), set(old.aside), old.since
        for row in self._rows(
            f'change >= {start} and change <= {last["change"]} and kind in ["facts", "dead", "aside"]'
        ):
            if row["change"] in given_up:
                continue
            body = json.loads(row["body"])
            since += row["change"] > last["base"]
            if row["kind"] == "dead":
                dead |= dict.fromkeys(body, row["change"])
            elif row["kind"] == "aside":
                aside |= set(body)
            else:
                for kind, name, value in body:
                    if kind == "field":
                        fields.add((name, value))
                    elif value is None:
                        sources.pop(name, None)
                    else:
                        sources[name] = value
        left = {number: change for number, change in dead.items() if change > last["purged"]}
        return State(last["change"], last["store"], last["items"], since, last["floor"], last["base"], last["purged"],
                     sources, frozenset(fields), left, frozenset(aside), given_up)  # fmt: skip

    def _rows(self, condition: str) -> Iterator[Row]:
        for part in self._session.rows(self._session.log, condition, ["change", "kind", "body"], width=4000):
            yield from part


def bodies(entries: Iterable[Any]) -> list[str]:
    """A list as the JSON of several, each short enough for a row.

    Raises:
        DataError: an entry is longer than a row.
    """
    out: list[str] = []
    held: list[str] = []
    size = 0
    for entry in entries:
        text = json.dumps(entry)
        if len(text) > PART:
            raise DataError(
                "Milvus cannot note this: it is too long", why=[("bytes", f"{len(text)}, at most {PART}"), text[:80]]
            )
        if size + len(text) > PART:
            out.append(f"[{','.join(held)}]")
            held, size = [], 0
        held.append(text)
        size += len(text) + 1
    return [*out, f"[{','.join(held)}]"] if held else out
