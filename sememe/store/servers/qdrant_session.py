"""A collection in Qdrant: its points asked for and changed, its head, and changes that are whole or not at all.

How a change becomes whole is told in `qdrant_points`. Only one writer at a time may make a change. Its name stands in
the head: it is set where none stands, which Qdrant decides one after the other, and then read back. A writer shows that
it lives by counting on. The name of one that is dead, or that has not counted for `LEASE` seconds, is taken over.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from sememe.errors import LockedError, SememeError, StoreError
from sememe.store.servers.packed import Json
from sememe.store.servers.qdrant_points import FACT_INDEXES, HEAD, VECTOR, fact_key
from sememe.store.servers.rest import Rest, quoted

LAYOUT = 1
#: seconds after which a writer that gives no sign of life counts as gone; a request of its must have ended by then
LEASE = 60.0
#: points of one page, points of one request and its bytes, values of one condition
PAGE, PART, PART_BYTES, VALUES = 1000, 500, 8 << 20, 1000
#: writes are on the disk and seen by all when they return
_WRITE = {"wait": "true", "ordering": "strong"}


@dataclass(frozen=True, slots=True)
class Head:
    """What the head says: the last whole ``change``, the one that was ``begun`` last, and who is writing."""

    store: str
    layout: int
    manifest: Json
    change: int
    begun: int
    writer: str | None
    beat: int
    fields: frozenset[tuple[str, str]]
    rough: frozenset[str]


class Session:
    """Safe to share between threads; those that write take turns."""

    def __init__(self, rest: Rest, *, timeout: float) -> None:
        self.rest, self.timeout = rest, timeout
        self.path = f"/collections/{quoted(rest.address.name)}"
        self._turn = threading.RLock()
        self._mark = uuid.uuid4().hex

    @property
    def writer(self) -> str:
        """Who writes: a child of this process is another writer."""
        return f"{platform.node()}/{os.getpid()}/{self._mark}"

    # --- points ------------------------------------------------------------------------------------------------------

    def head(self) -> Head | None:
        """None: there is no collection, or none of ours."""
        body = {"ids": [HEAD], "with_payload": True}
        answer = self.rest.ask("POST", f"{self.path}/points", body, absent=(404,))
        if answer is None:
            return None
        with self.rest.understood():
            if not answer["result"]:
                return None
            found = answer["result"][0]["payload"]
            return Head(
                store=str(found["store"]),
                layout=int(found["layout"]),
                manifest=dict(json.loads(found["manifest"])),
                change=int(found["change"]),
                begun=int(found["begun"]),
                writer=found.get("writer"),
                beat=int(found.get("beat") or 0),
                fields=frozenset((name, kind) for name, kind in json.loads(found["fields"])),
                rough=frozenset(json.loads(found["rough"])),
            )

    def pages(
        self, where: Json, *, payload: bool | Sequence[str] = True, vector: bool = False, size: int | None = None
    ) -> Iterator[list[Json]]:
        """The points that satisfy a filter, ``size`` at a time."""
        wanted: Json = {"with_payload": payload, "with_vector": [VECTOR] if vector else False}
        asked: Json = {"filter": where, "limit": size or PAGE, **wanted}
        while True:
            answer = self.rest.ask("POST", f"{self.path}/points/scroll", asked)
            with self.rest.understood():
                page = [_point(one, wanted) for one in answer["result"]["points"]]
                asked["offset"] = answer["result"].get("next_page_offset")
            if page:
                yield page
            if asked["offset"] is None:
                return

    def points(self, ids: Sequence[str]) -> list[Json]:
        """These points, with all that they hold; those that are not there any more are left out."""
        wanted: Json = {"with_payload": True, "with_vector": [VECTOR]}
        out = []
        for start in range(0, len(ids), PAGE):
            asked = {"ids": list(ids[start : start + PAGE]), **wanted}
            answer = self.rest.ask("POST", f"{self.path}/points", asked)
            with self.rest.understood():
                out += [_point(one, wanted) for one in answer["result"]]
        return out

    def count(self, where: Json) -> int:
        """How many points satisfy a filter, exactly."""
        answer = self.rest.ask("POST", f"{self.path}/points/count", {"filter": where, "exact": True})
        with self.rest.understood():
            return int(answer["result"]["count"])

    def nearest(self, vectors: Sequence[Sequence[float]], where: Json, limit: int, *, exact: bool) -> list[list[Json]]:
        """For each vector the points that Qdrant finds nearest, with all that they hold, best first."""
        wanted: Json = {"with_payload": True, "with_vector": [VECTOR]}
        one = {"using": VECTOR, "filter": where, "limit": limit, "params": {"exact": exact}, **wanted}
        body = {"searches": [{"query": vector, **one} for vector in vectors]}
        answer = self.rest.ask("POST", f"{self.path}/points/query/batch", body)
        with self.rest.understood():
            found = [[_point(point, wanted) for point in each["points"]] for each in answer["result"]]
            if len(found) != len(vectors):
                raise ValueError(f"{len(found)} answers to {len(vectors)} questions")
            return found

    def change(self, *operations: Json) -> None:
        """Do these one after the other."""
        self.rest.ask("POST", f"{self.path}/points/batch", {"operations": list(operations)}, query=_WRITE)

    def index(self, key: str, kind: str) -> None:
        """Keep an index of a payload key; where there is one already, nothing happens."""
        self.rest.ask("PUT", f"{self.path}/index", {"field_name": key, "field_schema": kind}, query=_WRITE)

    def upsert(self, points: Sequence[Json]) -> None:
        self.rest.ask("PUT", f"{self.path}/points", {"points": list(points)}, query=_WRITE)

    # --- changes -----------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self, store: str) -> Iterator[Change]:
        """A change of the only writer. It is whole when this ends without an error, and else never was.

        Args:
            store: which store it must be, for another of its name may have taken its place.

        Raises:
            LockedError: another writer was not done in time.
        """
        with self._turn:
            change = self._begun(store)
            try:
                yield change
                self._commit(change)
            finally:
                self._released()

    def _begun(self, store: str) -> Change:
        end, seen, since = time.monotonic() + self.timeout, None, time.monotonic()
        while True:
            self.change(self._set({"writer": self.writer}, [_match("store", store), {"is_empty": {"key": "writer"}}]))
            head = self.head()
            if head is None or head.store != store:
                raise self.gone()
            if head.writer == self.writer:
                break
            if (head.writer, head.beat) != seen:
                seen, since = (head.writer, head.beat), time.monotonic()
            if head.writer and (_dead(head.writer) or time.monotonic() - since > LEASE):
                theirs = [_match("writer", head.writer), {"key": "beat", "range": {"gte": head.beat, "lte": head.beat}}]
                self.change(self._set({"writer": self.writer}, theirs))
                continue
            if time.monotonic() > end:
                raise LockedError(
                    f"another process is writing to {self.rest.address.shown}",
                    why=[("it is", self.rest.address.scrubbed(str(head.writer))), ("waited", f"{self.timeout:g} s")],
                    do=["try again when it is done, or wait longer (timeout=…)"],
                )
            self.rest.pause(0.05)
        return self._cleared(head)

    def _cleared(self, head: Head) -> Change:
        """Say which change begins; remove what a change left behind that was never whole, and what died before the
        last one: a reader that began before it sees in the head that it must read again."""
        number = head.change + 1
        dead = {"must": [{"key": "died", "range": {"lte": head.change}}]}
        self.change(
            self._set({"begun": number, "beat": head.beat + 1}, self._mine()),
            {"delete": {"filter": {"must": [{"key": "born", "range": {"gt": head.change}}]}}},
            {"delete_payload": {"keys": ["died"], "filter": {"must": [{"key": "died", "range": {"gt": head.change}}]}}},
            {"delete": {"filter": dead}},
        )
        return Change(self, head, number, set(head.fields), set(head.rough), head.beat + 1)

    def _commit(self, change: Change) -> None:
        said: Json = {"change": change.number, "fields": json.dumps(sorted(change.fields))}
        self.change(self._set({**said, "rough": json.dumps(sorted(change.rough))}, self._mine()))
        # As long as the name stands in the head, nobody else can have written what is read here.
        head = self.head()
        if head is None or head.writer != self.writer or head.change != change.number:
            raise self.overtaken()

    def _released(self) -> None:
        # If this fails, the next writer finds out by itself.
        with suppress(SememeError):
            self.change(self._set({"writer": None}, self._mine()))

    def still_mine(self, change: Change) -> None:
        """Show that this writer lives, and see that nobody took it for dead."""
        change.beat += 1
        self.change(self._set({"beat": change.beat}, self._mine()))
        head = self.head()
        if head is None or head.writer != self.writer:
            raise self.overtaken()

    def _mine(self) -> list[Json]:
        return [_match("writer", self.writer)]

    def _set(self, payload: Json, conditions: list[Json]) -> Json:
        """Of the head, if it satisfies the conditions."""
        return {"set_payload": {"payload": payload, "filter": {"must": [{"has_id": [HEAD]}, *conditions]}}}

    def gone(self) -> StoreError:
        """The collection that was opened is no more."""
        return StoreError(f"{self.rest.address.shown} is not there any more", do=["open it again, or make it anew"])

    def overtaken(self) -> StoreError:
        """Another writer has taken this one for dead."""
        return StoreError(
            f"another writer has overtaken this one in {self.rest.address.shown}",
            why=[f"it found no sign of life for {LEASE:g} s", "the change may or may not have been kept"],
            do=["do it again: doing the same again changes nothing"],
        )


@dataclass(slots=True)
class Change:
    """A change that is on its way: ``number`` is its own, ``head`` what held before it."""

    session: Session
    head: Head
    number: int
    fields: set[tuple[str, str]] = field(default_factory=set)
    rough: set[str] = field(default_factory=set)
    beat: int = 0

    def add(self, points: Sequence[Json]) -> None:
        """Points that are born with it, in as many requests as they need."""
        parts = list(_parts(points))
        for number, part in enumerate(parts):
            if number:
                self.session.still_mine(self)
            self.session.upsert(part)

    def know(self, fields: set[tuple[str, str]], rough: set[str]) -> None:
        """Meta fields that its items have; those that nothing had before get an index."""
        known = {name for name, _ in self.fields}
        for name, kind in sorted(fields):
            if name not in known and kind in FACT_INDEXES:
                self.session.index(f"facts.{fact_key(name)}", FACT_INDEXES[kind])
                known.add(name)
        self.fields |= fields
        self.rough |= rough

    def end(self, what: str, key: str, values: Sequence[str]) -> None:
        """What holds one of these values dies with it."""
        operations = []
        for start in range(0, len(values), VALUES):
            one = {"key": key, "match": {"any": list(values[start : start + VALUES])}}
            chosen = visible(self.head.change, what, one)
            operations.append({"set_payload": {"payload": {"died": self.number}, "filter": chosen}})
        for start in range(0, len(operations), 50):
            self.session.change(*operations[start : start + 50])

    def ended(self, what: str) -> int:
        """How many have died with it so far."""
        died = {"key": "died", "range": {"gte": self.number, "lte": self.number}}
        return self.session.count({"must": [_match("what", what), died]})


def visible(change: int, what: str, *conditions: Json) -> Json:
    """The filter for what is there after ``change``."""
    return {
        "must": [_match("what", what), {"key": "born", "range": {"lte": change}}, *conditions],
        "must_not": [{"key": "died", "range": {"lte": change}}],
    }


def _point(found: Any, wanted: Json) -> Json:
    """A point of an answer, which has what was asked for."""
    out: Json = {"id": found["id"], "payload": dict(found["payload"]), "vector": {}}
    if wanted["with_vector"]:
        out["vector"] = dict(found["vector"])
    if "score" in found:
        out["score"] = float(found["score"])
    return out


def _match(key: str, value: str) -> Json:
    return {"key": key, "match": {"value": value}}


def _parts(points: Sequence[Json]) -> Iterator[list[Json]]:
    """Few enough for one request: by number, and by about how many bytes they are as JSON."""
    part: list[Json] = []
    size = 0
    for point in points:
        # a float is at most 24 letters; counting them exactly would cost what writing them costs
        length = 24 * len(point["vector"].get(VECTOR, ())) + len(json.dumps(point["payload"]))
        if part and (len(part) >= PART or size + length > PART_BYTES):
            yield part
            part, size = [], 0
        part.append(point)
        size += length
    if part:
        yield part


def _dead(writer: str) -> bool:
    """Whether it was a process of this machine that is no more. Of others nothing is known."""
    host, _, rest = writer.rpartition("/")[0].rpartition("/")
    if host != platform.node() or sys.platform == "win32" or not rest.isdecimal():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


def made(session: Session, dim: int, manifest: Json, index: str) -> None:
    """Make the collection with its indexes; the head comes last.

    Raises:
        StoreError: there is one of this name already.
    """
    from sememe.store.servers.qdrant_points import INDEXES

    shape: Json = {"vectors": {VECTOR: {"size": dim, "distance": "Dot"}}}
    if index == "exact":
        shape["hnsw_config"] = {"m": 0}  # no graph is built
    answer = session.rest.ask("GET", f"{session.path}/exists")
    with session.rest.understood():
        there = bool(answer["result"]["exists"])
    if there:
        raise StoreError(f"there is a collection of this name already: {session.rest.address.shown}")
    session.rest.ask("PUT", session.path, shape)
    try:
        for key, kind in INDEXES.items():
            session.index(key, kind)
        head = {
            "what": "head", "layout": LAYOUT, "store": manifest["store"],
            "manifest": json.dumps(manifest, ensure_ascii=False),
            "change": 0, "begun": 0, "writer": None, "beat": 0, "fields": "[]", "rough": "[]",
        }  # fmt: skip
        session.upsert([{"id": HEAD, "vector": {}, "payload": head}])
    except BaseException:
        with suppress(SememeError):
            session.rest.ask("DELETE", session.path)
        raise


def names(rest: Rest) -> list[str]:
    """The collections of the server, ascending."""
    answer = rest.ask("GET", "/collections")
    with rest.understood():
        return sorted(str(one["name"]) for one in answer["result"]["collections"])
