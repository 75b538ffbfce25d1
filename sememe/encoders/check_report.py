"""What a check of a model has found, one line a question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

STATES = ("ok", "note", "wrong", "left out")


@dataclass(frozen=True, slots=True)
class Finding:
    """One question. ``state`` is ``ok``, ``note`` (worth knowing), ``wrong`` or ``left out`` (not looked at); ``do`` is
    what helps."""

    about: str
    state: str
    said: str
    do: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All findings on one model, in the order of their questions."""

    model: str
    folder: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not any(finding.state == "wrong" for finding in self.findings)

    def of(self, about: str) -> Finding:
        """The first finding on that question that is wrong, else the first."""
        found = [finding for finding in self.findings if finding.about == about]
        return next((finding for finding in found if finding.state == "wrong"), found[0])

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        keys = ("about", "state", "said", "do")
        rows = [{key: getattr(finding, key) for key in keys} for finding in self.findings]
        return {"model": self.model, "folder": self.folder, "ok": self.ok, "findings": rows}
