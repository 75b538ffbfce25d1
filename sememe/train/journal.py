"""The journal of a run: a line of JSON for each epoch, written when it is over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sememe.train.options import Running


@contextmanager
def journal_of(running: Running) -> Iterator[Any]:
    """A function that writes one JSON line with what it is told, or does nothing."""
    if running.journal is None:
        yield lambda **known: None
        return
    running.journal.parent.mkdir(parents=True, exist_ok=True)
    with running.journal.open("a", encoding="utf-8") as file:

        def write(**known: object) -> None:
            file.write(json.dumps(known, ensure_ascii=False) + "\n")
            file.flush()

        yield write
