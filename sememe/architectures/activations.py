"""The activation that a config names, as an operation."""

from __future__ import annotations

from sememe.errors import ModelError
from sememe.ops.contract import Ops, Tensor

_NAMES = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}


def activation(ops: Ops, name: str, x: Tensor) -> Tensor:
    """``x`` through the activation that the config calls ``name``.

    Raises:
        ModelError: a name that sememe does not know; nothing similar is put in its place.
    """
    if name not in _NAMES:
        raise ModelError(f'the activation "{name}" is not known', do=[f"known are: {', '.join(_NAMES)}"])
    return getattr(ops, _NAMES[name])(x)
