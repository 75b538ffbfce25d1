"""From a folder to an encoder: what is wrong with a folder is said before anything is encoded."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sememe.encoders.load import load_encoder
from sememe.encoders.recipe import Recipe
from sememe.errors import MissingModelError, ModelError, UsageError
from sememe.models.layout import read_layout
from tests import tiny_bert
from tests.rooms.model_folders import safetensors

TEXTS = ["the boat lay at the bank", "Bank", "", "money for bread " * 3]


def _open(folder: Path, **options: Any) -> Any:
    options = {"precision": "f32", "threads": 1, "home": folder.parent, "offline": True, **options}
    return load_encoder(folder, **options)


def _edit(path: Path, change: Callable[[Any], Any]) -> None:
    content = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(change(content) or content), "utf-8")


def test_a_folder_by_path_and_by_string(tmp_path: Path) -> None:
    folder = tiny_bert.write(tmp_path / "mine")
    one, other = _open(folder), load_encoder(str(folder), precision="f32", threads=1, home=tmp_path, offline=True)
    assert one.name == other.name == "mine"
    assert one.fingerprint == other.fingerprint
    assert np.array_equal(one.encode(TEXTS), other.encode(TEXTS))


def test_what_was_assumed_is_said(tmp_path: Path) -> None:
    plain = _open(tiny_bert.write(tmp_path / "plain", plain=True))
    whole = _open(tiny_bert.write(tmp_path / "whole", normalize=False))
    assert "mean pooling" in plain.describe()["assumed"]
    assert "assumed" not in whole.describe()
    np.testing.assert_allclose(plain.encode(TEXTS), whole.encode(TEXTS), atol=1e-6)


def test_precision_and_threads_are_described(tmp_path: Path) -> None:
    described = _open(tiny_bert.write(tmp_path / "m"), threads=2).describe()
    assert (described["precision"], described["threads"]) == ("f32", "2")
    assert "OpenVINO" in described["engine"]


@pytest.mark.parametrize("options", [{"precision": "f16"}, {"threads": -1}], ids=str)
def test_unknown_options_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=str(next(iter(options.values())))):
        _open(tiny_bert.write(tmp_path / "m"), **options)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingModelError):
        _open(tmp_path / "nowhere")


def test_missing_tensors_are_named(tmp_path: Path) -> None:
    weights = tiny_bert.tensors(tiny_bert.config())
    del weights["encoder.layer.1.output.dense.bias"]
    with pytest.raises(ModelError, match=r"encoder\.layer\.1\.output\.dense\.bias is missing"):
        _open(tiny_bert.write(tmp_path / "m", weights=weights))


def test_wrong_shapes_are_named(tmp_path: Path) -> None:
    weights = tiny_bert.tensors(tiny_bert.config(intermediate_size=50))
    with pytest.raises(ModelError, match=r"\(50, 32\).*\(48, 32\)"):
        _open(tiny_bert.write(tmp_path / "m", weights=weights))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "frog"}, "frog"),
        ({"hidden_act": "maxout"}, "maxout"),
        ({"position_embedding_type": "relative_key_query"}, "relative_key_query"),
        ({"num_attention_heads": 5}, "cannot be split"),
        ({"num_hidden_layers": "two"}, "num_hidden_layers"),
    ],
    ids=str,
)
def test_networks_that_sememe_does_not_run(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    good = tiny_bert.config()
    folder = tiny_bert.write(tmp_path / "m", settings={**good, **change}, weights=tiny_bert.tensors(good))
    with pytest.raises(ModelError, match=said):
        _open(folder)


@pytest.mark.parametrize("how", [{"prefix": "bert."}, {"old": True}, {"prefix": "bert.", "old": True}], ids=str)
def test_other_names_for_the_same_weights(tmp_path: Path, how: dict[str, Any]) -> None:
    expected = _open(tiny_bert.write(tmp_path / "one")).encode(TEXTS)
    weights = tiny_bert.tensors(tiny_bert.config(), **how)
    assert np.array_equal(_open(tiny_bert.write(tmp_path / "other", weights=weights)).encode(TEXTS), expected)


def _as_bf16(content: bytes) -> bytes:
    """A file of F16 tensors with the header saying BF16, which NumPy has no type for."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = content[8:end].replace(b'"F16"', b'"BF16"')
    return len(header).to_bytes(8, "little") + header + content[end:]


@pytest.mark.parametrize("kind", ["float16", "float64", "bfloat16"])
def test_weights_of_other_types_give_the_vectors_of_their_float32_values(tmp_path: Path, kind: str) -> None:
    weights = tiny_bert.tensors(tiny_bert.config())
    if kind == "bfloat16":
        halves = {name: (array.view(np.uint32) >> 16).astype(np.uint16) for name, array in weights.items()}
        stored = _as_bf16(safetensors({name: array.view(np.float16) for name, array in halves.items()}))
        rounded = {name: (half.astype(np.uint32) << 16).view(np.float32) for name, half in halves.items()}
    else:
        stored = safetensors({name: array.astype(kind) for name, array in weights.items()})
        rounded = {name: array.astype(kind).astype(np.float32) for name, array in weights.items()}
    folder = tiny_bert.write(tmp_path / "stored")
    (folder / "model.safetensors").write_bytes(stored)
    expected = _open(tiny_bert.write(tmp_path / "rounded", weights=rounded)).encode(TEXTS)
    np.testing.assert_allclose(_open(folder).encode(TEXTS), expected, atol=1e-6)


def test_weights_that_are_whole_numbers_are_refused(tmp_path: Path) -> None:
    weights = tiny_bert.tensors(tiny_bert.config())
    weights["encoder.layer.0.output.dense.weight"] = np.ones((32, 48), np.int32)
    with pytest.raises(ModelError, match=r"encoder\.layer\.0\.output\.dense\.weight.*int32"):
        _open(tiny_bert.write(tmp_path / "m", weights=weights))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["embeddings.word_embeddings.weight", "encoder.layer.0.output.dense.weight"])
def test_weights_that_are_no_numbers_never_give_a_vector(tmp_path: Path, bad: float, name: str) -> None:
    weights = tiny_bert.tensors(tiny_bert.config())
    weights[name] = np.full_like(weights[name], bad)
    encoder = _open(tiny_bert.write(tmp_path / "m", weights=weights))
    with pytest.raises(ModelError, match="not finite") as caught:
        encoder.encode(TEXTS)
    assert "4 of 4" in str(caught.value)


def test_one_broken_row_of_the_vocabulary_is_named_by_the_item_that_met_it(tmp_path: Path) -> None:
    weights = tiny_bert.tensors(tiny_bert.config())
    weights["embeddings.word_embeddings.weight"][tiny_bert.VOCABULARY.index("boat")] = np.nan
    encoder = _open(tiny_bert.write(tmp_path / "m", weights=weights))
    encoder.encode(["the river", "the bank"])
    with pytest.raises(ModelError, match="1 of 3, the first for item 1"):
        encoder.encode(["the river", "the boat", "the bank"])


def test_a_tokenizer_with_more_ids_than_the_network_has_rows(tmp_path: Path) -> None:
    folder = tiny_bert.write(tmp_path / "m", settings=tiny_bert.config(vocab_size=100))
    with pytest.raises(ModelError) as caught:
        _open(folder)
    assert "100" in str(caught.value)
    assert str(len(tiny_bert.VOCABULARY)) in str(caught.value)


def test_a_limit_without_room_for_text(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no room"):
        _open(tiny_bert.write(tmp_path / "m", limit=2))
    with pytest.raises(ModelError, match="no room"):
        _open(tiny_bert.write(tmp_path / "n", limit=6, prompts={"query": "the boat at bank"}))
    assert _open(tiny_bert.write(tmp_path / "o", limit=3)).max_tokens == 3


def test_the_limit_is_never_beyond_the_positions(tmp_path: Path) -> None:
    encoder = _open(tiny_bert.write(tmp_path / "m", limit=500))
    assert encoder.max_tokens == 64
    report = encoder.encode_report(["bank " * 90], on_long="cut")
    assert (report.used[0], report.dropped[0]) == (64, 28)


def test_a_recipe_takes_the_smaller_of_its_own_limit_and_the_positions(tmp_path: Path) -> None:
    layout = read_layout(tiny_bert.write(tmp_path / "m", limit=24))
    assert Recipe.of(layout, positions=10).max_tokens == 10
    assert Recipe.of(layout, positions=100).max_tokens == 24
    assert Recipe.of(replace(layout, max_tokens=0), positions=100).max_tokens == 100


DENSE = {"in_features": 32, "out_features": 20, "activation_function": "torch.nn.modules.activation.Tanh"}


def test_steps_after_pooling_give_the_width_and_are_said(tmp_path: Path) -> None:
    encoder = _open(tiny_bert.write(tmp_path / "m", after=[("Dense", DENSE), ("LayerNorm", {"dimension": 20})]))
    assert encoder.dim == 20
    assert encoder.encode(TEXTS).shape == (4, 20)
    np.testing.assert_allclose(np.linalg.norm(encoder.encode(TEXTS), axis=1), 1, atol=1e-6)
    assert "mean, then dense 32 → 20, Tanh, then layer norm 20, unit length" in encoder.describe()["pooling"]


def test_a_changed_step_changes_the_fingerprint(tmp_path: Path) -> None:
    folder = tiny_bert.write(tmp_path / "m", after=[("Dense", DENSE)])
    one = _open(folder).fingerprint
    _edit(
        folder / "2_Dense" / "config.json", lambda c: {**c, "activation_function": "torch.nn.modules.activation.ReLU"}
    )
    two = _open(folder).fingerprint
    random = np.random.default_rng(9)
    drawn = {"linear.weight": (20, 32), "linear.bias": (20,)}
    weights = {name: random.normal(size=shape).astype(np.float32) for name, shape in drawn.items()}
    (folder / "2_Dense" / "model.safetensors").write_bytes(safetensors(weights))
    assert len({one, two, _open(folder).fingerprint}) == 3


@pytest.mark.parametrize(
    ("step", "settled", "said"),
    [
        ("Dense", {**DENSE, "activation_function": "my.own.Activation"}, "not known"),
        ("Dense", {**DENSE, "activation_function": "torch.nn.modules.activation.Softplus"}, "not known"),
        ("Dense", {**DENSE, "module_input_name": "token_embeddings"}, "something else than the pooled vector"),
        ("Dense", {**DENSE, "in_features": 31}, "does not fit what comes before"),
        ("Dense", {**DENSE, "out_features": 0}, "out_features"),
        ("Dense", {**DENSE, "use_residual": "yes"}, "use_residual"),
        ("LayerNorm", {"dimension": 31}, "does not fit what comes before"),
        ("LayerNorm", {"dimension": 0}, "dimension"),
    ],
)
def test_steps_that_this_version_does_not_run_are_named(
    step: str, settled: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=said):
        _open(tiny_bert.write(tmp_path / "m", after=[(step, settled)]))


def test_weights_of_a_step_that_do_not_fit_its_config(tmp_path: Path) -> None:
    folder = tiny_bert.write(tmp_path / "m", after=[("Dense", DENSE)])
    _edit(folder / "2_Dense" / "config.json", lambda c: {**c, "out_features": 21})
    with pytest.raises(ModelError, match=r"linear.weight should be \(21, 32\), there is \(20, 32\)"):
        _open(folder)
    (folder / "2_Dense" / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"holds no model.safetensors"):
        _open(folder)


def test_roles_find_their_prompts_by_the_names_in_use(tmp_path: Path) -> None:
    for at, name in enumerate(("document", "passage", "corpus")):
        folder = tiny_bert.write(tmp_path / str(at), prompts={name: "stone ", "query": "bread "})
        assert _open(folder).recipe.prompts == {"query": "bread ", "document": "stone "}
    folder = tiny_bert.write(tmp_path / "default", prompts={"clustering": "cat ", "query": "bread "})
    assert _open(folder).recipe.prompts == {"query": "bread ", "document": ""}
    _edit(folder / "config_sentence_transformers.json", lambda c: c.update(default_prompt_name="clustering"))
    assert _open(folder).recipe.prompts == {"query": "bread ", "document": "cat "}


# --- fingerprints


def test_a_fingerprint_is_the_same_for_the_same_model_anywhere(tmp_path: Path) -> None:
    folder = tiny_bert.write(tmp_path / "one", prompts={"query": "bread "})
    expected = _open(folder).fingerprint
    moved = shutil.copytree(folder, tmp_path / "elsewhere" / "another name")
    assert _open(moved).fingerprint == expected
    assert _open(folder, threads=2).fingerprint == expected
    program = (
        "import sys; from pathlib import Path; from sememe.encoders.load import load_encoder; p = Path(sys.argv[1]);"
        "print(load_encoder(p, precision='f32', threads=1, home=p.parent, offline=True).fingerprint)"
    )
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run(
        [sys.executable, "-c", program, str(folder)], cwd=root, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == expected


def _one_weight(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-4] ^= 1  # the last bit of the last number
    path.write_bytes(content)


CHANGES: dict[str, Callable[[Path], None]] = {
    "one bit of a weight": _one_weight,
    "eps": lambda f: _edit(f / "config.json", lambda c: c.update(layer_norm_eps=1e-6)),
    "activation": lambda f: _edit(f / "config.json", lambda c: c.update(hidden_act="gelu_new")),
    "heads": lambda f: _edit(f / "config.json", lambda c: c.update(num_attention_heads=2)),
    "lower-casing of the tokenizer": lambda f: _edit(
        f / "tokenizer.json", lambda c: c["normalizer"].update(lowercase=False)
    ),
    "two pieces changed places": lambda f: _edit(
        f / "tokenizer.json", lambda c: c["model"]["vocab"].update(bank=c["model"]["vocab"]["boat"], boat=1)
    ),
    "pooling": lambda f: _edit(
        f / "1_Pooling/config.json",
        lambda c: c.update(pooling_mode_mean_tokens=False, pooling_mode_cls_token=True),
    ),
    "no normalisation": lambda f: _edit(f / "modules.json", lambda c: c[:2]),
    "a prompt": lambda f: _edit(
        f / "config_sentence_transformers.json", lambda c: c.update(prompts={"query": "stone "})
    ),
    "a prompt for documents": lambda f: _edit(
        f / "config_sentence_transformers.json", lambda c: c["prompts"].update(document="stone ")
    ),
    "prompt does not count": lambda f: _edit(f / "1_Pooling/config.json", lambda c: c.update(include_prompt=False)),
    "limit": lambda f: _edit(f / "sentence_bert_config.json", lambda c: c.update(max_seq_length=23)),
    "lower case": lambda f: _edit(f / "sentence_bert_config.json", lambda c: c.update(do_lower_case=True)),
}


def test_a_fingerprint_changes_with_whatever_changes_a_number(tmp_path: Path) -> None:
    seen = {}
    for name, change in {"nothing": lambda f: None, **CHANGES}.items():
        folder = tiny_bert.write(tmp_path / name, prompts={"query": "bread "})
        change(folder)
        seen[name] = _open(folder).fingerprint
    assert len(set(seen.values())) == len(seen)


def test_a_fingerprint_is_of_the_files_as_they_are_now(tmp_path: Path) -> None:
    folder = tiny_bert.write(tmp_path / "m")
    before = _open(folder).fingerprint
    _one_weight(folder)
    assert _open(folder).fingerprint != before


def test_a_catalogued_network_that_is_not_run_is_refused_before_it_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("potion-base-8M", "nomic-embed-text-v1.5", "bge-small-en-v1.5"):
        with pytest.raises(MissingModelError, match="not on disk"):
            load_encoder(name, home=tmp_path, offline=True)
    monkeypatch.setattr("sememe.encoders.load.FAMILIES", {"mpnet": None})
    with pytest.raises(ModelError, match="of the kind bert, which this version does not run"):
        load_encoder("bge-small-en-v1.5", home=tmp_path, offline=True)
