"""BERT against transformers: every tap, every pooling, in NumPy and in OpenVINO, to 1e-4."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from sememe.architectures import pooling
from sememe.architectures.families import Architecture, build
from sememe.ops import numpy as twin
from sememe.ops.contract import Inputs
from sememe.ops.openvino import compile_network
from tests.oracle.stored import NETWORKS, POOLING_NAMES, PROMPT_TOKENS, arrays

CLOSE = 1e-4


class Stored:
    """One golden file: the network's weights, its inputs, and what transformers made of them."""

    def __init__(self, name: str) -> None:
        self.arrays = arrays(f"bert_{name}.npz")
        self.config = NETWORKS[name]["config"]
        self.lengths = self.arrays["mask"].sum(axis=1).astype(int).tolist()
        self.taps = sorted(key for key in self.arrays if key == "embeddings" or key.startswith("layers."))
        self.network: Architecture = build("bert", self.config, self)

    def __contains__(self, name: object) -> bool:
        return f"weight/{name}" in self.arrays

    def __call__(self, name: str) -> Any:
        return self.arrays[f"weight/{name}"]

    def shape(self, name: str) -> tuple[int, ...]:
        return self(name).shape

    def inputs(self, kind: str = "mean", skip: int = 0) -> Inputs:
        ids, mask = self.arrays["ids"], self.arrays["mask"]
        weights = pooling.weights(kind, self.lengths, ids.shape[1], skip=skip)
        return Inputs(ids, mask, weights, self.arrays.get("types"))

    def run(self, engine: str, network: Any, inputs: Inputs, wanted: list[str]) -> list[Any]:
        """The result and the wanted taps, by either interpreter."""
        if engine == "numpy":
            result, taps = twin.run(network, inputs, wanted)
            return [result, *(taps[name] for name in wanted)]
        types = inputs.types is not None
        compiled = compile_network(network, precision="f32", streams=1, types=types, wanted=wanted)
        return compiled.request()(inputs)


@pytest.fixture(scope="module", params=NETWORKS)
def stored(request: pytest.FixtureRequest) -> Stored:
    return Stored(request.param)


engines = pytest.mark.parametrize("engine", ["numpy", "openvino"])


@engines
def test_every_tap(stored: Stored, engine: str) -> None:
    layers = stored.config["num_hidden_layers"]
    assert len(stored.taps) == 1 + 2 * layers
    result, *found = stored.run(engine, stored.network.run, stored.inputs(), stored.taps)
    for name, array in zip(stored.taps, found, strict=True):
        np.testing.assert_allclose(array, stored.arrays[name], atol=CLOSE, err_msg=name)
    np.testing.assert_allclose(result, stored.arrays[f"layers.{layers - 1}.output"], atol=CLOSE)


@engines
@pytest.mark.parametrize("kind", POOLING_NAMES)
@pytest.mark.parametrize("skip", [0, PROMPT_TOKENS])
def test_every_pooling(stored: Stored, engine: str, kind: str, skip: int) -> None:
    network = partial(_pooled, stored.network, kind)
    (result,) = stored.run(engine, network, stored.inputs(kind, skip), [])
    # A text that is all prompt has nothing to pool elsewhere; here it keeps its last token.
    rows = [row for row, length in enumerate(stored.lengths) if length > skip]
    assert rows
    np.testing.assert_allclose(result[rows], stored.arrays[f"pooled.{kind}.skip{skip}"][rows], atol=CLOSE)


def _pooled(network: Architecture, kind: str, ops: Any, inputs: Inputs) -> Any:
    return pooling.pool(ops, network.run(ops, inputs), inputs, kind)


def test_the_files_cover_what_they_should() -> None:
    """Several activations, widths and heads; types given and not; one kind of type and more; padding; the prefix."""
    configs = [network["config"] for network in NETWORKS.values()]
    assert {config["hidden_act"] for config in configs} == {"gelu", "gelu_new", "relu", "silu"}
    assert {config["type_vocab_size"] for config in configs} >= {1, 2}
    assert {network["types"] for network in NETWORKS.values()} == {True, False}
    assert len({config["num_attention_heads"] for config in configs}) >= 4
    for name in NETWORKS:
        file = Stored(name)
        wrapped = any(key.startswith("weight/bert.") for key in file.arrays)
        assert wrapped == NETWORKS[name].get("masked_lm", False)
        assert ("types" in file.arrays) == NETWORKS[name]["types"]
    assert any((Stored(name).arrays["mask"].sum(axis=0) == 0).any() for name in NETWORKS)
