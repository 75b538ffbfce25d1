"""What the files of a model say of each other: tokenizer and weights, limits, the catalogue's word."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sememe.encoders.check_report import Finding
from sememe.encoders.transformer import TransformerEncoder
from sememe.models import jsonfile
from sememe.models.catalogue import lookup
from sememe.models.layout import Layout, positions_in
from sememe.models.weights import Weights

#: a vocabulary is a few megabytes
_LARGE = 100_000_000


def check_files(layout: Layout, encoder: TransformerEncoder) -> list[Finding]:
    """Findings from reading alone."""
    return [*_recipe(layout, encoder), *_limits(layout), *_vocabulary(layout, encoder), *_tensors(layout)]


def _recipe(layout: Layout, encoder: TransformerEncoder) -> Iterator[Finding]:
    recipe = encoder.recipe
    steps = "".join(f", then {step.said}" for step in encoder.steps)
    said = f"{recipe.pooling}{steps}, {'unit length' if recipe.normalize else 'length kept'}"
    entry = lookup(layout.name)
    if layout.assumed:
        yield Finding("recipe", "note", f"{said}; assumed: {'; '.join(layout.assumed)}", "hold it to a reference")
    else:
        yield Finding("recipe", "ok", said)
    if entry is not None and (recipe.pooling, recipe.normalize) != (entry.pooling, entry.normalize):
        own = f"{entry.pooling}, {'unit length' if entry.normalize else 'length kept'}"
        yield Finding("recipe", "wrong", f"the catalogue says of {entry.name}: {own}", "fetch it: sememe models pull")
    told = "; ".join(f"{role}: {text!r}" for role, text in recipe.prompts.items() if text) or "none"
    yield Finding("prompts", "ok", told)
    for role, text in (entry.prompts if entry is not None else {}).items():
        if recipe.prompts.get(role) != text:
            said = f"the catalogue puts {text!r} before a {role}, the folder {recipe.prompts.get(role)!r}"
            yield Finding("prompts", "wrong", said, "correct config_sentence_transformers.json")


def _limits(layout: Layout) -> Iterator[Finding]:
    """What each file says of the longest text."""
    folder = layout.weights_folder
    sentence = _object(folder / "sentence_bert_config.json")
    tokenizer = _object(folder / "tokenizer_config.json")
    claims = {
        "config.json": positions_in(layout.config),
        "sentence_bert_config.json": _whole(sentence.get("max_seq_length")),
        "tokenizer_config.json": _whole(tokenizer.get("model_max_length")),
    }
    told = ", ".join(f"{name} {number}" for name, number in claims.items() if number)
    rows, stated = claims["config.json"], claims["sentence_bert_config.json"]
    if rows and stated > rows:
        yield Finding(
            "longest text",
            "wrong",
            f"the folder allows {stated} tokens, the network has {rows} positions",
            "correct max_seq_length in sentence_bert_config.json",
        )
    elif len({number for number in claims.values() if number}) > 1:
        yield Finding("longest text", "note", f"{told}; {layout.max_tokens} is used")
    else:
        yield Finding(
            "longest text", "ok", f"{layout.max_tokens} tokens" if layout.max_tokens else "no limit is stated"
        )


def _vocabulary(layout: Layout, encoder: TransformerEncoder) -> Iterator[Finding]:
    tokenizer, rows = encoder.tokenizer, encoder.architecture.vocabulary
    wrong = list(_strange_ids(layout, encoder))
    if wrong:
        said = f"{len(wrong)} ids differ from what stands beside tokenizer.json: {'; '.join(wrong[:3])}"
        yield Finding("vocabulary", "wrong", said, "take all tokenizer files from one source")
    elif tokenizer.vocab_size * 2 < rows:
        said = f"{tokenizer.vocab_size} ids for {rows} word vectors: most of them are never used"
        yield Finding("vocabulary", "note", said, "see whether the tokenizer is that of the weights")
    else:
        yield Finding("vocabulary", "ok", f"{tokenizer.vocab_size} ids, {rows} word vectors")


def _strange_ids(layout: Layout, encoder: TransformerEncoder) -> Iterator[str]:
    """Ids that other files of the folder give to other pieces."""
    beside = layout.tokenizer_file.parent
    for file, claims in _claims(beside, layout.config):
        for id, piece in claims.items():
            got = encoder.tokenizer.piece(id) if id < encoder.tokenizer.vocab_size else "nothing"
            if got != piece:
                yield f"{file} says {id} is {piece!r}, tokenizer.json {got!r}"


def _claims(folder: Path, config: Mapping[str, Any]) -> Iterator[tuple[str, dict[int, str]]]:
    told = _object(folder / "tokenizer_config.json")
    added = told.get("added_tokens_decoder")
    if isinstance(added, dict):
        named = {
            int(id): entry.get("content") for id, entry in added.items() if id.isdecimal() and isinstance(entry, dict)
        }
        yield "tokenizer_config.json", {id: piece for id, piece in named.items() if isinstance(piece, str)}
    for word in ("pad", "cls", "sep", "bos", "eos"):
        id, piece = config.get(f"{word}_token_id"), told.get(f"{word}_token")
        if isinstance(id, int) and id >= 0 and isinstance(piece, str):
            yield "config.json", {id: piece}
    if (folder / "vocab.txt").is_file() and (folder / "vocab.txt").stat().st_size < _LARGE:
        pieces = (folder / "vocab.txt").read_text("utf-8", "replace").split("\n")
        yield "vocab.txt", {id: piece for id, piece in enumerate(pieces) if piece}
    if (folder / "vocab.json").is_file():
        ids = jsonfile.read_object(folder / "vocab.json", limit=_LARGE)
        yield "vocab.json", {id: piece for piece, id in ids.items() if isinstance(id, int) and id >= 0}


def _tensors(layout: Layout) -> Iterator[Finding]:
    """Numbers that no trained network has."""
    bad: list[str] = []
    empty: list[str] = []
    twice: list[str] = []
    seen: dict[str, str] = {}
    with Weights.open(layout.weights_folder) as weights:
        for name in weights:
            array = weights(name)
            if array.dtype.kind != "f" or not array.size:
                continue
            if not np.isfinite(array).all():
                bad.append(name)
            elif array.ndim > 1 and not array.any():
                empty.append(name)
            elif array.ndim > 1:
                key = hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
                twice += [f"{seen[key]} and {name}"] if key in seen else []
                seen[key] = name
    if bad:
        yield Finding("weights", "wrong", f"not finite: {', '.join(bad[:3])}", "fetch the model again")
    if empty or twice:
        said = [f"all zero: {', '.join(empty[:3])}"] * bool(empty) + [
            f"the same numbers: {', '.join(twice[:3])}"
        ] * bool(twice)
        yield Finding("weights", "note", "; ".join(said), "ask whether they should be")
    if not (bad or empty or twice):
        yield Finding("weights", "ok", "finite, no matrix empty or there twice")


def _object(path: Path) -> dict[str, Any]:
    return jsonfile.read_object(path) if path.is_file() else {}


def _whole(value: object) -> int:
    return int(value) if isinstance(value, int | float) and 0 < value < 10**7 else 0
