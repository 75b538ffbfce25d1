"""A thousand sequences of calls to a store, each beside a dictionary and NumPy: after each call both say the same."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from test_stores import Machine

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("adaptor", ["local", "local-codes"])
def test_like_a_dictionary(adaptor: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if Path("/dev/shm").is_dir():
        monkeypatch.setattr(tempfile, "tempdir", "/dev/shm")  # a disk that need not be waited for
    chosen = request.getfixturevalue("seed")
    machine = seed(chosen)(type("Machine", (Machine,), {"adaptor": adaptor}))
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=500,
            stateful_step_count=25,
            derandomize=False,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
