"""Which function runs which kind of network. A new family is one file and one row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sememe.architectures import (
    albert,
    bert,
    bloom,
    deberta_v2,
    distilbert,
    electra,
    gemma,
    gpt2,
    gpt_neox,
    jina_bert,
    llama,
    modernbert,
    mpnet,
    mpt,
    roberta,
    rotary_bert,
    t5,
    transformer,
)
from sememe.architectures.family import Family, Shapes
from sememe.errors import ModelError
from sememe.ops.contract import Inputs, Ops, Tensor


class Weights(Protocol):
    """The tensors of a model, by name."""

    def __contains__(self, name: object) -> bool: ...

    def __call__(self, name: str) -> Any: ...

    def shape(self, name: str) -> tuple[int, ...]: ...


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network with its numbers, ready to be run by any interpreter.

    ``positions`` is the longest text that it has positions for, ``vocabulary`` how many ids it has vectors for;
    ``layers`` and ``width`` are those of its config; ``words()`` is its table of word vectors, ``(vocabulary, …)``.
    """

    run: Callable[[Ops, Inputs], Tensor]
    width: int
    layers: int
    positions: int
    vocabulary: int
    words: Callable[[], npt.NDArray[np.float32]]


#: by the config's ``model_type``
FAMILIES: dict[str, Family] = {
    "albert": albert.FAMILY,
    "bert": bert.FAMILY,
    "bloom": bloom.FAMILY,
    "camembert": roberta.FAMILY,
    "deberta-v2": deberta_v2.FAMILY,
    "distilbert": distilbert.FAMILY,
    "electra": electra.FAMILY,
    "gemma3_text": gemma.FAMILY,
    "gpt2": gpt2.FAMILY,
    "gpt_neox": gpt_neox.FAMILY,
    "gte": rotary_bert.GTE,
    "jina_bert": jina_bert.FAMILY,
    "llama": llama.LLAMA,
    "mistral": llama.MISTRAL,
    "modernbert": modernbert.FAMILY,
    "mpnet": mpnet.FAMILY,
    "mpt": mpt.FAMILY,
    "mt5": t5.FAMILY,
    "new": rotary_bert.GTE,
    "nomic_bert": rotary_bert.NOMIC,
    "qwen2": llama.QWEN2,
    "qwen3": llama.QWEN3,
    "roberta": roberta.FAMILY,
    "t5": t5.FAMILY,
    "transformer": transformer.FAMILY,
    "umt5": t5.UMT5,
    "xlm-roberta": roberta.FAMILY,
}


def kind_of(kind: str, config: Mapping[str, Any]) -> str:
    """The family of a config's ``model_type``: JinaBERT calls itself BERT."""
    return "jina_bert" if kind == "bert" and config.get("position_embedding_type") == "alibi" else kind


def build(kind: str, config: Mapping[str, Any], weights: Weights, *, longest: int = 0) -> Architecture:
    """The network of ``config.json`` over ``weights``.

    Args:
        kind: the config's ``model_type``.
        longest: no text will have more tokens, 0 for as many as the network takes; tables of positions that are
            worked out end there.

    Raises:
        ModelError: an unknown kind, an unusable config, or weights that do not fit it (each is named).
    """
    kind = kind_of(kind, config)
    if kind not in FAMILIES:
        raise ModelError(
            f'the architecture "{kind}" is not one that sememe runs', do=[f"known are: {', '.join(FAMILIES)}"]
        )
    family = FAMILIES[kind]
    numbers = family.read(config)
    shapes = family.shapes(numbers)
    first = next(iter(shapes))
    words = family.rename(first, numbers)
    prefix = next((p for p in family.prefixes if p + words in weights), family.prefixes[0])

    def find(name: str) -> str:
        name = family.rename(name, numbers)
        # Checkpoints from before 2019 call the two vectors of a LayerNorm gamma and beta.
        old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        return prefix + (old if prefix + name not in weights and prefix + old in weights else name)

    _check(shapes, weights, find)
    if longest:
        numbers = replace(numbers, positions=min(numbers.positions, longest))
    return Architecture(
        run=lambda ops, inputs: family.run(ops, lambda name: _float32(name, weights(find(name))), numbers, inputs),
        width=numbers.width,
        layers=numbers.layers,
        positions=numbers.positions,
        vocabulary=weights.shape(find(first))[0],
        words=lambda: _float32(first, weights(find(first))),
    )


def _float32(name: str, array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    # Weights may be stored in half or double precision; the operations know one kind of number.
    if array.dtype.kind != "f":
        raise ModelError(f"the weights of {name} are {array.dtype}, not floating-point numbers")
    return array.astype(np.float32, copy=False)


def _check(shapes: Shapes, weights: Weights, find: Callable[[str], str]) -> None:
    wrong = []
    for name, shape in shapes.items():
        if find(name) not in weights:
            wrong.append(f"{name} is missing")
            continue
        got = weights.shape(find(name))
        if len(got) != len(shape) or any(s not in (None, g) for s, g in zip(shape, got, strict=True)):
            wanted = ", ".join("any" if s is None else str(s) for s in shape)
            wrong.append(f"{name} has the shape {got}, the config needs ({wanted})")
    if wrong:
        more = [f"… and {len(wrong) - 5} more"] if len(wrong) > 5 else []
        raise ModelError("the weights do not fit the model's config.json", why=wrong[:5] + more)
