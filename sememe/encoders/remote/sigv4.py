"""Amazon's way of signing a request, Signature Version 4, as a pure function of the request, the keys and the time.

The request is written in one canonical form, hashed, and signed with a key that is derived from the secret for one day,
one region and one service; the secret itself is never sent.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """Keys of an account; ``token`` stands beside those that are lent for a while."""

    access_key: str
    secret_key: str
    token: str = ""

    def __repr__(self) -> str:
        return "<credentials>"


def sign(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    credentials: Credentials,
    scope: tuple[str, str],
    seconds: float,
) -> dict[str, str]:
    """The headers that are to be added: ``X-Amz-Date``, ``Authorization``, and the token where there is one.

    Args:
        headers: what else is to be signed, such as ``Content-Type``; ``Host`` is taken from the URL.
        scope: region and service.
        seconds: the time, since 1970.
    """
    at = datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")
    added = {"X-Amz-Date": at} | ({"X-Amz-Security-Token": credentials.token} if credentials.token else {})
    signed = {name.lower(): " ".join(value.split()) for name, value in {**headers, **added}.items()}
    signed["host"] = urlsplit(url).netloc
    names = ";".join(sorted(signed))
    place = "/".join((at[:8], *scope, "aws4_request"))
    canonical = _digest(_canonical(method, url, signed, body).encode())
    key = b"AWS4" + credentials.secret_key.encode()
    for part in place.split("/"):
        key = _mac(key, part)
    signature = _mac(key, "\n".join(("AWS4-HMAC-SHA256", at, place, canonical))).hex()
    who = f"Credential={credentials.access_key}/{place}"
    added["Authorization"] = f"AWS4-HMAC-SHA256 {who}, SignedHeaders={names}, Signature={signature}"
    return added


def _canonical(method: str, url: str, headers: Mapping[str, str], body: bytes) -> str:
    parts = urlsplit(url)
    # The path is sent encoded once and signed encoded twice, as every service but S3 wants it.
    path = quote(parts.path or "/", safe="/-_.~")
    pairs = sorted((_quoted(key), _quoted(value)) for key, value in parse_qsl(parts.query, keep_blank_values=True))
    query = "&".join(f"{key}={value}" for key, value in pairs)
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    return "\n".join((method, path, query, lines, ";".join(sorted(headers)), _digest(body)))


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
