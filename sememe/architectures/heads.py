"""What stands on top of a network for a task: scores for labels, or for every piece of the vocabulary.

A head is a chain of dense steps with activations and norms. Families differ in names and in small things, so each is a
row of a table. A classifier works on one vector per text, made by the pooling that it names; the head of a masked
language model on every token's, and its last matrix is the table of word vectors unless it brings its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sememe.architectures.activations import activation
from sememe.architectures.config import number
from sememe.architectures.families import FAMILIES, Architecture, Weights
from sememe.errors import ModelError
from sememe.ops.contract import Ops, Tensor

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Dense:
    """One step: a matrix, then an activation (``@key`` is the one that the config names there), then a norm."""

    name: str
    act: str = ""
    norm: str = ""


@dataclass(frozen=True, slots=True)
class Chain:
    """The steps of one family's head; ``out`` is the name of the last matrix, ``bias`` where its bias has another."""

    steps: tuple[Dense, ...]
    out: str
    bias: str = ""
    pooling: str = "cls"


_POOLED = Chain((Dense("pooler.dense", "tanh"),), "classifier")
_ROBERTA = Chain((Dense("classifier.dense", "tanh"),), "classifier.out_proj")
_LAST = Chain((), "score", pooling="last")
#: by the kinds of `families.FAMILIES`
CLASSIFIERS = {
    "albert": Chain((Dense("pooler", "tanh"),), "classifier"),
    "bert": _POOLED,
    "camembert": _ROBERTA,
    "deberta-v2": Chain((Dense("pooler.dense", "@pooler_hidden_act"),), "classifier"),
    "distilbert": Chain((Dense("pre_classifier", "relu"),), "classifier"),
    "electra": Chain((Dense("classifier.dense", "gelu"),), "classifier.out_proj"),
    "gemma3_text": _LAST,
    "gpt2": _LAST,
    "gte": _POOLED,
    "jina_bert": _POOLED,
    "llama": _LAST,
    "mistral": _LAST,
    "modernbert": Chain((Dense("head.dense", "@classifier_activation", "head.norm"),), "classifier", pooling="@"),
    "mpnet": _ROBERTA,
    "new": _POOLED,
    "qwen2": _LAST,
    "qwen3": _LAST,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
}
_ROBERTA_WORDS = Chain((Dense("lm_head.dense", "gelu", "lm_head.layer_norm"),), "lm_head.decoder", "lm_head.bias")
_BERT_WORDS = Chain(
    (Dense("cls.predictions.transform.dense", "@hidden_act", "cls.predictions.transform.LayerNorm"),),
    "cls.predictions.decoder",
    "cls.predictions.bias",
)
MASKED = {
    "albert": Chain(
        (Dense("predictions.dense", "@hidden_act", "predictions.LayerNorm"),), "predictions.decoder", "predictions.bias"
    ),
    "bert": _BERT_WORDS,
    "camembert": _ROBERTA_WORDS,
    "distilbert": Chain((Dense("vocab_transform", "@activation", "vocab_layer_norm"),), "vocab_projector"),
    "electra": Chain(
        (Dense("generator_predictions.dense", "gelu", "generator_predictions.LayerNorm"),), "generator_lm_head"
    ),
    "modernbert": Chain((Dense("head.dense", "@classifier_activation", "head.norm"),), "decoder"),
    "mpnet": _ROBERTA_WORDS,
    "roberta": _ROBERTA_WORDS,
    "xlm-roberta": _ROBERTA_WORDS,
}
#: where a config may leave out what a chain asks it for
_DEFAULTS = {"pooler_hidden_act": "gelu", "classifier_activation": "gelu", "hidden_act": "gelu", "activation": "gelu"}


@dataclass(frozen=True, slots=True)
class Head:
    """Ready to run: ``run`` takes ``(…, h)`` to ``(…, width)``; ``pooling`` is how one vector per text is made."""

    run: Callable[[Ops, Tensor], Tensor]
    width: int
    pooling: str


@dataclass(frozen=True, slots=True)
class _Step:
    weight: Array
    bias: Array | None
    act: str
    norm: tuple[Array, Array | None] | None


def classifier(kind: str, config: Mapping[str, Any], weights: Weights, architecture: Architecture) -> Head:
    """The head that gives each text a score per label.

    Raises:
        ModelError: the folder has none, or it does not fit its network.
    """
    chain = _chain(CLASSIFIERS, kind, "a classifier")
    pooling = chain.pooling
    if pooling == "@":
        pooling = str(config.get("classifier_pooling", "cls"))
    if pooling not in ("cls", "mean", "last"):
        raise ModelError(f'config.json: "classifier_pooling" is {pooling!r:.50}', do=["known are: cls, mean"])
    found = _Found(kind, weights)
    steps = _steps(chain, config, found)
    last = found.dense(chain.out, chain.bias)
    return _head(config, [*steps, last], pooling, architecture)


def masked(kind: str, config: Mapping[str, Any], weights: Weights, architecture: Architecture, words: Array) -> Head:
    """The head that gives each token a score per piece of the vocabulary.

    Args:
        words: the table of word vectors ``(v, h)``, which is the last matrix where the head brings none.

    Raises:
        ModelError: the folder has none, or it does not fit its network.
    """
    chain = _chain(MASKED, kind, "a masked language model")
    found = _Found(kind, weights)
    steps = _steps(chain, config, found)
    own = found.name(f"{chain.out}.weight")
    bias = next((name for name in (chain.bias, f"{chain.out}.bias") if name and found.name(name)), "")
    last = _Step(found(f"{chain.out}.weight") if own else words, found(bias) if bias else None, "", None)
    return _head(config, [*steps, last], "", architecture)


def _chain(table: Mapping[str, Chain], kind: str, what: str) -> Chain:
    if kind not in table:
        raise ModelError(
            f"sememe does not know the head of {what} for the architecture {kind}",
            do=[f"known are: {', '.join(table)}"],
        )
    return table[kind]


def _head(config: Mapping[str, Any], steps: list[_Step], pooling: str, architecture: Architecture) -> Head:
    wide = architecture.width
    for step in steps:
        if step.weight.ndim != 2 or step.weight.shape[1] != wide:
            raise ModelError(
                "the head does not fit its network", why=[f"a matrix {step.weight.shape} follows {wide} numbers"]
            )
        wide = step.weight.shape[0]
    return Head(partial(_run, steps=steps, eps=_eps(config)), wide, pooling)


def _run(ops: Ops, x: Tensor, *, steps: list[_Step], eps: float) -> Tensor:
    for step in steps:
        x = ops.linear(x, step.weight, step.bias)
        x = activation(ops, step.act, x) if step.act else x
        x = ops.layer_norm(x, *step.norm, eps) if step.norm else x
    return x


def _eps(config: Mapping[str, Any]) -> float:
    key = next((key for key in ("layer_norm_eps", "norm_eps", "layer_norm_epsilon") if key in config), "layer_norm_eps")
    return number(config, key, default=1e-12)


def _steps(chain: Chain, config: Mapping[str, Any], found: _Found) -> list[_Step]:
    steps = []
    for dense in chain.steps:
        step = found.dense(dense.name)
        act = dense.act
        if act.startswith("@"):
            act = str(config.get(act[1:]) or _DEFAULTS[act[1:]])
        norm = None
        if dense.norm:
            bias = f"{dense.norm}.bias"
            norm = (found(f"{dense.norm}.weight"), found(bias) if found.name(bias) else None)
        steps.append(_Step(step.weight, step.bias, act, norm))
    return steps


class _Found:
    """The tensors of a head, wherever their names begin."""

    def __init__(self, kind: str, weights: Weights) -> None:
        self.weights, self.prefixes = weights, ("", *FAMILIES[kind].prefixes)

    def name(self, name: str) -> str:
        """The name as it stands in the file, "" if it does not."""
        return next((prefix + name for prefix in self.prefixes if prefix + name in self.weights), "")

    def __call__(self, name: str) -> Array:
        full = self.name(name)
        if not full:
            raise ModelError("the folder has no such head", why=[f"its weights hold no {name}"])
        array = self.weights(full)
        if array.dtype.kind != "f":
            raise ModelError(f"the weights of {name} are {array.dtype}, not floating-point numbers")
        out: Array = array.astype("float32", copy=False)
        return out

    def dense(self, name: str, bias: str = "") -> _Step:
        at = bias or f"{name}.bias"
        return _Step(self(f"{name}.weight"), self(at) if self.name(at) else None, "", None)
