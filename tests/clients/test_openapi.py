"""schemathesis on the OpenAPI document: requests that fit it, and no server error for any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.doors.served import serving, write_models

schemathesis = pytest.importorskip("schemathesis", reason="run by: make clients")

#: requests to each route
EXAMPLES = 20


def test_no_request_that_fits_is_a_server_error(tmp_path: Path) -> None:
    write_models(tmp_path / "models")
    with serving(tmp_path / "models", tmp_path / "home") as running:
        described = schemathesis.openapi.from_url(f"{running.url}/openapi.json")
        statuses: dict[str, set[int]] = {}
        for result in described.get_all_operations():
            operation = result.ok()
            statuses[operation.label] = set()
            asked(operation.as_strategy(), statuses[operation.label])
    assert len(statuses) == 27
    assert sum(200 in seen for seen in statuses.values()) > 10


def asked(cases: Any, seen: set[int]) -> None:
    """Send requests of ``cases``; what comes back is added to ``seen``."""

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=cases)
    def ask(case: Any) -> None:
        response = case.call(timeout=60)
        seen.add(response.status_code)
        assert response.status_code < 500, case.as_curl_command()

    ask()
