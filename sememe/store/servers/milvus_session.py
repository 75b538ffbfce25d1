"""The connection to Milvus: opened when it is needed, and the driver's errors in our words.

The only file that imports the driver, pymilvus. A connection belongs to the process that made it: after a fork the
child makes its own. Every question is asked with the consistency level "Strong", so it sees all that any client was
told is written.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from sememe.errors import DataError, SememeError, StoreError, UsageError
from sememe.extras import require
from sememe.store.servers.address import Address

#: most rows of one question, and bytes that are sent or fetched at once; Milvus's own limits are 16,384 and 64 MB
MOST, BYTES = 16_384, 16 << 20
#: bytes of one text (VARCHAR), numbers of one vector: Milvus's own limits
WIDEST_TEXT, NARROWEST, WIDEST = 65_535, 2, 32_768
#: error codes of Milvus: no such collection, and no such database
_GONE, _NO_DATABASE = 100, 800

Row = dict[str, Any]


class Session:
    """Safe to share between threads, which then take turns. ``items`` and ``log`` are the names of its collections."""

    def __init__(self, address: Address, *, timeout: float) -> None:
        self.address, self.timeout = address, timeout
        self.turn = threading.RLock()
        self._options = _options(address)
        self._driver: Any = _imported()
        self._client: Any = None
        self._process = 0
        plain = address.collection.replace("-", "D")  # Milvus's names have no hyphen, and ours no capitals
        self.items, self.log = f"sememe_{plain}_items", f"sememe_{plain}_log"

    def collections(self) -> set[str]:
        """The names of all of the database."""
        with self._asking() as client:
            return set(client.list_collections(timeout=self.timeout))

    def make(self, name: str, columns: Mapping[str, Any], indexes: Mapping[str, Any]) -> None:
        """A new collection: of each column its type and limits, of each index its kind."""
        types = self._driver.DataType
        with self._asking() as client:
            schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
            for column, given in columns.items():
                limits = {key: getattr(types, one) if key == "element_type" else one for key, one in given.items()}
                schema.add_field(column, getattr(types, limits.pop("type")), **limits)
            chosen = client.prepare_index_params()
            for column, index in indexes.items():
                chosen.add_index(column, **index)
            client.create_collection(
                name, schema=schema, num_shards=1, consistency_level="Strong", timeout=self.timeout
            )
            # Without waiting half a second for each: loading waits for them anyway.
            client.create_index(name, chosen, sync=False, timeout=self.timeout)
            client.load_collection(name, timeout=max(self.timeout, 60))

    def load(self, name: str) -> None:
        """Have the server keep it in memory, where it is searched."""
        with self._asking() as client:
            client.load_collection(name, timeout=max(self.timeout, 60))

    def remove(self, name: str) -> None:
        with self._asking() as client:
            client.drop_collection(name, timeout=self.timeout)

    def insert(self, name: str, rows: Sequence[Row]) -> None:
        """New rows in one request, which has to be below `BYTES`."""
        with self._asking() as client:
            client.insert(name, list(rows), timeout=self.timeout)

    def replace(self, name: str, row: Row) -> None:
        with self._asking() as client:
            client.upsert(name, [row], timeout=self.timeout)

    def delete(self, name: str, condition: str) -> None:
        with self._asking() as client:
            client.delete(name, filter=condition, timeout=self.timeout)

    def rows(self, name: str, condition: str, columns: Sequence[str], *, width: int = 1) -> Iterator[list[Row]]:
        """All rows that satisfy a condition by their number, some at a time, each of at most ``width`` bytes."""
        last, step = -1, max(1, min(MOST, 2 * BYTES // width))
        while True:
            with self._asking() as client:
                # "iterator" has the server answer in the order of the primary key, so that pages fit together.
                found = client.query(
                    name, filter=f"number > {last} and ({condition})", output_fields=["number", *columns],
                    limit=step, iterator="True", reduce_stop_for_best="True", consistency_level="Strong",
                    timeout=self.timeout,
                )  # fmt: skip
            if found:
                yield [dict(row) for row in found]
            if len(found) < step:
                return
            last = found[-1]["number"]

    def count(self, name: str, condition: str) -> int:
        with self._asking() as client:
            found = client.query(
                name, filter=condition, output_fields=["count(*)"], consistency_level="Strong", timeout=self.timeout
            )
        return int(found[0]["count(*)"])

    def near(
        self, query: Sequence[float], condition: str, k: int, params: Mapping[str, Any]
    ) -> list[tuple[int, float]]:
        """The ``k`` nearest items as pairs of number and cosine, in float32, best first."""
        with self._asking() as client:
            (found,) = client.search(
                self.items, data=[list(query)], anns_field="vector", filter=condition, limit=k,
                search_params={"metric_type": "COSINE", "params": dict(params)},
                consistency_level="Strong", timeout=self.timeout,
            )  # fmt: skip
        return [(int(hit["number"]), float(hit["distance"])) for hit in found]

    def compact(self) -> None:
        """Ask the server to join its files; it does so in its own time."""
        with self._asking() as client:
            for name in (self.items, self.log):
                client.compact(name, timeout=self.timeout)

    @contextmanager
    def _asking(self) -> Iterator[Any]:
        with self.turn:
            try:
                yield self._opened()
            except SememeError:
                raise
            except Exception as error:
                if not isinstance(error, (self._driver.MilvusException, *_grpc_errors())):
                    raise
                # Without the driver's error as a cause: nobody knows what it quotes.
                explained = self._explanation(error)
            else:
                return
        raise explained from None

    def _opened(self) -> Any:
        if self._process != os.getpid():
            self._client = None  # the parent's: closing it here could end it there
        if self._client is None:
            self._client = self._driver.MilvusClient(**self._options, timeout=self.timeout, dedicated=True)
            self._process = os.getpid()
        return self._client

    def _explanation(self, error: Any) -> SememeError:
        shown = self.address.shown
        said = ("Milvus says", self.address.scrubbed(str(getattr(error, "message", "") or error) or "nothing")[:500])
        if self._client is None:
            return StoreError(
                f"{shown} cannot be reached",
                why=[said],
                do=["see that the server runs, that host, port and database are right, and that the user may come in"],
            )
        code = getattr(error, "code", None)
        if code in (_GONE, _NO_DATABASE):
            return StoreError(f"{shown} is not there any more", why=[said], do=["open it again, or make it anew"])
        if isinstance(error, self._driver.exceptions.ParamError):
            return DataError(f"Milvus does not take that; {shown} is as it was", why=[said])
        return StoreError(
            f"Milvus did not do it, or did not say so in time: {shown}",
            why=[said, "a change that was on its way may or may not have been kept"],
            do=["do it again when the server answers: putting the same again changes nothing"],
        )

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        with self.turn:
            if self._client is not None and self._process == os.getpid():
                self._client.close()
            self._client = None


def _options(address: Address) -> dict[str, Any]:
    """What the driver wants to know. A password without a user is a token (an API key)."""
    parts = urlsplit(address.url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if strange := sorted(set(query) - {"secure"}):
        raise UsageError(
            f"an address of Milvus has no {', '.join(strange)}",
            do=[("write it like", "milvus://USER:PASSWORD@HOST:19530/DATABASE?collection=NAME&secure=true")],
        )
    if query.get("secure", "false") not in ("true", "false") or not parts.hostname or parts.path.count("/") > 1:
        raise UsageError(
            "this is no address of a Milvus server",
            why=[("got", address.shown)],
            do=[("write it like", "milvus://USER:PASSWORD@HOST:19530/DATABASE?collection=NAME&secure=true")],
        )
    scheme = "https" if query.get("secure") == "true" else "http"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    token = f"{user}:{password}" if user else password
    return {
        "uri": f"{scheme}://{host}:{parts.port or 19530}",
        "token": token,
        "db_name": unquote(parts.path.strip("/")) or "default",
    }


def _imported() -> Any:
    """The driver. It takes what a file ``.env`` above itself says into the environment, and writes every error to
    standard error: neither is its business here."""
    before = set(os.environ)
    driver = require("pymilvus", extra="milvus", purpose="a store on Milvus")
    for name in set(os.environ) - before:
        del os.environ[name]
    for name in ("pymilvus", "pymilvus.milvus_client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return driver


def _grpc_errors() -> tuple[type[Exception], ...]:
    grpc: Any = require("grpc", extra="milvus", purpose="a store on Milvus")
    return (grpc.RpcError, grpc.FutureTimeoutError)
