"""BLOOM (Scao et al. 2022, arXiv 2211.05100): a decoder with ALiBi and a norm over its word vectors.

Taps: ``rows``, and those of `gpt`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sememe.architectures.config import flag, number, positive
from sememe.architectures.family import Family, Shapes
from sememe.architectures.gpt import GptConfig, Layer, decoder, fused
from sememe.architectures.positions import alibi_slopes
from sememe.ops.contract import Inputs, Ops, Tensor, Weight

#: the length that BLOOM was trained at; its config says none, and ALiBi sets none
TRAINED = 2048


def read(config: Mapping[str, Any]) -> GptConfig:
    """Out of ``config.json``.

    Raises:
        ModelError: a number is missing or impossible.
    """
    config = {
        "hidden_size": config.get("n_embed"),
        "n_layer": config.get("num_hidden_layers"),
        "n_head": config.get("num_attention_heads"),
        **config,
    }
    layers, width = positive(config, "n_layer"), positive(config, "hidden_size")
    heads = positive(config, "n_head", divides="hidden_size")
    return GptConfig(
        layers=layers,
        width=width,
        heads=heads,
        inner=4 * width,
        positions=positive(config, "seq_length", default=TRAINED),
        activation="gelu_new",
        eps=number(config, "layer_norm_epsilon", default=1e-5),
        scales=((width // heads) ** -0.5,) * layers,
        residual_after_norm=flag(config, "apply_residual_connection_post_layernorm", default=False),
        slopes=tuple(alibi_slopes(heads).tolist()),
    )


def shapes(config: GptConfig) -> Shapes:
    """What the weights must look like."""
    h, inner = config.width, config.inner
    table: Shapes = {"word_embeddings.weight": (None, h)}
    for name in ("word_embeddings_layernorm", "ln_f"):
        table |= {f"{name}.weight": (h,), f"{name}.bias": (h,)}
    dense = {
        "self_attention.query_key_value": (3 * h, h),
        "self_attention.dense": (h, h),
        "mlp.dense_h_to_4h": (inner, h),
        "mlp.dense_4h_to_h": (h, inner),
    }
    for layer in range(config.layers):
        for name, shape in dense.items():
            table |= {f"h.{layer}.{name}.weight": shape, f"h.{layer}.{name}.bias": shape[:1]}
        for name in ("input_layernorm", "post_attention_layernorm"):
            table |= {f"h.{layer}.{name}.weight": (h,), f"h.{layer}.{name}.bias": (h,)}
    return table


def bloom(ops: Ops, weight: Weight, config: GptConfig, inputs: Inputs) -> Tensor:
    """The last layer's vectors, normalised: ``(b, n, h)``."""

    def both(name: str) -> tuple[Any, Any]:
        return weight(f"{name}.weight"), weight(f"{name}.bias")

    def layer(i: int) -> Layer:
        at = f"h.{i}."
        q, k, v = fused(*both(f"{at}self_attention.query_key_value"), config.heads, by_head=True)
        return Layer(
            both(f"{at}input_layernorm"),
            both(f"{at}post_attention_layernorm"),
            q,
            k,
            v,
            out=both(f"{at}self_attention.dense"),
            up=both(f"{at}mlp.dense_h_to_4h"),
            down=both(f"{at}mlp.dense_4h_to_h"),
        )

    rows = ops.tap("rows", ops.gather(ops.constant(weight("word_embeddings.weight")), inputs.ids))
    x = ops.layer_norm(rows, *both("word_embeddings_layernorm"), config.eps)
    return ops.layer_norm(decoder(ops, config, layer, x, inputs), *both("ln_f"), config.eps)


FAMILY = Family(read, shapes, bloom, prefixes=("", "transformer."))
