"""Keys: read from the environment at the moment a request is made, given to the request's headers, and kept by nobody.

A key goes to the provider's own address, or to the one that the provider's variable names in the environment: whoever
sets both means both. An address that stands in an encoder's name alone gets none, since a name may come with somebody
else's collection. No key goes over a network in the clear.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sememe.encoders.remote.naming import is_here, origin
from sememe.encoders.remote.provider import Provider
from sememe.encoders.remote.sigv4 import Credentials, sign
from sememe.errors import MissingKeyError, UsageError

#: every variable that may hold what nobody is to see
SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID")
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")


@dataclass(frozen=True, slots=True)
class Place:
    """Where requests go. ``keyed``: the key of the provider may go there; ``own``: it is the provider's own service."""

    address: str
    keyed: bool
    own: bool


def find_place(provider: Provider, told: str) -> Place:
    """The address of a name (``told``), else of the environment, else of the provider.

    Raises:
        UsageError: there is none, or it is not one, or the key would go over the network in the clear.
    """
    named = _from_environment(provider)
    own = provider.address.format(region=region()) if "{region}" in provider.address else provider.address
    address = told or named or own
    if not address:
        raise UsageError(
            f"{provider.title} has no address of its own",
            do=[("say it", f"export {provider.address_variable}=https://…")],
        )
    keyed = origin(address) in {origin(one) for one in (named, own) if one}
    if keyed and os.environ.get(provider.key_variable) and address.startswith("http:") and not is_here(address):
        raise UsageError(
            f"the key of {provider.title} would go over the network in the clear",
            why=[("the address", address), f"{provider.key_variable} is set"],
            do=["use https", f"or take {provider.key_variable} out of the environment"],
        )
    return Place(address, keyed, origin(address) == origin(own) if own else False)


def _from_environment(provider: Provider) -> str:
    text = os.environ.get(provider.address_variable, "").strip().rstrip("/")
    if not text:
        return ""
    address = text if "://" in text else f"http://{text}"  # OLLAMA_HOST is usually given so
    if not re.fullmatch(r"https?://[^@?#\s]+", address):
        raise UsageError(f"{provider.address_variable} is no address", do=[("expected", "https://HOST[:PORT][/PATH]")])
    return address


def check_key(provider: Provider, place: Place) -> None:
    """Refuse to begin without a key where it is known to be needed.

    Raises:
        MissingKeyError: it is not in the environment.
    """
    if not (provider.key_needed and place.keyed and (place.own or not is_here(place.address))):
        return
    needed = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") if provider.signed else (provider.key_variable,)
    missing = [name for name in needed if not os.environ.get(name, "").strip()]
    if missing:
        raise MissingKeyError(
            f"{provider.title} wants a key, and there is none",
            why=[("in the environment", f"{' and '.join(missing)} is not set")],
            do=[("set it", f"export {missing[0]}=…")],
        )


def authorizing(
    provider: Provider, place: Place, *, now: Callable[[], float] = time.time
) -> Callable[[str, Mapping[str, str], bytes], Mapping[str, str]]:
    """The function that makes the headers which let a request in, of its URL, headers and body."""

    def keyed(url: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        key = os.environ.get(provider.key_variable, "").strip()
        return {provider.key_header: provider.key_prefix + key} if key else {}

    def signed(url: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        read = [os.environ.get(name, "").strip() for name in ("AWS_ACCESS_KEY_ID", *SECRETS[:2])]
        if not (read[0] and read[1]):
            return {}
        scope = (region(), "bedrock")
        return sign("POST", url, headers, body, credentials=Credentials(*read), scope=scope, seconds=now())

    if not place.keyed:
        return lambda url, headers, body: {}
    return signed if provider.signed else keyed


def region() -> str:
    """The region of Amazon's cloud that the environment names, else its first one."""
    for name in _REGIONS:
        if text := os.environ.get(name, "").strip():
            if not re.fullmatch(r"[a-z0-9-]{1,40}", text):
                raise UsageError(f"{name} is no name of a region", do=[("expected", "us-east-1 or the like")])
            return text
    return "us-east-1"


def hidden(answer: bytes, provider: Provider) -> bytes:
    """An answer in which stars stand for any key that it repeats."""
    for name in (provider.key_variable, *SECRETS):
        if secret := os.environ.get(name, "").strip():
            answer = answer.replace(secret.encode(), b"***")
    return answer


def scrubbed(text: str, provider: Provider) -> str:
    """What a server or a library said, on one line, of a sensible length, and without a key."""
    text = " ".join(hidden(text.encode("utf-8", "replace"), provider).decode("utf-8", "replace").split())
    return text if len(text) <= 300 else text[:299] + "…"
