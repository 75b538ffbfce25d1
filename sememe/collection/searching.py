"""The questions that a collection answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from sememe.collection.current import on_current
from sememe.collection.refine import Refine
from sememe.errors import UsageError
from sememe.shapes import Hits, Vectors

if TYPE_CHECKING:
    from sememe.collection.answer import Page, Question
    from sememe.collection.collection import Collection
    from sememe.collection.context import Context
    from sememe.collection.explain import Explained
    from sememe.encoders.contract import Encoder
    from sememe.store.contract import Store
    from sememe.store.facets import Facet

    Where = str | Mapping[str, Any] | None

MODES = ("dense", "words", "hybrid")
#: how far a query moves away from what it should be unlike, of the way that it goes to what it should be like
AWAY = 0.25


class Searching:
    """What a `Collection` can be asked; it has a store and an encoder."""

    if TYPE_CHECKING:

        @property
        def store(self) -> Store: ...

        def encoder(self) -> Encoder: ...

        def close(self) -> None: ...

    @on_current
    def search(
        self,
        query: str | Vectors,
        k: int | None = 10,
        *,
        mode: str = "hybrid",
        where: Where = None,
        min_score: float | None = None,
        after: str | None = None,
        refine: Refine | None = None,
    ) -> Hits:
        """The best ``k`` chunks for a query, best first.

        Args:
            query: a text; or a vector ``(dim,)`` of the collection's own encoder, with ``mode="dense"``.
            k: None for all, which with ``min_score`` is a range search.
            mode: ``dense`` by meaning, ``words`` by the words themselves, ``hybrid`` by both.
            where: a filter, such as ``'lang = "en" and year >= 2020'``, or the same as a mapping.
            min_score: leave out hits below; of the score that orders them.
            after: the ``cursor`` of the hits before: these come next. The question must be the same, ``k`` need not.
            refine: rank fusion, a reranker, groups, diversity.

        Raises:
            StoreError: hits before the cursor are no longer those that were seen.
        """
        from sememe.collection.answer import Page

        page = Page(k, min_score, after)
        if isinstance(query, str):
            return self._answers(self._question([query], mode, where), page, refine)[0]
        return self._answers(self._vector_question(query, mode, where), page, refine)[0]

    @on_current
    def search_many(
        self,
        queries: Sequence[str],
        k: int | None = 10,
        *,
        mode: str = "hybrid",
        where: Where = None,
        min_score: float | None = None,
        refine: Refine | None = None,
    ) -> list[Hits]:
        """The hits of each query, in their order: as `search` finds them, encoded and looked for together."""
        if isinstance(queries, str):
            raise UsageError("search_many takes a list of queries; one text is for search")
        from sememe.collection.answer import Page

        return self._answers(self._question(list(queries), mode, where), Page(k, min_score), refine)

    @on_current
    def similar(
        self,
        like: str | Sequence[str],
        k: int | None = 10,
        *,
        unlike: str | Sequence[str] = (),
        where: Where = None,
        min_score: float | None = None,
        after: str | None = None,
        refine: Refine | None = None,
    ) -> Hits:
        """The best ``k`` neighbours of what is here already, by the vectors that are kept; needs no encoder.

        Args:
            like: ids of chunks, or of items with all of their chunks; they are not among the hits.
            unlike: ids to keep away from; they are not among the hits either.

        Raises:
            UsageError: an id that is not here.
        """
        from sememe.collection.answer import Page, Question

        near, far = self._chunks(like), self._chunks(unlike)
        if not near:
            raise UsageError("similar needs at least one id to be like")
        without = frozenset(id for ids in (*near, *far) for id in ids)
        question = Question(self._between(near, far), None, "dense", where, without)
        return self._answers(question, Page(k, min_score, after), refine)[0]

    def facets(self, field: str, where: Where = None, *, limit: int | None = 20) -> Facet:
        """How many of the chunks that satisfy ``where`` hold each value of a field, the most frequent first."""
        return self.store.facets(field, where, limit=limit)

    def explain(self, query: str, hits: Hits, where: Where = None) -> list[Explained]:
        """Why each of ``hits``, asked for by the text ``query`` and this filter, is one: the words that it holds, and
        how a hybrid score came about."""
        from sememe.collection.explain import explain

        return explain(cast("Collection", self), query, hits, where)

    def context(self, hits: Hits, lines: int = 2) -> list[Context]:
        """For each hit up to so many lines of its source that stand before it, and after."""
        from sememe.collection.context import contexts

        return contexts(self.store, hits, lines)

    # --- the inside --------------------------------------------------------------------------------------------------

    def _answers(self, question: Question, page: Page, refine: Refine | None) -> list[Hits]:
        from sememe.collection.answer import answers

        return answers(self.store, question, page, refine or Refine())

    def _question(self, texts: list[str], mode: str, where: Where) -> Question:
        from sememe.collection.answer import Question

        for text in texts:
            if not isinstance(text, str):
                raise UsageError(f"a query is a text, not a {type(text).__name__}")
        self._checked_dim(mode)
        vectors = None if mode == "words" else self.encoder().encode(texts, role="query", on_long="warn")
        return Question(vectors, texts, mode, where)

    def _vector_question(self, vector: Any, mode: str, where: Where) -> Question:
        import numpy as np

        from sememe.collection.answer import Question

        dim = self._checked_dim(mode)
        if not isinstance(vector, np.ndarray) or vector.shape != (dim,):
            shape = f" of the shape {vector.shape}" if isinstance(vector, np.ndarray) else ""
            raise UsageError(f"a query is a text or a vector of {dim} numbers, not a {type(vector).__name__}{shape}")
        if mode != "dense":
            raise UsageError(f'a vector has no words, and mode="{mode}" needs some', do=['ask with mode="dense"'])
        return Question(vector[np.newaxis], None, mode, where)

    def _checked_dim(self, mode: str) -> int:
        """The width of its vectors. A collection that is not there is an error before a model is loaded."""
        dim = self.store.dim
        if mode not in MODES:
            raise UsageError(f'mode="{mode}" is not known', do=[f"use one of: {', '.join(MODES)}"])
        return dim

    def _chunks(self, names: str | Sequence[str]) -> list[list[str]]:
        """The ids of the chunks that each name stands for."""
        listed = [names] if isinstance(names, str) else list(names)
        found = [
            [name] if record is not None else self.store.ids(items=[name])
            for name, record in zip(listed, self.store.get(listed), strict=True)
        ]
        unknown = [name for name, ids in zip(listed, found, strict=True) if not ids]
        if unknown:
            raise UsageError(
                f"{len(unknown)} of {len(listed)} ids are those of no chunk and no item", why=[", ".join(unknown[:10])]
            )
        return found

    def _between(self, near: list[list[str]], far: list[list[str]]) -> Vectors:
        """The direction to look in: to the middle of ``near``, and somewhat away from that of ``far``: ``(1, dim)``."""
        import numpy as np

        def middle(names: list[list[str]]) -> Any:
            rows = [_units(self.store.vectors(ids)).mean(axis=0) for ids in names]
            return _units(np.array(rows)).mean(axis=0) if rows else np.zeros(self.store.dim)

        towards = middle(near) - AWAY * middle(far)
        out: Vectors = towards.astype(np.float32)[np.newaxis]
        return out


def _units(rows: Any) -> Any:
    import numpy as np

    wide = np.asarray(rows, np.float64)
    lengths = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    return np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths > 0)
