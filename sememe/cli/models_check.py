"""``sememe models check``: whether a model is what it should be."""

from __future__ import annotations

import click

from sememe.cli import options
from sememe.cli.output import opened, printable
from sememe.cli.session import Session

SIGNS = {"ok": "✔", "note": "·", "wrong": "✘", "left out": "-"}


@click.command("check")
@click.argument("model")
@click.option("--against", metavar="FILE", help="JSON or .npz with texts and the vectors that they must have.")
@click.option("--engine", metavar="NAME", help="Ask another program too: sentence-transformers.")
@options.formats("json")
@options.common
def check(session: Session, model: str, against: str | None, engine: str | None, form: str, out: str | None) -> int:
    """Whether a model is right: files, vectors, length, cuts, a reference. Exit code 1 if something is wrong."""
    from sememe.encoders.check import check_model

    now = session.settings
    how = {"precision": now.precision, "home": now.home, "offline": now.offline}
    report = check_model(model, against=against, engine=engine, **how)  # type: ignore[arg-type]
    with opened(out) as output:
        if form == "json":
            output.json(report.as_dict())
        else:
            for finding in report.findings:
                output.line(f"{SIGNS[finding.state]} {finding.about:<13} {printable(finding.said)}")
                if finding.do and finding.state != "ok":
                    output.line(f"  {'':<13} → {printable(finding.do)}")
    return 0 if report.ok else 1
