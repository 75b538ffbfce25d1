"""From the tokenizer files of a model folder to a running `tokenizers` object.

Everything read here is hostile: it may be cut off, huge, nested without end, or no tokenizer at all. Whatever is wrong
ends in one `ModelError` that names the file and the reason.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sememe.errors import ModelError, SememeError
from sememe.progress import amount

if TYPE_CHECKING:
    import tokenizers

#: the largest tokenizer.json in use has some 35 MB
MOST_BYTES = 256 * 1024 * 1024
#: ids are kept as int32
MOST_IDS = 2**31 - 1
#: what a tokenizer is called that can be rebuilt from vocab.txt alone
_BERT_CLASSES = frozenset({"BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "DistilBertTokenizerFast"})
_SLOW_FILES = ("sentencepiece.bpe.model", "spiece.model", "spm.model", "tokenizer.model", "vocab.json", "merges.txt")
_FETCH_AGAIN = "fetch the model again; its tokenizer.json must come from the same place as its weights"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A tokenizer with truncation and padding off, its fingerprint, one more than its greatest id, and its pad id."""

    backend: tokenizers.Tokenizer
    fingerprint: str
    vocab_size: int
    pad_id: int


def load_files(path: Path) -> Loaded:
    """Read ``path``: a folder with tokenizer.json (or BERT's vocab.txt), or such a file itself.

    Raises:
        ModelError: nothing there that is a tokenizer, or it is damaged.
    """
    folder = path if path.is_dir() else path.parent
    config = _config(folder)
    if path.is_file():
        return _from_vocab(path, config) if path.suffix == ".txt" else _from_json(path, config)
    if (path / "tokenizer.json").is_file():
        return _from_json(path / "tokenizer.json", config)
    if (path / "vocab.txt").is_file():
        return _from_vocab(path / "vocab.txt", config)
    raise _nothing_to_load(path)


def _from_json(path: Path, config: Mapping[str, Any]) -> Loaded:
    import tokenizers

    raw = _read(path)
    described = _parse(path, raw)
    if not isinstance(described, dict) or not isinstance(described.get("model"), dict):
        raise ModelError(f"{path} is not a tokenizer", why=["it has no model section"], do=[_FETCH_AGAIN])
    try:
        backend = tokenizers.Tokenizer.from_str(raw.decode("utf-8"))
    except BaseException as error:  # a panic of the library is no Exception
        raise _refused(path, error) from error
    padding = described.get("padding")
    # How much is cut or padded is the caller's business and changes no number, so it is no part of the fingerprint.
    canonical = {key: value for key, value in described.items() if key not in ("truncation", "padding")}
    return _finish(path, backend, canonical, _pad_id(backend, config, padding))


def _from_vocab(path: Path, config: Mapping[str, Any]) -> Loaded:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    kind = str(config.get("tokenizer_class", "BertTokenizer"))
    if kind not in _BERT_CLASSES:
        raise ModelError(
            f"{path.parent} has no tokenizer.json",
            why=[f'only BERT\'s vocab.txt can be read without one; this is "{kind}"'],
            do=[_convert(path.parent)],
        )
    try:
        text = _read(path).decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} is not UTF-8 text", why=[str(error)], do=[_FETCH_AGAIN]) from error
    lines = text.removesuffix("\n").split("\n")  # splitlines would also split at rarer characters, which are pieces
    vocab = {piece: number for number, piece in enumerate(lines)}
    special = {name: _special(config, f"{name}_token", f"[{name.upper()}]") for name in ("unk", "cls", "sep", "pad")}
    absent = [special[name] for name in ("unk", "cls", "sep") if special[name] not in vocab]
    if absent:
        raise ModelError(
            f"{path} is not the vocabulary of a BERT",
            why=[f"of its {len(lines)} lines none is {', '.join(absent)}"],
            do=[_FETCH_AGAIN],
        )
    try:
        backend = Tokenizer(models.WordPiece(vocab=vocab, unk_token=special["unk"]))
        backend.normalizer = normalizers.BertNormalizer(
            clean_text=True,
            handle_chinese_chars=bool(config.get("tokenize_chinese_chars", True)),
            strip_accents=config.get("strip_accents"),
            lowercase=bool(config.get("do_lower_case", True)),
        )
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        sep, cls = special["sep"], special["cls"]
        backend.post_processor = processors.BertProcessing((sep, vocab[sep]), (cls, vocab[cls]))
        backend.decoder = decoders.WordPiece()
        extra = [special["pad"], _special(config, "mask_token", "[MASK]")]
        backend.add_special_tokens([piece for piece in (*special.values(), *extra) if piece in vocab])
    except BaseException as error:
        raise _refused(path, error) from error
    canonical = [lines, {key: config.get(key) for key in ("do_lower_case", "strip_accents", "tokenize_chinese_chars")}]
    return _finish(path, backend, [*canonical, special], _pad_id(backend, config, None))


def _finish(path: Path, backend: tokenizers.Tokenizer, canonical: object, pad_id: int) -> Loaded:
    backend.no_truncation()
    backend.no_padding()
    ids = backend.get_vocab(with_added_tokens=True).values()
    if not ids or max(ids) >= MOST_IDS:
        why = f"its greatest id is {max(ids)}; at most {MOST_IDS - 1} is possible" if ids else "its vocabulary is empty"
        raise ModelError(f"{path} is not a usable tokenizer", why=[why], do=[_FETCH_AGAIN])
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"))
    return Loaded(backend, hashlib.sha256(text.encode()).hexdigest(), max(ids) + 1, pad_id)


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise ModelError(
                f"{path} is too large for a tokenizer",
                why=[f"it has {amount(size, 'bytes')}; at most {amount(MOST_BYTES, 'bytes')} are read"],
                do=[_FETCH_AGAIN],
            )
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ModelError(f"{path} cannot be read", why=[reason], do=["check the path and its permissions"]) from error


def _parse(path: Path, raw: bytes) -> object:
    try:
        return json.loads(raw.decode("utf-8"))
    except RecursionError:
        why = "it is nested too deeply"
    except UnicodeDecodeError as error:
        why = f"it is not UTF-8 text: {error}"
    except ValueError as error:
        why = f"{amount(len(raw), 'bytes')}, {error}"
    raise ModelError(f"{path} is not valid JSON", why=[why], do=[_FETCH_AGAIN])


def _config(folder: Path) -> Mapping[str, Any]:
    """tokenizer_config.json, with special_tokens_map.json behind it; empty where both are absent."""
    merged: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        path = folder / name
        if path.is_file():
            content = _parse(path, _read(path))
            if not isinstance(content, dict):
                raise ModelError(f"{path} is not a JSON object", do=[_FETCH_AGAIN])
            merged.update(content)
    return merged


def _special(config: Mapping[str, Any], name: str, default: str) -> str:
    value = config.get(name)
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else default


def _pad_id(backend: tokenizers.Tokenizer, config: Mapping[str, Any], padding: object) -> int:
    pieces = [_special(config, "pad_token", "")]
    if isinstance(padding, dict):
        pieces.append(str(padding.get("pad_token", "")))
    for piece in (*pieces, "[PAD]", "<pad>"):
        number = backend.token_to_id(piece) if piece else None
        if number is not None:
            return number
    return 0


def _refused(path: Path, error: BaseException) -> SememeError:
    if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
        raise error
    return ModelError(
        f"{path} is not a usable tokenizer",
        why=[str(error)[:300] or type(error).__name__],
        do=[_FETCH_AGAIN],
    )


def _nothing_to_load(path: Path) -> ModelError:
    if not path.exists():
        return ModelError(f"there is no tokenizer at {path}", why=["the path does not exist"], do=["check the path"])
    slow = [name for name in _SLOW_FILES if (path / name).is_file()]
    if slow:
        why = f"it has only {', '.join(slow)}, which sememe does not read"
        return ModelError(f"{path} has no tokenizer.json", why=[why], do=[_convert(path)])
    return ModelError(
        f"{path} has no tokenizer", why=["neither tokenizer.json nor vocab.txt is in it"], do=[_FETCH_AGAIN]
    )


def _convert(folder: Path) -> tuple[str, str]:
    here = repr(str(folder))
    code = f"from transformers import AutoTokenizer as T; T.from_pretrained({here}).save_pretrained({here})"
    return ("write one where transformers is installed", f'python -c "{code}"')
