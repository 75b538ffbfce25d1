"""Where a token stands in the text: one short function for each scheme."""

from __future__ import annotations

from sememe.ops.contract import Ops, Tensor


def learned(ops: Ops, table: Tensor, ids: Tensor) -> Tensor:
    """Rows 0 … n-1 of a trained table ``(longest, h)``: ``(n, h)`` (Devlin et al. 2019, arXiv 1810.04805)."""
    return ops.tap("positions", ops.prefix(table, ids))
