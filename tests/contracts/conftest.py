"""Every adaptor's store, empty, for each test of the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from drill_servers import ready
from store_drill import ADAPTORS

from sememe.store.contract import Store


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
