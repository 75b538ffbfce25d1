"""Some hundred hostile requests: none makes the server fail, hang, or keep anything. Ten thousand: tests/slow."""

from __future__ import annotations

from pathlib import Path

import pytest

from sememe.server.serving import Limits
from tests.doors.hostile_requests import fire, hostile, storm
from tests.doors.served import serving, write_models
from tests.doors.test_server_gate import until

LIMITS = Limits(body=400_000, header_seconds=0.5, body_seconds=0.5)


def test_hostile_requests(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_models(tmp_path / "models")
    with serving(tmp_path / "models", tmp_path / "home", limits=LIMITS) as running:
        counted, failed = storm(running.port, hostile(400, seed=7))
        assert failed == []
        assert counted[200] > 20
        assert counted[400] > 100
        assert {404, 405, 413} <= set(counted)
        until(lambda: running.desk.held == 0)
        for one in running.desk.served:
            until(lambda one=one: one.queue.waiting == (0, 0))
        assert running.ask("/v1/embeddings", {"input": "the boat", "model": "tiny"}).status == 200
    assert [record.message for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []


def test_the_same_seed_gives_the_same_requests() -> None:
    assert hostile(50, seed=1) == hostile(50, seed=1) != hostile(50, seed=2)
    assert callable(fire)
