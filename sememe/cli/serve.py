"""``sememe serve``: encoders, rerankers and collections over HTTP."""

from __future__ import annotations

from pathlib import Path

import click

from sememe import settings as places
from sememe.cli import options
from sememe.cli.session import Session
from sememe.errors import DataError, UsageError
from sememe.extras import require


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; this machine only, by default.")
@click.option("--port", type=click.IntRange(0, 65535), default=8421, show_default=True, help="0 takes a free one.")
@click.option(
    "-m", "--model", "models", multiple=True, metavar="MODEL", help="An encoder; the first is the default one."
)
@click.option("--reranker", "rerankers", multiple=True, metavar="MODEL", help="A reranker.")
@click.option("--token-file", type=click.Path(), metavar="FILE", help="Ask for the token that stands in this file.")
@click.option("--token", envvar="SEMEME_SERVER_TOKEN", default="", metavar="TOKEN",
              help="Ask for this token; better in SEMEME_SERVER_TOKEN, where others do not see it.")  # fmt: skip
@click.option("--open-without-token", is_flag=True, help="Listen for other machines and let anybody ask.")
@click.option("--cors", "origins", multiple=True, metavar="ORIGIN", help="Let pages of this origin ask; * is all.")
@click.option("--token-ids", type=click.Choice(["guard", "trust", "reject"]), default="guard", show_default=True,
              help="Token ids as input: check that they are the encoder's own, take them, or take none.")  # fmt: skip
@click.option("--max-body", type=click.IntRange(1, 1000), default=10, show_default=True, metavar="MB",
              help="The largest body of a request.")  # fmt: skip
@click.option("--max-waiting", type=click.IntRange(1000), default=400_000, show_default=True, metavar="TOKENS",
              help="What may wait for an encoder; more is answered 429.")  # fmt: skip
@click.option("--timeout", type=click.FloatRange(0.1, 3600), default=30, show_default=True, metavar="SECONDS",
              help="How long the body of a request may take to arrive; its head, a third of that.")  # fmt: skip
@click.option("--dims", "set_dims", type=click.IntRange(0), metavar="N", help="Cut vectors to N numbers; 0 means all.")
@click.option("--precision", "set_precision", type=click.Choice(places.PRECISIONS), help="Of the arithmetic.")
@click.option("--threads", "set_threads", type=click.IntRange(0), metavar="N", help="0 means all cores.")
@options.common
def command(
    session: Session, host: str, port: int, models: tuple[str, ...], rerankers: tuple[str, ...], token: str,
    token_file: str | None, open_without_token: bool, origins: tuple[str, ...], token_ids: str, max_body: int,
    max_waiting: int, timeout: float,
) -> None:  # fmt: skip
    """Serve encoders, rerankers and collections over HTTP.

    The clients of OpenAI, Cohere, Ollama and Text Embeddings Inference know its routes. Ctrl-C finishes what is under
    way and stops.
    """
    for module in ("starlette", "uvicorn", "orjson"):
        require(module, extra="server", purpose="the server")
    from sememe.encoders.reranker import load_reranker
    from sememe.server.app import make_app
    from sememe.server.gate import Rules
    from sememe.server.listening import Listener, check_open
    from sememe.server.serving import Desk, Limits, ServedEncoder, ServedReranker

    token = _token(token_file) if token_file is not None else token
    rules = Rules(token, origins, check_open(host, token=token, open_without_token=open_without_token))
    now = session.settings
    body = max_body * 1_000_000
    limits = Limits(
        body=body,
        bodies=max(Limits().bodies, 4 * body),
        waiting_tokens=max_waiting,
        header_seconds=timeout / 3,
        body_seconds=timeout,
    )
    encoders = [session.encoder(name) for name in models or (now.model,)]
    for encoder in encoders:
        session.say_cut(encoder)
    desk = Desk(
        [ServedEncoder(encoder, token_ids=token_ids, limits=limits) for encoder in encoders],
        [
            ServedReranker(
                load_reranker(name, precision=now.precision, threads=now.threads, home=now.home, offline=now.offline),
                limits=limits,
            )
            for name in rerankers
        ],
        now,
        limits,
    )
    try:
        listener = Listener(make_app(desk, rules), limits, host=host, port=port)
        served = ", ".join(one.name for one in desk.served)
        session.talk.say(f"{served} at {listener.url}  (Ctrl-C stops)")
        listener.run()
    finally:
        desk.close()


def _token(file: str) -> str:
    try:
        token = Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise DataError(f"{file} cannot be read", why=[str(error)]) from None
    if not token or len(token.split()) != 1 or not token.isascii():
        raise UsageError(f"{file} holds no token", do=["write one word of ASCII into it"])
    return token
