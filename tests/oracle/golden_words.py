"""Word vectors in the files that gensim writes, and what gensim says of them: run with gensim installed.

    python tests/oracle/golden_words.py

The files are small: forty words of eight numbers, parts of words in fifty rows. They are read by
`test_words.py`, which needs none of the libraries.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from gensim.models import FastText, KeyedVectors
from gensim.models.fasttext import save_facebook_model

GOLDEN = Path(__file__).parent / "golden" / "words"
SENTENCES = [
    "der könig und die königin wohnen in der großen stadt",
    "the king and the queen live in the big city",
    "ein mann und eine frau gehen in die stadt",
    "a man and a woman walk into the city",
    "король и королева живут в городе",
    "東京 は 日本 の 首都",
]
UNSEEN = ["königreich", "kings", "城", "woman's", "городской", "x"]


def main() -> None:
    """Write all of it."""
    GOLDEN.mkdir(parents=True, exist_ok=True)
    model = FastText(vector_size=8, min_count=1, bucket=50, min_n=2, max_n=4, seed=3, workers=1, epochs=3)
    texts = [line.split() for line in SENTENCES]
    model.build_vocab(texts)
    model.train(texts, total_examples=len(texts), epochs=3)
    save_facebook_model(model, str(GOLDEN / "fasttext.bin"))
    words = model.wv.index_to_key
    plain = KeyedVectors(8)
    plain.add_vectors(words, np.stack([model.wv[word] for word in words]))
    plain.save_word2vec_format(str(GOLDEN / "plain.txt"))
    plain.save_word2vec_format(str(GOLDEN / "plain.bin"), binary=True)
    near = {word: plain.most_similar(word, topn=5) for word in words[:6]}
    asked = [("man", "king", "woman"), ("king", "queen", "man"), ("die", "der", "in")]
    expected = {
        "words": words,
        "vectors": [model.wv[word].astype(float).tolist() for word in words],
        "unseen": {word: model.wv[word].astype(float).tolist() for word in UNSEEN},
        "nearest": near,
        "add": [[a, b, c, plain.most_similar(positive=[b, c], negative=[a], topn=3)] for a, b, c in asked],
        "mul": [[a, b, c, plain.most_similar_cosmul(positive=[b, c], negative=[a], topn=3)] for a, b, c in asked],
        "odd": [words[:5], plain.doesnt_match(words[:5])],
    }
    text = json.dumps(expected, ensure_ascii=False, indent=1)
    (GOLDEN / "expected.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
