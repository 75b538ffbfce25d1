"""GPT-NeoX (Black et al. 2022, arXiv 2204.06745), Pythia too: a decoder with RoPE over a share of each head, whose two
steps may work side by side.

Taps: ``rows``, and those of `gpt`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sememe.architectures.config import flag, number, positive
from sememe.architectures.family import Family, Shapes
from sememe.architectures.gpt import GptConfig, Layer, decoder, fused
from sememe.architectures.rope import Rope
from sememe.errors import ModelError
from sememe.ops.contract import Inputs, Ops, Tensor, Weight


def read(config: Mapping[str, Any]) -> GptConfig:
    """Out of ``config.json``.

    Raises:
        ModelError: a number is missing or impossible, or the attention has no biases.
    """
    if not flag(config, "attention_bias", default=True):
        raise ModelError('config.json: "attention_bias" is false, which sememe does not run in GPT-NeoX')
    layers, width = positive(config, "num_hidden_layers"), positive(config, "hidden_size")
    heads = positive(config, "num_attention_heads", divides="hidden_size")
    return GptConfig(
        layers=layers,
        width=width,
        heads=heads,
        inner=positive(config, "intermediate_size"),
        positions=positive(config, "max_position_embeddings"),
        activation=str(config.get("hidden_act", "gelu")),
        eps=number(config, "layer_norm_eps", default=1e-5),
        scales=((width // heads) ** -0.5,) * layers,
        parallel=flag(config, "use_parallel_residual", default=True),
        rope=Rope.read({"rotary_pct": 0.25, **config}, width // heads),
    )


def shapes(config: GptConfig) -> Shapes:
    """What the weights must look like."""
    h, inner = config.width, config.inner
    table: Shapes = {"embed_in.weight": (None, h), "final_layer_norm.weight": (h,), "final_layer_norm.bias": (h,)}
    dense = {
        "attention.query_key_value": (3 * h, h),
        "attention.dense": (h, h),
        "mlp.dense_h_to_4h": (inner, h),
        "mlp.dense_4h_to_h": (h, inner),
    }
    for layer in range(config.layers):
        for name, shape in dense.items():
            table |= {f"layers.{layer}.{name}.weight": shape, f"layers.{layer}.{name}.bias": shape[:1]}
        for name in ("input_layernorm", "post_attention_layernorm"):
            table |= {f"layers.{layer}.{name}.weight": (h,), f"layers.{layer}.{name}.bias": (h,)}
    return table


def gpt_neox(ops: Ops, weight: Weight, config: GptConfig, inputs: Inputs) -> Tensor:
    """The last layer's vectors, normalised: ``(b, n, h)``."""

    def both(name: str) -> tuple[Any, Any]:
        return weight(f"{name}.weight"), weight(f"{name}.bias")

    def layer(i: int) -> Layer:
        at = f"layers.{i}."
        q, k, v = fused(*both(f"{at}attention.query_key_value"), config.heads, by_head=True)
        return Layer(
            both(f"{at}input_layernorm"),
            both(f"{at}post_attention_layernorm"),
            q,
            k,
            v,
            out=both(f"{at}attention.dense"),
            up=both(f"{at}mlp.dense_h_to_4h"),
            down=both(f"{at}mlp.dense_4h_to_h"),
        )

    x = ops.tap("rows", ops.gather(ops.constant(weight("embed_in.weight")), inputs.ids))
    return ops.layer_norm(decoder(ops, config, layer, x, inputs), *both("final_layer_norm"), config.eps)


FAMILY = Family(read, shapes, gpt_neox, prefixes=("", "gpt_neox."))
