"""An encoder whose vectors can be done in one's head: how often each letter occurs, made unit length."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from tokens_tiny import tiny

from sememe.encoders.contract import check_options
from sememe.progress import Progress
from sememe.shapes import Encoded, Vectors

ALPHABET = "abcdefghijklmnopqrstuvwxyz"


class Letters:
    """``encoded`` remembers every text that was encoded as a document."""

    def __init__(self, name: str = "letters", letters: str = ALPHABET, max_tokens: int = 64) -> None:
        self.name, self.letters, self.max_tokens = name, letters, max_tokens
        self.dim = len(letters)
        self.modalities = frozenset({"text"})
        self.tokenizer = tiny("plain")
        self.encoded: list[str] = []

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(f"{self.name} {self.letters}".encode()).hexdigest()

    def encode(
        self, items: Sequence[str], *, role: str = "document", on_long: str = "warn", progress: Progress | None = None
    ) -> Vectors:
        return self.encode_report(items, role=role, on_long=on_long, progress=progress).vectors

    def encode_report(
        self, items: Sequence[str], *, role: str = "document", on_long: str = "warn", progress: Progress | None = None
    ) -> Encoded:
        check_options(role, on_long)
        if role == "document":
            self.encoded += items
        counts = np.array([[text.lower().count(x) for x in self.letters] for text in items], np.float32)
        counts = counts.reshape(len(items), self.dim)
        lengths = np.linalg.norm(counts, axis=1, keepdims=True)
        used = np.array([len(text) for text in items], np.int32)
        return Encoded(np.divide(counts, lengths, where=lengths > 0, out=counts), used, np.zeros_like(used))

    def describe(self) -> Mapping[str, str]:
        return {"model": self.name, "pooling": "sum"}
