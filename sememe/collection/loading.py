"""The encoder that somebody named or handed over."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sememe.encoders.contract import Encoder
    from sememe.progress import Progress
    from sememe.settings import Settings


def loaded(encoder: Encoder | str, settings: Settings, progress: Progress | None) -> Encoder:
    """``encoder`` itself, or the one of that name or folder, fetched visibly where that is needed and allowed."""
    if not isinstance(encoder, str):
        return encoder
    from sememe.encoders.load import load_encoder

    return load_encoder(
        encoder,
        precision=settings.precision,
        threads=settings.threads,
        home=settings.home,
        offline=settings.offline,
        progress=progress,
    )
