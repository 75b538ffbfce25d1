"""Every adaptor's store, empty, for each test of the contract."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from store_drill import ADAPTORS

from sememe.store.contract import Store
from tests.postgres_server import VARIABLE, NoServer, server_url


def ready(name: str) -> str:
    """The name of an adaptor whose server, if it needs one, runs; one for all tests."""
    if name == "postgres":
        try:
            os.environ[VARIABLE] = server_url()
        except NoServer as reason:
            pytest.skip(str(reason))
    return name


@pytest.fixture(params=sorted(ADAPTORS))
def adaptor(request: pytest.FixtureRequest) -> str:
    return ready(str(request.param))


@pytest.fixture
def open_store(adaptor: str, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Opens the test's store, again and again; the first time it is made."""
    opened: list[Store] = []

    def opener() -> Store:
        opened.append(ADAPTORS[adaptor](tmp_path / "store"))
        return opened[-1]

    yield opener
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    return open_store()
