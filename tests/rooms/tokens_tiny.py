"""Tiny tokenizers of every kind, trained in a moment on a few lines."""

from __future__ import annotations

import functools
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sememe.tokens.tokenizer import Tokenizer

KINDS = ("wordpiece", "bytes", "unigram", "plain", "metaspace")
LINES = [
    "The boat lay at the bank of the river. Nobody was on board, and the water was still.",
    "A bank lends money to people who build houses; houses are built of stone, wood and brick.",
    "In 1998 the price rose by 3.5 percent, e.g. for bread, milk and internationalization.",
    "Der Fluss fließt langsam. Die Häuser stehen am Ufer, und das Café ist geöffnet.",
    "日本語の文です。東京は大きい都市です。",
    "Река течёт медленно. Дома стоят на берегу.",
    "!?.,;:-()\"'…。！？ 0123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ",
] * 4


def backend(kind: str) -> Any:
    """An untouched `tokenizers` object."""
    import tokenizers

    return tokenizers.Tokenizer.from_str(_described(kind))


@functools.cache
def tiny(kind: str) -> Tokenizer:
    """The same in sememe's hands."""
    with TemporaryDirectory() as folder:
        return Tokenizer.load(write(Path(folder), _described(kind)))


def write(folder: Path, described: str) -> Path:
    (folder / "tokenizer.json").write_text(described, "utf-8")
    return folder


@functools.cache
def _described(kind: str) -> str:
    made = {"wordpiece": _wordpiece, "bytes": _bytes, "unigram": _unigram, "plain": _plain, "metaspace": _metaspace}
    text: str = {**made, "words": _words}[kind]().to_str()
    return text


def _around(tokenizer: Any, template: str) -> None:
    from tokenizers import processors

    specials = [(piece, tokenizer.token_to_id(piece)) for piece in template.split() if piece != "$A"]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=specials)


def _wordpiece() -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        LINES, trainers.WordPieceTrainer(vocab_size=260, special_tokens=specials, show_progress=False)
    )
    _around(tokenizer, "[CLS] $A [SEP]")
    return tokenizer


def _bytes() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=["<s>", "<pad>", "</s>"], show_progress=False
    )
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer


def _unigram() -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200, unk_token="<unk>", special_tokens=["<pad>", "</s>", "<unk>"], show_progress=False
    )
    tokenizer.train_from_iterator(LINES, trainer)
    _around(tokenizer, "$A </s>")
    return tokenizer


def _plain() -> Any:
    """No unknown token: what it does not know it drops. No specials."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(LINES, trainers.BpeTrainer(vocab_size=250, show_progress=False))
    return tokenizer


def _metaspace() -> Any:
    """A text is one long word, spaces are letters, and unknown letters are spelled in bytes, as Llama has it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = ["<unk>", "<s>", *(f"<0x{number:02X}>" for number in range(256))]
    tokenizer.train_from_iterator(
        LINES, trainers.BpeTrainer(vocab_size=560, special_tokens=specials, show_progress=False)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(split=False, prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    _around(tokenizer, "<s> $A")
    return tokenizer


def _words() -> Any:
    """Every word and every run of punctuation is one unknown token, so that a reader can count."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordPiece(vocab={"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer
