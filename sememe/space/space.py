"""A space: labels, and a vector for each. It does not know what made it, but keeps what it was told of that."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sememe.errors import DataError, UsageError
from sememe.shapes import Vectors
from sememe.space.subwords import Subwords

Places = npt.NDArray[np.int64]

#: rows that are looked at together, so that a mapped file is never in memory as a whole
BLOCK = 16384


@dataclass(frozen=True, eq=False, repr=False)
class Space:
    """Labels (words, most often), a row of numbers for each, and where they come from.

    ``labels`` are different from each other, in the order of the rows; ``matrix`` is float32 ``(n, d)`` and cannot be
    written to: a row may be read from a mapped file. ``provenance`` is what is known of the origin, in words.
    ``subwords``, where there are any, give a vector to words that are no label.

    Raises:
        DataError: labels that are no strings or not one a row, a label twice, or numbers that are none.
    """

    labels: tuple[str, ...]
    matrix: Vectors
    provenance: Mapping[str, str] = field(default_factory=dict)
    subwords: Subwords | None = None

    def __post_init__(self) -> None:
        labels = tuple(self.labels)
        matrix = _read_only(self.matrix)
        if len(labels) != len(matrix):
            raise DataError("labels and rows do not go together", why=[f"{len(labels)} labels, {len(matrix)} rows"])
        if self.subwords is not None and self.subwords.matrix.shape[1] != matrix.shape[1]:
            raise DataError(
                "words and their parts have vectors of different widths",
                why=[f"words {matrix.shape[1]}, parts {self.subwords.matrix.shape[1]}"],
            )
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "matrix", matrix)
        object.__setattr__(self, "provenance", dict(self.provenance))
        _check_labels(labels, self._places)
        _check_numbers(labels, matrix)

    @property
    def dim(self) -> int:
        """The width of a vector."""
        return int(self.matrix.shape[1])

    def __len__(self) -> int:
        return len(self.labels)

    def __contains__(self, label: object) -> bool:
        return label in self._places

    def __getitem__(self, label: str) -> Vectors:
        """The vector of a label, ``(d,)``, or of a word that is none by its subwords."""
        if label not in self._places and self.subwords is not None:
            return self.subwords.vector(label)
        row: Vectors = self.matrix[self.place(label)]
        return row

    def __repr__(self) -> str:
        parts = "" if self.subwords is None else ", subwords"
        return f"<space: {len(self)} labels, {self.dim} dims{parts}>"

    def place(self, label: str) -> int:
        """The row of a label.

        Raises:
            UsageError: it is none; the message names labels that look like it.
        """
        try:
            return self._places[label]
        except KeyError:
            raise self._unknown(label) from None

    def places(self, labels: Sequence[str]) -> Places:
        """The rows of labels, int64 ``(n,)``; `UsageError` for the first that is none."""
        if isinstance(labels, str):
            raise UsageError("a list of labels is needed, not one string", do=["put it in brackets: [label]"])
        return np.fromiter((self.place(label) for label in labels), np.int64, len(labels))

    def vectors(self, labels: Sequence[str]) -> Vectors:
        """The vectors of labels, ``(n, d)``, a copy; words that are none get theirs by subwords, if there are any."""
        if isinstance(labels, str):
            raise UsageError("a list of labels is needed, not one string", do=["put it in brackets: [label]"])
        out = np.empty((len(labels), self.dim), np.float32)
        for row, label in enumerate(labels):
            out[row] = self[label]
        return out

    @cached_property
    def units(self) -> Vectors:
        """The rows at unit length, float32 ``(n, d)``, made once and kept; a zero row stays zero."""
        out = np.empty(self.matrix.shape, np.float32)
        for start in range(0, len(out), BLOCK):
            out[start : start + BLOCK] = unit_rows(self.matrix[start : start + BLOCK])
        out.flags.writeable = False
        return out

    def take(self, labels: Sequence[str]) -> Space:
        """The space of these labels alone, in this order."""
        return replace(self, labels=tuple(labels), matrix=self.matrix[self.places(labels)])

    def first(self, count: int) -> Space:
        """The first ``count`` labels: the most frequent, in most files; the rows are not copied."""
        return replace(self, labels=self.labels[:count], matrix=self.matrix[:count])

    def with_matrix(self, matrix: npt.ArrayLike, done: str) -> Space:
        """Other numbers for the same labels; ``done``, what was done to them, goes into the provenance.

        Subwords are not carried along: they would still give the old numbers.
        """
        steps = "; ".join(part for part in (self.provenance.get("changed", ""), done) if part)
        return Space(self.labels, np.asarray(matrix, np.float32), {**self.provenance, "changed": steps})

    @cached_property
    def _places(self) -> dict[str, int]:
        return dict(zip(self.labels, range(len(self.labels)), strict=True))

    def _unknown(self, label: object) -> UsageError:
        shown = label if isinstance(label, str) else repr(label)
        near: list[str] = []
        if isinstance(label, str):
            near = [form for form in (label.lower(), label.capitalize(), label.upper()) if form in self._places]
            near = near or difflib.get_close_matches(label, self.labels[:20_000], n=3, cutoff=0.75)
        return UsageError(
            f'the space has no "{shown:.100}"',
            why=[f"{len(self)} labels"] + ([f"close to it: {', '.join(near)}"] if near else []),
        )


def unit_rows(rows: npt.ArrayLike) -> Vectors:
    """Rows at unit length, float32 ``(n, d)``; a zero row stays zero."""
    wide = np.asarray(rows, np.float64)
    # Divide by the largest number first: squares of very small ones would be zero.
    largest = np.abs(wide).max(axis=1, keepdims=True, initial=0)
    scaled = np.divide(wide, largest, out=np.zeros_like(wide), where=largest > 0)
    lengths = np.sqrt(np.einsum("nd,nd->n", scaled, scaled))[:, None]
    out: Vectors = np.divide(scaled, lengths, out=np.zeros_like(scaled), where=lengths > 0).astype(np.float32)
    return out


def _read_only(given: npt.ArrayLike) -> Vectors:
    matrix = np.asarray(given)
    if matrix.ndim != 2 or matrix.shape[1] == 0 or matrix.dtype.kind not in "fiu":
        raise DataError(
            "a space needs a matrix of numbers, a row for each label",
            why=[("shape", str(matrix.shape)), ("type", str(matrix.dtype))],
        )
    view = matrix.astype(np.float32, copy=False).view()
    view.flags.writeable = False
    return view


def _check_labels(labels: tuple[str, ...], places: Mapping[str, int]) -> None:
    if not set(map(type, labels)) <= {str}:  # one pass without a loop of Python's: spaces have millions of labels
        odd = next(row for row, label in enumerate(labels) if type(label) is not str)
        raise DataError(f"the label of row {odd} is no string", why=[f"it is {labels[odd]!r:.100}"])
    if len(places) == len(labels):
        return
    # of a label that is there twice the dictionary holds the last row
    first = next(row for row, label in enumerate(labels) if places[label] != row)
    raise DataError(
        f'the label "{labels[first]:.100}" is there twice',
        why=[f"rows {first} and {labels.index(labels[first], first + 1)}", f"{len(labels) - len(places)} such rows"],
    )


def _check_numbers(labels: tuple[str, ...], matrix: Vectors) -> None:
    for start in range(0, len(matrix), BLOCK):
        # a sum is finite only if all of its numbers are, or if it overflows, which the second look tells apart
        with np.errstate(over="ignore", invalid="ignore"):
            good = np.isfinite(matrix[start : start + BLOCK].sum())
        if good:
            continue
        bad = np.flatnonzero(~np.isfinite(matrix[start : start + BLOCK]).all(axis=1))
        if len(bad):
            row = start + int(bad[0])
            raise DataError(
                "a vector holds NaN or infinity", why=[f'row {row}, "{labels[row]:.100}"', f"{len(bad)} near there"]
            )
