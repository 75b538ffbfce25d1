"""What a server serves: encoders, rerankers and collections, each behind its queue."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from starlette.requests import Request

from sememe.encoders.contract import Encoder
from sememe.encoders.cut import cut_rows
from sememe.encoders.hosted import innermost
from sememe.encoders.prepared import Prepared, PreparedEncoder, TooLong
from sememe.encoders.reranker import Reranker
from sememe.encoders.tokens import TokenEncoder
from sememe.encoders.transformer import BUDGET, STEP, TransformerEncoder
from sememe.errors import UsageError
from sememe.models.catalogue import lookup
from sememe.server.guard import check_ids
from sememe.server.metrics import Metrics
from sememe.server.reading import while_connected
from sememe.server.refusals import Refusal
from sememe.server.scheduler import Scheduler, Shape
from sememe.settings import Settings
from sememe.shapes import Vectors

TOKEN_IDS = ("guard", "trust", "reject")
#: fewer characters than these are tokenised where the request is read; more, on a thread beside
AT_ONCE = 20_000
#: a reranker's tokens a turn, so that a long list of texts does not hold up a short one
PAIRS = Shape(batch=4096, step=1, round=4096, share=2048)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may be, and how long it may take to arrive. Bytes, counts, seconds."""

    body: int = 10_000_000
    bodies: int = 100_000_000
    items: int = 2048
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    write_seconds: float = 60.0
    waiting_tokens: int = 400_000


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be embedded, and how. ``inputs`` are texts or lists of ids; ``long`` and ``limit`` as in
    `PreparedEncoder.prepare`; ``normalize`` None: as the recipe says."""

    inputs: Sequence[Any]
    role: str = "document"
    long: str = "refuse"
    limit: int | None = None
    dims: int | None = None
    normalize: bool | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """float32 ``(n, dims)``, the tokens of all items that reached the network, and how many items were cut."""

    vectors: Vectors
    tokens: int
    cut: int


class ServedEncoder:
    """An encoder behind its queue."""

    def __init__(self, encoder: Encoder, *, token_ids: str = "guard", limits: Limits | None = None) -> None:
        whole = innermost(encoder)  # a memory is left out: the queue has its own ways
        if not isinstance(whole, TransformerEncoder):
            raise UsageError(f"{encoder.name} cannot be served", why=["only transformer networks can, so far"])
        self.encoder, self.whole, self.token_ids = encoder, whole, token_ids
        self.prepared = PreparedEncoder(whole)
        waiting = (limits or Limits()).waiting_tokens
        shape = Shape(batch=BUDGET, step=STEP, waiting=waiting)
        self.queue = Scheduler(self.prepared.run, workers=whole.network.streams, shape=shape, name=self.name)
        self.tokens = TokenEncoder(whole)
        self.token_queue = Scheduler(self._token_vectors, shape=replace(shape, batch=4 * BUDGET), name="tokens")
        self.created = int(time.time())

    @property
    def name(self) -> str:
        return self.encoder.name

    @property
    def widths(self) -> list[int]:
        """The widths that may be asked for: its own, and those that the model was trained to be cut to."""
        entry = lookup(self.whole.name)
        declared = entry.matryoshka if entry else ()
        return sorted({self.encoder.dim, *(dims for dims in declared if dims <= self.encoder.dim)}, reverse=True)

    async def embed(self, desk: Desk, request: Request, ask: Ask) -> Made:
        """The vectors of ``ask``, once they had their turn."""
        if ask.dims is not None and ask.dims not in self.widths:
            raise Refusal(
                400,
                f"{self.name} gives vectors of {' or '.join(map(str, self.widths))} numbers, not of {ask.dims}",
                "dimensions",
                "dimensions_not_supported",
            )
        if ask.normalize is False and self.whole.recipe.normalize:
            raise Refusal(
                400, f"the vectors of {self.name} are of length 1; normalize=false is not offered", "normalize"
            )
        pieces = await desk.beside(request, self._size(ask.inputs), self._prepare, ask)
        found = await while_connected(request, self.queue.submit(pieces, [len(piece.ids) for piece in pieces]))
        tokens, cut = sum(len(piece.ids) for piece in pieces), sum(piece.dropped > 0 for piece in pieces)
        desk.metrics.tokens[self.name] += tokens
        desk.metrics.items[self.name] += len(pieces)
        vectors = np.stack(found) if found else np.zeros((0, self.whole.dim), np.float32)
        return Made(self._finished(vectors, ask), tokens, cut)

    async def token_vectors(self, desk: Desk, request: Request, texts: list[str], *, cut: bool) -> list[Vectors]:
        """The vectors of each text's tokens."""
        counts = await desk.beside(request, self._size(texts), self.whole.tokenizer.count, texts)
        limit = self.whole.max_tokens
        for at, count in enumerate(counts.tolist()):
            if count > limit and not cut:
                raise TooLong(at, count, limit)
        pieces = [(text, "cut" if cut else "error") for text in texts]
        costs = [min(int(count), limit) for count in counts]
        return await while_connected(request, self.token_queue.submit(pieces, costs))

    def close(self) -> None:
        """Finish what waits, then let the threads go."""
        self.queue.close()
        self.token_queue.close()
        self.prepared.close()
        self.tokens.close()
        self.encoder.close()

    def _prepare(self, ask: Ask) -> list[Prepared]:
        given = {"role": ask.role, "long": ask.long, "limit": ask.limit}
        if ask.inputs and not isinstance(ask.inputs[0], str):
            check_ids(self.prepared, ask.inputs, self.token_ids)
            return self.prepared.prepare_ids(ask.inputs, **given)  # type: ignore[arg-type]
        return self.prepared.prepare(ask.inputs, **given)  # type: ignore[arg-type]

    def _finished(self, vectors: Vectors, ask: Ask) -> Vectors:
        dims = ask.dims or self.encoder.dim
        if dims != self.whole.dim:
            entry = lookup(self.whole.name)
            return cut_rows(vectors, dims, centred=bool(entry and entry.cut_centred))
        if ask.normalize and not self.whole.recipe.normalize:
            return cut_rows(vectors, dims)
        return vectors

    def _token_vectors(self, pieces: Sequence[tuple[str, str]]) -> list[Vectors]:
        out: list[Vectors] = [np.zeros((0, 0), np.float32)] * len(pieces)
        for how in dict.fromkeys(how for _, how in pieces):
            places = [at for at, piece in enumerate(pieces) if piece[1] == how]
            for at, found in zip(
                places, self.tokens.encode([pieces[at][0] for at in places], on_long=how), strict=True
            ):
                out[at] = np.ascontiguousarray(found.vectors)
        return out

    @staticmethod
    def _size(inputs: Sequence[Any]) -> int:
        return sum(len(one) for one in inputs)


class ServedReranker:
    """A reranker behind its queue."""

    def __init__(self, reranker: Reranker, *, limits: Limits | None = None) -> None:
        self.reranker = reranker
        self.created = int(time.time())
        self.queue = Scheduler(
            self._scores, shape=replace(PAIRS, waiting=(limits or Limits()).waiting_tokens), name=reranker.name
        )

    @property
    def name(self) -> str:
        return self.reranker.name

    async def scores(
        self, desk: Desk, request: Request, query: str, texts: list[str], *, raw: bool = False, long: str = "cut"
    ) -> tuple[list[float], int]:
        """The score of each text, and how many tokens were read for all of them."""
        tokenizer, limit = self.reranker.tokenizer, self.reranker.max_tokens
        size = sum(map(len, texts)) + len(query) * len(texts)
        pairs = await desk.beside(request, size, tokenizer.pairs, query, texts, limit)
        for at, pair in enumerate(pairs):
            if pair.dropped and long == "error":
                raise TooLong(at, len(pair.ids) + pair.dropped, limit)
        costs = [len(pair.ids) for pair in pairs]
        found = await while_connected(request, self.queue.submit([(query, text, raw) for text in texts], costs))
        desk.metrics.tokens[self.name] += sum(costs)
        desk.metrics.items[self.name] += len(texts)
        return found, sum(costs)

    def close(self) -> None:
        """Finish what waits, then let the threads go."""
        self.queue.close()
        self.reranker.close()

    def _scores(self, pieces: Sequence[tuple[str, str, bool]]) -> list[float]:
        out = [0.0] * len(pieces)
        for query, raw in dict.fromkeys((query, raw) for query, _, raw in pieces):
            places = [at for at, piece in enumerate(pieces) if piece[0] == query and piece[2] == raw]
            scores = self.reranker.score(query, [pieces[at][1] for at in places], raw=raw, on_long="cut")
            for at, score in zip(places, scores.tolist(), strict=True):
                out[at] = score
        return out


@dataclass(eq=False)
class Desk:
    """Everything that the routes share. The first encoder is the ``default`` one."""

    encoders: list[ServedEncoder]
    rerankers: list[ServedReranker]
    settings: Settings
    limits: Limits = field(default_factory=Limits)
    metrics: Metrics = field(default_factory=Metrics)
    #: bytes of the bodies that are in memory
    held: int = 0

    def __post_init__(self) -> None:
        self._beside = ThreadPoolExecutor(2, thread_name_prefix="sememe-tokens")
        self.stores = ThreadPoolExecutor(1, thread_name_prefix="sememe-stores")

    @property
    def served(self) -> list[ServedEncoder | ServedReranker]:
        """Everything with a queue."""
        return [*self.encoders, *self.rerankers]

    async def beside(self, request: Request, size: int, call: Any, *arguments: Any) -> Any:
        """``call`` at once if its input is small, else on a thread, so that nobody else waits for it."""
        if size <= AT_ONCE:
            return call(*arguments)
        return await while_connected(request, self._beside.submit(call, *arguments))

    def encoder(self, name: str | None) -> ServedEncoder:
        """The encoder that a request names.

        Raises:
            Refusal: it is not served.
        """
        found: ServedEncoder | None = _named(self.encoders, name)
        if found is None:
            raise _unknown(name, self.encoders, "encoder")
        return found

    def reranker(self, name: str | None) -> ServedReranker:
        """The reranker that a request names."""
        found: ServedReranker | None = _named(self.rerankers, name)
        if found is None:
            raise _unknown(name, self.rerankers, "reranker")
        return found

    def gauges(self) -> Iterator[tuple[str, str, str, float]]:
        """What `/metrics` shows of the queues."""
        queues = [(one.name, one.queue) for one in self.served]
        for place, name in ((0, "tokens"), (1, "requests")):
            for model, queue in queues:
                yield f"sememe_queue_{name}", "gauge", f'model="{model}"', queue.waiting[place]
        for model, queue in queues:
            yield "sememe_batches_total", "counter", f'model="{model}"', queue.batches
        for model, queue in queues:
            yield "sememe_batched_tokens_total", "counter", f'model="{model}"', queue.tokens

    def close(self) -> None:
        """Finish what waits, then let everything go."""
        for served in self.served:
            served.close()
        self._beside.shutdown()
        self.stores.shutdown()


def _named(served: Sequence[Any], name: str | None) -> Any:
    """The one of that name: without a name and for ``default`` the first; an alias of the catalogue and Ollama's
    ``:latest`` will do."""
    if not served:
        return None
    if name in (None, "", "default"):
        return served[0]
    asked = re.sub(":latest$", "", str(name))
    for one in served:
        entry = lookup(one.name)
        known = {one.name, *((entry.name, entry.repo, *entry.aliases) if entry else ())}
        if asked in known:
            return one
    return None


def _unknown(name: str | None, served: Sequence[Any], kind: str) -> Refusal:
    there = ", ".join(one.name for one in served) or f"no {kind}"
    return Refusal(404, f'the {kind} "{str(name or "default")[:100]}" is not served; there is: {there}', "model",
                   "model_not_found")  # fmt: skip
