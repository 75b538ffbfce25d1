"""What is asked of a store on a server, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sememe.errors import DataError, UsageError
from sememe.shapes import Scalar, Vectors
from sememe.store.batch import matrix
from sememe.store.filter_tree import storable

MODES = ("dense", "words", "hybrid")


def checked_queries(
    vectors: Vectors | None,
    k: int,
    words: Sequence[str] | None,
    mode: str,
    *,
    dim: int,
    capabilities: frozenset[str],
) -> Vectors:
    """The query vectors as float32 ``(q, dim)``.

    Raises:
        UsageError: a mode that is unknown or that this store does not have, no vectors, or no sensible ``k``.
        DataError: vectors of another width, or that hold NaN.
    """
    if mode not in MODES:
        raise UsageError(f'mode="{mode}" is not known', do=[f"use one of: {', '.join(MODES)}"])
    if mode not in capabilities:
        here = [one for one in MODES if one in capabilities]
        raise UsageError(
            f'this store cannot search with mode="{mode}"',
            why=[("it can", ", ".join(here))],
            do=["copy it into a store in a folder, which can (sememe.store.copy)"],
        )
    if not isinstance(k, int) or isinstance(k, bool) or k < 0:
        raise UsageError(f"k is how many hits are wanted, 0 or more, not {k!r}")
    if vectors is None:
        raise UsageError(f'mode="{mode}" needs query vectors')
    return matrix(vectors, dim)


def texts(values: Iterable[Scalar]) -> list[str]:
    """Those that can have been put, once each; no other is worth looking for."""
    return list(dict.fromkeys(value for value in values if isinstance(value, str) and storable(value)))


def checked_sources(sources: Mapping[str, str]) -> dict[str, str]:
    """Sources with the hashes of their contents.

    Raises:
        DataError: one is no text that can be kept.
    """
    for text in (*sources, *sources.values()):
        if not isinstance(text, str) or not storable(text):
            raise DataError(f"the source {text!r} holds a NUL or half of a surrogate pair")
    return dict(sources)
