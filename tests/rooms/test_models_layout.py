"""Layouts: what the folders of sentence-transformers and Hugging Face say, and what is refused in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sememe.errors import ModelError
from sememe.models.layout import Layout, read_layout
from tests.rooms.model_folders import MODULES, model_bytes, write_model


def changed(folder: Path, **files: Any) -> Path:
    """The small model with some files replaced (a value is written as JSON) or taken away (None)."""
    contents = model_bytes()
    for key, value in files.items():
        path = {"pooling": "1_Pooling/config.json", "settings": "config_sentence_transformers.json"}.get(
            key, f"{key}.json"
        )
        if value is None:
            contents.pop(path, None)
        else:
            contents[path] = value if isinstance(value, bytes) else json.dumps(value).encode()
    return write_model(folder, contents)


def read(folder: Path, **files: Any) -> Layout:
    return read_layout(changed(folder, **files))


def test_a_sentence_transformers_folder(tmp_path: Path) -> None:
    layout = read(tmp_path / "tiny")
    assert (layout.name, layout.architecture, layout.pooling, layout.normalize) == ("tiny", "bert", "mean", True)
    assert (layout.max_tokens, layout.do_lower_case, layout.include_prompt) == (128, False, True)
    assert [module.kind for module in layout.modules] == ["transformer", "pooling", "normalize"]
    assert layout.tokenizer_file == tmp_path / "tiny" / "tokenizer.json"
    assert layout.weight_files == (tmp_path / "tiny" / "model.safetensors",)
    assert (layout.prompts, layout.default_prompt_name, layout.similarity, layout.assumed) == ({}, None, "cosine", ())


def test_the_network_may_have_a_folder_of_its_own(tmp_path: Path) -> None:
    contents = {
        (path if path.startswith(("modules", "1_")) else f"0_Transformer/{path}"): raw
        for path, raw in model_bytes().items()
    }
    modules = [dict(MODULES[0], path="0_Transformer"), *MODULES[1:]]
    contents["modules.json"] = json.dumps(modules).encode()
    layout = read_layout(write_model(tmp_path, contents))
    assert layout.weights_folder == tmp_path / "0_Transformer"
    assert layout.max_tokens == 128 and layout.tokenizer_file.parent.name == "0_Transformer"


def test_a_plain_folder_is_read_and_says_what_it_assumes(tmp_path: Path) -> None:
    layout = read(tmp_path, modules=None, pooling=None, sentence_bert_config=None)
    assert (layout.pooling, layout.normalize, layout.max_tokens) == ("mean", False, 512)
    assert "modules.json" in layout.assumed[0]


def test_a_table_of_word_vectors_is_static(tmp_path: Path) -> None:
    layout = read(
        tmp_path, modules=None, sentence_bert_config=None, config={"model_type": "model2vec", "normalize": True}
    )
    assert [module.kind for module in layout.modules] == ["static", "normalize"]
    assert (layout.architecture, layout.normalize, layout.max_tokens, layout.assumed) == ("model2vec", True, 0, ())


def test_prompts_and_similarity(tmp_path: Path) -> None:
    said = {"prompts": {"query": "q: "}, "default_prompt_name": "query", "similarity_fn_name": "dot"}
    layout = read(tmp_path, settings=said)
    assert (layout.prompts, layout.default_prompt_name, layout.similarity) == ({"query": "q: "}, "query", "dot")


@pytest.mark.parametrize(
    ("switch", "word"),
    [
        ({"pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": False}, "max"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "mean_sqrt_len"),
        ({"pooling_mode_weightedmean_tokens": True}, "weighted_mean"),
        ({"pooling_mode_lasttoken": True, "include_prompt": True}, "last"),
        ({"pooling_mode": "lasttoken"}, "last"),
        ({"pooling_mode": ["weightedmean"]}, "weighted_mean"),
        ({"pooling_mode": "mean"}, "mean"),
    ],
)
def test_every_way_of_pooling_has_one_word(switch: dict[str, Any], word: str, tmp_path: Path) -> None:
    assert read(tmp_path, pooling=switch).pooling == word


def test_include_prompt_false_is_kept(tmp_path: Path) -> None:
    assert read(tmp_path, pooling={"pooling_mode": "mean", "include_prompt": False}).include_prompt is False


@pytest.mark.parametrize(
    "switches",
    [{}, {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, {"pooling_mode": "median"}, {"x": 1}],
)
def test_pooling_that_is_not_one_way_is_refused(switches: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"way of pooling|missing or empty"):
        read(tmp_path, pooling=switches)


@pytest.mark.parametrize(
    ("config", "sentence", "tokenizer", "limit"),
    [
        ({"model_type": "bert", "max_position_embeddings": 512}, {"max_seq_length": 256}, None, 256),
        ({"model_type": "bert", "max_position_embeddings": 512}, {"max_seq_length": 900}, None, 512),
        ({"model_type": "bert", "max_position_embeddings": 512}, None, {"model_max_length": 384}, 384),
        ({"model_type": "bert", "max_position_embeddings": 512}, None, {"model_max_length": 1e30}, 512),
        (
            {"model_type": "bert", "max_position_embeddings": 512},
            {"max_seq_length": None},
            {"model_max_length": 64},
            64,
        ),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, None, None, 512),
        ({"model_type": "mpnet", "max_position_embeddings": 514}, None, {"model_max_length": 514}, 512),
        ({"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1}, None, None, 512),
        ({"model_type": "nomic_bert", "n_positions": 8192}, {"max_seq_length": 8192}, None, 8192),
        ({"model_type": "bert"}, None, None, 0),
        ({"model_type": "bert", "max_position_embeddings": "many"}, {"max_seq_length": True}, None, 0),
    ],
)
def test_max_tokens(config: Any, sentence: Any, tokenizer: Any, limit: int, tmp_path: Path) -> None:
    layout = read(tmp_path, config=config, sentence_bert_config=sentence, tokenizer_config=tokenizer)
    assert layout.max_tokens == limit


def test_lower_case_is_asked_for_by_the_sentence_config_only(tmp_path: Path) -> None:
    assert read(tmp_path / "a", sentence_bert_config={"do_lower_case": True}).do_lower_case
    assert not read(tmp_path / "b", tokenizer_config={"do_lower_case": True}).do_lower_case


@pytest.mark.parametrize(
    "kind", ["sentence_transformers.models.WordEmbeddings", "my_code.Transformer", "os.system", ""]
)
def test_an_unknown_module_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not know the module type") as caught:
        read(tmp_path, modules=[*MODULES, {"path": "3_X", "type": kind}])
    assert kind in caught.value.what


@pytest.mark.parametrize("path", ["../1_Pooling", "/etc", "a/../../b", "C:\\x", "a\x00b"])
def test_a_module_cannot_leave_the_folder(path: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="outside of its folder"):
        read(tmp_path, modules=[MODULES[0], dict(MODULES[1], path=path)])


@pytest.mark.parametrize(
    "order",
    [[1, 0], [0], [0, 2, 1], [2], [0, 1, 2, 2], [0, 0, 1], [0, 1, 1]],
    ids=lambda order: "".join(map(str, order)),
)
def test_modules_in_another_order_are_refused(order: list[int], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="order"):
        read(tmp_path, modules=[MODULES[i] for i in order])


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("config", b"{broken", "not valid JSON"),
        ("config", b"[1]", "should hold a JSON object"),
        ("config", b'{"model_type": "bert", "model_type": "gpt2"}', "stands twice"),
        ("config", {"hidden_size": 3}, "model_type"),
        ("modules", b"{}", "list of modules"),
        ("modules", b"[]", "list of modules"),
        ("modules", b"[7]", "each module needs"),
        ("modules", b"\x00\xff\x00", "not valid JSON"),
        ("config", b" " * 9_000_000, "larger than such a file ever is"),
        ("settings", {"prompts": [1]}, "prompts"),
        ("settings", {"prompts": {"query": 5}}, "prompts"),
        ("settings", {"prompts": {}, "default_prompt_name": "query"}, "default prompt"),
        ("settings", {"prompts": {"a": "b"}, "default_prompt_name": ["a"]}, "default prompt"),
        ("pooling", None, "missing or empty"),
        ("tokenizer", None, "no tokenizer"),
        ("config", None, "no config"),
    ],
)
def test_a_broken_file_is_named(file: str, content: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=said):
        read(tmp_path, **{file: content})


def test_what_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a folder"):
        read_layout(tmp_path / "nowhere")


def test_a_folder_with_pickled_weights_only(tmp_path: Path) -> None:
    folder = changed(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="runs whatever code"):
        read_layout(folder)


def test_a_snapshot_of_the_hugging_face_cache_has_the_models_name(tmp_path: Path) -> None:
    folder = tmp_path / "models--people--tiny" / "snapshots" / "abc123"
    assert read(folder).name == "tiny"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    ["model_type", "max_position_embeddings", "pad_token_id", "prompts", "default_prompt_name", "similarity_fn_name"]
) | st.sampled_from(
    ["pooling_mode", "include_prompt", "max_seq_length", "do_lower_case", "path", "type", "model_max_length"]
)


@settings(max_examples=150, deadline=None)
@given(
    file=st.sampled_from(["config", "modules", "pooling", "settings", "sentence_bert_config", "tokenizer_config"]),
    content=st.dictionaries(FIELDS, JSON, max_size=4)
    | st.lists(st.dictionaries(FIELDS, JSON, max_size=3), max_size=3)
    | JSON,
)
def test_any_json_gives_a_layout_or_a_model_error(
    file: str, content: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    try:
        layout = read(folder, **{file: b"null" if content is None else content})
    except ModelError:
        return
    assert layout.max_tokens >= 0 and isinstance(layout.pooling, str)
