"""What model2vec makes of texts with the tiny tables of `tests/tiny_static.py`: run with model2vec installed.

python tests/oracle/golden_static.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np
from model2vec import StaticModel

from tests import tiny_bert, tiny_static

GOLDEN = Path(__file__).parent / "golden" / "static.npz"
TEXTS = ["", "the bank of the river", "日本語", "boat 日本語 moon", "Bank!", *tiny_bert.texts(40, longest=40)]


def main() -> None:
    """Write the vectors of every kind of table, with and without unit length."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in tiny_static.KINDS:
            for normalize in (True, False):
                path = tiny_static.write(Path(folder) / f"{kind}{normalize}", kind, normalize=normalize, limit=512)
                found[f"{kind}.{normalize}"] = StaticModel.from_pretrained(str(path)).encode(TEXTS).astype(np.float32)
    np.savez_compressed(GOLDEN, texts=np.array(TEXTS), **found)


if __name__ == "__main__":
    main()
