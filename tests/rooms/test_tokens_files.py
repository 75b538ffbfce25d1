"""Tokenizer files: every layout that can be read, every way they can be broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokens_tiny import backend, tiny, write

from sememe.errors import ModelError
from sememe.tokens import files
from sememe.tokens.tokenizer import Tokenizer

VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "##s", "Cat", "cafe", "é", "\u200b", "!"]


def _described(**changes: object) -> dict:
    return {**json.loads(backend("wordpiece").to_str()), **changes}


def test_truncation_padding_and_layout_of_the_file_change_nothing(tmp_path: Path) -> None:
    with_limits = backend("wordpiece")
    with_limits.enable_truncation(4)
    with_limits.enable_padding(length=50, pad_id=3, pad_token="[SEP]")
    write(tmp_path, json.dumps(json.loads(with_limits.to_str()), indent=7))
    loaded, plain = Tokenizer.load(tmp_path), tiny("wordpiece")
    text = "the boat lay at the bank of the river"
    assert loaded.ids([text]) == plain.ids([text])
    assert len(loaded.ids([text])[0]) > 4
    assert loaded.fingerprint == plain.fingerprint
    assert loaded.pad_id == 3


def test_whatever_changes_an_id_changes_the_fingerprint(tmp_path: Path) -> None:
    described = _described()
    described["normalizer"]["lowercase"] = False
    assert Tokenizer.load(write(tmp_path, json.dumps(described))).fingerprint != tiny("wordpiece").fingerprint


def test_the_file_itself_can_be_named(tmp_path: Path) -> None:
    write(tmp_path, backend("bytes").to_str())
    assert Tokenizer.load(tmp_path / "tokenizer.json").fingerprint == Tokenizer.load(tmp_path).fingerprint


@pytest.mark.parametrize("token", ["[MASK]", {"content": "[MASK]", "lstrip": False}])
def test_the_configuration_names_the_padding(tmp_path: Path, token: object) -> None:
    write(tmp_path, backend("wordpiece").to_str())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"pad_token": token}))
    assert Tokenizer.load(tmp_path).pad_id == 4


def test_vocab_size_is_one_more_than_the_greatest_id(tmp_path: Path) -> None:
    described = {"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0, "b": 900}, "merges": []}}
    assert Tokenizer.load(write(tmp_path, json.dumps(described))).vocab_size == 901


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "not valid JSON"),
        (json.dumps(_described())[:700], "not valid JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("[]", "no model section"),
        ("null", "no model section"),
        ('{"model": 3}', "no model section"),
        ('{"version": "1.0", "model": {}}', "not a usable tokenizer"),
        ('{"version": "1.0", "model": {"type": "BPE", "vocab": {}, "merges": []}}', "vocabulary is empty"),
        ('{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}', "out of vocabulary"),
        ('{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 4294967295}, "merges": []}}', "greatest id"),
        ('{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}}', "not a usable tokenizer"),
        (json.dumps(_described(post_processor={"type": "TemplateProcessing"})), "not a usable tokenizer"),
        ('{"model": ' + "9" * 5000 + "}", "not valid JSON"),
    ],
)
def test_a_broken_file_is_named_with_its_reason(tmp_path: Path, content: str, reason: str) -> None:
    with pytest.raises(ModelError) as raised:
        Tokenizer.load(write(tmp_path, content))
    assert str(tmp_path / "tokenizer.json") in str(raised.value)
    assert reason in str(raised.value)
    assert raised.value.do


@settings(deadline=None)
@given(
    st.binary(max_size=200) | st.text(max_size=60).map(lambda text: f'{{"model": {text}}}'.encode("utf-8", "replace"))
)
def test_junk_is_a_model_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("junk")
    (folder / "tokenizer.json").write_bytes(content)
    with pytest.raises(ModelError):
        Tokenizer.load(folder)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "tokenizer.json").open("wb") as file:
        file.truncate(files.MOST_BYTES + 1)
    with pytest.raises(ModelError, match="too large") as raised:
        Tokenizer.load(tmp_path)
    assert "268.4 MB" in str(raised.value)


@pytest.mark.parametrize("content", ["[]", "{", "\udcff"])
def test_a_broken_configuration_is_named(tmp_path: Path, content: str) -> None:
    write(tmp_path, backend("bytes").to_str())
    (tmp_path / "tokenizer_config.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelError, match=r"tokenizer_config\.json"):
        Tokenizer.load(tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no tokenizer") as raised:
        Tokenizer.load(tmp_path / "absent")
    assert "does not exist" in str(raised.value)
    with pytest.raises(ModelError, match="has no tokenizer"):
        Tokenizer.load(tmp_path)


def test_files_of_slow_tokenizers_are_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "spiece.model").write_bytes(b"\x00")
    with pytest.raises(ModelError, match=r"no tokenizer\.json") as raised:
        Tokenizer.load(tmp_path)
    assert "spiece.model" in str(raised.value)
    assert "save_pretrained" in str(raised.value)


def _bert(folder: Path, *, lines: list[str] = VOCAB, **config: object) -> Path:
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def test_an_old_bert_is_built_from_its_vocabulary(tmp_path: Path) -> None:
    built = Tokenizer.load(_bert(tmp_path, do_lower_case=True))
    assert built.encode(["The CATS, café!"])[0].pieces == ("[CLS]", "the", "cat", "##s", "[UNK]", "cafe", "!", "[SEP]")
    assert (built.prefix, built.suffix, built.pad_id, built.vocab_size) == ((2,), (3,), 0, len(VOCAB))
    assert built.decode(built.ids(["the cats"])[0]) == "the cats"


def test_an_old_bert_that_keeps_case(tmp_path: Path) -> None:
    built = Tokenizer.load(_bert(tmp_path, do_lower_case=False))
    assert built.encode(["the Cat"])[0].pieces[1:-1] == ("the", "Cat")
    lower = Tokenizer.load(_bert(tmp_path, do_lower_case=True))
    assert lower.fingerprint != built.fingerprint


def test_a_vocabulary_line_may_hold_any_character_but_a_newline(tmp_path: Path) -> None:
    lines = [*VOCAB[:4], "a\u2028b", "\x85", "word"]
    assert Tokenizer.load(_bert(tmp_path, lines=lines)).id("word") == 6


def test_a_vocabulary_of_another_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no tokenizer\.json") as raised:
        Tokenizer.load(_bert(tmp_path, tokenizer_class="MPNetTokenizer"))
    assert "MPNetTokenizer" in str(raised.value)
    with pytest.raises(ModelError, match="not the vocabulary of a BERT") as raised:
        Tokenizer.load(_bert(tmp_path, lines=["a", "b"]))
    assert "[UNK], [CLS], [SEP]" in str(raised.value)
    (tmp_path / "vocab.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ModelError, match="not UTF-8"):
        Tokenizer.load(tmp_path)
