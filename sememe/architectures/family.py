"""What a family of networks says of itself, so that `families.build` can read, check and run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sememe.ops.contract import Inputs, Ops, Tensor, Weight

#: what the weights must look like, by name; None is any length
Shapes = dict[str, tuple[int | None, ...]]


@dataclass(frozen=True, slots=True)
class Family:
    """How one kind of network is read, checked and run.

    ``read`` makes the config record out of ``config.json``: a frozen dataclass that has, among its own, the fields
    ``layers``, ``width`` and ``positions`` (the longest text). The first of ``shapes`` is the table of word vectors;
    ``prefixes`` are what its tensors' names may start with; ``rename`` gives a tensor's name in the checkpoint, for a
    family that is another one under other names.
    """

    read: Callable[[Mapping[str, Any]], Any]
    shapes: Callable[[Any], Shapes]
    run: Callable[[Ops, Weight, Any, Inputs], Tensor]
    prefixes: tuple[str, ...] = ("",)
    rename: Callable[[str, Any], str] = lambda name, numbers: name
