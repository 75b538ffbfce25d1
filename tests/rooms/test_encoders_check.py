"""A model that is right, and the same with one fault planted: the check names it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sememe.cli.main import main
from sememe.encoders import check_vectors
from sememe.encoders.check import check_model
from sememe.encoders.check_reference import NEAR, read_reference
from sememe.encoders.check_report import Report
from sememe.encoders.load import load_encoder
from sememe.encoders.save import save_encoder
from sememe.encoders.transformer import TransformerEncoder
from sememe.errors import DataError, MissingModelError, UsageError
from sememe.models.tensors import write_tensors
from sememe.models.weights import Weights
from tests import tiny_bert

TEXTS = ["the boat", "bank of river", "a cat and a dog", "the moon", "water money house stone bread cat dog moon at of"]
LONG = " ".join(["moon", "cat"] * 30)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder that is right, with its reference; 24 tokens of 64 positions."""
    made = tiny_bert.write(tmp_path / "made", prompts={"query": "house ", "document": ""}, limit=24)
    encoder = load_encoder(made, precision="f32", threads=1, home=tmp_path, offline=True, dims=0)
    return save_encoder(encoder, tmp_path / "model")


def reference(model: Path, texts: list[str], *, role: str = "document") -> Path:
    """What the folder gives now, as a file beside it."""
    encoder = load_encoder(model, precision="f32", threads=1, home=model.parent, offline=True, dims=0)
    file = model.parent / f"{role}.npz"
    np.savez(file, texts=np.array(texts), vectors=encoder.encode(texts, role=role, on_long="cut"), role=np.array(role))
    return file


def checked(model: Path, **how: Any) -> Report:
    return check_model(model, home=model.parent, offline=True, precision="f32", **how)


def edit(file: Path, change: Callable[[Any], Any]) -> None:
    value = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps(change(value) or value), "utf-8")


def swap(model: Path, one: str, other: str) -> None:
    with Weights.open(model) as weights:
        arrays = {name: weights(name).copy() for name in weights}
    arrays[one], arrays[other] = arrays[other], arrays[one]
    write_tensors(model / "model.safetensors", arrays)


def test_what_is_right_is_found_right(model: Path) -> None:
    for role in ("document", "query"):
        report = checked(model, against=reference(model, [*TEXTS, LONG], role=role))
        assert report.ok, report.as_dict()
        assert [finding.state for finding in report.findings if finding.about == "reference"] == ["ok", "ok"]
    assert report.of("prompts").said == "query: 'house '"
    assert {"opens", "twin", "company", "length", "truncation", "vocabulary", "weights", "cuts"} <= {
        finding.about for finding in report.findings
    }
    assert "left out" not in {finding.state for finding in report.findings}


def test_wrong_pooling_is_explained(model: Path) -> None:
    kept = {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}
    edit(model / "1_Pooling" / "config.json", lambda config: {**config, **kept})
    report = checked(model)
    assert not report.ok
    assert "right would be mean pooling, unit length, no prompt" in report.of("reference").said


def test_a_missing_normalise_is_explained(model: Path) -> None:
    edit(model / "modules.json", lambda listed: listed[:-1])
    report = checked(model)
    assert "right would be mean pooling, unit length" in report.of("reference").said
    assert report.of("length").state == "note"


def test_a_lost_prompt_is_noticed_and_a_prompt_too_much_explained(model: Path) -> None:
    file = reference(model, TEXTS)
    edit(
        model / "config_sentence_transformers.json", lambda c: {**c, "prompts": {"query": "house ", "document": "cat "}}
    )
    assert "unit length, no prompt" in checked(model, against=file).of("reference").said


def test_a_permuted_tokenizer_is_found(model: Path) -> None:
    def permute(tokenizer: Any) -> None:
        words = tokenizer["model"]["vocab"]
        words["a"], words["b"] = words["b"], words["a"]

    (model / "vocab.txt").write_text("\n".join(tiny_bert.VOCABULARY), "utf-8")
    assert checked(model).ok
    edit(model / "tokenizer.json", permute)
    report = checked(model)
    assert "2 ids differ" in report.of("vocabulary").said
    assert "'a'" in report.of("vocabulary").said
    assert "weights, tokenizer or config" in report.of("reference").said
    (model / "vocab.txt").unlink()
    assert checked(model).of("vocabulary").state == "ok"  # nothing else in the folder tells
    assert not checked(model).ok


def test_a_special_token_with_another_id_is_found(model: Path) -> None:
    edit(model / "config.json", lambda config: {**config, "pad_token_id": 7})
    assert "config.json says 7 is '[PAD]'" in checked(model).of("vocabulary").said


def test_swapped_weights_are_found(model: Path) -> None:
    block = "encoder.layer.{}.attention.self.query.weight"
    swap(model, block.format(0), block.format(1))
    report = checked(model)
    assert "weights, tokenizer or config are other ones" in report.of("reference").said
    assert report.of("twin").state == "ok"


def test_wrong_longest_texts_are_found(model: Path) -> None:
    file = reference(model, [*TEXTS, LONG])
    settings = model / "sentence_bert_config.json"
    edit(settings, lambda config: {**config, "max_seq_length": 40})
    own, given = (finding for finding in checked(model, against=file).findings if finding.about == "reference")
    assert "texts up to 5 tokens are right: the longest text is not one of 40" in own.said
    assert "texts up to 12 tokens are right" in given.said
    edit(settings, lambda config: {**config, "max_seq_length": 512})
    assert "allows 512 tokens, the network has 64 positions" in checked(model).of("longest text").said


def test_numbers_that_are_none_and_matrices_there_twice_are_found(model: Path) -> None:
    with Weights.open(model) as weights:
        arrays = {name: weights(name).copy() for name in weights}
    one, other = (f"encoder.layer.{at}.attention.self.key.weight" for at in (0, 1))
    write_tensors(model / "model.safetensors", {**arrays, one: arrays[other], "pooler.dense.weight": np.zeros((2, 2))})
    said = checked(model).of("weights")
    assert said.state == "note"
    assert "all zero: pooler.dense.weight; the same numbers:" in said.said
    arrays[one] = np.full_like(arrays[one], np.nan)
    write_tensors(model / "model.safetensors", arrays)
    report = checked(model)
    assert report.of("weights").said == f"not finite: {one}"
    assert not report.ok


def test_a_network_that_is_computed_wrongly_is_found(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = check_vectors.run

    def off(*given: Any) -> Any:
        result, taps = real(*given)
        return result, {name: tap + (0.01 if name == "layers.1.output" else 0) for name, tap in taps.items()}

    monkeypatch.setattr(check_vectors, "run", off)
    assert "layers.1.output is the first that differs" in checked(model).of("twin").said


def test_vectors_that_move_with_their_company_are_found(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = TransformerEncoder.encode

    def moving(self: Any, items: Any, **how: Any) -> Any:
        return real(self, items, **how) * np.float32(1 + 1e-4 * (len(items) == 1))

    monkeypatch.setattr(TransformerEncoder, "encode", moving)
    assert checked(model).of("company").state == "wrong"


def test_what_does_not_open_is_a_finding_and_what_is_not_there_an_error(model: Path) -> None:
    (model / "tokenizer.json").unlink()
    report = checked(model)
    assert not report.ok
    assert "tokenizer.json" in report.of("opens").said
    with pytest.raises(MissingModelError):
        checked(model.parent / "nowhere")


def test_a_reference_of_another_width(model: Path) -> None:
    file = model.parent / "r.json"
    file.write_text(json.dumps({"texts": ["a"], "vectors": [[1, 2]]}), "utf-8")
    assert "r.json has 2 numbers a text, the encoder" in checked(model, against=file).of("reference").said


@pytest.mark.parametrize(
    "said",
    ['{"texts": ["a"]}', '{"texts": ["a"], "vectors": [[1], [2]]}', '{"texts": [], "vectors": []}',
     '{"texts": ["a"], "vectors": [["x"]]}', '{"texts": 3, "vectors": [[1]]}'],
)  # fmt: skip
def test_what_is_no_reference_is_refused(said: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(said, "utf-8")
    with pytest.raises(DataError, match="is no reference"):
        read_reference(tmp_path / "r.json")
    (tmp_path / "r.npz").write_bytes(b"PK\x03\x04nothing")
    with pytest.raises(DataError, match="is no reference"):
        read_reference(tmp_path / "r.npz")
    np.savez(tmp_path / "objects.npz", texts=np.array(["a"], object), vectors=np.ones((1, 2)))
    with pytest.raises(DataError, match="is no reference"):
        read_reference(tmp_path / "objects.npz")


def test_a_broken_reference_of_the_folder_is_a_finding(model: Path) -> None:
    edit(model / "reference.json", lambda told: {**told, "texts": ["a"]})
    assert "reference.json is no reference" in checked(model).of("runs").said


def test_the_command_prints_findings_and_ends_with_1_if_one_is_wrong(
    model: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    def run(*more: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["sememe", "models", "check", str(model), "-d", str(model.parent), *more])
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0), capfdbinary.readouterr().out.decode()

    code, said = run()
    assert code == 0
    assert "✔ twin" in said
    edit(model / "modules.json", lambda listed: listed[:-1])
    code, said = run()
    assert code == 1
    assert "✘ reference" in said
    code, said = run("--json")
    told = json.loads(said)
    assert (code, told["ok"], told["model"]) == (1, False, "model")
    assert {"about": "prompts", "state": "ok", "said": "query: 'house '", "do": ""} in told["findings"]


def test_an_unknown_engine_is_refused(model: Path) -> None:
    with pytest.raises(UsageError, match="not known"):
        checked(model, engine="word2vec")
    assert NEAR < 0.01
