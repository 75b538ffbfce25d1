"""The address of a store that is spoken to over HTTP, and the key that opens it, which stands in the environment alone.

``qdrant://HOST:6333?collection=NAME`` and ``pinecone://INDEX-HOST?namespace=NAME``. TLS is used unless the server is on
this machine or the address ends in ``&tls=off``: a key goes over no network in the clear unless someone said so.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from sememe.errors import UsageError

#: names of collections and of namespaces
NAME = re.compile(r"[A-Za-z0-9_-]{1,120}")
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, repr=False)
class WebAddress:
    """``base`` is where requests go; ``shown`` is what messages may say; ``name`` the collection or namespace."""

    base: str
    shown: str
    name: str
    key: str = ""
    variable: str = ""

    def __repr__(self) -> str:
        return self.shown

    def scrubbed(self, text: str) -> str:
        """``text`` of a server, on one line, of a sensible length and without the key."""
        if self.key:
            text = text.replace(self.key, "***")
        text = " ".join(text.split())
        return text if len(text) <= 300 else text[:299] + "…"


def read_web_address(url: str, *, parameter: str, port: int, variable: str) -> WebAddress:
    """Take an address apart.

    Args:
        parameter: what the name is called in it, ``collection`` or ``namespace``.
        port: where the server listens if the address does not say, 0 for that of HTTP.
        variable: the environment variable that holds the key.

    Raises:
        UsageError: it is none. The message never quotes it: what stands in the wrong place may be the key.
    """
    scheme = url.partition("://")[0].lower()
    try:
        parts = urlsplit(url)
        given = parts.port
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise _wrong(scheme, parameter, variable) from None
    host = parts.hostname
    known = {parameter, "tls"}
    odd = sorted({key for key, _ in query} - known)
    if not host or "@" in url or parts.fragment or odd or len({key for key, _ in query}) < len(query):
        raise _wrong(scheme, parameter, variable)
    options = dict(query)
    name, tls = options.get(parameter, ""), options.get("tls", "off" if host in LOOPBACK else "on")
    if not NAME.fullmatch(name):
        raise UsageError(
            f'"{name}" is no name of a {parameter}' if name else f"the address does not say which {parameter}",
            why=["a name has 1 to 120 of a-z, A-Z, 0-9, _ and -"],
            do=[("end the address with", f"?{parameter}=NAME")],
        )
    if tls not in ("on", "off"):
        raise UsageError("tls is on or off", do=[("for a server without TLS, in a network that you trust", "&tls=off")])
    inside = f"[{host}]" if ":" in host else host
    place = f"{inside}:{given or port}" if given or port else inside
    path = parts.path.rstrip("/")
    return WebAddress(
        base=f"{'https' if tls == 'on' else 'http'}://{place}{path}",
        shown=f"{scheme}://{place}{path}?{parameter}={name}",
        name=name,
        key=os.environ.get(variable, "").strip(),
        variable=variable,
    )


def _wrong(scheme: str, parameter: str, variable: str) -> UsageError:
    return UsageError(
        "this is no address of a server that can be read",
        why=[("expected", f"{scheme}://HOST:PORT?{parameter}=NAME")],
        do=[("a key does not stand in it; set", f"export {variable}=…")],
    )
