"""What some models do after pooling: dense steps and norms, each with weights of its own, inside the same graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sememe.architectures.config import flag, positive
from sememe.errors import ModelError
from sememe.models.layout import Layout, Module
from sememe.models.weights import Weights
from sememe.ops.contract import Ops, Tensor

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float32]

#: what torch's modules are called in a config, and our operation
_ACTIVATIONS = {
    "Identity": None,
    "Tanh": "tanh",
    "ReLU": "relu",
    "GELU": "gelu",
    "SiLU": "silu",
    "Sigmoid": "sigmoid",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step from ``(b, before)`` to ``(b, width)``; ``said`` describes it, ``file`` holds its weights."""

    run: Callable[[Ops, Tensor], Tensor]
    before: int
    width: int
    said: str
    file: Path


def read_steps(layout: Layout, width: int) -> tuple[Step, ...]:
    """The steps of a model folder that come between pooling and the last normalisation.

    Args:
        width: of the pooled vector.

    Raises:
        ModelError: a step is not what its config says, does something that sememe does not, or does not fit the one
            before.
    """
    steps: list[Step] = []
    for module in layout.modules:
        if module.kind not in ("dense", "layer_norm"):
            continue
        step = (_dense if module.kind == "dense" else _layer_norm)(module)
        before = steps[-1].width if steps else width
        if step.before != before:
            raise ModelError(
                f"{module.folder} does not fit what comes before it",
                why=[f"it takes {step.before} numbers, and gets {before}"],
            )
        steps.append(step)
    return tuple(steps)


def run_steps(ops: Ops, steps: Sequence[Step], x: Tensor) -> Tensor:
    """``(b, h)`` through every step, each tapped as ``steps.i``."""
    for at, step in enumerate(steps):
        x = ops.tap(f"steps.{at}", step.run(ops, x))
    return x


def _dense(module: Module) -> Step:
    config = module.config
    odd = [
        f"{key} is {config[key]!r:.60}"
        for key in ("module_input_name", "module_output_name")
        if _elsewhere(config, key)
    ]
    if odd:
        raise ModelError(f"{module.folder} works on something else than the pooled vector", why=odd)
    before, width = positive(config, "in_features"), positive(config, "out_features")
    name = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    word = str(name).rpartition(".")[2]
    if not str(name).startswith("torch.nn.modules.") or word not in _ACTIVATIONS:
        raise ModelError(
            f"{module.folder}: the activation {name!r:.100} is not known", do=[f"known are: {', '.join(_ACTIVATIONS)}"]
        )
    residual = flag(config, "use_residual", default=False)
    weights, file = _weights(module)
    matrix = _read(weights, "linear.weight", (width, before), file)
    bias = _read(weights, "linear.bias", (width,), file) if flag(config, "bias", default=True) else None
    beside = _read(weights, "residual.weight", (width, before), file) if residual and before != width else None

    def run(ops: Ops, x: Tensor) -> Tensor:
        y = ops.linear(x, matrix, bias)
        act = _ACTIVATIONS[word]
        y = getattr(ops, act)(y) if act else y
        if not residual:
            return y
        return ops.add(y, x if beside is None else ops.linear(x, beside))

    return Step(run, before, width, f"dense {before} → {width}, {word}", file)


def _elsewhere(config: Mapping[str, Any], key: str) -> bool:
    return config.get(key, "sentence_embedding") not in (None, "sentence_embedding")


def _layer_norm(module: Module) -> Step:
    width = positive(module.config, "dimension")
    weights, file = _weights(module)
    scale, shift = (_read(weights, f"norm.{part}", (width,), file) for part in ("weight", "bias"))
    # torch's default, which sentence-transformers takes
    return Step(partial(_normed, scale=scale, shift=shift), width, width, f"layer norm {width}", file)


def _normed(ops: Ops, x: Tensor, *, scale: Array, shift: Array) -> Tensor:
    return ops.layer_norm(x, scale, shift, 1e-5)


def _weights(module: Module) -> tuple[Weights, Path]:
    return Weights.open(module.folder), module.folder / "model.safetensors"


def _read(weights: Weights, name: str, shape: tuple[int, ...], file: Path) -> Array:
    if name not in weights or weights.shape(name) != shape:
        got = weights.shape(name) if name in weights else "nothing"
        raise ModelError(f"{file} does not fit its config.json", why=[f"{name} should be {shape}, there is {got}"])
    return weights(name).astype("float32", copy=False)
