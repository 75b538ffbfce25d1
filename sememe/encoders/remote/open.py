"""A name into a remote encoder: everything that can be refused is refused here, before a socket opens."""

from __future__ import annotations

import importlib
import os

from sememe.encoders.remote.encoder import RemoteEncoder
from sememe.encoders.remote.estimate import MARGIN, estimating_tokenizer
from sememe.encoders.remote.keys import check_key, find_place
from sememe.encoders.remote.known import Known, known
from sememe.encoders.remote.naming import RemoteName, is_here, read_name
from sememe.encoders.remote.provider import Provider
from sememe.encoders.remote.service import Service
from sememe.errors import OfflineError, UsageError
from sememe.progress import Progress


def open_remote(name: str, *, offline: bool = False, dims: int = 0, progress: Progress | None = None) -> RemoteEncoder:
    """The encoder of a name such as ``openai:text-embedding-3-small``.

    Args:
        offline: no connection beyond this machine.
        dims: the width, asked of the provider where it offers that (then it is the result's ``dims``); 0 for its own.
        progress: is told where the texts will go.

    Raises:
        OfflineError: it is not on this machine, and ``offline``.
        MissingKeyError: a key is needed, and not in the environment.
        UsageError: no such name, or no such width.
    """
    encoder = described(name, dims=dims)
    place, provider = encoder.service.place, encoder.provider
    if offline and not is_here(place.address):
        raise OfflineError(
            f"{encoder.name} is not on this machine, and the network was forbidden",
            why=[("it is", place.address), "--offline, SEMEME_OFFLINE or HF_HUB_OFFLINE is set"],
            do=["use an encoder of this machine", "or allow the network"],
        )
    check_key(provider, place)
    if progress is not None and not is_here(place.address):
        progress.note(f"{encoder.name}: texts are sent to {provider.title}, {place.address}")
    return encoder


def described(name: str, *, dims: int = 0) -> RemoteEncoder:
    """The encoder of a name, to be looked at: it may be forbidden to use it, or lack its key. ``dims`` is taken where
    the provider offers that width.

    Raises:
        UsageError: no such name, or no such width.
    """
    read = read_name(name)
    provider = provider_of(read)
    model = known(read.provider, read.model) or Known()
    longest = read.tokens or int(model.tokens * MARGIN)
    lead = max((int(estimating_tokenizer().count([text])[0]) for text in model.prompts.values()), default=0)
    if longest < lead + 8:
        raise UsageError(f"{longest} tokens leave no room for text", why=[f"the prompt takes {lead}"])
    asked = dims if dims != model.dim and model.offers(dims) else 0
    if model.dim and dims > model.dim and not asked:
        offered = f"any up to {model.widest or model.dim}" if 0 in model.dims else ", ".join(map(str, model.dims))
        raise UsageError(
            f"{name} has no vectors of {dims} numbers",
            why=[("it has", str(model.dim)), ("it offers", offered or "no other")],
        )
    service = Service(provider, find_place(provider, read.address))
    return RemoteEncoder(read, service, model, longest=longest, dims=asked)


def key_state(encoder: RemoteEncoder) -> str:
    """In words whether a key would be sent, and whether it is there; never the key."""
    provider, place = encoder.provider, encoder.service.place
    if not place.keyed:
        return f"none is sent to an address that only the name says; {provider.address_variable} may say it too"
    there = "is set" if os.environ.get(provider.key_variable, "").strip() else "is not set"
    return f"{provider.key_variable} {there}" + ("" if provider.key_needed else ", and need not be")


def provider_of(name: RemoteName) -> Provider:
    """The provider of a name."""
    provider: Provider = importlib.import_module(f"sememe.encoders.remote.{name.provider}").PROVIDER
    return provider
