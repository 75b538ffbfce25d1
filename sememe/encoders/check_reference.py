"""An encoder held to vectors that somebody else computed, and what explains it where they differ.

A reference is JSON or ``.npz`` with ``texts``, ``vectors`` and, if it is not ``document``, ``role``.
"""

from __future__ import annotations

import importlib.util
import zipfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sememe.architectures import pooling
from sememe.encoders.batches import pad
from sememe.encoders.check_report import Finding
from sememe.encoders.contract import check_options
from sememe.encoders.steps import run_steps
from sememe.encoders.transformer import STEP, TransformerEncoder
from sememe.errors import DataError, UsageError
from sememe.models import jsonfile
from sememe.ops.numpy import NumpyOps, run
from sememe.shapes import Vectors

#: Euclidean distance over length: other engines in f32 stay below 1e-5, references rounded to five digits below this
NEAR = 1e-3
#: bytes of a reference file, unpacked
LARGE = 100_000_000
#: texts that other recipes are tried on: the shortest
TRIED = 4


@dataclass(frozen=True, slots=True)
class Reference:
    """``vectors`` float32 ``(n, dim)`` of ``texts``; ``origin`` says whose."""

    texts: tuple[str, ...]
    vectors: Vectors
    role: str
    origin: str


def read_reference(file: Path) -> Reference:
    """Vectors out of a file from outside.

    Raises:
        DataError: it does not hold texts and as many finite vectors.
    """
    try:
        found = _npz(file) if file.suffix == ".npz" else jsonfile.read_object(file, limit=LARGE)
        texts, role = [str(text) for text in found["texts"]], str(found.get("role", "document"))
        vectors = np.array(found["vectors"], np.float32)
    except (KeyError, TypeError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{file} is no reference", why=[f"{type(error).__name__}: {error!s:.200}"]) from None
    if vectors.ndim != 2 or len(vectors) != len(texts) or not len(texts) or not np.isfinite(vectors).all():
        raise DataError(f"{file} is no reference", why=[f"{len(texts)} texts, vectors of the shape {vectors.shape}"])
    check_options(role, "cut")
    return Reference(tuple(texts), vectors, role, file.name)


def ask_engine(engine: str, folder: Path, texts: tuple[str, ...]) -> Reference:
    """The vectors that another program on this machine gives for the folder.

    Raises:
        UsageError: the engine is not known, or not installed.
    """
    if engine != "sentence-transformers":
        raise UsageError(f'the engine "{engine}" is not known', do=["use sentence-transformers"])
    if importlib.util.find_spec("sentence_transformers") is None:
        raise UsageError(
            "sentence-transformers is not installed where sememe runs",
            do=[("install it", "pip install sentence-transformers")],
        )
    from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found,unused-ignore]

    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    vectors = np.asarray(model.encode_document(list(texts)), np.float32)
    return Reference(texts, vectors, "document", engine)


def hold(encoder: TransformerEncoder, reference: Reference) -> Finding:
    """Whether the encoder gives the vectors of the reference; if not, what would."""
    vectors = encoder.encode(reference.texts, role=reference.role, on_long="cut")
    if vectors.shape != reference.vectors.shape:
        said = (
            f"{reference.origin} has {reference.vectors.shape[1]} numbers a text, the encoder gives {vectors.shape[1]}"
        )
        return Finding(
            "reference", "wrong", said, "look for a dense step or a cut that the folder lacks, or has too much"
        )
    off = _off(vectors, reference.vectors)
    if off.max() <= NEAR:
        said = f"{len(off)} vectors of {reference.origin} ({reference.role}): within {off.max():.1g}"
        return Finding("reference", "ok", said)
    said = (
        f"{(off > NEAR).sum()} of {len(off)} vectors of {reference.origin} differ, by {off.max():.2g} of their length"
    )
    return Finding("reference", "wrong", f"{said}; {_explained(encoder, reference, off)}", "correct the folder")


def _off(one: Vectors, other: Vectors) -> Any:
    return np.linalg.norm(one - other, axis=1) / np.maximum(np.linalg.norm(other, axis=1), 1e-12)


def _explained(encoder: TransformerEncoder, reference: Reference, off: Any) -> str:
    prompt = encoder.recipe.prompts[reference.role]
    counts = encoder.tokenizer.count([prompt + text for text in reference.texts])
    good, bad = counts[off <= NEAR], counts[off > NEAR]
    if len(good) and bad.min() > good.max():
        return f"texts up to {good.max()} tokens are right: the longest text is not one of {encoder.max_tokens}"
    prompts = dict.fromkeys([prompt, "", *encoder.recipe.prompts.values()])
    for words in prompts:
        for kind in pooling.KINDS:
            for normalize in (True, False):
                for steps in dict.fromkeys([True, False]) if encoder.steps else (True,):
                    if _fits(encoder, reference, words, kind, normalize=normalize, steps=steps):
                        parts = [f"{kind} pooling", "unit length" if normalize else "length kept"]
                        parts += [f"the prompt {words!r}"] if words else ["no prompt"]
                        parts += [] if steps else ["no steps after pooling"]
                        return f"right would be {', '.join(parts)}"
    return "no other pooling, length or prompt explains it: weights, tokenizer or config are other ones"


def _fits(
    encoder: TransformerEncoder, reference: Reference, prompt: str, kind: str, *, normalize: bool, steps: bool
) -> bool:
    """Whether a recipe gives the reference's vectors, for its shortest texts."""
    order = sorted(range(len(reference.texts)), key=lambda at: len(reference.texts[at]))
    chosen = [at for at in order if reference.texts[at]][:TRIED]
    if not chosen:
        return False
    prepared = [prompt + reference.texts[at] for at in chosen]
    if encoder.recipe.lower_case:
        prepared = [text.lower() for text in prepared]
    ids = [encoder.tokenizer.cut(row, encoder.max_tokens) for row in encoder.tokenizer.ids(prepared)]
    limit, pad_id = encoder.architecture.positions, encoder.tokenizer.pad_id
    weights = partial(pooling.weights, kind)
    inputs = pad(ids, np.arange(len(ids)), step=STEP, limit=limit, pad_id=pad_id, pool=weights)
    hidden, _ = run(encoder.architecture.run, inputs)
    ops = NumpyOps()
    made = pooling.pool(ops, hidden, inputs, kind)
    made = run_steps(ops, encoder.steps, made) if steps else made
    made = ops.normalize(made) if normalize else made
    wanted = reference.vectors[chosen]
    return bool(made.shape == wanted.shape and _off(made, wanted).max() <= NEAR)


def _npz(file: Path) -> dict[str, Any]:
    with zipfile.ZipFile(file) as archive:
        if sum(member.file_size for member in archive.infolist()) > LARGE:
            raise ValueError(f"more than {LARGE} bytes")
    with np.load(file, allow_pickle=False) as found:
        return {key: found[key].tolist() if found[key].dtype.kind == "U" else found[key] for key in found.files}
