"""Texts into vectors in one call, with the encoder kept for the next one."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sememe import settings
from sememe.encoders.contract import Encoder
from sememe.encoders.load import load_encoder
from sememe.errors import UsageError

if TYPE_CHECKING:
    from sememe.shapes import Vectors


def embed(
    texts: Sequence[str], *, model: str | None = None, role: str = "document", dims: int | None = None
) -> Vectors:
    """Vectors of ``texts``: float32 ``(n, dim)``, one row a text, in their order.

    Args:
        texts: any number of texts, also none.
        model: a model's name or folder; the one that is set (``sememe config get model``) if None.
        role: ``"document"`` or ``"query"``; matters for encoders with prompts.
        dims: cut the vectors to so many numbers and make them unit length again; None: what is set.

    Raises:
        UsageError: ``texts`` is one string, or an unknown role.
        MissingModelError: the model is not on disk and cannot, or may not, be fetched.
    """
    if isinstance(texts, str | bytes):
        raise UsageError("embed() takes a list of texts, and got one text", do=[("write", "embed([text])[0]")])
    now = settings.load({"model": model, "dims": dims})
    encoder = _kept(now.model, now.precision, now.threads, str(now.home), now.offline, now.dims)
    return encoder.encode(list(texts), role=role)


@functools.lru_cache(maxsize=2)
def _kept(model: str, precision: str, threads: int, home: str, offline: bool, dims: int) -> Encoder:
    return load_encoder(model, precision=precision, threads=threads, home=home, offline=offline, dims=dims)
