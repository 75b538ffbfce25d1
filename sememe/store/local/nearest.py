"""The nearest rows of a query, by the way that is quickest: few rows are scored right away, many by an index, and
what lies between by a scan of all vectors. Every way ends in the same float64 scores of `scan.cosines`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sememe.errors import DamagedError
from sememe.shapes import Vectors
from sememe.store import scan
from sememe.store.local.shortlist import Shortlist
from sememe.store.local.view import View
from sememe.store.scan import Floats64, Mask, Slots

#: a shortlist of the index: at least this many slots, or this many times k
WIDE, WIDE_PER_HIT = 50, 2
#: a hit this far down its shortlist, or further, says that there may be more behind the end; it is then made longer
DEEP = 0.75
#: how much longer, and the share of the rows from which on a scan of all is quicker
LONGER, SHARE = 4, 0.1
#: rows that may answer, so few that reading their vectors is quicker than looking at codes
FEW = 2000

Found = tuple[Slots, Vectors]


def nearest(view: View, mask: Mask | None, count: int, units: Floats64, k: int) -> Iterator[Found]:
    """For each query the slots of its best ``k`` and their cosines, in no order; ties at the end are all there.

    Args:
        mask: bool ``(slots,)``, the ``count`` slots that may answer; None for all.
        units: float64 ``(q, dim)``, unit rows.

    Raises:
        DamagedError: a vector is no numbers.
    """
    wide = max(WIDE, WIDE_PER_HIT * k)
    few = count <= FEW < view.state.slots or count < view.keeper.kind.least * view.state.slots
    # Asking for the index makes it, so it comes last.
    index = None if few or _too_wide(wide, view, count) else view.index()
    if index is None:
        yield from _scanned(view, mask, count, units, k)
        return
    wide = min(wide, count)
    rough = index.nearest(units, wide, view.state.slots, mask)
    for unit, slots in zip(units, rough, strict=True):
        found = _of_index(view, index, mask, unit[np.newaxis], slots, k) if len(slots) == wide else None
        yield found if found is not None else next(_scanned(view, mask, count, unit[np.newaxis], k))


def _too_wide(wide: int, view: View, count: int) -> bool:
    return wide > max(SHARE * min(count, view.state.slots), 20 * WIDE)


def _of_index(view: View, index: Shortlist, mask: Mask | None, unit: Floats64, slots: Slots, k: int) -> Found | None:
    """The best ``k`` by a shortlist that is made longer until it is certainly long enough; None if it gets too long, or
    the index finds no more."""
    odd = index.odd[index.odd < view.state.slots]
    odd = odd if mask is None else odd[mask[odd]]
    count = view.state.slots if mask is None else int(np.count_nonzero(mask))
    while True:
        wide = len(slots)
        even = slots[~np.isin(slots, odd)] if len(odd) else slots
        listed = np.concatenate([even, odd])
        scores = _scored(view, listed, unit[0])
        places = _best(scores, k)
        deepest = max((int(place) for place in places if place < len(even)), default=0)
        if wide >= count or deepest < DEEP * wide:
            return listed[places], scores[places]
        wide = min(wide * LONGER, count)
        if _too_wide(wide, view, count):
            return None
        slots = index.nearest(unit, wide, view.state.slots, mask)[0]
        if len(slots) < wide:
            return None


def _scanned(view: View, mask: Mask | None, count: int, units: Floats64, k: int) -> Iterator[Found]:
    if count <= FEW < view.state.slots and mask is not None:
        few = np.flatnonzero(mask)
        rows = view.vectors[few]
        lists = [few[places] for places in scan.shortlists(rows, scan.norms(rows), None, units, k)]
    else:
        lists = scan.shortlists(view.vectors, view.lengths, mask, units, k)
    for unit, slots in zip(units, lists, strict=True):
        scores = _scored(view, slots, unit)
        places = _best(scores, k)
        yield slots[places], scores[places]


def _scored(view: View, slots: Slots, unit: Floats64) -> Vectors:
    scores = scan.cosines(view.vectors, slots, unit)
    if np.isnan(scores).any():
        raise DamagedError(
            f"{view.state.vectors} holds vectors that are no numbers",
            do=["repair the collection; it names the items that are touched"],
        )
    return scores


def _best(scores: Vectors, k: int) -> Slots:
    """The places of the ``k`` highest scores and of all that equal the last of them."""
    if k >= len(scores):
        return np.arange(len(scores))
    return np.flatnonzero(scores >= np.partition(scores, len(scores) - k)[len(scores) - k])
