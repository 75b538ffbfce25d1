"""One way to open any store: a path is a store in a folder, an address is one on a server."""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from sememe.errors import UsageError
from sememe.store.contract import Store


@dataclass(frozen=True, slots=True)
class Server:
    """A kind of server: what its addresses look like after ``://``, the extra that brings its driver (none where no
    driver is needed), and the module in `sememe.store.servers` that has ``open_…`` and ``create_…`` of its name."""

    address: str
    extra: str | None
    module: str


_POSTGRES = Server("USER:PASSWORD@HOST:PORT/DATABASE?collection=NAME", "postgres", "postgres")
SERVERS = {
    "postgresql": _POSTGRES,
    "postgres": _POSTGRES,
    "milvus": Server("USER:PASSWORD@HOST:19530/DATABASE?collection=NAME", "milvus", "milvus"),
    "pinecone": Server("INDEX-HOST?namespace=NAME", None, "pinecone"),
    "qdrant": Server("HOST:6333?collection=NAME", None, "qdrant"),
}


def open_store(url_or_path: str | os.PathLike[str], *, timeout: float = 10.0) -> Store:
    """Open the store that a path or an address names.

    Args:
        url_or_path: a folder, or an address such as ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE?collection=NAME``
            or ``qdrant://HOST:6333?collection=NAME``.
        timeout: seconds to wait for the server, and for another writer.

    Raises:
        UsageError: an address of a kind that is not known, or that cannot be read.
        StoreError: there is no store, or its server cannot be reached.
        MissingExtraError: the server's driver is not installed.
    """
    server = _server(url_or_path)
    if server is None:
        from sememe.store.local import store as local

        return local.open_store(url_or_path, timeout=timeout)
    return cast(Store, _function("open", server)(str(url_or_path), timeout=timeout))


def create_store(
    url_or_path: str | os.PathLike[str],
    *,
    dim: int,
    manifest: Mapping[str, Any] | None = None,
    vectors: str = "float32",
    timeout: float = 10.0,
) -> Store:
    """Make an empty store where a path or an address says; see `open_store`.

    Args:
        dim: the width of its vectors.
        manifest: what is to be remembered about it: JSON values.
        vectors: how they are kept, in a folder: ``float32``, ``float16``, ``int8`` or ``binary``.

    Raises:
        StoreError: there is one already.
        UsageError: a server keeps vectors as float32 only.
    """
    server = _server(url_or_path)
    if server is None:
        from sememe.store.local import store as local

        return local.create_store(url_or_path, dim=dim, manifest=manifest, vectors=vectors, timeout=timeout)
    if vectors != "float32":
        raise UsageError(f"a store on a server keeps its vectors as float32, not as {vectors}")
    return cast(Store, _function("create", server)(str(url_or_path), dim=dim, manifest=manifest, timeout=timeout))


def _function(verb: str, server: Server) -> Any:
    module = importlib.import_module(f"sememe.store.servers.{server.module}")
    return getattr(module, f"{verb}_{server.module}")


def _server(url_or_path: str | os.PathLike[str]) -> Server | None:
    """What an address's scheme names, None for a path. A message quotes no more of it: it may hold a password."""
    scheme, mark, _ = os.fspath(url_or_path).partition("://")
    if not mark:
        return None
    scheme = scheme.lower()
    if scheme in SERVERS:
        return SERVERS[scheme]
    near = difflib.get_close_matches(scheme, SERVERS, n=1, cutoff=0.6)
    chosen = near[0] if near else "postgresql"
    server = SERVERS[chosen]
    do = [("did you mean" if near else "for a server", f"{chosen}://{server.address}")]
    if server.extra:
        do.append(("its driver is in the extra", f'pip install "sememe[{server.extra}]"'))
    raise UsageError(
        f"{scheme}:// is no kind of store that sememe knows",
        why=[("known", "a path, " + ", ".join(f"{one}://" for one in SERVERS))],
        do=do,
    )
