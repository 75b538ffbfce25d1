"""Self-attention with heads, as BERT and its kin have it."""

from __future__ import annotations

from sememe.ops.contract import Ops, Tensor, Weight


def self_attention(
    ops: Ops, weight: Weight, x: Tensor, mask: Tensor, *, heads: int, name: str, bias: Tensor | None = None
) -> Tensor:
    """``x`` ``(b, n, h)`` attends to itself: ``(b, n, h)``, before the output projection.

    ``weight`` finds ``query``, ``key`` and ``value``, each with ``.weight`` and ``.bias``; ``name`` is the tap of the
    attention weights ``(b, a, n, n)``.
    """
    q, k, v = (
        ops.split_heads(ops.linear(x, weight(f"{part}.weight"), weight(f"{part}.bias")), heads)  # (b, a, n, d)
        for part in ("query", "key", "value")
    )
    return ops.merge_heads(ops.attention(q, k, v, mask, name=name, bias=bias))
