"""``sememe models save``: a model as a folder of its own, which sentence-transformers opens too."""

from __future__ import annotations

from pathlib import Path

import click

from sememe.cli import options
from sememe.cli.output import opened
from sememe.cli.session import Session


@click.command("save")
@click.argument("model")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--dims", "set_dims", type=click.IntRange(0), metavar="N", help="Cut vectors to N numbers; 0 means all.")
@options.common
def save(session: Session, model: str, folder: Path) -> None:
    """Write a model to a folder that sentence-transformers opens, with the same vectors. Prints the folder."""
    from sememe.encoders.save import save_encoder

    encoder = session.encoder(model)
    session.say_cut(encoder)
    made = save_encoder(encoder, folder)
    session.talk.say(f"✔ saved {encoder.name}, {encoder.dim} dims; opened again, it gives the same vectors")
    with opened(None) as output:
        output.line(str(made))
