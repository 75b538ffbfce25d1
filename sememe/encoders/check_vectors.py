"""What an encoder does: against its NumPy twin, alone and in company, its length, its cut, its own promises."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from sememe.architectures import pooling
from sememe.encoders.batches import pad
from sememe.encoders.check_report import Finding
from sememe.encoders.cut import measure_cut, shortened
from sememe.encoders.transformer import STEP, TransformerEncoder, item_vectors
from sememe.models.catalogue import lookup
from sememe.ops.contract import Inputs
from sememe.ops.numpy import run
from sememe.ops.openvino import compile_network
from sememe.shapes import Vectors

TEXTS = (
    "He sat on the bank of the river.",
    "a",
    "The bank raised its interest rate, and 3.14 times as many people complained!",
    "Ein Hund läuft über die Straße.",
    "日本語の短い文です。",
    "",
    "def add(a, b): return a + b",
    "WHY IS EVERYTHING IN CAPITALS?",
)
#: largest difference over the largest value: of a layer to its twin, of a vector to itself in other company
TWIN, COMPANY = 1e-4, 2e-5
#: a text longer than this takes too long for a check
LONG = 2048
#: texts of the sample that a cut is measured on
CUT_TEXTS = 100


def check_vectors(encoder: TransformerEncoder) -> list[Finding]:
    """Findings from running an encoder that was opened in f32."""
    vectors = encoder.encode(TEXTS, on_long="cut")
    return [
        _twin(encoder),
        _company(encoder, vectors),
        _length(encoder, vectors),
        _truncation(encoder),
        *_cuts(encoder),
    ]


class _Layers:
    """The names of the taps that are compared: everything but the weights of attention."""

    def __contains__(self, name: object) -> bool:
        return str(name).endswith(".output") or name in ("embeddings", "pooled") or str(name).startswith("steps.")


def _twin(encoder: TransformerEncoder) -> Finding:
    ids = [encoder.tokenizer.cut(row, encoder.max_tokens) for row in encoder.tokenizer.ids(TEXTS[:3])]
    weights = partial(pooling.weights, encoder.recipe.pooling)
    limit, pad_id = encoder.architecture.positions, encoder.tokenizer.pad_id
    inputs = pad(ids, np.arange(len(ids)), step=STEP, limit=limit, pad_id=pad_id, pool=weights)
    network = partial(item_vectors, encoder.architecture, encoder.recipe, encoder.steps)
    slow, taps = run(network, inputs, _Layers())
    compiled = compile_network(network, precision="f32", streams=1, wanted=list(taps))
    fast = compiled.request()(inputs)
    pairs = zip([*taps, "the vector"], [*fast[1:], fast[0]], [*taps.values(), slow], strict=True)
    worst = 0.0
    for name, one, other in pairs:
        off = _off(one, other, inputs)
        if not off <= TWIN:  # NaN is no small number
            said = f"{name} is the first that differs from NumPy: by {off:.2g} of its largest value"
            return Finding("twin", "wrong", said, "tell us: a network is computed wrongly on this machine")
        worst = max(worst, off)
    return Finding(
        "twin", "ok", f"{len(taps)} layers and the vector are NumPy's, to {worst:.1g} of their largest value"
    )


def _off(one: Vectors, other: Vectors, inputs: Inputs) -> float:
    if one.ndim == 3:  # (b, n, h): what stands in padded places is nobody's
        kept = inputs.mask > 0
        one, other = one[kept], other[kept]
    return float(np.abs(one - other).max() / max(np.abs(other).max(), 1e-30))


def _company(encoder: TransformerEncoder, together: Vectors) -> Finding:
    alone = np.concatenate([encoder.encode([text], on_long="cut") for text in TEXTS])
    back = encoder.encode([*TEXTS[::-1], "the " * 40], on_long="cut")[len(TEXTS) - 1 :: -1]
    length = np.maximum(np.linalg.norm(together, axis=1), 1e-12)
    off = max(float((np.linalg.norm(together - other, axis=1) / length).max()) for other in (alone, back))
    said = f"alone, together, in another order: within {off:.1g}"
    return Finding("company", "ok" if off <= COMPANY else "wrong", said, "" if off <= COMPANY else "tell us")


def _length(encoder: TransformerEncoder, vectors: Vectors) -> Finding:
    lengths = np.linalg.norm(vectors, axis=1)
    told = f"{lengths.min():.3g} to {lengths.max():.3g}"
    if not encoder.recipe.normalize:
        return Finding("length", "note", f"kept as it comes, {told}", "compare by cosine, or hold it to a reference")
    good = np.abs(lengths[lengths > 0] - 1).max(initial=0) < 1e-4
    return Finding("length", "ok" if good else "wrong", "one" if good else f"should be one, is {told}")


def _truncation(encoder: TransformerEncoder) -> Finding:
    limit = encoder.max_tokens
    if limit > LONG:
        return Finding("truncation", "left out", f"a text of {limit} tokens takes too long")
    text = " ".join(TEXTS[:3] * limit)[: limit * 40]
    made = encoder.encode_report([text, text + " and some more"], on_long="cut")
    cut = encoder.tokenizer.cut(encoder.tokenizer.ids([text])[0], limit)
    same = np.allclose(made.vectors[0], made.vectors[1], atol=1e-5 * float(np.abs(made.vectors).max()))
    good = same and made.used.tolist() == [limit, limit] and len(cut) == limit and made.dropped.min() > 0
    said = f"from {limit} tokens on the end is cut, counted, and changes nothing"
    return Finding(
        "truncation", "ok" if good else "wrong", said if good else f"a long text is not cut at {limit} tokens"
    )


def _cuts(encoder: TransformerEncoder) -> Iterator[Finding]:
    """What the widths that the catalogue names keep, measured on the bundled sample."""
    from sememe import sample
    from sememe.encoders.cut import CutEncoder

    entry = lookup(encoder.name)
    if entry is None or not entry.matryoshka:
        yield Finding("cuts", "ok", "none are promised")
        return
    texts = [str(item["text"]) for item in sample.items()[:CUT_TEXTS]]
    kept = []
    for dims in entry.matryoshka:
        cut = shortened(encoder, dims)
        if isinstance(cut, CutEncoder):
            kept.append(f"{dims}: {measure_cut(cut, texts).recall:.2f}")
    yield Finding("cuts", "ok", f"of the ten nearest of {len(texts)} texts stay with {', '.join(kept)}")
