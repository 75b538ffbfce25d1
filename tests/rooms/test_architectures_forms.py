"""The same network in several forms: as its makers published it and as transformers saves it, with older and newer
config files. The outcome must be the same; one form is held to transformers elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from sememe.architectures import pooling, rope
from sememe.architectures.families import FAMILIES, build
from sememe.architectures.gemma import GemmaConfig
from sememe.architectures.modernbert import ModernBertConfig
from sememe.errors import ModelError
from sememe.ops.contract import Inputs
from sememe.ops.numpy import run
from tests.oracle.tiny_networks import Stored, listed


class Renamed:
    """The weights of a stored network under other names, some of them joined."""

    def __init__(self, stored: Stored, names: Mapping[str, str], joined: Mapping[str, tuple[str, ...]]) -> None:
        found = {name: stored(name) for name in stored.shapes}
        for whole, parts in joined.items():
            for name in [name for name in found if parts[0] in name]:
                found[name.replace(parts[0], whole)] = np.concatenate(
                    [found.pop(name.replace(parts[0], p)) for p in parts]
                )
        for one, other in names.items():
            found = {name.replace(one, other): array for name, array in found.items()}
        self.found = found

    def __contains__(self, name: object) -> bool:
        return name in self.found

    def __call__(self, name: str) -> Any:
        return self.found[name]

    def shape(self, name: str) -> tuple[int, ...]:
        return self(name).shape


QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
NOMIC_NAMES = {
    "layers.": "encoder.layers.",
    "embeddings.LayerNorm": "emb_ln",
    "self_attn.o_proj": "attn.out_proj",
    "mlp.up_proj": "mlp.fc11",
    "mlp.gate_proj": "mlp.fc12",
    "mlp.down_proj": "mlp.fc2",
    "post_attention_layernorm": "norm1",
    "post_mlp_layernorm": "norm2",
}
GTE_NAMES = {
    "layers.": "encoder.layer.",
    "self_attn.o_proj": "attention.o_proj",
    "post_attention_layernorm": "attn_ln",
    "post_mlp_layernorm": "mlp_ln",
}


def _result(kind: str, config: Mapping[str, Any], weights: Any, stored: Stored) -> Any:
    lengths = stored.mask.sum(axis=1).astype(int).tolist()
    inputs = Inputs(stored.ids, stored.mask, pooling.weights("mean", lengths, stored.ids.shape[1]))
    return run(build(kind, config, weights).run, inputs)[0]


def test_nomic_as_it_was_published() -> None:
    stored = Stored("nomic_bert.plain")
    config = {
        "model_type": "nomic_bert",
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_inner": 48,
        "n_positions": 24,
        "layer_norm_epsilon": 1e-12,
        "rotary_emb_base": 1000,
        "rotary_emb_fraction": 1.0,
        "activation_function": "swiglu",
        "qkv_proj_bias": False,
        "mlp_fc1_bias": False,
        "mlp_fc2_bias": False,
        "type_vocab_size": 2,
    }
    weights = Renamed(stored, NOMIC_NAMES, {"attn.Wqkv": QKV})
    expected = _result("nomic_bert", stored.config, stored, stored)
    np.testing.assert_allclose(_result("nomic_bert", config, weights, stored), expected, atol=1e-6)
    with pytest.raises(ModelError, match="prenorm"):
        build("nomic_bert", {**config, "prenorm": True}, weights)
    assert (
        build("nomic_bert", {**config, "rotary_scaling_factor": 2, "max_trained_positions": 9}, weights).positions == 9
    )


def test_gte_as_it_was_published() -> None:
    stored = Stored("gte.plain")
    joined = {"attention.qkv_proj": QKV, "mlp.up_gate_proj": ("mlp.up_proj", "mlp.gate_proj")}
    weights = Renamed(stored, {**GTE_NAMES, "": ""}, joined)
    weights.found = {f"new.{name}": array for name, array in weights.found.items()}
    config = {**stored.config, "model_type": "new", "rope_theta": 160000.0, "pack_qkv": True}
    del config["rope_parameters"]
    expected = _result("gte", stored.config, stored, stored)
    np.testing.assert_allclose(_result("new", config, weights, stored), expected, atol=1e-6)
    for key, value in {
        "logn_attention_scale": True,
        "layer_norm_type": "rms_norm",
        "position_embedding_type": "x",
    }.items():
        with pytest.raises(ModelError, match="sememe does not run"):
            build("new", {**config, key: value}, weights)


def test_stretching_by_a_larger_base() -> None:
    """GTE's "ntk": the slowest pair is slowed by the whole factor and a little more, the fastest hardly at all."""
    plain = rope.Rope.read({"rope_theta": 500.0}, 16)
    said = {"rope_theta": 500.0, "rope_scaling": {"type": "ntk", "factor": 2.0}}
    stretched = rope.Rope.read(said, 16)
    ratio = np.array(plain.frequency) / np.array(stretched.frequency)
    np.testing.assert_allclose(ratio, [2 ** (2 / 16) * 2 ** (2 * i / 16) for i in range(8)])


@pytest.mark.parametrize("kind", ["longrope", "su", 7])
def test_an_unknown_stretching_is_refused(kind: Any) -> None:
    with pytest.raises(ModelError, match="RoPE"):
        rope.Rope.read({"rope_scaling": {"type": kind, "factor": 2.0}}, 16)


@pytest.mark.parametrize("name", sorted(name for name in listed() if name.startswith(("llama", "qwen", "mistral"))))
def test_older_config_files_say_the_same_of_rope(name: str) -> None:
    stored = Stored(name)
    new = dict(stored.config)
    said = dict(new.pop("rope_parameters"))
    old = {**new, "rope_theta": said.pop("rope_theta")}
    if said.get("rope_type", "default") != "default":
        old["rope_scaling"] = {"type": said.pop("rope_type"), **said}
    kind = listed()[name]["kind"]
    assert FAMILIES[kind].read(old) == FAMILIES[kind].read(stored.config)


def test_older_config_files_of_gemma_and_modernbert() -> None:
    new = dict(Stored("gemma3_text.decoder").config)
    old = {key: value for key, value in new.items() if key not in ("rope_parameters", "layer_types")}
    old |= {"rope_theta": 1e6, "rope_local_base_freq": 10000.0, "sliding_window_pattern": 2}
    assert GemmaConfig.read(old).near_layers == (True, False, True)
    assert GemmaConfig.read({**new, "layer_types": None, "sliding_window_pattern": 2}).near_layers == (
        True,
        False,
        True,
    )
    assert (GemmaConfig.read(old).far, GemmaConfig.read(old).near) == (
        GemmaConfig.read(new).far,
        GemmaConfig.read(new).near,
    )
    new = dict(Stored("modernbert.plain").config)
    old = {key: value for key, value in new.items() if key not in ("rope_parameters", "layer_types")}
    old |= {"global_rope_theta": 160000.0, "local_rope_theta": 10000.0, "global_attn_every_n_layers": 3}
    assert ModernBertConfig.read(old) == ModernBertConfig.read(new)


REFUSED = {
    "deberta-v2": {"conv_kernel_size": 3, "relative_attention": False, "pos_att_type": ["p2p"], "embedding_size": 8},
    "gemma3_text": {"attn_logit_softcapping": 50.0, "layer_types": ["full_attention"]},
    "gpt_neox": {"attention_bias": False, "rotary_pct": 0.01},
    "albert": {"inner_group_num": 2},
    "mpnet": {"relative_attention_num_buckets": 16},
    "mpt": {"attn_config": {"alibi": False}},
    "jina_bert": {"feed_forward_type": "original"},
    "qwen2": {"layer_types": ["linear_attention", "full_attention"]},
    "llama": {"hidden_act": "swoosh", "num_key_value_heads": 3},
    "t5": {"feed_forward_proj": "gated-swoosh", "d_kv": 0},
    "roberta": {"pad_token_id": 26},
}


@pytest.mark.parametrize(("kind", "key"), [(kind, key) for kind, keys in REFUSED.items() for key in keys])
def test_what_a_network_does_not_do_is_refused(kind: str, key: str) -> None:
    """Nothing that a config asks for is left out in silence."""
    stored = Stored(next(name for name in sorted(listed()) if listed()[name]["kind"] == kind))
    config = {k: v for k, v in stored.config.items() if not (key == "rotary_pct" and k == "rope_parameters")}
    with pytest.raises(ModelError):
        network = build("bert" if kind == "jina_bert" else kind, {**config, key: REFUSED[kind][key]}, stored)
        run(network.run, Inputs(stored.ids, stored.mask, stored.mask))
