"""An `Encoder` whose vectors are made elsewhere: what is sent, in which batches, and what is believed."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from sememe.encoders.contract import check_options
from sememe.encoders.long_items import too_long, warn_of_cut
from sememe.encoders.remote.answers import together
from sememe.encoders.remote.estimate import SAID, estimating_tokenizer, head, windows
from sememe.encoders.remote.known import Known
from sememe.encoders.remote.naming import RemoteName
from sememe.encoders.remote.service import Service
from sememe.progress import SILENT, Progress
from sememe.shapes import Counts, Encoded, Vectors
from sememe.tokens.tokenizer import Tokenizer, check_texts

#: requests that are on their way at the same time
CONCURRENCY = 4
#: bytes of the texts of one request
BYTES = 1 << 20
#: what may be added to a text on the other side: its special tokens
ADDED = 3
#: bump when the same name and numbers would give other vectors
VERSION = "1"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a job costs at most: ``tokens`` by the estimate, ``dollars`` at the list price as of ``seen``; None: the
    price is not known."""

    texts: int
    tokens: int
    dollars: float | None
    seen: str

    def __str__(self) -> str:
        money = "price not known" if self.dollars is None else f"about ${self.dollars:.4f} by the list of {self.seen}"
        return f"{self.texts:,} texts, at most about {self.tokens:,} tokens, {money}"


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is sent for one item, or for a part of one; ``share`` is its part in the vector of row ``row``."""

    text: str
    tokens: int
    row: int
    share: float
    first: bool


class RemoteEncoder:
    """An `Encoder` over a `Service`. Safe to share between threads. Its vectors are made unit length here.

    Args:
        model: what is known of it.
        longest: the longest item in estimated tokens.
        dims: the width that is asked for, 0 for the model's own.
    """

    modalities = frozenset({"text"})

    def __init__(self, name: RemoteName, service: Service, model: Known, *, longest: int, dims: int = 0) -> None:
        self._name, self.service, self.model = name, service, model
        self.max_tokens, self.dims = longest, dims
        self.provider = service.provider
        self.limits = self.provider.limits(name.model)
        self._width = dims or model.dim
        self._pool: ThreadPoolExecutor | None = None
        self._turn = threading.Lock()

    @property
    def name(self) -> str:
        return str(self._name)

    @property
    def dim(self) -> int:
        """The width; of a model that is in no table the first answer tells, else one to the text "width"."""
        if not self._width:
            self._ask([_Piece("width", 1, 0, 1.0, True)], "document", threading.Event())
        return self._width

    @property
    def tokenizer(self) -> Tokenizer:
        """An estimate: the provider's own is not here."""
        return estimating_tokenizer()

    @property
    def fingerprint(self) -> str:
        """Over everything that is known here; the weights are not, and may change on the other side."""
        place = self.provider.name if self.service.place.own else self.service.place.address
        settled = {
            "version": VERSION,
            "model": f"{self.provider.name}:{self._name.model}",
            "place": place,
            "dims": self.dims,
            "roles": dict(self.provider.roles(self._name.model)),
            "prompts": dict(self.model.prompts),
            "longest": self.max_tokens,
            "estimate": self.tokenizer.fingerprint,
        }
        return hashlib.sha256(json.dumps(settled, sort_keys=True).encode()).hexdigest()

    def __repr__(self) -> str:
        return f"<encoder {self.name}: {self._width or '?'} dims, {self.max_tokens} tokens, {self.provider.title}>"

    def describe(self) -> Mapping[str, str]:
        """What it is and where texts go."""
        return {**self.facts(), "dim": str(self.dim)}

    def facts(self) -> dict[str, str]:
        """`describe`, without asking anybody for the width."""
        roles = self.provider.roles(self._name.model)
        prompts = ", ".join(f"{role}: {text!r}" for role, text in self.model.prompts.items())
        told = {
            "encoder": self.name,
            "dim": str(self._width or "not known before the first answer"),
            "longest": f"{self.max_tokens} tokens",
            "tokens": SAID,
            "pooling": "the provider's own, unit length",
            "prompts": prompts or "none",
            "roles": ", ".join(f"{role}: {theirs}" for role, theirs in roles.items()) or "not sent",
            "precision": "f32",
            "service": f"{self.provider.title} at {self.service.place.address}",
            "weights": "not here: known by the name alone, and what it names may change",
            "empty texts": "sent as one space",
            "fingerprint": self.fingerprint,
        }
        if self.dims and self.dims != self.model.dim:
            told["cut"] = f"{self.dims} of {self.model.dim} dims, by the provider"
        return told

    def estimate(self, texts: Sequence[str], *, role: str = "document", on_long: str = "cut") -> Cost:
        """What encoding would cost, without sending anything."""
        check_options(role, on_long)
        check_texts(texts)
        used, dropped = np.zeros(len(texts), np.int32), np.zeros(len(texts), np.int32)
        tokens = sum(piece.tokens + ADDED for piece in self._pieces(texts, role, on_long, used, dropped))
        price = self.model.price
        return Cost(len(texts), tokens, None if price is None else tokens * price / 1e6, self.model.seen)

    def encode(
        self,
        items: Sequence[str],
        *,
        role: str = "document",
        on_long: str = "warn",
        progress: Progress | None = None,
    ) -> Vectors:
        return self.encode_report(items, role=role, on_long=on_long, progress=progress).vectors

    def encode_report(
        self,
        items: Sequence[str],
        *,
        role: str = "document",
        on_long: str = "warn",
        progress: Progress | None = None,
    ) -> Encoded:
        check_options(role, on_long)
        check_texts(items)
        used, dropped = np.zeros(len(items), np.int32), np.zeros(len(items), np.int32)
        # Everything is counted before anything is sent: what is refused has cost nothing.
        pieces = list(self._pieces(items, role, on_long, used, dropped))
        sums: dict[int, Vectors] = {}
        opened = (progress or SILENT).phase("encode", total=len(items), unit="texts")
        with opened as phase, closing(self._answers(self._batches(pieces), role)) as answers:
            for batch, vectors in answers:
                for piece, vector in zip(batch, vectors, strict=True):
                    share = vector * np.float32(piece.share)
                    sums[piece.row] = sums[piece.row] + share if piece.row in sums else share
                phase.advance(sum(piece.first for piece in batch))
        vectors = np.zeros((len(items), self.dim), np.float32)
        for row, vector in sums.items():
            vectors[row] = vector / np.maximum(np.linalg.norm(vector), 1e-12)
        if on_long == "warn":
            warn_of_cut(used, dropped, self.max_tokens)
        return Encoded(vectors, used, dropped)

    def close(self) -> None:
        """Let threads and connections go; the next call starts them again."""
        with self._turn:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()
        self.service.close()

    def _pieces(self, texts: Sequence[str], role: str, on_long: str, used: Counts, dropped: Counts) -> Iterator[_Piece]:
        """What is to be sent, in order, and into ``used`` and ``dropped`` what it has of each item."""
        prompt = self.model.prompts.get(role, "")
        lead = int(self.tokenizer.count([prompt])[0])
        whole = [prompt + text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in texts]
        for row, (text, count) in enumerate(zip(whole, self.tokenizer.count(whole).tolist(), strict=True)):
            if count <= self.max_tokens:
                parts = [(text or " ", count)]
            elif on_long == "error":
                raise too_long(row, count, self.max_tokens)
            elif on_long == "mean":
                room = self.max_tokens - lead
                parts = [(prompt + part, lead + n) for part, n in windows(text[len(prompt) :], room)]
            else:
                parts = [head(text, self.max_tokens)]
                dropped[row] = count - parts[0][1]
            used[row] = sum(n for _, n in parts)
            for at, (part, n) in enumerate(parts):
                yield _Piece(part, n, row, n / used[row] if len(parts) > 1 else 1.0, at == 0)

    def _batches(self, pieces: Iterable[_Piece]) -> Iterator[list[_Piece]]:
        batch: list[_Piece] = []
        tokens = size = 0
        for piece in pieces:
            heavy, long = piece.tokens + ADDED, len(piece.text.encode())
            full = len(batch) == self.limits.texts or tokens + heavy > self.limits.tokens or size + long > BYTES
            if batch and full:
                yield batch
                batch, tokens, size = [], 0, 0
            batch.append(piece)
            tokens, size = tokens + heavy, size + long
        if batch:
            yield batch

    def _answers(
        self, batches: Iterator[list[_Piece]], role: str
    ) -> Generator[tuple[list[_Piece], Vectors], None, None]:
        """Each batch with its vectors, in order; a few are on their way at the same time."""
        stop = threading.Event()
        waiting: deque[tuple[list[_Piece], Future[Vectors]]] = deque()
        try:
            for batch in batches:
                waiting.append((batch, self._threads().submit(self._ask, batch, role, stop)))
                if len(waiting) >= 2 * CONCURRENCY:
                    sent, future = waiting.popleft()
                    yield sent, future.result()
            while waiting:
                sent, future = waiting.popleft()
                yield sent, future.result()
        finally:  # after an error or Ctrl-C nothing more is sent
            stop.set()
            for _, future in waiting:
                future.cancel()

    def _threads(self) -> ThreadPoolExecutor:
        with self._turn:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="sememe-remote")
            return self._pool

    def _ask(self, batch: Sequence[_Piece], role: str, stop: threading.Event) -> Vectors:
        """The vectors of one request, float32 ``(len(batch), dim)``."""
        model, provider = self._name.model, self.provider
        body = provider.payload(model, [piece.text for piece in batch], role=role, dims=self.dims)
        answer = self.service.post(provider.path(model), body, stop=stop)
        reason = ""
        try:
            vectors = together(provider.parse(answer), len(batch))
            self._width = self._width or vectors.shape[1]
            if vectors.shape[1] != self._width:
                reason = f"the vectors have {vectors.shape[1]} numbers, not {self._width}"
        except ValueError as error:
            reason = str(error)
        if reason:
            raise self.service.strange(reason)
        return vectors
