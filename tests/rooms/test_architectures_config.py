"""Numbers of config.json, and activations: what is missing or impossible is said, never replaced."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sememe.architectures.activations import activation
from sememe.architectures.bert import BertConfig
from sememe.architectures.config import choice, number, positive
from sememe.errors import ModelError
from sememe.ops.numpy import NumpyOps
from tests import tiny_bert


@pytest.mark.parametrize("wrong", [None, 0, -1, 2.0, "12", True, [12], float("nan"), {}], ids=repr)
def test_a_count_must_be_a_whole_number_above_zero(wrong: Any) -> None:
    with pytest.raises(ModelError, match='"layers"'):
        positive({"layers": wrong}, "layers")
    assert positive({"layers": 3}, "layers") == 3


def test_a_missing_count_is_an_error_unless_it_has_a_default() -> None:
    with pytest.raises(ModelError, match="None"):
        positive({}, "layers")
    assert positive({}, "layers", default=2) == 2


def test_heads_must_divide_the_width() -> None:
    assert positive({"heads": 4, "width": 12}, "heads", divides="width") == 4
    with pytest.raises(ModelError, match=r"12.*5"):
        positive({"heads": 5, "width": 12}, "heads", divides="width")


@pytest.mark.parametrize("wrong", [None, 0, -1e-9, "1e-12", True, float("nan"), float("inf")], ids=repr)
def test_a_number_must_be_finite_and_above_zero(wrong: Any) -> None:
    with pytest.raises(ModelError, match='"eps"'):
        number({"eps": wrong}, "eps", default=1.0)
    assert number({"eps": 1}, "eps", default=2.0) == 1.0
    assert number({}, "eps", default=2.0) == 2.0


def test_a_choice_is_one_of_the_known() -> None:
    assert choice({}, "kind", ("a", "b"), default="a") == "a"
    assert choice({"kind": "b"}, "kind", ("a", "b"), default="a") == "b"
    with pytest.raises(ModelError, match="known are: a, b"):
        choice({"kind": "c"}, "kind", ("a", "b"), default="a")
    with pytest.raises(ModelError):
        choice({"kind": ["a"]}, "kind", ("a", "b"), default="a")


@pytest.mark.parametrize(
    "change",
    [
        {"num_hidden_layers": 0},
        {"num_attention_heads": 5},
        {"hidden_size": "32"},
        {"intermediate_size": None},
        {"max_position_embeddings": -1},
        {"type_vocab_size": 0},
        {"layer_norm_eps": 0},
        {"position_embedding_type": "relative_key"},
        {"position_embedding_type": "relative_key_query"},
    ],
    ids=str,
)
def test_a_bert_that_cannot_be_is_refused_by_name(change: dict[str, Any]) -> None:
    BertConfig.read(tiny_bert.config())
    with pytest.raises(ModelError, match=next(iter(change))):
        BertConfig.read(tiny_bert.config(**change))


def test_old_configs_leave_out_what_bert_always_had() -> None:
    given = tiny_bert.config()
    for key in ("position_embedding_type", "layer_norm_eps", "hidden_act", "type_vocab_size"):
        del given[key]
    assert BertConfig.read(given) == BertConfig.read(tiny_bert.config())


def test_activations_by_all_their_names() -> None:
    x = np.linspace(-4, 4, 33, dtype=np.float32)
    ops = NumpyOps()
    for names, expected in {
        ("gelu", "gelu_python"): ops.gelu(x),
        ("gelu_new", "gelu_fast", "gelu_pytorch_tanh"): ops.gelu_tanh(x),
        ("relu",): np.where(x > 0, x, 0),
        ("silu", "swish"): x / (1 + np.exp(-x)),
        ("tanh",): np.tanh(x),
    }.items():
        for name in names:
            np.testing.assert_allclose(activation(ops, name, x), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["quick_gelu", "GELU", "", "matmul", "normalize", "__class__"])
def test_an_unknown_activation_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="activation"):
        activation(NumpyOps(), name, np.zeros(3, np.float32))
