"""``sememe train``: vectors of words, learned from files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sememe.cli import options
from sememe.cli.session import Session
from sememe.cli.talk import duration
from sememe.errors import UsageError

if TYPE_CHECKING:
    from sememe.space.space import Space
    from sememe.train.corpus import Corpus
    from sememe.train.options import Running

Function = Callable[..., Any]


@click.group("train")
def command() -> None:
    """Learn vectors of words from files: word2vec, fasttext, glove, ppmi."""


def _reading(function: Function) -> Function:
    for option in (
        click.option("-o", "out", metavar="FILE", required=True, help="The vectors: .npz, .txt, .bin, .safetensors …"),
        click.option("--keep-case", is_flag=True, help="Do not make words lower case."),
        click.option("--spaces", is_flag=True, help="Words are what stands between spaces."),
        click.option("--field", default="text", show_default=True, metavar="NAME", help="Where JSON lines have texts."),
        click.argument("paths", nargs=-1, required=True, metavar="PATH..."),
    ):
        function = option(function)
    return function


def _model(dim: int, window: int, epochs: int | None) -> Callable[[Function], Function]:
    def decorate(function: Function) -> Function:
        if epochs is not None:
            function = click.option(
                "--epochs", type=click.IntRange(1), default=epochs, show_default=True, help="Times through it."
            )(function)
        for option in (
            click.option("--min-count", type=click.IntRange(1), default=5, show_default=True, help="Of a word."),
            click.option("--window", type=click.IntRange(1), default=window, show_default=True, help="Words a side."),
            click.option("--dim", type=click.IntRange(1), default=dim, show_default=True, help="Numbers of a vector."),
        ):
            function = option(function)
        return function

    return decorate


def _running(function: Function) -> Function:
    for option in (
        click.option("--journal", metavar="FILE", help="A JSON line for every epoch."),
        click.option("--seed", type=int, default=1, show_default=True, help="Of chance."),
        click.option("--threads", type=click.IntRange(0), default=0, metavar="N", help="0 means all cores."),
    ):
        function = option(function)
    return function


def _windows(function: Function) -> Function:
    for option in (
        click.option("--on", metavar="DIR", help="Go on from the checkpoint of a finished model."),
        click.option("--checkpoint", metavar="DIR", help="Keep the model after every epoch; go on from there."),
        click.option("--deterministic", is_flag=True, help="The same bits each time, also with many threads."),
        click.option("--rate", type=float, default=0.025, show_default=True, help="How far the first steps go."),
        click.option("--sample", type=float, default=0.001, show_default=True, help="Thins out frequent words."),
        click.option(
            "--negatives", type=click.IntRange(0), default=5, show_default=True, help="Noise; 0: hierarchical softmax."
        ),
        click.option("--cbow", is_flag=True, help="The words around predict the centre, together."),
    ):
        function = option(function)
    return function


@command.command("word2vec")
@_reading
@_model(100, 5, 5)
@_windows
@_running
@options.common
def word2vec(session: Session, **how: Any) -> None:
    """Skip-gram or CBOW, with negative sampling or hierarchical softmax."""
    from sememe.train.words import word2vec

    _learn(session, how, lambda texts, running: word2vec(texts, _options(how), running, on=_path(how["on"])))


@command.command("fasttext")
@_reading
@_model(100, 5, 5)
@_windows
@click.option("--parts", type=(int, int), default=(3, 6), show_default=True, help="Characters of a part of a word.")
@click.option("--buckets", type=click.IntRange(1), default=200_000, show_default=True, help="Rows that parts share.")
@_running
@options.common
def fasttext(session: Session, **how: Any) -> None:
    """Words and their parts; files keep the vectors of words, a checkpoint those of parts too."""
    from sememe.train.options import Parts
    from sememe.train.words import fasttext

    shortest, longest = how["parts"]
    parts = Parts(shortest=shortest, longest=longest, buckets=how["buckets"])
    if how["checkpoint"] is None:
        session.talk.warn("the vectors of parts of words are not in the file; --checkpoint DIR keeps them")
    _learn(session, how, lambda texts, running: fasttext(texts, _options(how, parts), running, on=_path(how["on"])))


@command.command("glove")
@_reading
@_model(100, 10, 15)
@click.option("--rate", type=float, default=0.05, show_default=True, help="How far the first steps go.")
@click.option("--full", type=float, default=10.0, show_default=True, help="Pairs seen so often weigh 1.")
@click.option("--memory", type=click.IntRange(1), default=512, show_default=True, metavar="MB", help="For counting.")
@_running
@options.common
def glove(session: Session, **how: Any) -> None:
    """Count pairs of words, then fit their logarithms."""
    from sememe.train.glove import GloveOptions, glove

    names = ("dim", "window", "epochs", "min_count", "rate", "full")
    given = GloveOptions(**{name: how[name] for name in names}, memory=how["memory"] << 20)
    _learn(session, how, lambda texts, running: glove(texts, given, running))


@command.command("ppmi")
@_reading
@_model(100, 5, None)
@click.option("--seed", type=int, default=1, show_default=True, help="Of chance.")
@options.common
def ppmi(session: Session, **how: Any) -> None:
    """Count pairs of words; the strongest directions of their mutual information."""
    from sememe.train.ppmi import PpmiOptions, ppmi_svd

    given = PpmiOptions(dim=how["dim"], window=how["window"], min_count=how["min_count"])
    _learn(session, how, lambda texts, running: ppmi_svd(texts, given, seed=how["seed"], progress=running.progress))


def _learn(session: Session, how: dict[str, Any], learn: Callable[[Corpus, Running], Space]) -> None:
    from sememe.space.formats.files import ENDINGS, write_space
    from sememe.train.corpus import corpus
    from sememe.train.options import Running

    out = Path(how["out"])
    if out.suffix not in ENDINGS:
        raise UsageError(f"no format is known for {out.name}", do=[("name one", " ".join(sorted(ENDINGS)))])
    texts = corpus(
        *how["paths"], field=how["field"], words="spaces" if how["spaces"] else "words", lower=not how["keep_case"]
    )
    running = Running(
        threads=how.get("threads") or os.cpu_count() or 1,
        seed=how["seed"],
        deterministic=how.get("deterministic", False),
        checkpoint=_path(how.get("checkpoint")),
        journal=_path(how.get("journal")),
        progress=session.talk.progress(),
    )
    began = time.perf_counter()
    space = learn(texts, running)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_space(space, out)
    seconds = duration(time.perf_counter() - began)
    session.talk.say(f"{len(space)} words of {space.dim} dims, {space.provenance['words']}, {seconds} → {out}")


def _options(how: dict[str, Any], parts: Any = None) -> Any:
    from sememe.train.options import Options

    names = ("dim", "window", "negatives", "epochs", "rate", "min_count", "sample")
    given = {name: how[name] for name in names}
    return Options(**given, architecture="cbow" if how["cbow"] else "skip-gram", parts=parts)


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)
