"""The servers that some adaptors need: one of each for all tests, also for those tests' child processes."""

from __future__ import annotations

import os

from tests import milvus_server, pinecone_server, postgres_server, qdrant_server

#: of an adaptor its module, which has ``server_url``, ``NoServer`` and the ``VARIABLE`` that children find it by
SERVERS = {"milvus": milvus_server, "pinecone": pinecone_server, "postgres": postgres_server, "qdrant": qdrant_server}


def ready(name: str) -> str:
    """The name of an adaptor, if the server or the library that it needs is there; otherwise the test is skipped."""
    if name in ("local-hnsw", "local-ivf"):
        import pytest

        pytest.importorskip("faiss", reason="FAISS is not installed")
    if name in SERVERS:
        import pytest

        server = SERVERS[name]
        try:
            os.environ[server.VARIABLE] = server.server_url()
        except server.NoServer as reason:
            pytest.skip(str(reason))
    return name


def addresses() -> dict[str, str]:
    """What a child's environment needs to find the servers that run."""
    variables = [server.VARIABLE for server in SERVERS.values()]
    return {name: os.environ[name] for name in variables if name in os.environ}
