"""BERT as it is written: what it must not see, what its taps are, and that weights fit before anything is built."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sememe.architectures.families import FAMILIES, build
from sememe.errors import ModelError
from sememe.ops.contract import Inputs
from sememe.ops.numpy import run
from tests import tiny_bert


class Tensors(dict[str, Any]):
    """A `Weights` of arrays in memory."""

    def __call__(self, name: str) -> Any:
        return self[name]

    def shape(self, name: str) -> tuple[int, ...]:
        return self[name].shape


CONFIG = tiny_bert.config()
WEIGHTS = Tensors(tiny_bert.tensors(CONFIG))
TAPS = ["rows", "positions", "types", "embeddings"] + [
    f"layers.{layer}.{part}" for layer in range(2) for part in ("attention", "output")
]


def _inputs(lengths: list[int], width: int, *, types: bool = False, seed: int = 0) -> Inputs:
    random = np.random.default_rng(seed)
    ids = random.integers(5, CONFIG["vocab_size"], size=(len(lengths), width), dtype=np.int32)
    mask = (np.arange(width)[None] < np.array(lengths)[:, None]).astype(np.float32)
    kinds = random.integers(0, 2, size=ids.shape, dtype=np.int32) if types else None
    return Inputs(ids, mask, mask, kinds)


def test_taps_and_their_shapes() -> None:
    network = build("bert", CONFIG, WEIGHTS)
    assert (network.width, network.layers, network.positions) == (32, 2, 64)
    result, taps = run(network.run, _inputs([3, 7], 7), TAPS)
    assert set(taps) == set(TAPS)
    shapes = {name: taps[name].shape for name in TAPS}
    assert shapes["rows"] == shapes["embeddings"] == shapes["layers.1.output"] == (2, 7, 32)
    assert shapes["positions"] == (7, 32)
    assert shapes["types"] == (32,)
    assert shapes["layers.0.attention"] == (2, 4, 7, 7)
    assert np.array_equal(result, taps["layers.1.output"])
    np.testing.assert_allclose(taps["layers.0.attention"].sum(axis=-1), 1, atol=1e-5)
    assert (taps["layers.1.attention"][0, :, :, 3:] == 0).all()


def test_padding_is_not_seen() -> None:
    network = build("bert", CONFIG, WEIGHTS)
    inputs = _inputs([4], 9)
    wide = run(network.run, inputs)[0]
    narrow = run(network.run, Inputs(inputs.ids[:, :4], inputs.mask[:, :4], inputs.pool[:, :4]))[0]
    np.testing.assert_allclose(wide[:, :4], narrow, atol=1e-5)


def test_order_words_and_types_are_seen() -> None:
    """Each is changed elsewhere, and the first token's vector moves."""
    network = build("bert", CONFIG, WEIGHTS)
    inputs = _inputs([6], 6, types=True)
    ids, mask, types = inputs.ids, inputs.mask, inputs.types
    swapped, other, kinds = ids.copy(), ids.copy(), types.copy()
    swapped[0, 2], swapped[0, 4] = ids[0, 4], ids[0, 2]
    other[0, 5] = 7
    kinds[0, 5] = 1 - kinds[0, 5]
    for one, changed in (
        (Inputs(ids, mask, mask), Inputs(swapped, mask, mask)),
        (Inputs(ids, mask, mask), Inputs(other, mask, mask)),
        (inputs, Inputs(ids, mask, mask, kinds)),
    ):
        before, after = run(network.run, one)[0], run(network.run, changed)[0]
        assert np.abs(before[0, 0] - after[0, 0]).max() > 1e-3


def test_no_types_means_type_zero() -> None:
    network = build("bert", CONFIG, WEIGHTS)
    inputs = _inputs([6, 2], 6)
    zeros = Inputs(inputs.ids, inputs.mask, inputs.pool, np.zeros_like(inputs.ids))
    np.testing.assert_allclose(run(network.run, inputs)[0], run(network.run, zeros)[0], atol=1e-6)


@pytest.mark.parametrize("prefix", ["", "bert."])
@pytest.mark.parametrize("old", [False, True])
def test_names_of_old_and_of_wrapped_checkpoints(prefix: str, old: bool) -> None:
    inputs = _inputs([5], 5)
    expected = run(build("bert", CONFIG, WEIGHTS).run, inputs)[0]
    renamed = Tensors(tiny_bert.tensors(CONFIG, prefix=prefix, old=old))
    assert set(renamed) != set(WEIGHTS) or not (prefix or old)
    assert np.array_equal(run(build("bert", CONFIG, renamed).run, inputs)[0], expected)


def test_what_else_is_in_the_file_does_not_matter() -> None:
    more = Tensors({**WEIGHTS, "pooler.dense.weight": np.zeros((32, 32)), "embeddings.position_ids": np.arange(64)})
    build("bert", CONFIG, more)


@pytest.mark.parametrize("name", sorted(WEIGHTS))
def test_each_missing_tensor_is_named(name: str) -> None:
    with pytest.raises(ModelError) as caught:
        build("bert", CONFIG, Tensors({key: value for key, value in WEIGHTS.items() if key != name}))
    assert f"{name} is missing" in str(caught.value)


@pytest.mark.parametrize("name", sorted(WEIGHTS))
def test_each_wrong_shape_is_named_with_both_shapes(name: str) -> None:
    array = WEIGHTS[name]
    for wrong in (array[..., :-1], array[None], array.reshape(-1, 1)):
        with pytest.raises(ModelError) as caught:
            build("bert", CONFIG, Tensors({**WEIGHTS, name: wrong}))
        assert name in str(caught.value)
        assert str(wrong.shape) in str(caught.value)


def test_many_faults_are_counted_not_listed() -> None:
    with pytest.raises(ModelError) as caught:
        build("bert", CONFIG, Tensors())
    assert len(caught.value.why) == 6
    assert f"{len(WEIGHTS) - 5} more" in str(caught.value)


def test_a_config_of_other_numbers_does_not_fit() -> None:
    for change in ({"num_hidden_layers": 3}, {"intermediate_size": 50}, {"max_position_embeddings": 65}):
        with pytest.raises(ModelError, match="do not fit"):
            build("bert", {**CONFIG, **change}, WEIGHTS)


def test_an_unknown_architecture_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ModelError) as caught:
        build("deberta-v9", CONFIG, WEIGHTS)
    assert "deberta-v9" in str(caught.value)
    assert all(kind in str(caught.value) for kind in FAMILIES)
