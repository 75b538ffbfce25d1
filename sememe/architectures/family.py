"""What a family of networks says of itself, so that `families.build` can read, check and run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sememe.ops.contract import Inputs, Ops, Tensor, Weight

#: what the weights must look like, by name; None is any length
Shapes = dict[str, tuple[int | None, ...]]


class Numbers(Protocol):
    """What `build` needs of a family's config record; it is a frozen dataclass with these fields among its own.

    ``positions`` is the longest text; a family without a table of positions takes it from its config too.
    """

    layers: int
    width: int
    positions: int


@dataclass(frozen=True, slots=True)
class Family:
    """How one kind of network is read, checked and run.

    ``read`` makes the config record out of ``config.json``; the first of ``shapes`` is the table of word vectors;
    ``prefixes`` are what its tensors' names may start with; ``rename`` gives a tensor's name in the checkpoint, for a
    family that is another one under other names.
    """

    read: Callable[[Mapping[str, Any]], Any]
    shapes: Callable[[Any], Shapes]
    run: Callable[[Ops, Weight, Any, Inputs], Tensor]
    prefixes: tuple[str, ...] = ("",)
    rename: Callable[[str, Any], str] = lambda name, numbers: name
