"""What the golden files hold, for the script that makes them and the tests that read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests import tiny_bert

GOLDEN = Path(__file__).parent / "golden"
#: sememe's words for pooling, and those of sentence-transformers
POOLING_NAMES = {
    "mean": "mean",
    "cls": "cls",
    "max": "max",
    "last": "lasttoken",
    "weighted_mean": "weightedmean",
    "mean_sqrt_len": "mean_sqrt_len_tokens",
}
#: leading tokens that do not count, in the pooled vectors named "skip2"
PROMPT_TOKENS = 2


def _config(**changes: Any) -> dict[str, Any]:
    return tiny_bert.config(vocab_size=40, max_position_embeddings=24, **changes)


#: ``types``: whether token types are given; ``more``: columns of padding that no text needs
NETWORKS: dict[str, dict[str, Any]] = {
    "gelu": {"seed": 1, "types": True, "lengths": [7, 4, 1], "config": _config()},
    "gelu_new": {
        "seed": 2,
        "types": False,
        "lengths": [3, 9],
        "more": 3,
        "config": _config(
            hidden_size=48, num_attention_heads=6, intermediate_size=40, hidden_act="gelu_new", num_hidden_layers=2
        ),
    },
    "relu": {
        "seed": 3,
        "types": False,
        "lengths": [24, 3, 17, 8],
        "config": _config(
            hidden_size=40,
            num_attention_heads=5,
            intermediate_size=24,
            hidden_act="relu",
            num_hidden_layers=3,
            type_vocab_size=1,
        ),
    },
    "silu": {
        "seed": 4,
        "types": True,
        "lengths": [5],
        "config": _config(
            hidden_size=36, num_attention_heads=3, hidden_act="silu", layer_norm_eps=1e-5, type_vocab_size=3
        ),
    },
    "masked_lm": {
        "seed": 5,
        "types": True,
        "lengths": [6, 11],
        "masked_lm": True,
        "config": _config(num_attention_heads=1, type_vocab_size=1),
    },
}

_PROMPTS = {"query": "The House: ", "document": "Cat "}
#: arguments of `tiny_bert.write`
FOLDERS: dict[str, dict[str, Any]] = {
    **{kind: {"pooling": kind, "normalize": kind in ("mean", "max")} for kind in POOLING_NAMES},
    "prompts": {"prompts": _PROMPTS},
    **{
        f"prompts that do not count, {kind}": {
            "prompts": _PROMPTS,
            "include_prompt": False,
            "pooling": kind,
            "normalize": kind == "cls",
        }
        for kind in POOLING_NAMES
    },
    "cased": {"lowercase": False, "prompts": _PROMPTS},
    "lower case before the tokenizer": {"lowercase": False, "do_lower_case": True, "prompts": _PROMPTS},
    "short limit": {"limit": 7},
    "dense, norm and dense after pooling": {
        "prompts": _PROMPTS,
        "after": [
            (
                "Dense",
                {"in_features": 32, "out_features": 20, "activation_function": "torch.nn.modules.activation.Tanh"},
            ),
            ("LayerNorm", {"dimension": 20}),
            (
                "Dense",
                {
                    "in_features": 20,
                    "out_features": 28,
                    "bias": False,
                    "activation_function": "torch.nn.modules.linear.Identity",
                },
            ),
        ],
    },
    "dense with what it got added": {
        "normalize": False,
        "after": [
            (
                "Dense",
                {
                    "in_features": 32,
                    "out_features": 32,
                    "activation_function": "torch.nn.modules.activation.GELU",
                    "use_residual": True,
                },
            ),
            (
                "Dense",
                {
                    "in_features": 32,
                    "out_features": 8,
                    "activation_function": "torch.nn.modules.activation.ReLU",
                    "use_residual": True,
                },
            ),
        ],
    },
    "plain folder": {"plain": True},
}

NASTY = [
    "",
    " \t\n ",
    "Hello, World! It's 3.14…",
    "naïve café déjà-vu ÅNGSTRÖM İstanbul ΟΔΥΣΣΕΥΣ",
    "e\u0301 = é, o\u0308 = ö, \u1e9b\u0323",
    "日本語の文です。東京 대한민국 ไทย العربية עברית हिन्दी",
    "🙂👩‍👩‍👧‍👦🏳️‍🌈 x\U0001f600y",
    "zero\u200bwidth\u00adsoft\u2060join\ufeffbom \u202eright to left\u202c",
    "tab\tnul\x00bell\x07del\x7fnel\x85 \ufffd \ue000",
    "[CLS] the bank [SEP] [MASK] [PAD] [UNK]",
    "a" * 120 + " " + "supercalifragilisticexpialidocious" * 2,
    "https://example.org/a?b=c&d=%20#e user@example.org C:\\dir\\file.txt",
    "the bank of the river " * 80,
    "１２３ ½ ² Ⅳ ﬁ ㎏ — – ‐ ' ‘’ “” «»",
]

MINILM_TEXTS = [
    "",
    "bank",
    "He sat on the bank of the river and watched the boats.",
    "The bank raised its interest rate by half a percent.",
    "A cat sleeps on the warm roof of a parked car.",
    "Ein Hund läuft über die Straße.",
    "日本語の短い文です。",
    "def add(a, b):\n    return a + b",
    "WHY IS EVERYTHING IN CAPITALS?",
    "1, 2, 3, 5, 8, 13, 21",
    "How do I reset my password?",
    "I cannot sign in; the page says that my password has expired.",
    "🙂🙂🙂",
    "Photosynthesis turns light, water and carbon dioxide into sugar and oxygen.",
    "The trial was adjourned until the first Monday of the following month. " * 8,
    "A very long text about nothing in particular, which goes on and on. " * 40,
]


def arrays(name: str) -> dict[str, Any]:
    """The arrays of one stored file."""
    with np.load(GOLDEN / name, allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}


def tokens() -> dict[str, list[dict[str, Any]]]:
    """For each tokenizer one row a text of `NASTY`."""
    found: dict[str, list[dict[str, Any]]] = json.loads((GOLDEN / "tokens.json").read_text("utf-8"))
    return found
