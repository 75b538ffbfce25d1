"""The encoder that somebody named or handed over."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sememe.encoders.contract import Encoder
    from sememe.progress import Progress
    from sememe.settings import Settings


def loaded(
    encoder: Encoder | str, settings: Settings, progress: Progress | None, *, dims: int | None = None
) -> Encoder:
    """``encoder`` itself, or the one of that name or folder, fetched visibly where that is needed and allowed.

    ``dims``: what its vectors are cut to, 0 for all; None: what is set.
    """
    if not isinstance(encoder, str):
        return encoder
    from sememe.encoders.load import load_encoder

    return load_encoder(
        encoder,
        precision=settings.precision,
        threads=settings.threads,
        home=settings.home,
        offline=settings.offline,
        dims=settings.dims if dims is None else dims,
        progress=progress,
    )
