"""The address of a collection on a server, read so that its password can never be shown.

``postgresql://USER:PASSWORD@HOST:PORT/DATABASE?collection=NAME``: all but ``collection`` is the driver's business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from sememe.errors import UsageError

#: a collection's name becomes part of the name of a schema, which PostgreSQL cuts at 63 bytes
NAME = re.compile(r"[a-z0-9_-]{1,56}")
#: parameters of an address that are as secret as its password
SECRET = ("password", "sslpassword")


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """``url`` is for the driver alone; ``shown`` is what messages may say; ``secrets`` are to be kept out of them."""

    url: str
    shown: str
    collection: str
    secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return self.shown

    def scrubbed(self, text: str) -> str:
        """``text`` of a driver or a server, on one line and without the secrets."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return " ".join(text.split())


def read_address(url: str, *, collection: str | None = None) -> Address:
    """Take an address apart.

    Args:
        collection: its name, if the address does not say it.

    Raises:
        UsageError: it is none. The message never quotes it: what stands in the wrong place may be the password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise _wrong(url) from None
    if "@" in parts.path + parts.query or "@" in parts.netloc.rpartition("@")[0] or parts.fragment:
        raise _wrong(url)
    names = [value for key, value in query if key == "collection"] or ([collection] if collection else [])
    kept = [(key, value) for key, value in query if key != "collection"]
    name = names[0] if names else ""
    if len(names) > 1 or not NAME.fullmatch(name):
        raise UsageError(
            f'"{name}" is no name of a collection' if name else "the address does not say which collection",
            why=["a name has 1 to 56 of a-z, 0-9, _ and -"],
            do=[("end the address with", "?collection=NAME")],
        )
    secrets = [unquote(parts.password or ""), parts.password or "", *(value for key, value in kept if key in SECRET)]
    return Address(
        parts._replace(query=urlencode(kept, quote_via=quote)).geturl(),
        _masked(parts, port, dict(kept), name),
        name,
        tuple(sorted({secret for secret in secrets if secret}, key=len, reverse=True)),
    )


def _masked(parts: SplitResult, port: int | None, query: dict[str, str], name: str) -> str:
    """What may be shown, put together of harmless parts: nothing is cut out of the address."""
    user = f"{parts.username}:***@" if parts.password is not None else f"{parts.username}@" if parts.username else ""
    host = (parts.hostname or query.get("host", "")) + (f":{port}" if port else "")
    return f"{parts.scheme}://{user}{host}{parts.path}?collection={name}"


def _wrong(url: str) -> UsageError:
    scheme = url.partition("://")[0]
    return UsageError(
        "this is no address of a server that can be read",
        why=[("expected", f"{scheme}://USER:PASSWORD@HOST:PORT/DATABASE?collection=NAME")],
        do=["in a user's name or a password write @ as %40, / as %2F, ? as %3F, # as %23, : as %3A, % as %25"],
    )
