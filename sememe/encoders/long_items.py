"""What every encoder says of items that are longer than it takes."""

from __future__ import annotations

import warnings

import numpy as np

from sememe.encoders.contract import LongItemWarning
from sememe.errors import DataError
from sememe.shapes import Counts


def too_long(item: int, tokens: int, limit: int) -> DataError:
    """The error of ``on_long="error"``."""
    return DataError(
        f"item {item} is longer than the encoder takes",
        why=[f"it has {tokens} tokens, the limit is {limit}"],
        do=["cut it into chunks", 'or allow it: on_long="cut" (keeps the start) or on_long="mean" (averages windows)'],
    )


def warn_of_cut(used: Counts, dropped: Counts, limit: int) -> None:
    """The one warning of ``on_long="warn"``, where anything was dropped; as if of the caller of ``encode``."""
    cut = np.flatnonzero(dropped)
    if not len(cut):
        return
    worst = cut[dropped[cut].argmax()]
    warnings.warn(
        f"{len(cut)} of {len(used)} items are longer than {limit} tokens and were cut; "
        f"item {worst} lost {dropped[worst]} of {used[worst] + dropped[worst]} tokens. "
        'Cut them into chunks, or say on_long="mean" or on_long="cut".',
        LongItemWarning,
        stacklevel=4,
    )
