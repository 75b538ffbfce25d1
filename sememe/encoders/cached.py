"""An encoder that remembers: what it has encoded once comes from a file the next time, in any process.

Hosted encoders are wrapped in it unless told otherwise, since their vectors cost money; those of this machine are not,
since a collection keeps what it has encoded anyway, and the disk is not to be filled unasked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from sememe.encoders.cache_file import Kept, VectorCache
from sememe.encoders.contract import Encoder, check_options
from sememe.encoders.long_items import too_long, warn_of_cut
from sememe.encoders.remote.encoder import RemoteEncoder
from sememe.errors import DataError
from sememe.progress import SILENT, Phase, Progress
from sememe.settings import Settings
from sememe.shapes import Encoded, Vectors, content_hash
from sememe.tokens.tokenizer import Tokenizer, check_texts

#: texts that are encoded before what came of them is kept: what an interruption can cost
GROUP = 1024


class CachedEncoder:
    """An `Encoder` that asks ``cache`` first and ``whole`` for the rest. Within a call each different text is asked for
    once."""

    def __init__(self, whole: Encoder, cache: VectorCache) -> None:
        self.whole, self.cache = whole, cache
        self._prefix = ""

    @property
    def name(self) -> str:
        return self.whole.name

    @property
    def dim(self) -> int:
        return self.whole.dim

    @property
    def fingerprint(self) -> str:
        return self.whole.fingerprint

    @property
    def modalities(self) -> frozenset[str]:
        return self.whole.modalities

    @property
    def max_tokens(self) -> int:
        return self.whole.max_tokens

    @property
    def tokenizer(self) -> Tokenizer:
        return self.whole.tokenizer

    def __repr__(self) -> str:
        return f"<{repr(self.whole).strip('<>')}, remembered in {self.cache.path}>"

    def describe(self) -> Mapping[str, str]:
        """What is said of the encoder underneath: the vectors are the same."""
        return self.whole.describe()

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
        keys = self._keys(items, role)
        way = "mean" if on_long == "mean" else "cut"
        with (progress or SILENT).phase("encode", total=len(items), unit="texts") as phase:
            kept = self.cache.get(list(dict.fromkeys(keys)), way)
            if on_long == "error":
                self._refuse(keys, kept)
            missing = {key: text for key, text in zip(keys, items, strict=True) if key not in kept}
            phase.advance(sum(key in kept for key in keys))
            try:
                self._make(missing, kept, role, "cut" if on_long == "warn" else on_long, phase)
            except DataError:
                if on_long == "error" and len(missing) < len(items):  # its numbers count what was missing alone
                    self.whole.encode_report(items, role=role, on_long=on_long)
                raise
            phase.advance(sum(key in missing for key in keys) - len(missing))
        vectors = np.empty((len(items), self.dim), np.float32)
        used, dropped = np.zeros(len(items), np.int32), np.zeros(len(items), np.int32)
        for row, key in enumerate(keys):
            one = kept[key]
            vectors[row], used[row], dropped[row] = one.vector, one.used, one.dropped
        if on_long == "warn":
            warn_of_cut(used, dropped, self.max_tokens)
        return Encoded(vectors, used, dropped)

    def missing(self, items: Sequence[str], *, role: str = "document") -> list[str]:
        """The different texts that would have to be encoded."""
        check_texts(items)
        keys = self._keys(items, role)
        kept = self.cache.get(list(dict.fromkeys(keys)), "cut")
        return list({key: text for key, text in zip(keys, items, strict=True) if key not in kept}.values())

    def close(self) -> None:
        """Close the encoder underneath, and the file."""
        self.whole.close()
        self.cache.close()

    def _keys(self, items: Sequence[str], role: str) -> list[bytes]:
        if not self._prefix:
            # The fingerprint leaves out the precision, by which numbers differ within its tolerance.
            self._prefix = f"{self.whole.fingerprint}\0{self._precision()}\0"
        start = f"{self._prefix}{role}\0"
        return [hashlib.sha256((start + content_hash(text)).encode()).digest() for text in items]

    def _precision(self) -> str:
        # A hosted encoder would be asked for its width to describe it.
        if isinstance(self.whole, RemoteEncoder):
            return "f32"
        return self.whole.describe().get("precision", "")

    def _refuse(self, keys: Sequence[bytes], kept: Mapping[bytes, Kept]) -> None:
        for row, key in enumerate(keys):
            if key in kept and kept[key].dropped:
                raise too_long(row, kept[key].used + kept[key].dropped, self.max_tokens)

    def _make(
        self, missing: Mapping[bytes, str], kept: dict[bytes, Kept], role: str, on_long: str, phase: Phase
    ) -> None:
        """Encode what is missing into ``kept``, and remember each group as soon as it is there."""
        todo = list(missing)
        for first in range(0, len(todo), GROUP):
            group = todo[first : first + GROUP]
            texts = [missing[key] for key in group]
            made = self.whole.encode_report(texts, role=role, on_long=on_long, progress=_Within(phase))
            new = []
            for key, vector, used, dropped in zip(
                group, made.vectors, made.used.tolist(), made.dropped.tolist(), strict=True
            ):
                long = dropped > 0 or used > self.max_tokens
                way = ("mean" if on_long == "mean" else "cut") if long else ""
                new.append(Kept(key, vector, used, dropped, way))
            self.cache.put(new)
            kept.update({one.key: one for one in new})


class _Within:
    """A progress whose phase is one that is open already."""

    def __init__(self, outer: Phase) -> None:
        self.outer = outer

    @contextmanager
    def phase(self, name: str, *, total: int | None, unit: str) -> Iterator[Phase]:
        yield self.outer

    def note(self, text: str) -> None:
        pass


def cache_of(now: Settings) -> VectorCache:
    """The file that is set for kept vectors."""
    return VectorCache(cache_path(now.home), limit=now.cache_size * 1_000_000)


def cache_path(home: Path) -> Path:
    """Where kept vectors are."""
    return home / "cache" / "vectors.sqlite"


def remembering(encoder: Encoder, now: Settings) -> Encoder:
    """``encoder`` with a memory, if the settings want one: ``cache.mode`` is ``on``, or ``auto`` and it is hosted."""
    hosted = isinstance(encoder, RemoteEncoder)
    if now.cache_mode == "on" or (now.cache_mode == "auto" and hosted):
        return CachedEncoder(encoder, cache_of(now))
    return encoder
