"""The names of encoders that answer over HTTP: ``PROVIDER:MODEL`` and ``PROVIDER:MODEL@ADDRESS``, with ``?tokens=N``.

A collection remembers its encoder by this name, so the name holds all that is needed to reach it, but no key: keys
stand in the environment alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from sememe.errors import UsageError

#: what may stand before the colon; a name with anything else there is not of this room
PROVIDERS = ("openai", "azure", "bedrock", "cohere", "voyage", "jina", "gemini", "mistral", "ollama", "tei")
_NAME = re.compile(
    r"(?P<provider>[a-z]+):(?P<model>[\w./:+-]{1,200})(?:@(?P<address>https?://[^?#\s]+))?(?:\?tokens=(?P<tokens>[0-9]{1,9}))?"
)
#: shorter items than this cannot be cut into windows
FEWEST = 16


@dataclass(frozen=True, slots=True)
class RemoteName:
    """``address`` is empty where the provider's own is meant, ``tokens`` 0 where the table of models is to say."""

    provider: str
    model: str
    address: str = ""
    tokens: int = 0

    def __str__(self) -> str:
        at = f"@{self.address}" if self.address else ""
        return f"{self.provider}:{self.model}{at}" + (f"?tokens={self.tokens}" if self.tokens else "")


def is_remote(name: object) -> bool:
    """Whether this is the name of an encoder of this room."""
    return isinstance(name, str) and ":" in name and name.partition(":")[0] in PROVIDERS


def read_name(name: str) -> RemoteName:
    """Take a name apart.

    Raises:
        UsageError: it is none. The message does not quote it: what stands in the wrong place may be a key.
    """
    provider = name.partition(":")[0]
    found = _NAME.fullmatch(name)
    address = (found["address"] or "").rstrip("/") if found else ""
    tokens = int(found["tokens"] or 0) if found else 0
    if found is None or provider not in PROVIDERS or not _is_address(address) or 0 < tokens < FEWEST:
        raise UsageError(
            f"this is no name of an encoder of {provider}",
            why=[
                ("expected", f"{provider}:MODEL, {provider}:MODEL@http://HOST:PORT, either with ?tokens=N at its end"),
                f"N is at least {FEWEST}; an address has no user, password, query or fragment",
            ],
            do=["keys stand in the environment, never in a name"],
        )
    return RemoteName(provider, found["model"], address, tokens)


def _is_address(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return not address or (bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0)
    except ValueError:
        return False


def origin(address: str) -> tuple[str, str, int]:
    """Scheme, host and port of an address: what decides where a key may go."""
    parts = urlsplit(address)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)


def is_here(address: str) -> bool:
    """Whether the address is on this machine."""
    host = urlsplit(address).hostname or ""
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.[0-9]{1,3}){3}", host) is not None
