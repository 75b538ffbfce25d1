"""The connection to PostgreSQL: opened when it is needed, one transaction at a time, and its errors in our words.

The only file that imports the driver, psycopg. A connection belongs to the process that made it: after a fork the child
makes its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sememe.errors import DataError, LockedError, SememeError, StoreError
from sememe.extras import require
from sememe.store.servers.address import Address


class Session:
    """Safe to share between threads, which then take turns. ``schema`` is quoted, ready for SQL."""

    def __init__(self, address: Address, *, timeout: float) -> None:
        self.address, self.timeout = address, timeout
        self.schema = f'"sememe_{address.collection}"'  # the name has no quotes in it: see address.NAME
        self._psycopg: Any = require("psycopg", extra="postgres", purpose="a store on PostgreSQL")
        self._turn = threading.RLock()
        self._connection: Any = None
        self._process = 0

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """A transaction that sees one committed state: a binary cursor."""
        with self._transaction() as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            with connection.cursor(binary=True) as cursor:
                yield cursor

    @contextmanager
    def writing(self) -> Iterator[Any]:
        """A transaction of the only writer; others wait ``timeout`` seconds. Readers wait for nobody.

        Raises:
            LockedError: another writer was not done in time.
        """
        with self._transaction() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{max(1, int(self.timeout * 1000))}ms"])
            cursor.execute(f"LOCK TABLE {self.schema}.manifest IN SHARE ROW EXCLUSIVE MODE")
            cursor.execute("SET LOCAL lock_timeout = 0")
            yield cursor

    @contextmanager
    def making(self) -> Iterator[Any]:
        """A transaction for making tables: one at a time in the whole database, whatever the collection."""
        with self._transaction() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('sememe'))")
            yield cursor

    @contextmanager
    def outside(self) -> Iterator[Any]:
        """A cursor outside of any transaction, for VACUUM."""
        with self._turn, self._explained(), self._opened().cursor() as cursor:
            yield cursor

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        with self._turn, self._explained():
            connection = self._opened()
            with connection.transaction():
                yield connection

    def _opened(self) -> Any:
        if self._process != os.getpid():
            # Of the parent's connection: closing it here would end it there.
            self._connection = None
        if self._connection is None or self._connection.closed:
            self._connection = self._psycopg.connect(
                self.address.url,
                autocommit=True,
                connect_timeout=max(2, int(self.timeout)),
                client_encoding="utf8",
                application_name="sememe",
                prepare_threshold=None,  # poolers between us and the server lose prepared statements
            )
            self._process = os.getpid()
        return self._connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        before = self._connection
        try:
            yield
        except self._psycopg.Error as error:
            # Without the driver's error as a cause: nobody knows what it quotes.
            raise self._explanation(error, reached=self._connection is not None, fresh=before is None) from None

    def _explanation(self, error: Any, *, reached: bool, fresh: bool) -> SememeError:
        shown, errors = self.address.shown, self._psycopg.errors
        said = ("PostgreSQL says", self.address.scrubbed(str(error.diag.message_primary or error) or "nothing"))
        connection = self._connection
        if connection is None or not reached:
            return StoreError(
                f"{shown} cannot be reached",
                why=[said],
                do=["see that the server runs, that host and port are right, and that the user may come in"],
            )
        if connection.closed:
            self._connection = None
            return StoreError(
                f"the connection to {shown} was lost",
                why=[said, "a change that was on its way may or may not have been kept"],
                do=["do it again: the next call connects anew, and putting the same again changes nothing"],
            )
        if isinstance(error, errors.LockNotAvailable):
            return LockedError(
                f"another process is writing to {shown}",
                why=[("waited", f"{self.timeout:g} s")],
                do=["try again when it is done, or wait longer (timeout=…)"],
            )
        if isinstance(error, (errors.UndefinedTable, errors.InvalidSchemaName)):
            return StoreError(f"{shown} is not there any more", why=[said], do=["open it again, or make it anew"])
        kind = DataError if isinstance(error, self._psycopg.DataError) else StoreError
        return kind(f"PostgreSQL did not do it; {shown} is as it was", why=[said])

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        with self._turn:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None
