"""The operations that networks are written in, and what an interpreter of them promises.

An architecture is a plain function over these operations and opaque tensors. Who runs it decides what a tensor is: an
array (`sememe.ops.numpy`, readable, the oracle) or a node of a graph (`sememe.ops.openvino`, fast). A third
interpreter, with gradients, fits the same seam. `tests/contracts/test_ops.py` holds every interpreter to the same
answers.

Shapes in the docstrings: b texts, n tokens, h width, a heads, d = h / a.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: whatever the interpreter computes with
Tensor = Any
#: a tensor of the model by its name in the weights file
Weight = Callable[[str], "npt.NDArray[np.float32]"]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What every text network gets, each ``(b, n)``.

    ``ids`` int32; ``mask`` float32, 1 for a token and 0 for padding, which stands at the right end; ``pool`` float32,
    each token's weight in the pooled vector; ``types`` int32 or None, which means type 0 everywhere.
    """

    ids: Tensor
    mask: Tensor
    pool: Tensor
    types: Tensor | None = None


class Ops(Protocol):
    """The namespace of operations."""

    def constant(self, array: npt.NDArray[Any]) -> Tensor:
        """A tensor out of an array; the array is not copied where the interpreter can do without."""

    def gather(self, table: Tensor, ids: Tensor) -> Tensor:
        """Rows of ``table`` ``(v, h)`` by ``ids`` ``(b, n)``: ``(b, n, h)``."""

    def prefix(self, table: Tensor, like: Tensor) -> Tensor:
        """The first n rows of ``table`` ``(rows, h)``, where ``like`` is ``(b, n)``: ``(n, h)``."""

    def distances(self, like: Tensor) -> Tensor:
        """How far each token stands after each other, ``j - i``, where ``like`` is ``(b, n)``: int32 ``(n, n)``."""

    def pick(self, x: Tensor, index: Tensor) -> Tensor:
        """``x[b, a, i, index[i, j]]``: from ``(b, a, n, r)`` by int32 ``(n, n)`` to ``(b, a, n, n)``."""

    def split(self, x: Tensor, sizes: Sequence[int]) -> list[Tensor]:
        """The last axis in parts of these sizes."""

    def concat(self, parts: Sequence[Tensor]) -> Tensor:
        """Tensors of equal shape one after the other along the last axis."""

    def transpose(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        """The axes in another order."""

    def linear(self, x: Tensor, weight: npt.NDArray[Any], bias: npt.NDArray[Any] | None = None) -> Tensor:
        """``x @ weight.T + bias``; ``x`` ``(…, in)``, ``weight`` ``(out, in)`` as torch stores it."""

    def matmul(self, x: Tensor, y: Tensor) -> Tensor:
        """``x @ y`` over the last two axes."""

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """Elementwise, with NumPy's broadcasting."""

    def multiply(self, x: Tensor, y: Tensor) -> Tensor:
        """Elementwise, with NumPy's broadcasting."""

    def layer_norm(self, x: Tensor, weight: npt.NDArray[Any], bias: npt.NDArray[Any] | None, eps: float) -> Tensor:
        """Ba et al. 2016 (arXiv 1607.06450) over the last axis, with the variance of the population."""

    def rms_norm(self, x: Tensor, weight: npt.NDArray[Any], eps: float) -> Tensor:
        """``x / √(mean(x²) + eps) · weight`` over the last axis (Zhang and Sennrich 2019, arXiv 1910.07467)."""

    def split_heads(self, x: Tensor, heads: int) -> Tensor:
        """``(b, n, h)`` to ``(b, a, n, d)``."""

    def merge_heads(self, x: Tensor) -> Tensor:
        """``(b, a, n, d)`` to ``(b, n, h)``."""

    def repeat_heads(self, x: Tensor, times: int) -> Tensor:
        """Each head so many times in a row: ``(b, g, n, d)`` to ``(b, g · times, n, d)``."""

    def attention(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor,
        *,
        name: str,
        bias: Tensor | None = None,
        scale: float | None = None,
    ) -> Tensor:
        """``softmax(scale · q kᵀ + bias) v`` over the tokens that ``mask`` ``(b, n)`` keeps (Vaswani et al. 2017,
        eq. 1).

        ``q``, ``k``, ``v`` and the result are ``(b, a, n, d)``; ``bias`` broadcasts to the scores ``(b, a, n, n)``,
        where -1e9 forbids; ``scale`` is 1 / √d if None. The softmax, ``(b, a, n, n)``, is tapped as ``name``.
        """

    def gelu(self, x: Tensor) -> Tensor:
        """``x Φ(x)`` with the exact error function (Hendrycks and Gimpel 2016, arXiv 1606.08415)."""

    def gelu_tanh(self, x: Tensor) -> Tensor:
        """The tanh approximation of the same paper, which GPT-2 and others were trained with."""

    def relu(self, x: Tensor) -> Tensor:
        """``max(x, 0)``."""

    def silu(self, x: Tensor) -> Tensor:
        """``x σ(x)`` (arXiv 1702.03118)."""

    def tanh(self, x: Tensor) -> Tensor:
        """Elementwise."""

    def sigmoid(self, x: Tensor) -> Tensor:
        """``1 / (1 + e⁻ˣ)``."""

    def log(self, x: Tensor) -> Tensor:
        """The natural logarithm of numbers above 0."""

    def squeeze(self, x: Tensor, axis: int) -> Tensor:
        """Without an axis of length 1."""

    def unsqueeze(self, x: Tensor, axis: int) -> Tensor:
        """With a new axis of length 1."""

    def maximum(self, x: Tensor, mask: Tensor) -> Tensor:
        """The greatest value of each column over the tokens of ``mask`` ``(b, n)``: ``(b, n, h)`` to ``(b, h)``."""

    def normalize(self, x: Tensor) -> Tensor:
        """Rows ``(b, h)`` of unit length; a zero row stays zero."""

    def tap(self, name: str, x: Tensor) -> Tensor:
        """``x`` itself, findable under ``name`` by a caller who asked for it; free when nobody did."""
