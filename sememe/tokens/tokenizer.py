"""The tokenizer of a model: text into ids, pieces and character offsets, and long id lists into legal inputs.

The work is done by the `tokenizers` library, which is imported when the first tokenizer is loaded. It is called in
batches: it then leaves Python's lock alone and spreads the texts over its own threads (as many as `RAYON_NUM_THREADS`
says, one where `TOKENIZERS_PARALLELISM` is "false"), so several Python threads may share one `Tokenizer`, which never
changes after it is loaded, and a forked process may go on with it, on one thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sememe.errors import DataError, ModelError, UsageError
from sememe.tokens.files import Loaded, load_files

if TYPE_CHECKING:
    import numpy.typing as npt
    import tokenizers

    from sememe.shapes import Counts

#: what one call of the library gets at most; its results are large, and more in one call is no faster
BATCH_TEXTS = 1024
BATCH_CHARACTERS = 1_000_000
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """The tokens of one text, special tokens included.

    ``ids`` int32 ``(n,)``; ``pieces`` as the vocabulary writes them; ``offsets`` int32 ``(n, 2)``, the characters
    ``text[start:end]`` that a token stands for, ``(0, 0)`` for one that was added; ``special`` bool ``(n,)``, true
    for the tokens that were added around the text.
    """

    ids: Counts
    pieces: tuple[str, ...]
    offsets: Counts
    special: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.pieces)


class Tokenizer:
    """Text into tokens, as one model was trained with.

    Nothing is cut or padded here, whatever the model's file asks for: `cut` and `windows` do that visibly.
    A lone surrogate (half of a UTF-16 pair, which is no character) is read as U+FFFD, one for one, so that offsets
    still count the characters of the string that was passed.

    Attributes:
        fingerprint: SHA-256 over everything that can change an id; layout, truncation and padding of the file cannot.
        vocab_size: one more than the greatest id; a table of token vectors needs that many rows.
        pad_id: the id that fills up short rows; 0 where the model names none.
        prefix, suffix: the special ids that stand around one text.
        specials: how many of them there are.
    """

    def __init__(self, loaded: Loaded, *, name: str) -> None:
        self._backend: tokenizers.Tokenizer = loaded.backend
        self.name = name
        self.fingerprint = loaded.fingerprint
        self.vocab_size = loaded.vocab_size
        self.pad_id = loaded.pad_id
        self.prefix, self.suffix = self._around()
        self.specials = len(self.prefix) + len(self.suffix)

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """The tokenizer of a model folder, or of one tokenizer.json.

        A folder with BERT's old vocab.txt alone is read too.

        Raises:
            ModelError: there is none, or its files are damaged or of an unknown kind.
        """
        return cls(load_files(Path(path)), name=str(path))

    def __repr__(self) -> str:
        return f"Tokenizer({self.name!r}, {self.vocab_size} ids, {self.specials} specials)"

    def ids(self, texts: Sequence[str], *, specials: bool = True) -> list[list[int]]:
        """The ids of each text; the fastest way.

        Raises:
            UsageError: ``texts`` is one string.
            DataError: a text is no string.
        """
        return [encoding.ids for encoding in self._fast(texts, specials)]

    def count(self, texts: Sequence[str], *, specials: bool = True) -> Counts:
        """How many tokens each text has: int32 ``(n,)``; with the special tokens unless told otherwise."""
        return np.fromiter((len(encoding) for encoding in self._fast(texts, specials)), np.int32, len(texts))

    def encode(self, texts: Sequence[str], *, specials: bool = True) -> list[Tokens]:
        """Ids, pieces and character offsets of each text; about half as fast as `ids`."""
        return [
            Tokens(
                np.array(encoding.ids, np.int32),
                tuple(encoding.tokens),
                np.array(encoding.offsets, np.int32).reshape(-1, 2),
                np.array(encoding.special_tokens_mask, bool),
            )
            for encoding in self._run(self._backend.encode_batch, texts, specials)
        ]

    def pairs(self, first: str, seconds: Sequence[str], limit: int) -> list[Pair]:
        """``first`` with each of ``seconds`` as one input of at most ``limit`` tokens; what is too much is dropped from
        the end of the second.

        Raises:
            DataError: the first leaves no room for a token of the second.
        """
        check_texts([first])
        check_texts(seconds)
        found = []
        for part in _parts(seconds):
            pairs = [(_clean(first), _clean(second)) for second in part]
            for encoding in self._backend.encode_batch(pairs, add_special_tokens=True):
                found.append(_cut_pair(encoding, limit))
        return found

    def offsets(self, texts: Sequence[str]) -> Iterator[list[tuple[int, int]]]:
        """The character offsets of each text's ordinary tokens, one text after the other."""
        return (encoding.offsets for encoding in self._run(self._backend.encode_batch, texts, False))

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """The text of ids, as near as the vocabulary allows; lower-casing and the like are not undone."""
        self._check_ids(ids)
        return self._backend.decode([int(number) for number in ids], skip_special_tokens=skip_special)

    def piece(self, id: int) -> str:
        """The piece of an id, such as ``##ing``."""
        self._check_ids([id])
        piece = self._backend.id_to_token(int(id))
        if piece is None:
            raise UsageError(f"{self.name} has no piece with the id {id}")
        return piece

    def id(self, piece: str) -> int:
        """The id of a piece."""
        number = self._backend.token_to_id(_clean(piece))
        if number is None:
            raise UsageError(f"{self.name} has no piece {piece!r}")
        return number

    def cut(self, ids: Sequence[int], limit: int) -> list[int]:
        """What remains of ``ids`` (made with specials) when only ``limit`` tokens may reach the model.

        The special tokens stay, ordinary ones are dropped from the end. ``len(ids)`` less the length of the result
        is the number of dropped tokens, and no text need be tokenised to know it: see `dropped`.
        """
        if len(ids) <= limit:
            return list(ids)
        start, end = self._ordinary(ids, limit)
        return [*ids[: min(end, start + limit - self.specials)], *ids[end:]]

    def dropped(self, count: int, limit: int) -> int:
        """How many of ``count`` tokens, specials included, `cut` drops."""
        return max(0, count - limit)

    def windows(self, ids: Sequence[int], limit: int, overlap: int = 0) -> list[list[int]]:
        """``ids`` (made with specials) as several inputs of at most ``limit`` tokens that cover all of them.

        Each has the special tokens around it; neighbours share ``overlap`` ordinary tokens.
        """
        if len(ids) <= limit:
            return [list(ids)]
        start, end = self._ordinary(ids, limit)
        room = limit - self.specials
        if not 0 <= overlap < room:
            raise UsageError(
                f"windows cannot overlap by {overlap} tokens",
                why=[f"{limit} tokens less {self.specials} special ones leave room for {room}"],
                do=[f"use an overlap from 0 to {room - 1}, or a larger limit"],
            )
        # The last window starts where everything that is left fits.
        starts = range(start, max(end - overlap, start + 1), room - overlap)
        return [[*ids[:start], *ids[at : min(at + room, end)], *ids[end:]] for at in starts]

    def _ordinary(self, ids: Sequence[int], limit: int) -> tuple[int, int]:
        """Where the ordinary tokens of ``ids`` start and end."""
        if limit < self.specials:
            raise UsageError(
                f"a limit of {limit} tokens is too small",
                why=[f"{self.specials} special tokens stand around every text"],
            )
        start, end = len(self.prefix), len(ids) - len(self.suffix)
        if end < start or tuple(ids[:start]) != self.prefix or tuple(ids[end:]) != self.suffix:
            raise UsageError(
                "these ids have no special tokens around them",
                why=[f"they must start with {list(self.prefix)} and end with {list(self.suffix)}"],
                do=["make them with tokenizer.ids(texts)"],
            )
        return start, end

    def _around(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        # An ordinary token is put between the specials to see which stand before and which after it. The probes are
        # several since a vocabulary without unknown token drops what it does not know.
        for probe in ("a", "e", "the", "0", ".", "的", "\n"):
            bare = self._backend.encode(probe, add_special_tokens=False).ids
            full = self._backend.encode(probe, add_special_tokens=True)
            inside = [i for i, special in enumerate(full.special_tokens_mask) if not special]
            if bare and [full.ids[i] for i in inside] == bare:
                return tuple(full.ids[: inside[0]]), tuple(full.ids[inside[-1] + 1 :])
        if self._backend.num_special_tokens_to_add(False) == 0:
            return (), ()
        raise ModelError(f"the special tokens of {self.name} cannot be told from its ordinary ones")

    def _fast(self, texts: Sequence[str], specials: bool) -> Iterator[tokenizers.Encoding]:
        return self._run(self._backend.encode_batch_fast, texts, specials)

    def _run(
        self, call: Callable[..., list[tokenizers.Encoding]], texts: Sequence[str], specials: bool
    ) -> Iterator[tokenizers.Encoding]:
        check_texts(texts)
        for part in _parts(texts):
            try:
                encodings = call(part, add_special_tokens=specials)
            except TypeError:  # the library takes no lone surrogates; looking for them first would slow every call
                encodings = call([_clean(text) for text in part], add_special_tokens=specials)
            yield from encodings

    def _check_ids(self, ids: Sequence[int]) -> None:
        for number in ids:
            if not 0 <= number < self.vocab_size:
                raise UsageError(f"{number} is no id of {self.name}", why=[f"ids go from 0 to {self.vocab_size - 1}"])


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts as one input: ``types`` says of each token which of the two it is of, as the model was trained;
    ``dropped`` tokens of the second were too many."""

    ids: list[int]
    types: list[int]
    dropped: int


def _cut_pair(encoding: tokenizers.Encoding, limit: int) -> Pair:
    excess = len(encoding) - limit
    if excess <= 0:
        return Pair(encoding.ids, encoding.type_ids, 0)
    second = [at for at, text in enumerate(encoding.sequence_ids) if text == 1]
    if excess >= len(second):
        raise DataError(
            "the first text of a pair leaves no room for the second",
            why=[f"together they have {len(encoding)} tokens, {len(second)} of the second; the limit is {limit}"],
            do=["shorten the query"],
        )
    gone = set(second[-excess:])
    kept = [at for at in range(len(encoding)) if at not in gone]
    ids, types = encoding.ids, encoding.type_ids
    return Pair([ids[at] for at in kept], [types[at] for at in kept], excess)


def check_texts(texts: Sequence[str]) -> None:
    """Refuse what is no sequence of strings."""
    if isinstance(texts, str):
        raise UsageError("a list of texts is needed, not one string", do=["put it in brackets: [text]"])
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"text {i} is no string", why=[f"it is a {type(text).__name__}"])


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    """``texts`` in batches that the library's results fit into memory for."""
    part: list[str] = []
    characters = 0
    for text in texts:
        if part and (len(part) == BATCH_TEXTS or characters + len(text) > BATCH_CHARACTERS):
            yield part
            part, characters = [], 0
        part.append(text)
        characters += len(text)
    if part:
        yield part


def _clean(text: str) -> str:
    return _SURROGATES.sub("\ufffd", text)
