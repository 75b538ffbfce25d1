"""An encoder into a model folder of its own, in the layout of sentence-transformers, which opens it and gives the same
vectors.

Weights are written as float32 safetensors, whatever they were. A cut becomes a dense step of its own, whose matrix
takes the first numbers: so every program that opens the folder cuts, and makes the length one afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sememe.encoders.contract import Encoder
from sememe.encoders.cut import CutEncoder
from sememe.encoders.load import load_encoder
from sememe.encoders.transformer import TransformerEncoder
from sememe.errors import ModelError, UsageError
from sememe.models import jsonfile
from sememe.models.layout import POOLING, Layout, Module, read_layout
from sememe.models.staging import check_space
from sememe.models.tensors import copy_weights, write_tensors
from sememe.models.weights import Weights

PACKAGE = "sentence_transformers.models."
#: what the folder gives these texts stands in it, for `sememe.encoders.check`
REFERENCE = "reference.json"
REFERENCE_TEXTS = (
    "He sat on the bank of the river and watched the boats.",
    "The bank raised its interest rate by half a percent.",
    "a b c",
    "",
)
#: a saved encoder is opened in f32 and must agree with what was saved, which may run in bf16 or int8
_ALIKE = 0.99
_BESIDE = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json")


def save_encoder(encoder: Encoder, folder: Path | str) -> Path:
    """Write ``encoder`` to ``folder``, which appears whole or not at all.

    What was opened as int8 is saved with the weights that it was made from.

    Raises:
        UsageError: the folder exists, or the encoder is of a kind that has no files.
        ModelError: the saved folder does not give the vectors of the encoder; nothing is left of it.
    """
    folder = Path(folder).expanduser().absolute()
    cut, whole = _parts(encoder)
    if os.path.lexists(folder):
        raise UsageError(f"{folder} exists already; nothing is overwritten", do=["name a folder that does not exist"])
    layout = read_layout(Path(whole.identity.details["folder"]))
    staging = folder.with_name(f".{folder.name}.{os.getpid()}.saving")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        check_space(folder.parent, 2 * sum(file.stat().st_size for file in layout.weight_files))
        staging.mkdir()
        _write(staging, layout, whole, cut)
        _prove(staging, encoder)
        staging.rename(folder)
    except OSError as error:
        raise ModelError(f"{encoder.name} cannot be saved to {folder}", why=[error.strerror or str(error)]) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder


def _parts(encoder: Encoder) -> tuple[CutEncoder | None, TransformerEncoder]:
    """The cut, if there is one, and what it cuts."""
    cut, whole = None, encoder
    while not isinstance(whole, TransformerEncoder):
        cut = whole if isinstance(whole, CutEncoder) else cut
        inner = getattr(whole, "whole", None)
        if inner is None:
            raise UsageError(f"{encoder.name} has no weights on this machine that could be saved")
        whole = inner
    return cut, whole


def _write(folder: Path, layout: Layout, whole: TransformerEncoder, cut: CutEncoder | None) -> None:
    recipe = whole.recipe
    config = dict(layout.config)
    for key in ("torch_dtype", "dtype"):
        if key in config:
            config[key] = "float32"
    _json(folder / "config.json", config)
    with Weights.open(layout.weights_folder) as weights:
        copy_weights(weights, folder / "model.safetensors")
    _tokenizer(folder, layout, whole)
    steps: list[tuple[str, Mapping[str, Any], Module | None]] = [("Pooling", _pooling(whole), None)]
    for module in layout.modules:
        if module.kind in ("dense", "layer_norm"):
            steps.append(("Dense" if module.kind == "dense" else "LayerNorm", module.config, module))
    if cut is not None:
        identity = "torch.nn.modules.linear.Identity"
        sizes = {"in_features": whole.dim, "out_features": cut.dim, "bias": False, "activation_function": identity}
        steps.append(("Dense", sizes, None))
    if recipe.normalize or cut is not None:
        steps.append(("Normalize", {}, None))
    listed = [{"idx": 0, "name": "0", "path": "", "type": f"{PACKAGE}Transformer"}]
    for at, (kind, settings, source) in enumerate(steps, 1):
        path = folder / f"{at}_{kind}"
        path.mkdir()
        listed.append({"idx": at, "name": str(at), "path": path.name, "type": PACKAGE + kind})
        if settings:
            _json(path / "config.json", settings)
        if source is not None:
            with Weights.open(source.folder) as weights:
                copy_weights(weights, path / "model.safetensors")
        elif kind == "Dense" and cut is not None:
            write_tensors(path / "model.safetensors", {"linear.weight": _selection(cut)})
    _json(folder / "modules.json", listed)
    _json(
        folder / "sentence_bert_config.json", {"max_seq_length": recipe.max_tokens, "do_lower_case": recipe.lower_case}
    )
    settled = {"prompts": {**layout.prompts, **recipe.prompts}, "default_prompt_name": layout.default_prompt_name}
    _json(folder / "config_sentence_transformers.json", {**settled, "similarity_fn_name": layout.similarity})


def _selection(cut: CutEncoder) -> Any:
    """The matrix ``(dims, width)`` that takes the first numbers, less the mean of all where the cut does so."""
    width = cut.whole.dim
    matrix = np.eye(width, dtype=np.float64) - (1 / width if cut.centred else 0)
    return matrix[: cut.dim].astype(np.float32)


def _pooling(whole: TransformerEncoder) -> dict[str, Any]:
    switches = {switch: kind == whole.recipe.pooling for switch, kind in POOLING.items()}
    width = whole.architecture.width
    return {"word_embedding_dimension": width, **switches, "include_prompt": whole.recipe.include_prompt}


def _tokenizer(folder: Path, layout: Layout, whole: TransformerEncoder) -> None:
    shutil.copyfile(layout.tokenizer_file, folder / "tokenizer.json")
    beside = layout.tokenizer_file.parent
    for name in _BESIDE:
        if (beside / name).is_file():
            shutil.copyfile(beside / name, folder / name)
    path = folder / "tokenizer_config.json"
    told = jsonfile.read_object(path) if path.exists() else {"tokenizer_class": "PreTrainedTokenizerFast"}
    told.setdefault("pad_token", whole.tokenizer.piece(whole.tokenizer.pad_id))
    _json(path, {**told, "model_max_length": whole.recipe.max_tokens})


def _prove(folder: Path, encoder: Encoder) -> None:
    """Open what was written, compare, and leave its vectors beside it."""
    texts = list(REFERENCE_TEXTS)
    with tempfile.TemporaryDirectory() as home:
        saved = load_encoder(folder, precision="f32", threads=1, home=home, offline=True, dims=0)
        for role in ("document", "query"):
            one, other = (which.encode(texts, role=role, on_long="cut") for which in (saved, encoder))
            lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
            cosine = np.where(lengths > 0, (one * other).sum(axis=1) / np.maximum(lengths, 1e-12), 1)
            if one.shape != other.shape or cosine.min() < _ALIKE:
                raise ModelError(
                    f"{encoder.name} was not saved: the folder does not give its vectors",
                    why=[f'role "{role}": least cosine {cosine.min():.4f}'],
                )
        vectors = saved.encode(texts, on_long="cut")
        saved.close()
    rows = [[float(f"{number:.9g}") for number in row] for row in vectors.tolist()]
    _json(folder / REFERENCE, {"texts": texts, "role": "document", "vectors": rows})


def _json(path: Path, value: Any) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
