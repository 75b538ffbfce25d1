"""One way to open any store: a path is a store in a folder, an address is one on a server."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from typing import Any

from sememe.errors import UsageError
from sememe.store.contract import Store

#: the schemes of addresses, each with the extra that brings its driver
SCHEMES = {"postgresql": "postgres", "postgres": "postgres"}


def open_store(url_or_path: str | os.PathLike[str], *, timeout: float = 10.0) -> Store:
    """Open the store that a path or an address names.

    Args:
        url_or_path: a folder, or ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE?collection=NAME``.
        timeout: seconds to wait for the server, and for another writer.

    Raises:
        UsageError: an address of a kind that is not known, or that cannot be read.
        StoreError: there is no store, or its server cannot be reached.
        MissingExtraError: the server's driver is not installed.
    """
    if _scheme(url_or_path) is None:
        from sememe.store.local import store as local

        return local.open_store(url_or_path, timeout=timeout)
    from sememe.store.servers.postgres import open_postgres

    return open_postgres(str(url_or_path), timeout=timeout)


def create_store(
    url_or_path: str | os.PathLike[str],
    *,
    dim: int,
    manifest: Mapping[str, Any] | None = None,
    timeout: float = 10.0,
) -> Store:
    """Make an empty store where a path or an address says; see `open_store`.

    Args:
        dim: the width of its vectors.
        manifest: what is to be remembered about it: JSON values.

    Raises:
        StoreError: there is one already.
    """
    if _scheme(url_or_path) is None:
        from sememe.store.local import store as local

        return local.create_store(url_or_path, dim=dim, manifest=manifest, timeout=timeout)
    from sememe.store.servers.postgres import create_postgres

    return create_postgres(str(url_or_path), dim=dim, manifest=manifest, timeout=timeout)


def _scheme(url_or_path: str | os.PathLike[str]) -> str | None:
    """The scheme of an address, None for a path. The message quotes no more of it: it may hold a password."""
    scheme, mark, _ = os.fspath(url_or_path).partition("://")
    if not mark:
        return None
    scheme = scheme.lower()
    if scheme in SCHEMES:
        return scheme
    near = difflib.get_close_matches(scheme, SCHEMES, n=1, cutoff=0.6)
    chosen = near[0] if near else "postgresql"
    raise UsageError(
        f"{scheme}:// is no kind of store that sememe knows",
        why=[("known", "a path, " + ", ".join(f"{one}://" for one in SCHEMES))],
        do=[
            (
                "did you mean" if near else "for a server",
                f"{chosen}://USER:PASSWORD@HOST:PORT/DATABASE?collection=NAME",
            ),
            ("its driver is in the extra", f'pip install "sememe[{SCHEMES[chosen]}]"'),
        ],
    )
