"""GPT-2 (Radford et al. 2019): a decoder with learned positions.

Taps: ``rows``, ``positions``, and those of `gpt`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sememe.architectures.config import choice, flag, number, positive
from sememe.architectures.family import Family, Shapes
from sememe.architectures.gpt import GptConfig, Layer, decoder, fused
from sememe.architectures.positions import learned
from sememe.ops.contract import Inputs, Ops, Tensor, Weight


def read(config: Mapping[str, Any]) -> GptConfig:
    """Out of ``config.json``.

    Raises:
        ModelError: a number is missing or impossible.
    """
    layers, width = positive(config, "n_layer"), positive(config, "n_embd")
    heads = positive(config, "n_head", divides="n_embd")
    scale = (width // heads) ** -0.5 if flag(config, "scale_attn_weights", default=True) else 1.0
    by_layer = flag(config, "scale_attn_by_inverse_layer_idx", default=False)
    choice(
        {"add_cross_attention": str(config.get("add_cross_attention", False))},
        "add_cross_attention",
        ("False",),
        default="False",
    )
    return GptConfig(
        layers=layers,
        width=width,
        heads=heads,
        inner=positive({"n_inner": config.get("n_inner") or 4 * width}, "n_inner"),
        positions=positive(config, "n_positions", default=1024),
        activation=str(config.get("activation_function", "gelu_new")),
        eps=number(config, "layer_norm_epsilon", default=1e-5),
        scales=tuple(scale / (i + 1 if by_layer else 1) for i in range(layers)),
    )


def shapes(config: GptConfig) -> Shapes:
    """What the weights must look like; the dense ones are stored ``(in, out)``."""
    h = config.width
    table: Shapes = {"wte.weight": (None, h), "wpe.weight": (config.positions, h)}
    table |= {"ln_f.weight": (h,), "ln_f.bias": (h,)}
    dense = {
        "attn.c_attn": (h, 3 * h),
        "attn.c_proj": (h, h),
        "mlp.c_fc": (h, config.inner),
        "mlp.c_proj": (config.inner, h),
    }
    for layer in range(config.layers):
        for name, shape in dense.items():
            table |= {f"h.{layer}.{name}.weight": shape, f"h.{layer}.{name}.bias": shape[1:]}
        for name in ("ln_1", "ln_2"):
            table |= {f"h.{layer}.{name}.weight": (h,), f"h.{layer}.{name}.bias": (h,)}
    return table


def gpt2(ops: Ops, weight: Weight, config: GptConfig, inputs: Inputs) -> Tensor:
    """The last layer's vectors, normalised: ``(b, n, h)``."""

    def dense(name: str) -> tuple[Any, Any]:
        return weight(f"{name}.weight").T, weight(f"{name}.bias")

    def norm(name: str) -> tuple[Any, Any]:
        return weight(f"{name}.weight"), weight(f"{name}.bias")

    def layer(i: int) -> Layer:
        at = f"h.{i}."
        q, k, v = fused(*dense(f"{at}attn.c_attn"), config.heads, by_head=False)
        return Layer(
            norm(f"{at}ln_1"),
            norm(f"{at}ln_2"),
            q,
            k,
            v,
            out=dense(f"{at}attn.c_proj"),
            up=dense(f"{at}mlp.c_fc"),
            down=dense(f"{at}mlp.c_proj"),
        )

    rows = ops.tap("rows", ops.gather(ops.constant(weight("wte.weight")), inputs.ids))
    x = ops.add(rows, learned(ops, ops.constant(weight("wpe.weight")), inputs.ids))
    return ops.layer_norm(decoder(ops, config, layer, x, inputs), *norm("ln_f"), config.eps)


FAMILY = Family(read, shapes, gpt2, prefixes=("", "transformer."))
