"""What the contract test of stores runs on: adaptors, small records, and children that write or read until told."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from vector_twins import kept_by

from sememe.shapes import Place, Record, Vectors
from sememe.store.contract import Store

DIM = 4
WORDS = ("river", "bank", "money", "water", "stone", "house", "boat", "loan")


def local(folder: Path) -> Store:
    """The store in a folder, made if it is not there."""
    from sememe.store.local.store import create_store, open_store

    if (folder / "records.sqlite").exists():
        return open_store(folder, timeout=30)
    return create_store(folder, dim=DIM, manifest={"encoder": "letters"}, timeout=30)


def local_codes(folder: Path) -> Store:
    """The same store, which keeps codes from its first vector on."""
    from sememe.store.local.store import LocalStore

    local(folder).close()
    return LocalStore(folder, timeout=30, read_only=None, coded=0)


def local_index(kind: str) -> Callable[[Path], Store]:
    """The same store, which finds its vectors by an index of FAISS from the first on."""

    def opened(folder: Path) -> Store:
        from sememe.store.local.store import LocalStore, create_store

        if not (folder / "records.sqlite").exists():
            create_store(folder, dim=DIM, manifest={"encoder": "letters"}, index=kind, timeout=30).close()
        return LocalStore(folder, timeout=30, read_only=None, coded=0)

    return opened


def local_of(kind: str) -> Callable[[Path], Store]:
    """The same store, which keeps its vectors as a smaller type."""

    def opened(folder: Path) -> Store:
        from sememe.store.local.store import create_store

        if (folder / "records.sqlite").exists():
            return local(folder)
        return create_store(folder, dim=DIM, manifest={"encoder": "letters"}, vectors=kind, timeout=30)

    return opened


def postgres(folder: Path) -> Store:
    """The store in a schema of its own, made if it is not there; the folder is no more than its name."""
    from sememe.errors import StoreError
    from sememe.shapes import content_hash
    from sememe.store.servers.postgres import create_postgres, open_postgres
    from tests.postgres_server import server_url

    url = f"{server_url()}&collection=t{content_hash(str(folder))[:20]}"
    try:
        store = open_postgres(url, timeout=30)
    except StoreError:
        return create_postgres(url, dim=DIM, manifest={"encoder": "letters"}, timeout=30)
    store.delete([])  # waits for the server to end what a killed client had begun
    return store


def qdrant(folder: Path) -> Store:
    """The store in a collection of its own, made if it is not there; the folder is no more than its name."""
    from sememe.errors import StoreError
    from sememe.shapes import content_hash
    from sememe.store.servers.qdrant import create_qdrant, open_qdrant
    from tests import qdrant_server

    url = f"{qdrant_server.server_url()}?collection=t{content_hash(str(folder))[:20]}"
    try:
        store = open_qdrant(url, timeout=30)
    except StoreError:
        return create_qdrant(url, dim=DIM, manifest={"encoder": "letters"}, timeout=30)
    store.delete([])  # takes over from a client that was killed: what is still on its way from it counts no more
    return store


def pinecone(folder: Path) -> Store:
    """The store in a namespace of its own, made if it is not there; the folder is no more than its name."""
    from sememe.errors import StoreError
    from sememe.shapes import content_hash
    from sememe.store.servers.pinecone import create_pinecone, open_pinecone
    from tests.pinecone_server import server_url

    url = f"{server_url()}?namespace=t{content_hash(str(folder))[:20]}"
    try:
        return open_pinecone(url, timeout=30)
    except StoreError:
        return create_pinecone(url, dim=DIM, manifest={"encoder": "letters"}, timeout=30)


def milvus(folder: Path) -> Store:
    """The store in collections of its own, made if it is not there; the folder is no more than its name."""
    from sememe.errors import StoreError
    from sememe.shapes import content_hash
    from sememe.store.servers.milvus import create_milvus, open_milvus
    from sememe.store.servers.milvus_change import abandoned
    from tests.milvus_server import server_url

    url = f"{server_url()}?collection=t{content_hash(str(folder))[:20]}"
    try:
        store = open_milvus(url, timeout=30)
    except StoreError:
        return create_milvus(url, dim=DIM, manifest={"encoder": "letters"}, timeout=30)
    if abandoned(store._session):
        store.delete([])  # ends what a killed client had begun
    return store


#: an adaptor is one line: its name, and how its store is opened (and made, if it is not there)
ADAPTORS: dict[str, Callable[[Path], Store]] = {
    "local": local,
    "local-codes": local_codes,
    "local-hnsw": local_index("hnsw"),
    "local-ivf": local_index("ivf"),
    "milvus": milvus,
    "local-float16": local_of("float16"),
    "local-int8": local_of("int8"),
    "local-binary": local_of("binary"),
    "pinecone": pinecone,
    "postgres": postgres,
    "qdrant": qdrant,
}


def record(text: str = "", *, source: str = "a.txt", title: str = "", item: str = "", **meta: Any) -> Record:
    """A record with the hash of its text."""
    from sememe.shapes import content_hash

    return Record(text, Place(source, 1, 2), title, item, (0, len(text)), content_hash(text), meta)


def vectors(*rows: tuple[float, ...]) -> Vectors:
    return np.array(rows, np.float32).reshape(-1, DIM)


def vector_of(number: int) -> Vectors:
    """A vector that tells its number: whoever reads it back can see whether it is torn or someone else's."""
    return np.random.default_rng(number).standard_normal(DIM).astype(np.float32)


def text_of(number: int) -> str:
    return " ".join(WORDS[number >> shift & 7] for shift in (0, 3, 6)) + f" n{number}"


def write_until_killed(store: Store) -> None:
    """Put, replace, delete and compact, and print each thing once it is acknowledged."""
    number = 0
    while True:
        ids = [f"i{(number + i) % 97}" for i in range(5)]
        numbers = [number + i for i in range(5)]
        store.put(
            ids,
            np.stack([vector_of(n) for n in numbers]),
            [record(text_of(n), number=n) for n in numbers],
            sources={f"s{number}": str(number)},
        )
        print("put", *(f"{id}={n}" for id, n in zip(ids, numbers, strict=True)), flush=True)
        number += 5
        if number % 3 == 0:
            gone = f"i{number % 89}"
            print("dropping", gone, flush=True)
            store.delete([gone])
            print("dropped", gone, flush=True)
        if number % 40 == 0:
            store.compact()
        if number % 25 == 0 and "words" in store.capabilities:
            store.search(None, 3, words=["river"], mode="words")


def read_until_told(store: Store, adaptor: str) -> None:
    """Ask, and compare each answer with the number that it is made of; say when it was often enough, and go on until
    standard input ends."""
    told = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), told.set()), daemon=True).start()
    modes = [mode for mode in ("dense", "words", "hybrid") if mode in store.capabilities]
    for asked in itertools.count():
        if asked == 30:
            print("enough", flush=True)
        if told.is_set():
            break
        query = vector_of(asked)
        (hits,) = store.search(query[np.newaxis], 10, words=["river bank"], mode=modes[asked % len(modes)])
        for hit in hits:
            number = int(str(hit.meta["number"]))
            assert hit.text == text_of(number)
            if "cosine" in hit.scores:
                there = kept_by(adaptor, vector_of(number))
                right = there.astype(np.float64) @ query
                right /= np.linalg.norm(there) * np.linalg.norm(query)
                assert abs(hit.scores["cosine"] - right) < 1e-5
        assert list(hits.scores) == sorted(hits.scores, reverse=True)
        assert len(set(hits.ids)) == len(hits)


if __name__ == "__main__":
    with ADAPTORS[sys.argv[2]](Path(sys.argv[3])) as opened:  # type: ignore[attr-defined]
        if sys.argv[1] == "write":
            write_until_killed(opened)
        else:
            read_until_told(opened, sys.argv[2])
