"""A BERT of a few kilobytes, as a model folder that any library can open: random weights, a vocabulary of letters.

The weights are drawn so that every part counts: normalisation is not the identity, biases are not zero, and two
different texts are far apart.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.rooms.model_folders import safetensors

WORDS = ["the", "boat", "at", "bank", "of", "river", "water", "money", "house", "stone", "bread", "cat", "dog", "moon"]
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = [chr(code) for code in range(33, 127)] + list("äöüßéα日本語")
VOCABULARY = [*SPECIALS, *LETTERS, *(f"##{letter}" for letter in LETTERS), *WORDS, "Bank", "##ing"]
PACKAGE = "sentence_transformers.models."
#: what sentence-transformers calls each way of pooling in 1_Pooling/config.json
POOLING = {
    "mean": "pooling_mode_mean_tokens",
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "last": "pooling_mode_lasttoken",
    "weighted_mean": "pooling_mode_weightedmean_tokens",
    "mean_sqrt_len": "pooling_mode_mean_sqrt_len_tokens",
}


def config(**changes: Any) -> dict[str, Any]:
    """A config.json of two small layers."""
    return {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "vocab_size": len(VOCABULARY),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "hidden_act": "gelu",
        "max_position_embeddings": 64,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "position_embedding_type": "absolute",
        "pad_token_id": 0,
        **changes,
    }


def tensors(settings: Mapping[str, Any], *, seed: int = 0, prefix: str = "", old: bool = False) -> dict[str, Any]:
    """Random float32 weights for a config, under the names of the checkpoints; ``old`` writes gamma and beta."""
    random = np.random.default_rng(seed)
    h, inner = settings["hidden_size"], settings["intermediate_size"]
    found: dict[str, Any] = {}

    def draw(name: str, *shape: int, mean: float = 0.0, spread: float = 1.0) -> None:
        found[prefix + name] = (mean + spread * random.normal(size=shape)).astype(np.float32)

    def dense(name: str, out: int, into: int) -> None:
        draw(f"{name}.weight", out, into, spread=1.5 / into**0.5)
        draw(f"{name}.bias", out, spread=0.1)

    def norm(name: str) -> None:
        draw(f"{name}.{'gamma' if old else 'weight'}", h, mean=1.0, spread=0.1)
        draw(f"{name}.{'beta' if old else 'bias'}", h, spread=0.1)

    draw("embeddings.word_embeddings.weight", settings["vocab_size"], h)
    draw("embeddings.position_embeddings.weight", settings["max_position_embeddings"], h, spread=0.5)
    draw("embeddings.token_type_embeddings.weight", settings["type_vocab_size"], h, spread=0.5)
    norm("embeddings.LayerNorm")
    for layer in range(settings["num_hidden_layers"]):
        block = f"encoder.layer.{layer}."
        for part in ("query", "key", "value"):
            dense(f"{block}attention.self.{part}", h, h)
        dense(f"{block}attention.output.dense", h, h)
        norm(f"{block}attention.output.LayerNorm")
        dense(f"{block}intermediate.dense", inner, h)
        dense(f"{block}output.dense", h, inner)
        norm(f"{block}output.LayerNorm")
    return found


def tokenizer(*, lowercase: bool = True, words: Sequence[str] = VOCABULARY) -> dict[str, Any]:
    """A tokenizer.json: WordPiece over letters and a few words, ``[CLS] … [SEP]`` around."""
    vocabulary = {piece: number for number, piece in enumerate(words)}
    special = {piece: vocabulary[piece] for piece in SPECIALS}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": number, "content": piece, **flags} for piece, number in special.items()],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": False,
            "lowercase": lowercase,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
            ],
            "pair": [],
            "special_tokens": {
                piece: {"id": piece, "ids": [special[piece]], "tokens": [piece]} for piece in ("[CLS]", "[SEP]")
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        },
    }


def write(
    folder: Path,
    *,
    pooling: str = "mean",
    normalize: bool = True,
    prompts: Mapping[str, str] | None = None,
    include_prompt: bool = True,
    limit: int = 24,
    plain: bool = False,
    **parts: Any,
) -> Path:
    """The folder of a model in the layout of sentence-transformers, or only the network with ``plain``.

    ``parts``: ``settings`` (`config`), ``weights`` (`tensors`), ``seed``, ``lowercase`` (of the tokenizer),
    ``do_lower_case`` (before it), ``after`` (what comes between pooling and length: names of modules with their
    configs, whose weights are drawn here).
    """
    settings = parts.get("settings") or config()
    weights = parts.get("weights") or tensors(settings, seed=parts.get("seed", 0))
    files: dict[str, Any] = {
        "config.json": settings,
        "tokenizer.json": tokenizer(lowercase=parts.get("lowercase", True)),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": limit,
            **{f"{name}_token": f"[{name.upper()}]" for name in ("cls", "sep", "pad", "unk", "mask")},
        },
    }
    if not plain:
        after = parts.get("after", [])
        steps = ["Transformer", "Pooling", *(step for step, _ in after), *(["Normalize"] if normalize else [])]
        paths = ["", "1_Pooling", *(f"{at}_{step}" for at, step in enumerate(steps[2:], 2))]
        for path, (step, settled) in zip(paths[2:], after, strict=False):
            files[f"{path}/config.json"] = settled
            _write_step(folder / path, step, settled)
        files["modules.json"] = [
            {"idx": at, "name": str(at), "path": path, "type": PACKAGE + step}
            for at, (step, path) in enumerate(zip(steps, paths, strict=False))
        ]
        files["sentence_bert_config.json"] = {
            "max_seq_length": limit,
            "do_lower_case": parts.get("do_lower_case", False),
        }
        files["1_Pooling/config.json"] = {
            "word_embedding_dimension": settings["hidden_size"],
            **{switch: kind == pooling for kind, switch in POOLING.items()},
            "include_prompt": include_prompt,
        }
        files["config_sentence_transformers.json"] = {"prompts": dict(prompts or {}), "default_prompt_name": None}
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    (folder / "model.safetensors").write_bytes(safetensors(weights))
    return folder


def _write_step(folder: Path, step: str, settled: Mapping[str, Any]) -> None:
    """The weights of a module after pooling."""
    random = np.random.default_rng(len(folder.name))
    if step == "LayerNorm":
        shapes = {"norm.weight": (settled["dimension"],), "norm.bias": (settled["dimension"],)}
    else:
        into, out = settled["in_features"], settled["out_features"]
        shapes = {"linear.weight": (out, into)} | ({"linear.bias": (out,)} if settled.get("bias", True) else {})
        shapes |= {"residual.weight": (out, into)} if settled.get("use_residual") and into != out else {}
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    (folder / "model.safetensors").write_bytes(safetensors(drawn))


def texts(count: int, *, seed: int = 0, longest: int = 20) -> list[str]:
    """Texts of 1 to ``longest`` words, some of them unknown to the vocabulary and spelled in letters."""
    random = np.random.default_rng(seed)
    words = [*WORDS, "Bank", "riverside", "x1!", "日本", "Ωmega"]
    return [" ".join(random.choice(words, size=random.integers(1, longest + 1))) for _ in range(count)]
