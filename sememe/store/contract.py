"""What every store promises. `tests/contracts/test_stores.py` holds each adaptor to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from sememe.shapes import Hits, Record, Vectors
from sememe.store.facets import Facet

Mode = Literal["dense", "words", "hybrid"]


@dataclass(frozen=True, slots=True)
class Health:
    """The result of `verify` and `repair`: what was checked, and every problem with the ids that it touches."""

    checked: Mapping[str, int]
    problems: tuple[str, ...] = ()
    affected: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems


class Store(Protocol):
    """Vectors and records, kept and found again.

    Ids are unique, non-empty strings; putting a known id replaces it. A score is bigger-is-better and says its kind;
    ties are broken by id, ascending. ``k`` above the size returns the size. What was deleted is never returned. NaN,
    infinities and a wrong width are refused. A failed call leaves the store as it was; what a call acknowledged by
    returning survives ``kill -9``. Reopening gives equal answers.
    """

    @property
    def capabilities(self) -> frozenset[str]:
        """Of ``{"dense", "words", "hybrid", "where", "facets"}``; asking for others raises before anything changes.

        And ``"transactions"``: a call is done as a whole or not at all, one writer at a time. A store without them says
        in which order it does things, so that doing the same again mends what a failed call left half done. And
        ``"long"``: a record may be of any length; without it, one that is too long raises before anything changes.
        """

    @property
    def dim(self) -> int:
        """The width of its vectors."""

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What was written when it was made: encoder name and fingerprint, dim, recipe, versions, date."""

    def put(
        self,
        ids: Sequence[str],
        vectors: Vectors,
        records: Sequence[Record],
        *,
        drop: Sequence[str] = (),
        sources: Mapping[str, str] | None = None,
    ) -> None:
        """Keep ``vectors`` (float32 ``(n, dim)``) and their records, in one transaction.

        Args:
            drop: ids that leave in the same transaction; unknown ones are ignored.
            sources: sources that are complete with this call, each with the hash of its content (see `sources`).
        """

    def search(
        self,
        vectors: Vectors | None,
        k: int = 10,
        *,
        words: Sequence[str] | None = None,
        where: str | Mapping[str, Any] | None = None,
        mode: str = "dense",
    ) -> list[Hits]:
        """The best ``k`` of each query, in the order of the queries; fewer are the first of more.

        Args:
            vectors: float32 ``(q, dim)``; needed by the modes dense and hybrid.
            words: ``q`` query texts; needed by the modes words and hybrid.
            where: a filter, as text or as its JSON form (`sememe.store.filters`).
        """

    def get(self, ids: Sequence[str]) -> list[Record | None]:
        """The records of ``ids`` in their order, None for an unknown id."""

    def vectors(self, ids: Sequence[str]) -> Vectors:
        """float32 ``(n, dim)`` in the order of ``ids``; an unknown id raises `UsageError`."""

    def delete(self, ids: Sequence[str], *, sources: Sequence[str] = ()) -> int:
        """Remove items, and forget ``sources`` with all that came from them; says how many items left."""

    def count(self, where: str | Mapping[str, Any] | None = None) -> int:
        """How many items there are, or satisfy ``where``."""

    def facets(self, field: str, where: str | Mapping[str, Any] | None = None, *, limit: int | None = 20) -> Facet:
        """How many of the items that satisfy ``where`` hold each value of a field.

        Args:
            field: named as in filters, so ``source`` and ``title`` too; one that no record has raises `UsageError`.
            limit: at most so many values, the most frequent; None for all.
        """

    def sources(self) -> Mapping[str, str]:
        """Every source that was put completely, with the hash of its content."""

    def ids(self, source: str | None = None, *, items: Sequence[str] | None = None) -> list[str]:
        """The ids of one source, of the chunks of these items, or all, ascending."""

    def known(self, hashes: Sequence[str]) -> Mapping[str, str]:
        """Of these content hashes the ones that are here, each with the id of an item that has it."""

    def verify(self) -> Health:
        """Compare everything with everything; changes nothing."""

    def repair(self) -> Health:
        """Rebuild what is derived; says what it did."""

    def compact(self) -> None:
        """Give back the space of what was deleted."""

    def close(self) -> None:
        """Let go of files and locks; closing twice is legal."""
