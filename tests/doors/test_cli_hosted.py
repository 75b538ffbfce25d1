"""Hosted encoders and the memory of vectors, at the command line: what is said, what is sent, and what is not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.doors.conftest import Run
from tests.remote_server import KEY, RemoteServer, environment, serving


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[RemoteServer, Mapping[str, str]]]:
    with serving() as server:
        yield (
            server,
            environment(server, "openai") | {"SEMEME_HOME": str(tmp_path / "home"), "SEMEME_MODEL": "openai:m"},
        )


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    for name in ("river", "money", "bread"):
        (folder / f"{name}.md").write_text(f"# {name}\n\nA note about the {name} and the bank.\n", "utf-8")
    return folder


def test_index_and_search_with_a_hosted_encoder(
    run: Run, served: tuple[RemoteServer, Mapping[str, str]], notes: Path
) -> None:
    server, env = served
    done = run("index", str(notes), "-c", "notes", env=env)
    assert done.code == 0, done.err
    assert len([text for part in server.texts() for text in part if "note about" in text]) == 3
    server.asked.clear()
    found = run("search", "A note about the river and the bank.", "-c", "notes", "--json", env=env)
    assert found.code == 0, found.err
    assert json.loads(found.out)["hits"][0]["text"].startswith("# river")
    assert KEY not in done.out + done.err + found.out + found.err
    home = Path(env["SEMEME_HOME"])
    assert not [path for path in home.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    # The same question again, and everything anew, are paid for already.
    server.asked.clear()
    assert run("search", "A note about the river and the bank.", "-c", "notes", env=env).code == 0
    assert run("index", str(notes), "-c", "notes", "--rebuild", env=env).code == 0
    assert [text for part in server.texts() for text in part if text != "width"] == []


def test_a_collection_remembers_the_width_that_was_asked_for(
    run: Run, served: tuple[RemoteServer, Mapping[str, str]], notes: Path
) -> None:
    server, env = served
    done = run("index", str(notes), "-c", "n", "-m", "openai:text-embedding-3-small", "--dims", "16", env=env)
    assert done.code == 0, done.err
    found = run("search", "the river", "-c", "n", "--json", env=env)
    assert found.code == 0, found.err
    assert {asked.body["dimensions"] for asked in server.asked} == {16}


def test_a_dry_run_sends_nothing_and_says_the_cost(
    run: Run, served: tuple[RemoteServer, Mapping[str, str]], notes: Path
) -> None:
    server, env = served
    done = run("index", str(notes), "-m", "openai:text-embedding-3-small", "-c", "n", "--dry-run", env=env)
    assert done.code == 0, done.err
    assert "cost     at most about $0.00 for" in done.out
    assert "by the list of 20" in done.out
    assert server.asked == []


def test_offline_and_without_a_key_nothing_is_sent(run: Run, tmp_path: Path) -> None:
    env = {"SEMEME_HOME": str(tmp_path), "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": ""}
    done = run("embed", "--offline", "-m", "openai:text-embedding-3-small", "a", env=env)
    assert (done.code, done.out) == (3, "")
    assert "the network was forbidden" in done.err
    done = run("embed", "-m", "openai:text-embedding-3-small", "a", env=env | {"OPENAI_API_KEY": ""})
    assert (done.code, done.out) == (3, "")
    assert "OPENAI_API_KEY is not set" in done.err
    assert KEY not in done.err


def test_info_says_what_is_known_and_asks_nobody(run: Run, tmp_path: Path) -> None:
    env = {"SEMEME_HOME": str(tmp_path), "OPENAI_API_KEY": KEY, "SEMEME_OFFLINE": "1"}
    done = run("models", "info", "openai:text-embedding-3-small", "--json", env=env)
    facts = json.loads(done.out)
    assert (facts["dim"], facts["key"]) == ("1536", "OPENAI_API_KEY is set")
    assert KEY not in done.out + done.err
    done = run("models", "info", "openai:text-embedding-3-small", env=env)
    assert "dim             1536" in done.out
    done = run("models", "info", "tei:m@https://embed.invalid", "--json", env=env)
    assert json.loads(done.out)["service"] == "Text Embeddings Inference at https://embed.invalid"
    done = run("doctor", env=env | {"SEMEME_MODEL": "openai:text-embedding-3-small"})
    assert "is hosted, and nothing is sent" in done.out


def test_cache_info_and_clear(run: Run, served: tuple[RemoteServer, Mapping[str, str]]) -> None:
    server, env = served
    assert run("cache", "info", env=env).out.splitlines()[1] == "vectors  0"
    first = run("embed", "a", "b", "a", env=env)
    assert first.code == 0, first.err
    again = run("embed", "b", "a", env=env)
    assert again.out.splitlines() == first.out.splitlines()[1::-1]
    assert [sorted(part) for part in server.texts() if part != ["width"]] == [["a", "b"]]
    facts = json.loads(run("cache", "info", "--json", env=env).out)
    assert (facts["vectors"], facts["mode"]) == (2, "auto")
    refused = run("cache", "clear", env=env)
    assert refused.code == 2
    assert "forget 2 vectors" in refused.err
    assert run("cache", "clear", "--yes", env=env).code == 0
    assert json.loads(run("cache", "info", "--json", env=env).out)["vectors"] == 0
    assert run("embed", "a", env=env | {"SEMEME_CACHE_MODE": "off"}).code == 0
    assert json.loads(run("cache", "info", "--json", env=env).out)["vectors"] == 0
