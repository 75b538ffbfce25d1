"""What a smaller vector type costs, measured on the vectors of the collection itself and remembered beside them.

Every vector that is put into a smaller type is compared with what is kept of it. When a whole collection is converted,
its neighbours are compared too: of some rows, asked as queries with the numbers that they had, the ten nearest before
and after.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sememe.errors import DamagedError
from sememe.shapes import Vectors
from sememe.store import scan
from sememe.store.local.seals import prove_rows
from sememe.store.local.view import View
from sememe.store.vector_type import FLOAT32, TYPES, Kept, VectorType, of_file

#: rows that are asked as queries, and neighbours that are compared of each
ASKED, NEAREST = 200, 10


@dataclass(frozen=True, slots=True)
class Loss:
    """Of ``rows`` vectors kept as ``vectors`` the cosine with what they were as ``against``: its mean and the least.

    ``recall``: the share of the ten nearest neighbours that stayed, over ``asked`` rows as queries; None where only
    single vectors were compared. ``before`` and ``after``: bytes of one vector.
    """

    vectors: str
    against: str
    rows: int
    cosine: float
    least: float
    recall: float | None
    asked: int
    before: int
    after: int


def cosines(given: Vectors, kept: Vectors) -> npt.NDArray[np.float64]:
    """float64 ``(n,)``, row by row; that of two zero vectors is 1."""
    products, ours, theirs = (
        np.einsum("ij,ij->i", one, other, dtype=np.float64)
        for one, other in ((given, kept), (given, given), (kept, kept))
    )
    lengths = np.sqrt(ours) * np.sqrt(theirs)
    out = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    out[(ours == 0) & (theirs == 0)] = 1
    clipped: npt.NDArray[np.float64] = np.clip(out, -1, 1)
    return clipped


def measure(connection: sqlite3.Connection, view: View, after: VectorType) -> Loss:
    """What keeping all vectors of a state as ``after`` would cost.

    Read block by block, each once; the queries are chosen by a fixed seed.

    Raises:
        DamagedError: a vector is not what was written.
    """
    prove_rows(view.vectors, connection.execute("SELECT slot, crc FROM rows").fetchall())
    vectors, before = view.vectors, of_file(view.state.vectors)
    slots = np.arange(len(vectors)) if view.open is None else np.flatnonzero(view.open)
    dim = vectors.shape[1]
    chosen = np.sort(np.random.default_rng(0).choice(len(slots), min(ASKED, len(slots)), replace=False))
    queries = scan.unit(vectors[slots[chosen]]).astype(np.float32)
    true, found = _Nearest(queries, chosen), _Nearest(queries, chosen)
    total, least = 0.0, 1.0
    for start, rows in _blocks(vectors, slots):
        kept = after.kept(rows)
        cosine = cosines(rows, kept)
        total, least = total + float(cosine.sum()), min(least, float(cosine.min()))
        true.look_at(start, rows)
        found.look_at(start, kept)
    wanted = min(NEAREST, max(len(slots) - 1, 0))
    recall = None
    if wanted:
        pairs = zip(true.places, found.places, chosen, strict=True)
        same = sum(len(np.setdiff1d(np.intersect1d(one, other), [own])) for one, other, own in pairs)
        recall = same / (wanted * len(queries))
    mean = total / len(slots) if len(slots) else 1.0
    return Loss(
        after.name, before.name, len(slots), mean, least, recall, len(queries) if wanted else 0, before.width(dim),
        after.width(dim),
    )  # fmt: skip


def _blocks(vectors: Kept, slots: scan.Slots) -> Iterator[tuple[int, Vectors]]:
    step = max(1, scan.BLOCK // vectors.shape[1])
    for start in range(0, len(slots), step):
        yield start, vectors[slots[start : start + step]]


class _Nearest:
    """The places of the rows nearest to each query, block after block; a query is no neighbour of itself."""

    def __init__(self, queries: Vectors, own: scan.Slots) -> None:
        self.queries, self.own = queries, own
        self.places = np.empty((len(queries), 0), np.int64)
        self._scores = np.empty((len(queries), 0), np.float32)

    def look_at(self, start: int, rows: Vectors) -> None:
        scores = self.queries @ scan.unit(rows).astype(np.float32).T
        mine = np.flatnonzero((self.own >= start) & (self.own < start + len(rows)))
        scores[mine, self.own[mine] - start] = -np.inf
        places = np.broadcast_to(np.arange(start, start + len(rows)), scores.shape)
        all_scores = np.concatenate([self._scores, scores], axis=1)
        all_places = np.concatenate([self.places, places], axis=1)
        best = np.arange(all_scores.shape[1])[np.newaxis].repeat(len(self.queries), axis=0)
        if all_scores.shape[1] > NEAREST:
            best = np.argpartition(-all_scores, NEAREST, axis=1)[:, :NEAREST]
        self._scores = np.take_along_axis(all_scores, best, axis=1)
        self.places = np.take_along_axis(all_places, best, axis=1)


def note_put(connection: sqlite3.Connection, given: Vectors, kind: VectorType) -> None:
    """Add what these vectors lost to what the collection remembers."""
    if kind is FLOAT32 or not len(given):
        return
    cosine = cosines(given, kind.kept(given))
    connection.execute(
        "UPDATE loss SET rows = rows + ?, cosines = cosines + ?, least = min(least, ?)",
        [len(given), float(cosine.sum()), float(cosine.min())],
    )


def note_conversion(connection: sqlite3.Connection, loss: Loss) -> None:
    """Replace what the collection remembers."""
    connection.execute(
        "UPDATE loss SET against = ?, rows = ?, cosines = ?, least = ?, recall = ?, asked = ?",
        [loss.against, loss.rows, loss.cosine * loss.rows, loss.least, loss.recall, loss.asked],
    )


def remembered(connection: sqlite3.Connection, kind: VectorType, dim: int) -> Loss | None:
    """What the collection remembers; None where nothing was ever kept smaller."""
    against, rows, total, least, recall, asked = connection.execute(
        "SELECT against, rows, cosines, least, recall, asked FROM loss"
    ).fetchone()
    if not rows:
        return None
    if against not in TYPES:
        raise DamagedError("what the collection remembers of its vectors' loss is not what was written")
    before = TYPES[against].width(dim)
    return Loss(kind.name, against, rows, total / rows, least, recall, asked, before, kind.width(dim))
