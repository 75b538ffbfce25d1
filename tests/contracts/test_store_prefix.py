"""The contract of stores, held against every adaptor that searches by both meaning and words: how many candidates of
either side it looks at does not show."""

from __future__ import annotations

import numpy as np
import pytest
from store_drill import DIM, record

from sememe.store.contract import Store


def test_what_neither_side_puts_first_is_found_where_both_together_do(store: Store) -> None:
    if "hybrid" not in store.capabilities:
        pytest.skip("this store has no hybrid search, and says so")
    # 150 items that are near in meaning alone, 150 that hold more of the words, and one that is good enough in both.
    near, worded = range(150), range(150, 300)
    rows = np.zeros((301, DIM), np.float32)
    rows[near, 0], rows[near, 1] = 1, np.linspace(0.2, 0.3, 150)
    rows[worded, 2] = 1
    rows[300] = 1, 0.4, 0, 0
    texts = ["stone" for _ in near] + ["river bank water boat" for _ in worded] + ["river bank water"]
    store.put([f"i{n:03}" for n in range(301)], rows, [record(text) for text in texts])
    query = np.array([[1, 0, 0, 0]], np.float32)

    def ask(k: int) -> list[str]:
        return list(store.search(query, k, words=["river bank water boat"], mode="hybrid")[0].ids)

    everything = ask(301)  # where vectors are kept as signs another order than where they are kept whole
    for k in (0, 1, 2, 5, 10, 40, 200):
        assert ask(k) == everything[:k]
