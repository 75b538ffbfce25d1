"""A store that is changed again and again does not grow: nobody has to call compact."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from store_drill import record

from sememe.store.local.store import create_store

pytestmark = pytest.mark.slow

IDS, UPDATES, DIM = 1000, 100_000, 64
WORDS = [f"word{n}" for n in range(2000)]


def size(folder: Path) -> dict[str, int]:
    """Bytes of each file, those of the word index as one."""
    sizes: dict[str, int] = {}
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                name = "words" if path.parent != folder else path.name
                sizes[name] = sizes.get(name, 0) + path.stat().st_size
        except FileNotFoundError:  # Tantivy puts one file in the place of others
            continue
    return sizes


def test_a_hundred_thousand_updates_of_a_thousand_items(
    tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    chance, folder = random.Random(seed), tmp_path / "s"
    numbers = np.random.default_rng(seed)
    smallest, largest, worst = None, 0, {}
    with create_store(folder, dim=DIM) as store:
        done = 0
        while done < UPDATES:
            n = IDS if smallest is None else chance.choice([1, 10, 50, 100, 200])
            ids = [f"i{number:04}" for number in chance.sample(range(IDS), n)]
            texts = [" ".join(chance.choices(WORDS, k=60)) for _ in ids]
            store.put(ids, numbers.standard_normal((n, DIM)), [record(text, year=done) for text in texts])
            done += n
            if smallest is None or chance.random() < 0.05:
                store.search(None, 5, words=["word7"], mode="words")
            sizes = size(folder)
            smallest = min(smallest or sum(sizes.values()), sum(sizes.values()))
            if sum(sizes.values()) > largest:
                largest, worst = sum(sizes.values()), sizes
        assert store.count() == IDS
        assert store.verify().ok
    with capsys.disabled():
        print(
            f"smallest {smallest / 1e6:.2f} MB, largest {largest / 1e6:.2f} MB = {largest / smallest:.2f}x; then", worst
        )
        print("closed:", size(folder))
    assert largest < 3 * smallest
