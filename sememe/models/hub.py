"""A model's files from the hub over HTTPS.

Endpoint: ``HF_ENDPOINT``, else https://huggingface.co. Token: ``HF_TOKEN``; it goes to the endpoint's own origin and
to nobody else, so redirects are followed by hand, and it stands in no message. A file that breaks off stays as
``.part`` and is taken up where it ended, if the server still has the same file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin, urlsplit

from sememe.models.catalogue import Entry, FileSpec
from sememe.models.staging import Digest, Expected, SourceFailed, Staging, check_space, feed
from sememe.progress import Progress, amount

if TYPE_CHECKING:
    import httpx2

ENDPOINT = "https://huggingface.co"
CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
ATTEMPTS = 3
HOPS = 6
_REDIRECTS = (301, 302, 303, 307, 308)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_MEANING = {
    401: "a token is needed, or the one in HF_TOKEN is not accepted",
    403: "access to this model is not granted",
    404: "no such file or model there",
    429: "too many requests; try later",
}


def fetch(entry: Entry, staging: Staging, progress: Progress) -> str:
    """Every file of ``entry`` into ``staging``, checked; the source's name comes back.

    Raises:
        SourceFailed: the hub cannot be reached, refuses, or broke off.
        ModelError: a file came whole and is not the expected one, or the disk is full.
    """
    with connect() as hub:
        wanted = hub.expect_all(entry)
        total = sum(expected.size for expected in wanted)
        here = {expected.path for expected in wanted if staging.has(expected)}
        check_space(staging.folder, total - sum(expected.size for expected in wanted if expected.path in here))
        progress.note(f"fetching {entry.name}, {amount(total, 'bytes')}, from {hub.shown} (once)")
        with progress.phase("fetching", total=total, unit="bytes") as phase:
            for expected in wanted:
                if expected.path in here:
                    phase.advance(expected.size)
                else:
                    hub.download(entry, expected, staging, phase.advance)
        return hub.shown


@contextmanager
def connect() -> Iterator[Hub]:
    """The hub that the environment names."""
    import httpx2

    endpoint = (os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
    parts = urlsplit(endpoint)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise SourceFailed(f"HF_ENDPOINT is no http(s) address: {_shown(endpoint)}")
    token = os.environ.get("HF_TOKEN", "").strip()
    withheld = bool(token) and parts.scheme == "http" and parts.hostname not in _LOOPBACK
    timeout = httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
    with httpx2.Client(timeout=timeout, follow_redirects=False) as client:
        yield Hub(client, endpoint, "" if withheld else token, withheld=withheld)


class Hub:
    """One connection to the hub."""

    def __init__(self, client: httpx2.Client, endpoint: str, token: str, *, withheld: bool = False) -> None:
        self._client = client
        self._endpoint = endpoint
        self._token = token
        self._withheld = withheld  # a token is never sent in the clear

    def __repr__(self) -> str:
        return f"Hub({self.shown})"

    @property
    def shown(self) -> str:
        """The endpoint as it may be shown: without a name and password in it."""
        return _shown(self._endpoint)

    def expect_all(self, entry: Entry) -> list[Expected]:
        """What each file must be, by the catalogue or else by the hub's own word; this also is the first contact, so a
        hub that cannot be reached is known before anything is drawn."""
        wanted = [self._expect(entry, spec) for spec in entry.files.values()]
        if all(expected and expected.origin == "catalogue" for expected in wanted):
            self._refuse(self._head(entry, next(iter(entry.files))), next(iter(entry.files)))
        return [expected for expected in wanted if expected is not None]

    def _expect(self, entry: Entry, spec: FileSpec) -> Expected | None:
        if spec.size is not None and spec.sha256 is not None:
            return Expected(spec.path, spec.size, "sha256", spec.sha256, "catalogue")
        response = self._head(entry, spec.path)
        if response.status_code == 404 and spec.optional:
            return None
        self._refuse(response, spec.path)
        return _announced(spec.path, response.headers)

    def download(self, entry: Entry, expected: Expected, staging: Staging, advance: Callable[[int], None]) -> None:
        """One file, whole and checked, into ``staging``."""
        import httpx2

        told = 0  # what `advance` was told: bytes that come a second time are not counted twice
        for attempt in range(1, ATTEMPTS + 1):
            digest = Digest(expected)
            try:
                for _ in self._receive(entry, digest, staging):
                    advance(max(0, digest.size - told))
                    told = max(told, digest.size)
                if digest.size < expected.size:
                    raise httpx2.ReadError("the server closed early")
            except httpx2.TransportError as error:
                if attempt == ATTEMPTS:
                    raise SourceFailed(
                        f"{expected.path} broke off after {digest.size} of {expected.size} bytes ({_reason(error)}); "
                        "the next try goes on from there"
                    ) from None
            else:
                staging.accept(digest)
                return

    def _receive(self, entry: Entry, digest: Digest, staging: Staging) -> Iterator[None]:
        """Let the part grow; yields after each block, with ``digest`` at the part's end."""
        import httpx2

        expected = digest.expected
        part, tag = staging.part(expected.path), staging.tag(expected.path)
        headers = {}
        if part.exists() and tag.exists() and 0 < part.stat().st_size < expected.size:
            headers = {"Range": f"bytes={part.stat().st_size}-", "If-Range": tag.read_text("utf-8")}
        response = self._send("GET", self._url(entry, expected.path), headers, away=True)
        try:
            if response.status_code == 416:
                part.unlink(missing_ok=True)
                raise httpx2.ReadError("it has no such part of the file")
            self._refuse(response, expected.path)
            if response.headers.get("content-encoding", "identity") != "identity":
                raise SourceFailed(f"{expected.path} comes compressed, which was not asked for")
            if _goes_on(response, headers):
                feed(digest, part)
                yield
            else:
                part.unlink(missing_ok=True)
            _remember(tag, response.headers.get("etag", ""))
            with part.open("ab") as file:
                for block in response.iter_raw():  # as it arrives: nothing is lost in a buffer when it breaks off
                    if digest.size + len(block) > expected.size:
                        digest.update(block)
                        return  # longer than it may be: its checksum is wrong already
                    file.write(block)
                    file.flush()
                    digest.update(block)
                    yield
        finally:
            response.close()

    def _url(self, entry: Entry, path: str) -> str:
        return f"{self._endpoint}/{entry.repo}/resolve/{quote(entry.revision, safe='')}/{quote(path)}"

    def _head(self, entry: Entry, path: str) -> httpx2.Response:
        return self._send("HEAD", self._url(entry, path), {}, away=False)

    def _send(self, method: str, url: str, headers: dict[str, str], *, away: bool) -> httpx2.Response:
        """Send, following redirects; to another origin only if ``away``, and then without the token."""
        import httpx2

        told: dict[str, str] = {}
        for _ in range(HOPS):
            sent = {"Accept-Encoding": "identity", "User-Agent": "sememe", **headers}
            if self._token and _origin(url) == _origin(self._endpoint):
                sent["Authorization"] = f"Bearer {self._token}"
            try:
                response = self._client.send(self._client.build_request(method, url, headers=sent), stream=True)
            except (httpx2.TransportError, httpx2.InvalidURL, ValueError) as error:
                if method == "GET" and isinstance(error, httpx2.TransportError):
                    raise
                raise SourceFailed(f"{_shown(url)} cannot be reached ({_reason(error)})") from None
            # The hub announces a large file in its own answer, before it points to where the bytes are.
            told = {**{k: v for k, v in response.headers.items() if k.startswith("x-linked-")}, **told}
            response.headers.update(told)
            place = response.headers.get("location")
            if response.status_code not in _REDIRECTS or place is None:
                break
            target = urljoin(url, place)
            if _origin(target) != _origin(self._endpoint) and not away:
                break
            response.close()
            if urlsplit(target).scheme not in ("https", urlsplit(url).scheme):
                raise SourceFailed(f"{_shown(url)} points to an unencrypted or strange address, {_shown(target)}")
            url = target
        else:
            raise SourceFailed(f"{self.shown} redirects in circles")
        if method == "HEAD":
            response.close()
        return response

    def _refuse(self, response: httpx2.Response, path: str) -> None:
        code = response.status_code
        if code in (200, 206) or (code in _REDIRECTS and "x-linked-etag" in response.headers):
            return
        meaning = _MEANING.get(code, "that is no answer to a download")
        if code == 401 and self._withheld:
            meaning = "a token is needed; HF_TOKEN was not sent, because the address is not https"
        raise SourceFailed(f"{self.shown} answered {code} for {path}: {meaning}")


def _announced(path: str, headers: httpx2.Headers) -> Expected:
    tag: str = headers.get("x-linked-etag") or headers.get("etag") or ""
    digest = tag.removeprefix("W/").strip('"').lower()
    size: str = headers.get("x-linked-size") or headers.get("content-length") or ""
    if not size.isdecimal() or len(size) > 15:
        raise SourceFailed(f"the hub announces no size for {path}")
    for algorithm, length in (("sha256", 64), ("git", 40)):
        if re.fullmatch(f"[0-9a-f]{{{length}}}", digest):
            return Expected(path, int(size), algorithm, digest, "hub")
    raise SourceFailed(f"neither the catalogue nor the hub knows a checksum for {path}")


def _goes_on(response: httpx2.Response, asked: dict[str, str]) -> bool:
    if response.status_code != 206:
        return False
    start = asked.get("Range", "").removeprefix("bytes=").removesuffix("-")
    found = re.match(r"bytes (\d+)-", response.headers.get("content-range", ""))
    if not start or found is None or found[1] != start:
        raise SourceFailed("the server sends another part of the file than was asked for")
    return True


def _remember(tag: Path, etag: str) -> None:
    # Only a strong tag promises the same bytes; without one a broken-off file starts again.
    if etag.startswith('"'):
        tag.write_text(etag, "utf-8")
    else:
        tag.unlink(missing_ok=True)


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    return parts.scheme, (parts.hostname or "").lower(), port


def _shown(url: str) -> str:
    """Scheme and host: no name, password, path or signed query."""
    parts = urlsplit(url)
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ""
    host = f"{parts.hostname or '?'}{port}"
    return host if parts.scheme == "https" else f"{parts.scheme}://{host}"


def _reason(error: Exception) -> str:
    words = {"ConnectTimeout": f"no answer within {CONNECT_SECONDS:.0f} s", "ReadTimeout": "it fell silent"}
    # Of an error's text only the first line, and never an address: it may hold a signature.
    text = re.sub(r"\S*://\S*", "…", str(error).split("\n")[0])[:120]
    return words.get(type(error).__name__, text or type(error).__name__)
