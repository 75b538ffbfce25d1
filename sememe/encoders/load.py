"""A name or a folder into an encoder."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from sememe import settings
from sememe.architectures.families import FAMILIES, build
from sememe.encoders.cached import remembering
from sememe.encoders.contract import Encoder
from sememe.encoders.cut import shortened
from sememe.encoders.recipe import Recipe
from sememe.encoders.remote.naming import is_remote
from sememe.encoders.remote.open import open_remote
from sememe.encoders.static import open_static
from sememe.encoders.steps import read_steps
from sememe.encoders.transformer import Identity, TransformerEncoder, item_vectors
from sememe.errors import ModelError
from sememe.models.catalogue import lookup
from sememe.models.layout import Layout
from sememe.models.pull import here, is_path, open_layout
from sememe.models.receipt import fingerprint_files
from sememe.models.weights import Weights
from sememe.ops import openvino
from sememe.ops.openvino import compile_network
from sememe.progress import Progress
from sememe.tokens.tokenizer import Tokenizer


def load_encoder(
    name_or_path: str | Path | None = None,
    *,
    precision: str | None = None,
    threads: int | None = None,
    home: Path | str | None = None,
    offline: bool | None = None,
    dims: int | None = None,
    progress: Progress | None = None,
) -> Encoder:
    """An encoder, fetched first where that is needed and allowed.

    Args:
        name_or_path: a name of the catalogue, an added name, or a folder; None takes the set one. What is None below
            comes from the settings too.
        precision: ``auto`` (bf16 where the processor has it, else f32), ``f32``, ``bf16``, or ``int8``: weights in
            eight bits, which is another encoder with a fingerprint of its own.
        threads: how many processor cores work; 0 is all.
        dims: cut the vectors to so many numbers and make them unit length again; 0 is all (`sememe.encoders.cut`).
        progress: where a fetch is shown; None draws it on stderr.

    Raises:
        MissingModelError: not here, and not to be had.
        ModelError: its files are damaged, or of a kind that sememe does not run.
        UsageError: its vectors have fewer numbers than ``dims``.
    """
    flags = {"model": None if name_or_path is None else str(name_or_path), "precision": precision}
    now = settings.load({**flags, "threads": threads, "home": home, "offline": offline, "dims": dims})
    if not isinstance(name_or_path, Path) and is_remote(now.model):
        remote = open_remote(now.model, offline=now.offline, dims=now.dims, progress=progress)
        kept = remembering(remote, now)
        return shortened(kept, now.dims) if now.dims and not remote.dims else kept
    chosen = openvino.choose_precision(now.precision)
    asked = name_or_path if isinstance(name_or_path, Path) else now.model
    _refuse_unknown(asked, now.home)
    layout = open_layout(asked, home=now.home, offline=now.offline, progress=progress)
    if layout.modules[0].kind == "static":
        table = open_static(layout, Identity(layout.name, _digest(layout, now.home), _details(layout, "NumPy")))
        return shortened(remembering(table, now), now.dims)
    with ThreadPoolExecutor(1) as beside:  # reading the tokenizer takes as long as compiling the network
        tokenizer = beside.submit(Tokenizer.load, layout.tokenizer_file)
        weights = Weights.open(layout.weights_folder)
        architecture = build(layout.architecture, layout.config, weights, longest=layout.max_tokens)
        recipe = Recipe.of(layout, positions=architecture.positions)
        streams = now.threads or cores()
        steps = read_steps(layout, architecture.width)
        network = compile_network(partial(item_vectors, architecture, recipe, steps), precision=chosen, streams=streams)
        identity = Identity(layout.name, _digest(layout, now.home), _details(layout))
        whole = TransformerEncoder(architecture, network, tokenizer.result(), recipe, identity, steps)
    return shortened(remembering(whole, now), now.dims)


def _refuse_unknown(asked: str | Path, home: Path) -> None:
    """Say that a network cannot be run before its model is fetched, not after."""
    entry = None if is_path(asked) or here(str(asked), home=home) else lookup(str(asked))
    if entry is not None and entry.architecture not in (*FAMILIES, "model2vec"):
        raise ModelError(
            f"{entry.name} is a network of the kind {entry.architecture}, which this version does not run",
            why=[("it runs", ", ".join(FAMILIES))],
            do=[("see which models it runs", "sememe models list")],
        )


def cores() -> int:
    """How many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _digest(layout: Layout, home: Path) -> str:
    files = [*layout.weight_files, layout.weights_folder / "config.json"]
    for module in layout.modules:
        if module.kind in ("dense", "layer_norm"):
            files += [module.folder / "config.json", module.folder / "model.safetensors"]
    return fingerprint_files(layout.folder, files, home=home)


def _details(layout: Layout, engine: str = "") -> Mapping[str, str]:
    engine = engine or f"OpenVINO {openvino.library().__version__.partition('-')[0]}"
    details = {
        "engine": f"{engine} on {platform.machine()}",
        "architecture": layout.architecture,
        "folder": str(layout.folder),
    }
    if layout.assumed:
        details["assumed"] = "; ".join(layout.assumed)
    return details
