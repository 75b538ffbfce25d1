"""``python -m sememe`` is ``sememe``."""

from __future__ import annotations

from sememe.cli.main import main

main()
