"""A model folder, read into one record.

Two layouts are known: the one of sentence-transformers, where ``modules.json`` lists the steps from text to vector and
each step has its folder, and the plain one of Hugging Face, where only the network is described and the recipe has to
be assumed (which `Layout.assumed` then says).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from sememe.errors import ModelError
from sememe.models import jsonfile
from sememe.models.weights import find_weights

KINDS = {
    "Transformer": "transformer",
    "StaticEmbedding": "static",
    "Pooling": "pooling",
    "Dense": "dense",
    "LayerNorm": "layer_norm",
    "Normalize": "normalize",
    # of sparse encoders
    "MLMTransformer": "transformer",
    "SpladePooling": "splade_pooling",
}
#: the switches of a pooling config, and what sememe calls each way
POOLING = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weighted_mean",
    "pooling_mode_lasttoken": "last",
}
_POOLING_WORDS = {"weightedmean": "weighted_mean", "lasttoken": "last", "mean_sqrt_len_tokens": "mean_sqrt_len"}
#: these count their positions from padding_idx + 1, so that many rows of the position table are never used
_OFFSET_POSITIONS = frozenset(
    {"roberta", "xlm-roberta", "mpnet", "camembert", "xlm-roberta-xl", "roberta-prelayernorm"}
)
#: what tokenizer_config.json says when it says nothing is about 1e30
_SANE_LENGTH = 10_000_000


@dataclass(frozen=True, slots=True)
class Module:
    """One step from text to vector: its ``kind`` (a value of `KINDS`), its folder, its own config."""

    kind: str
    folder: Path
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Layout:
    """What a model folder says about itself.

    ``pooling`` is one of mean, cls, last, max, weighted_mean, mean_sqrt_len. ``max_tokens`` counts special tokens and
    is 0 when the folder sets no limit. ``do_lower_case`` asks for lower case *before* the tokenizer. ``assumed`` lists
    what the folder does not say and sememe filled in.
    """

    folder: Path
    name: str
    config: Mapping[str, Any]
    architecture: str
    modules: tuple[Module, ...]
    pooling: str
    include_prompt: bool
    normalize: bool
    prompts: Mapping[str, str]
    default_prompt_name: str | None
    max_tokens: int
    do_lower_case: bool
    tokenizer_file: Path
    weight_files: tuple[Path, ...]
    similarity: str
    assumed: tuple[str, ...] = field(default=())

    @property
    def weights_folder(self) -> Path:
        """Where the network's own weights are; further ones stand in the folders of `modules`."""
        return self.modules[0].folder


def read_layout(folder: Path | str) -> Layout:
    """Read the folder of a model.

    Raises:
        ModelError: a file is missing or broken, weights are pickled, or a step is of a kind that sememe does not run.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ModelError(f"{folder} is not a folder")
    try:
        return _read(folder)
    except OSError as error:
        raise ModelError(f"{folder} cannot be read", why=[error.strerror or str(error)]) from None


def _read(folder: Path) -> Layout:
    assumed: list[str] = []
    modules = _read_modules(folder, assumed)
    first = modules[0]
    sentence = _sentence_config(first.folder)
    settings = _optional(folder / "config_sentence_transformers.json")
    pooling, include_prompt = _pooling(modules)
    return Layout(
        folder=folder,
        name=_name(folder),
        config=first.config,
        architecture=_architecture(first),
        modules=modules,
        pooling=pooling,
        include_prompt=include_prompt,
        normalize=modules[-1].kind == "normalize",
        prompts=_prompts(settings, folder),
        default_prompt_name=_default_prompt(settings, folder),
        max_tokens=_max_tokens(first, sentence),
        do_lower_case=sentence.get("do_lower_case") is True,
        tokenizer_file=_tokenizer_file(first.folder, folder),
        weight_files=find_weights(first.folder)[0],
        similarity=str(settings.get("similarity_fn_name") or "cosine"),
        assumed=tuple(assumed),
    )


def _read_modules(folder: Path, assumed: list[str]) -> tuple[Module, ...]:
    listing = folder / "modules.json"
    if not listing.exists():
        return _plain_modules(folder, assumed)
    entries = jsonfile.read_value(listing)
    if not isinstance(entries, list) or not entries:
        raise ModelError(f"{listing} should hold a list of modules")
    modules = tuple(_read_module(listing, entry) for entry in entries)
    _check_order(listing, modules)
    return modules


def _plain_modules(folder: Path, assumed: list[str]) -> tuple[Module, ...]:
    config = _network_config(folder, folder)
    if config.get("model_type") == "model2vec":  # a table of word vectors; its config says the rest
        last = (Module("normalize", folder, {}),) if config.get("normalize") is True else ()
        return (Module("static", folder, config), *last)
    assumed.append("mean pooling, not normalised: the folder has no modules.json")
    return (Module("transformer", folder, config), Module("pooling", folder, {"pooling_mode": "mean"}))


def _read_module(listing: Path, entry: object) -> Module:
    if not isinstance(entry, dict) or not isinstance(entry.get("type"), str) or not isinstance(entry.get("path"), str):
        raise ModelError(f'{listing}: each module needs "type" and "path"', why=[f"found {entry!r:.200}"])
    package, _, word = entry["type"].rpartition(".")
    kind = KINDS.get(word)
    if kind is None or not (package + ".").startswith("sentence_transformers."):
        raise ModelError(
            f'{listing}: sememe does not know the module type "{entry["type"]:.200}"',
            why=[f"known are {', '.join(KINDS)} of sentence_transformers; code that comes with a model is never run"],
        )
    folder = inside(listing.parent, entry["path"], source=listing)
    if kind in ("transformer", "static"):
        return Module(kind, folder, _network_config(folder, listing.parent, needed=kind == "transformer"))
    return Module(kind, folder, _optional(folder / "config.json"))


def inside(folder: Path, relative: str, *, source: Path) -> Path:
    """``folder / relative``; `ModelError` when the path that ``source`` names would leave the folder."""
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts or "\\" in relative or "\0" in relative or ":" in relative:
        raise ModelError(f"{source} names a path outside of its folder", why=[f"{relative!r:.200}"])
    return folder.joinpath(*path.parts)


def _check_order(listing: Path, modules: tuple[Module, ...]) -> None:
    kinds = [module.kind for module in modules]
    rest = kinds[1:]
    good = kinds[0] == "static" or (kinds[0] == "transformer" and rest[:1] == ["pooling"])
    if kinds == ["transformer", "splade_pooling"]:
        return
    if kinds[0] == "transformer":
        rest = rest[1:]
    good = good and "normalize" not in rest[:-1] and set(rest) <= {"dense", "layer_norm", "normalize"}
    if not good:
        raise ModelError(
            f"{listing} lists modules in an order that sememe does not run",
            why=[
                " → ".join(kinds),
                "known is transformer → pooling (or static), then dense or layer_norm, then normalize",
            ],
        )


def _network_config(folder: Path, root: Path, *, needed: bool = True) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.exists() and not needed:
        return _optional(root / "config.json")
    if not path.exists():
        raise ModelError(
            f"{folder} is not a model folder: it has no config.json",
            do=["point at the folder that holds config.json, tokenizer.json and model.safetensors"],
        )
    return jsonfile.read_object(path)


def _architecture(first: Module) -> str:
    kind = first.config.get("model_type")
    if first.kind == "static":
        return str(kind or "static")
    if not isinstance(kind, str) or not kind:
        raise ModelError(f'{first.folder / "config.json"} does not say its "model_type"')
    return kind


def _pooling(modules: tuple[Module, ...]) -> tuple[str, bool]:
    step = next((module for module in modules if module.kind == "pooling"), None)
    if step is None:
        return "mean", True
    path = step.folder / "config.json"
    include_prompt = step.config.get("include_prompt", True) is not False
    if not step.config:
        raise ModelError(f"{path} is missing or empty; the model's pooling is not known")
    ways = [word for switch, word in POOLING.items() if step.config.get(switch) is True]
    named = step.config.get("pooling_mode")
    if named is not None:
        ways = [_POOLING_WORDS.get(str(way), str(way)) for way in (named if isinstance(named, list) else [named])]
    if len(ways) != 1 or ways[0] not in POOLING.values():
        raise ModelError(
            f"{path} does not name one way of pooling",
            why=[f"it names {', '.join(ways) or 'none'}; known are {', '.join(POOLING.values())}"],
        )
    return ways[0], include_prompt


def _sentence_config(folder: Path) -> dict[str, Any]:
    # The middle word was once the kind of network (sentence_roberta_config.json …).
    for path in (folder / "sentence_bert_config.json", *sorted(folder.glob("sentence_*_config.json"))):
        if path.exists():
            return jsonfile.read_object(path)
    return {}


def _prompts(settings: Mapping[str, Any], folder: Path) -> dict[str, str]:
    prompts = settings.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(text, str) for text in prompts.values()):
        raise ModelError(f'{folder / "config_sentence_transformers.json"}: "prompts" should map names to texts')
    return dict(prompts)


def _default_prompt(settings: Mapping[str, Any], folder: Path) -> str | None:
    name = settings.get("default_prompt_name")
    if name is None or (isinstance(name, str) and name in (settings.get("prompts") or {})):
        return name
    raise ModelError(
        f"{folder / 'config_sentence_transformers.json'}: the default prompt is not among its prompts",
        why=[f"{name!r:.100}"],
    )


def _max_tokens(first: Module, sentence: Mapping[str, Any]) -> int:
    limits = [positions_in(first.config)]
    stated = _length(sentence.get("max_seq_length"))
    tokenizer = _optional(first.folder / "tokenizer_config.json")
    limits.append(stated or _length(tokenizer.get("model_max_length")))
    return min((limit for limit in limits if limit), default=0)


def positions_in(config: Mapping[str, Any]) -> int:
    """How many tokens a network has positions for, by its config; 0 where it does not say."""
    rows = _length(config.get("max_position_embeddings")) or _length(config.get("n_positions"))
    if rows and str(config.get("model_type")) in _OFFSET_POSITIONS:
        padding = config.get("pad_token_id")
        rows -= (padding if isinstance(padding, int) and padding >= 0 else 1) + 1
    return max(rows, 0)


def _length(value: object) -> int:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < _SANE_LENGTH:
        return int(value)
    return 0


def _tokenizer_file(folder: Path, root: Path) -> Path:
    for place in (folder, root):
        if (place / "tokenizer.json").is_file():
            return place / "tokenizer.json"
    raise ModelError(
        f"{folder} has no tokenizer.json",
        do=["save the model once with a current version of the library it comes from: that writes tokenizer.json"],
    )


def _name(folder: Path) -> str:
    # Inside the Hugging Face cache the folder's own name is a commit; the model's name stands two folders above.
    if folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--"):
        return folder.parent.parent.name.split("--")[-1]
    return folder.resolve().name


def _optional(path: Path) -> dict[str, Any]:
    return jsonfile.read_object(path) if path.exists() else {}
