"""Small models on disk for the tests of the models room: real formats, a few bytes of content."""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
from pathlib import Path

import numpy as np

from sememe.models.catalogue import Entry, FileSpec, Package

MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
]
NAMES = {
    "float32": "F32",
    "float16": "F16",
    "float64": "F64",
    "int64": "I64",
    "int32": "I32",
    "uint8": "U8",
    "bool": "BOOL",
}


def safetensors(tensors: dict[str, np.ndarray], *, pad: int = 8, metadata: bool = True) -> bytes:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}} if metadata else {}
    body = b""
    for name, array in tensors.items():
        raw = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": NAMES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [len(body), len(body) + len(raw)],
        }
        body += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % pad)
    return struct.pack("<Q", len(text)) + text + body


def model_bytes(seed: int = 0) -> dict[str, bytes]:
    """The files of a tiny sentence-transformers folder, by path."""
    weights = np.random.default_rng(seed).normal(size=(64, 32)).astype(np.float32)
    return {
        "config.json": json.dumps({"model_type": "bert", "hidden_size": 32, "max_position_embeddings": 512}).encode(),
        "modules.json": json.dumps(MODULES).encode(),
        "sentence_bert_config.json": b'{"max_seq_length": 128, "do_lower_case": false}',
        "1_Pooling/config.json": b'{"word_embedding_dimension": 32, "pooling_mode_mean_tokens": true}',
        "tokenizer.json": json.dumps({"version": "1.0", "model": {"type": "WordPiece", "seed": seed}}).encode(),
        "model.safetensors": safetensors({"embeddings.weight": weights}),
    }


def write_model(folder: Path, files: dict[str, bytes] | None = None) -> Path:
    for path, content in (files or model_bytes()).items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder


def entry_for(files: dict[str, bytes], *, pinned: bool = True, package: Package | None = None) -> Entry:
    """A catalogue entry for these files; without ``pinned`` it knows no sizes and no checksums."""
    specs = {
        path: FileSpec(path, len(content), hashlib.sha256(content).hexdigest()) if pinned else FileSpec(path)
        for path, content in files.items()
    }
    return Entry(
        name="tiny",
        repo="people/tiny",
        revision="0123456789abcdef0123456789abcdef01234567",
        licence="CC0-1.0",
        architecture="bert",
        dim=32,
        max_tokens=128,
        pooling="mean",
        normalize=True,
        files=specs,
        aliases=("little",),
        prompts={"query": "query: "},
        package=package,
    )


def write_wheel(folder: Path, members: dict[str, bytes], *, name: str = "tiny_model", version: str = "1.0") -> Package:
    """A wheel that pip accepts, with ``members`` under ``tiny_model/model``; given back as the catalogue names it."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in members.items():
            archive.writestr(path if path.startswith(("../", "/")) else f"{name}/model/{path}", content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return Package(name.replace("_", "-"), version, f"{name}/model", wheel.stat().st_size)
