"""Whether an encoder is hosted elsewhere, however it is wrapped, and what a job with it would cost: for those who must
not send anything before somebody has agreed.
"""

from __future__ import annotations

from sememe.encoders.remote.encoder import RemoteEncoder
from sememe.encoders.remote.naming import is_here


def innermost(encoder: object) -> object:
    """The encoder under a cut or a memory; itself where there is none."""
    while (whole := getattr(encoder, "whole", None)) is not None:
        encoder = whole
    return encoder


def hosted(encoder: object) -> RemoteEncoder | None:
    """The `RemoteEncoder` under a cut or a memory; None for an encoder that runs in this process."""
    inner = innermost(encoder)
    return inner if isinstance(inner, RemoteEncoder) else None


def price_of(encoder: RemoteEncoder, tokens: int) -> str:
    """In words what so many estimated tokens cost at most, with the date of the price."""
    if encoder.model.price is None:
        paid = (
            "nothing by itself, it is on this machine" if is_here(encoder.service.place.address) else "not known here"
        )
        return f"{paid}, for at most about {tokens:,} tokens"
    dollars = tokens * encoder.model.price / 1e6
    return f"at most about ${dollars:,.2f} for {tokens:,} tokens, by the list of {encoder.model.seen}"
