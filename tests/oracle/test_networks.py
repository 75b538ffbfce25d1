"""Every family of networks against transformers: every layer, in NumPy and in OpenVINO, to 1e-4."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sememe.architectures import heads, pooling
from sememe.architectures.families import FAMILIES, build
from sememe.ops import numpy as twin
from sememe.ops.contract import Inputs
from sememe.ops.openvino import compile_network
from tests.oracle.tiny_networks import GOLDEN, Stored, listed, listed_heads

CLOSE = 1e-4
NAMES = sorted(listed())


@pytest.mark.parametrize("engine", ["numpy", "openvino"])
@pytest.mark.parametrize("name", NAMES)
def test_every_layer(name: str, engine: str) -> None:
    stored = Stored(name)
    network = build(listed()[name]["kind"], stored.config, stored)
    lengths = stored.mask.sum(axis=1).astype(int).tolist()
    inputs = Inputs(stored.ids, stored.mask, pooling.weights("mean", lengths, stored.ids.shape[1]))
    wanted = sorted(set(stored.arrays) - {"result"})
    if engine == "numpy":
        result, taps = twin.run(network.run, inputs, wanted)
        found = {"result": result, **taps}
    else:
        compiled = compile_network(network.run, precision="f32", streams=1, wanted=wanted)
        found = dict(zip(["result", *wanted], compiled.request()(inputs), strict=True))
    for tap, expected in stored.arrays.items():
        got, right = found[tap], np.broadcast_to(expected, np.shape(found[tap]))
        for text, length in enumerate(lengths):  # what stands in the places of padding is nobody's
            one, other = (_of_text(array[text % len(array)], length, tap) for array in (got, right))
            scale = max(1.0, float(np.abs(other).max()))
            np.testing.assert_allclose(one / scale, other / scale, atol=CLOSE, err_msg=f"{tap} of text {text}")


def _of_text(array: Any, length: int, tap: str) -> Any:
    return array[:, :length] if tap.endswith(".attention") else array[:length]


def test_every_family_has_networks_and_every_network_a_file() -> None:
    # "new" is the older name of "gte"; its form is held to the other's in test_architectures_forms.py
    assert {network["kind"] for network in listed().values()} | {"bert", "new"} == set(FAMILIES)
    assert {file.stem for file in GOLDEN.glob("*.npz")} == set(NAMES)


HEADS = [(task, kind) for task, families in listed_heads().items() for kind in families]


@pytest.mark.parametrize("engine", ["numpy", "openvino"])
@pytest.mark.parametrize(("task", "kind"), HEADS)
def test_every_head(task: str, kind: str, engine: str) -> None:
    stored = Stored(f"{task}.{kind}", folder="heads")
    network = build(kind, stored.config, stored)
    lengths = stored.mask.sum(axis=1).astype(int).tolist()
    if task == "classifier":
        head = heads.classifier(kind, stored.config, stored, network)
    else:
        head = heads.masked(kind, stored.config, stored, network, network.words())
    weights = pooling.weights(head.pooling or "mean", lengths, stored.ids.shape[1])

    def whole(ops: Any, inputs: Inputs) -> Any:
        hidden = network.run(ops, inputs)
        return head.run(ops, pooling.pool(ops, hidden, inputs, head.pooling) if head.pooling else hidden)

    inputs = Inputs(stored.ids, stored.mask, weights)
    if engine == "numpy":
        got = twin.run(whole, inputs)[0]
    else:
        got = compile_network(whole, precision="f32", streams=1).request()(inputs)[0]
    expected = stored.arrays["scores"]
    assert head.width == expected.shape[-1] == (3 if task == "classifier" else stored.config["vocab_size"])
    for text, length in enumerate(lengths):
        one, other = (array[text] if task == "classifier" else array[text][:length] for array in (got, expected))
        np.testing.assert_allclose(one, other, atol=CLOSE * max(1.0, float(np.abs(other).max())))


def test_every_head_has_its_oracle() -> None:
    """But for two that transformers does not have: "new" is "gte" by an older name, JinaBERT's is BERT's."""
    listed = listed_heads()
    assert set(heads.CLASSIFIERS) - set(listed["classifier"]) == {"new", "jina_bert"}
    assert set(heads.MASKED) == set(listed["masked"])
