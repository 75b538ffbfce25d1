"""Hosted encoders: keys that nobody sees, the network that is forbidden, batches, limits, widths, and costs."""

from __future__ import annotations

import json
import logging
import socket
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sememe.encoders.contract import LongItemWarning
from sememe.encoders.load import load_encoder
from sememe.encoders.remote.estimate import MARGIN, estimating_tokenizer, head, windows
from sememe.encoders.remote.known import known, models
from sememe.encoders.remote.naming import PROVIDERS
from sememe.errors import MissingKeyError, OfflineError, SememeError, ServiceError, UsageError
from sememe.tokens.chunks import chunk
from tests.remote_server import KEY, PLACES, Mishap, RemoteServer, environment, serving

MODELS = {"bedrock": "amazon.titan-embed-text-v2:0", "gemini": "gemini-embedding-001", "jina": "jina-embeddings-v9"}


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMEME_CACHE_MODE", "off")
    for _, address, key in PLACES.values():
        monkeypatch.delenv(address, raising=False)
        monkeypatch.delenv(key, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RemoteServer]:
    with serving() as one:
        for provider in PROVIDERS:
            for name, value in environment(one, provider).items():
                monkeypatch.setenv(name, value)
        yield one


@pytest.fixture
def opened() -> Iterator[Any]:
    made = []

    def open_(name: str, **how: Any) -> Any:
        made.append(load_encoder(name, offline=how.pop("offline", False), **how))
        return made[-1]

    yield open_
    for encoder in made:
        encoder.close()


# --- keys


class Wire:
    """A progress that remembers what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def phase(self, name: str, *, total: int | None, unit: str) -> Any:
        raise AssertionError

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_key_is_in_no_repr_error_traceback_log_or_file(
    provider: str, server: RemoteServer, opened: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    wire = Wire()
    encoder = opened(f"{provider}:{MODELS.get(provider, 'm')}", home=tmp_path, progress=wire)
    seen = [repr(encoder), repr(encoder.service), repr(vars(encoder)), repr(vars(encoder.service)), *wire.notes]
    encoder._width = 0  # whatever the stand-in gives is taken
    encoder.encode(["a"])
    seen += [json.dumps(dict(encoder.describe())), encoder.fingerprint]
    told = {"message": f"the key {KEY} is wrong", "error": {"message": f"the key {KEY} is wrong"}}
    for mishap in (
        Mishap(401, json.dumps(told).encode()),
        Mishap(400, f"<p>{KEY}</p>".encode()),
        Mishap(body=f"no JSON: {KEY}".encode()),
        Mishap(cut=3),
    ):
        server.script.extend([mishap] * 9)
        encoder.service.clock = replace(encoder.service.clock, pause=lambda stop, wait: None)
        with pytest.raises(ServiceError) as caught:
            encoder.encode(["a"])
        server.script.clear()
        seen.append(str(caught.value))
        assert caught.value.__cause__ is None
        error: BaseException | None = caught.value
        seen += _shown(error, error.__traceback__.tb_next)  # but for this test's own frame, which knows the key
        while (error := error.__context__) is not None:
            seen += _shown(error, error.__traceback__)
    seen += [record.getMessage() for record in caplog.records]
    seen += [path.read_text("utf-8", "replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert not [text for text in seen if KEY in text]
    assert any("***" in text for text in seen)


def _shown(error: BaseException, trace: Any) -> list[str]:
    """A traceback with every local variable."""
    return list(traceback.TracebackException(type(error), error, trace, capture_locals=True).format(chain=False))


def test_a_key_does_not_go_where_only_the_name_says(server: RemoteServer, opened: Any) -> None:
    with serving(RemoteServer(key="")) as stranger:
        encoder = opened(f"openai:m@{stranger.url}/openai/v1")
        encoder.encode(["a"])
        assert "authorization" not in stranger.asked[0].headers
        assert KEY not in str(stranger.asked[0])
        assert server.asked == []
        encoder.close()


def test_an_address_of_the_environment_gets_it_also_when_the_name_says_the_same(
    server: RemoteServer, opened: Any
) -> None:
    opened(f"openai:m@{server.url}/openai/v1").encode(["a"])
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"


def test_who_is_not_let_in_is_told_how_a_key_may_go_there(server: RemoteServer, opened: Any) -> None:
    other = server.url.replace("127.0.0.1", "localhost")
    with pytest.raises(ServiceError, match="let us in") as caught:
        opened(f"openai:m@{other}/openai/v1").encode(["a"])
    assert "OPENAI_BASE_URL" in str(caught.value)


def test_no_key_goes_over_a_network_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://embed.example:8000/v1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(UsageError, match="in the clear") as caught:
        load_encoder("openai:m", offline=False)
    assert KEY not in str(caught.value)
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("OPENAI_BASE_URL", "user:pass@h")
    with pytest.raises(UsageError, match="OPENAI_BASE_URL is no address") as caught:
        load_encoder("openai:m", offline=False)
    assert "pass@" not in str(caught.value)


@pytest.mark.parametrize("provider", [one for one in PROVIDERS if one not in ("ollama", "tei", "azure")])
def test_without_its_key_nothing_begins(provider: str, no_sockets: None) -> None:
    with pytest.raises(MissingKeyError) as caught:
        load_encoder(f"{provider}:{MODELS.get(provider, 'm')}", offline=False)
    assert "not set" in str(caught.value)
    assert "export" in str(caught.value)
    assert caught.value.exit_code == 3


def test_azure_has_no_address_of_its_own(no_sockets: None) -> None:
    with pytest.raises(UsageError, match="no address") as caught:
        load_encoder("azure:m", offline=False)
    assert "AZURE_OPENAI_ENDPOINT" in str(caught.value)


# --- the network


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **how: Any) -> Any:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("provider", [one for one in PROVIDERS if one not in ("ollama", "tei", "azure")])
def test_offline_is_refused_before_a_socket_opens(provider: str, no_sockets: None) -> None:
    for name in (f"{provider}:{MODELS.get(provider, 'm')}", "ollama:m@http://embed.example:11434"):
        with pytest.raises(OfflineError, match="forbidden"):
            load_encoder(name, offline=True)
        with pytest.raises(OfflineError):
            load_encoder(name, offline=True, dims=7)


def test_the_environment_forbids_it_too(monkeypatch: pytest.MonkeyPatch, no_sockets: None) -> None:
    monkeypatch.setenv("SEMEME_OFFLINE", "1")
    with pytest.raises(OfflineError):
        load_encoder("openai:text-embedding-3-small")


def test_what_is_on_this_machine_is_no_network(server: RemoteServer, opened: Any) -> None:
    wire = Wire()
    assert opened("ollama:m", offline=True, progress=wire).encode(["a"]).shape == (1, 24)
    assert wire.notes == []


def test_where_texts_go_is_said(monkeypatch: pytest.MonkeyPatch, no_sockets: None) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    wire = Wire()
    load_encoder("openai:text-embedding-3-small", offline=False, progress=wire).close()
    assert wire.notes == ["openai:text-embedding-3-small: texts are sent to OpenAI, https://api.openai.com/v1"]


# --- batches and limits


def test_batches_hold_what_a_provider_takes_and_each_text_once(server: RemoteServer, opened: Any) -> None:
    texts = [f"text {n}" for n in range(250)]
    opened("cohere:m").encode(texts)
    sent = server.texts()
    assert [len(part) for part in sorted(sent, key=len)] == [58, 96, 96]
    assert sorted(text for part in sent for text in part) == sorted(texts)
    assert server.refused == []


def test_batches_hold_no_more_tokens_and_bytes_than_they_may(server: RemoteServer, opened: Any) -> None:
    encoder = opened("mistral:m?tokens=8000")
    texts = ["bank " * 2500, "é" * 5000, *["short"] * 20, "bank " * 2500]
    encoder.encode(texts, on_long="error")
    for part in server.texts():
        assert int(estimating_tokenizer().count(part).sum()) <= 12_000
    # Sixteen spaces are one token and sixteen bytes.
    server.asked.clear()
    opened("openai:m?tokens=40000").encode([" " * 600_000] * 3)
    assert [len(part) for part in server.texts()] == [1, 1, 1]


def test_what_is_too_long_is_refused_before_anything_is_sent(server: RemoteServer, opened: Any) -> None:
    with pytest.raises(SememeError, match="item 600 is longer"):
        opened("openai:m").encode([*["a"] * 600, "word " * 9000], on_long="error")
    assert server.asked == []


def test_an_empty_text_is_sent_as_a_space(server: RemoteServer, opened: Any) -> None:
    encoder = opened("openai:m")
    encoder.encode(["", " "])
    assert server.texts() == [[" ", " "]]
    assert encoder.describe()["empty texts"] == "sent as one space"


def test_half_a_character_is_sent_as_its_substitute(server: RemoteServer, opened: Any) -> None:
    opened("openai:m").encode(["a\ud800b", "\x00"])
    assert server.texts() == [["a\ufffdb", "\x00"]]


def test_prompts_stand_before_the_texts_and_before_each_window(server: RemoteServer, opened: Any) -> None:
    encoder = opened("ollama:nomic-embed-text:v1.5?tokens=40")
    encoder.encode(["a river"], role="query")
    encoder.encode(["boat " * 80], on_long="mean")
    sent = [text for part in server.texts() for text in part]
    assert sent[0] == "search_query: a river"
    assert len(sent) == 1 + 5
    assert all(text.startswith("search_document: ") for text in sent[1:])


# --- widths, names, fingerprints


def test_widths_are_asked_for_where_they_are_offered(server: RemoteServer, opened: Any) -> None:
    encoder = opened("openai:text-embedding-3-small", dims=256)
    assert (encoder.dim, encoder.describe()["cut"]) == (256, "256 of 1536 dims, by the provider")
    assert encoder.encode(["a"]).shape == (1, 256)
    assert server.asked[-1].body["dimensions"] == 256
    assert "cut" not in opened("openai:text-embedding-3-small", dims=1536).describe()
    assert opened("voyage:voyage-3.5", dims=2048).dim == 2048


def test_other_widths_are_cut_here_or_refused(server: RemoteServer, opened: Any) -> None:
    encoder = opened("voyage:voyage-3.5", dims=100)
    assert "not trained for it" in encoder.describe()["cut"]
    for name, dims in (("voyage:voyage-3.5", 1500), ("openai:text-embedding-ada-002", 2000)):
        with pytest.raises(UsageError, match="has no vectors of"):
            opened(name, dims=dims)


def test_no_fingerprint_for_two_things(server: RemoteServer, opened: Any) -> None:
    names = ["openai:m", "openai:n", "azure:m", "openai:m?tokens=99", f"openai:m@{server.url}/other", "cohere:m"]
    found = [opened(name).fingerprint for name in names]
    found += [opened("openai:text-embedding-3-small", dims=dims).fingerprint for dims in (0, 64, 65)]
    assert len(set(found)) == len(found)


def test_its_own_address_is_no_part_of_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    found = set()
    for region in ("us-east-1", "eu-central-1"):
        monkeypatch.setenv("AWS_REGION", region)
        encoder: Any = load_encoder("bedrock:amazon.titan-embed-text-v2:0", offline=False)
        assert encoder.service.place.address == f"https://bedrock-runtime.{region}.amazonaws.com"
        found.add(encoder.fingerprint)
    assert len(found) == 1
    monkeypatch.setenv("AWS_REGION", "evil.example/x")
    with pytest.raises(UsageError, match="AWS_REGION"):
        load_encoder("bedrock:amazon.titan-embed-text-v2:0", offline=False)


def test_the_table_of_models_is_whole() -> None:
    for provider in PROVIDERS:
        for model in models(provider):
            one = known(provider, model)
            assert one is not None
            assert one.dim > 0
            assert 128 <= one.tokens <= 200_000
            assert set(one.prompts) <= {"query", "document"}
            assert (one.price is None) == (one.seen == "")
            load = one.offers(one.dim) or not one.dims
            assert load
    assert known("bedrock", "eu.cohere.embed-v4:0") == known("bedrock", "cohere.embed-v4:0") != None  # noqa: E711
    assert known("openai", "nobody") is None
    plain, tagged = known("ollama", "nomic-embed-text"), known("ollama", "nomic-embed-text:v1.5")
    assert plain is not None
    assert tagged == replace(plain, dim=0)


# --- the estimate


def test_an_estimate_costs_nothing_and_says_its_date(server: RemoteServer, opened: Any) -> None:
    encoder = opened("openai:text-embedding-3-small")
    cost = encoder.estimate(["bank of the river"] * 1000)
    assert (cost.texts, cost.tokens) == (1000, 1000 * (2 + 1 + 1 + 2 + 3))
    assert cost.dollars == pytest.approx(9000 * 0.02 / 1e6)
    assert cost.seen in str(cost)
    assert "not known" in str(opened("openai:m").estimate(["a"]))
    assert server.asked == []


@pytest.mark.parametrize(
    ("text", "tokens"),
    {
        "": 0, " ": 0, "the bank": 3, "Bank": 2, "NASA": 2, "x1!": 3, "a  b": 3, "ä": 1, "日本": 4, "🙂": 3, "\n\n": 2,
        "internationalisation": 7, "QmFz": 2,
    }.items(),
    ids=repr,
)  # fmt: skip
def test_the_rule_of_the_estimate(text: str, tokens: int) -> None:
    assert estimating_tokenizer().count([text])[0] == tokens


def test_windows_and_heads_never_cut_a_character() -> None:
    text = "日本語🙂 word ä " * 40
    count = int(estimating_tokenizer().count([text])[0])
    for limit in (8, 9, 10, 11):
        parts = windows(text, limit)
        assert all(n <= limit for _, n in parts)
        assert sum(n for _, n in parts) == count
        assert "".join(part.replace(" ", "") for part, _ in parts) == text.replace(" ", "")
        start, n = head(text, limit)
        assert text.startswith(start)
        assert n <= limit
        assert int(estimating_tokenizer().count([start])[0]) == n


def test_chunks_are_cut_by_the_estimate(server: RemoteServer, opened: Any) -> None:
    encoder = opened("openai:m")
    found = chunk("A river has two banks. " * 200, encoder.tokenizer, size=64, overlap=8)
    assert len(found) > 10
    with warnings.catch_warnings():
        warnings.simplefilter("error", LongItemWarning)
        vectors = encoder.encode([one.text for one in found])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert encoder.max_tokens == int(512 * MARGIN)
