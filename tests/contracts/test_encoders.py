"""What every encoder promises (`sememe/encoders/contract.py`), held against each adaptor.

A new adaptor gets a row in `CASES`; no test below knows which one it has. What is special to one adaptor is tested in
its own file under `tests/rooms`.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sememe.encoders.cache_file import VectorCache
from sememe.encoders.cached import CachedEncoder
from sememe.encoders.contract import LongItemWarning
from sememe.encoders.load import load_encoder
from sememe.errors import DataError, UsageError
from sememe.ops.openvino import has_bf16
from tests import remote_server, tiny_bert, tiny_static

ON_LONG = ("error", "warn", "cut", "mean")
#: how far one item's vector may move with its company, by precision, relative to its length (greatest and mean)
COMPANY = {"f32": (1e-5, 1e-5), "bf16": (0.01, 0.001), "int8": (1e-5, 1e-5)}


@dataclass(frozen=True)
class Case:
    """How an encoder is opened, and what its recipe says."""

    open: Callable[[Path], Any]
    unit: bool = True
    prompts: Mapping[str, str] = field(default_factory=dict)
    precision: str = "f32"
    #: roles are told apart by other means than a prompt
    roles: bool = False
    #: a text of no known token is zero, whatever the recipe says: it has no direction
    zeros: bool = False
    #: the service that is to be stood in for
    service: str = ""


def _tiny(*, precision: str = "f32", threads: int = 2, dims: int = 0, **how: Any) -> Case:
    def open_(folder: Path) -> Any:
        written = tiny_bert.write(folder / "tiny", **how)
        return load_encoder(written, precision=precision, threads=threads, home=folder, offline=True, dims=dims)

    unit = bool(dims) or (how.get("normalize", True) and not how.get("plain", False))
    return Case(open_, unit, how.get("prompts", {}), precision)


def _remote(name: str, *, dims: int = 0, roles: bool = False, prompts: Mapping[str, str] | None = None) -> Case:
    def open_(folder: Path) -> Any:
        return load_encoder(f"{name}?tokens=48", home=folder, offline=True, dims=dims)

    return Case(open_, True, prompts or {}, roles=roles, service=name.partition(":")[0])


def _remembered(case: Case) -> Case:
    def open_(folder: Path) -> Any:
        return CachedEncoder(case.open(folder), VectorCache(folder / "vectors.sqlite", limit=200_000))

    return replace(case, open=open_)


def _static(kind: str, *, dims: int = 0, **how: Any) -> Case:
    def open_(folder: Path) -> Any:
        return load_encoder(tiny_static.write(folder / "tiny", kind, **how), home=folder, offline=True, dims=dims)

    return Case(open_, bool(dims) or how.get("normalize", True), how.get("prompts", {}), zeros=not how.get("prompts"))


PROMPTS = {"query": "the question: ", "document": "bread: "}
CASES = {
    "mean": _tiny(),
    "mean, length kept": _tiny(normalize=False),
    "mean, one thread": _tiny(threads=1),
    "cls": _tiny(pooling="cls"),
    "max": _tiny(pooling="max"),
    "max, length kept": _tiny(pooling="max", normalize=False),
    "last": _tiny(pooling="last", normalize=False),
    "weighted mean": _tiny(pooling="weighted_mean", normalize=False),
    "mean by root of length": _tiny(pooling="mean_sqrt_len", normalize=False),
    "prompts": _tiny(prompts=PROMPTS),
    "prompts that do not count": _tiny(prompts=PROMPTS, include_prompt=False),
    "a prompt for queries, first token": _tiny(prompts={"query": "moon: "}, include_prompt=False, pooling="cls"),
    "plain folder": _tiny(plain=True),
    "cut": _tiny(dims=5),
    "cut, of vectors whose length is kept": _tiny(dims=5, normalize=False, prompts=PROMPTS),
    "lower case before the tokenizer": _tiny(do_lower_case=True, lowercase=False),
    "static": _static("plain"),
    "static, length kept": _static("mapping", normalize=False),
    "static, prompts, cut": _static("weights", prompts=PROMPTS, dims=7),
    "openai": _remote("openai:text-embedding-3-small", dims=16),
    "openai, a model that is not known": _remote("openai:little"),
    "openai, a model that is not known, cut": _remote("openai:little", dims=5),
    "azure": _remote("azure:little"),
    "bedrock, titan": _remote("bedrock:amazon.titan-embed-text-v2:0", dims=256),
    "bedrock, cohere": _remote("bedrock:cohere.embed-english-v3", roles=True),
    "cohere": _remote("cohere:embed-v4.0", dims=256, roles=True),
    "voyage": _remote("voyage:voyage-3.5", dims=256, roles=True),
    "jina": _remote("jina:jina-embeddings-v3", dims=32, roles=True),
    "gemini": _remote("gemini:gemini-embedding-001", dims=16, roles=True),
    "mistral": _remote("mistral:little"),
    "ollama": _remote("ollama:nomic-embed-text", prompts={"query": "search_query: ", "document": "search_document: "}),
    "tei": _remote("tei:little"),
    "remembered": _remembered(_tiny()),
    "remembered, prompts that do not count": _remembered(_tiny(prompts=PROMPTS, include_prompt=False)),
    "remembered, hosted": _remembered(_remote("cohere:embed-v4.0", dims=256, roles=True)),
    "bf16": _tiny(precision="bf16"),
    "bf16, max, length kept": _tiny(precision="bf16", pooling="max", normalize=False),
    "bf16, prompts that do not count": _tiny(precision="bf16", prompts=PROMPTS, include_prompt=False),
    "int8": _tiny(precision="int8"),
    "int8, max, length kept": _tiny(precision="int8", pooling="max", normalize=False),
}


@dataclass(frozen=True)
class Held:
    """One opened encoder."""

    encoder: Any
    case: Case

    def words(self, count: int, *, seed: int = 0) -> str:
        """A text of ``count`` words, each of them one token to every tokenizer here."""
        counts = self.encoder.tokenizer.count(tiny_bert.WORDS, specials=False)
        known = [word for word, tokens in zip(tiny_bert.WORDS, counts, strict=True) if tokens == 1]
        return " ".join(np.random.default_rng(seed).choice(known, size=count))

    def room(self, role: str) -> int:
        """How many words fit."""
        return self.encoder.max_tokens - self.tokens("", role)

    def tokens(self, text: str, role: str = "document") -> int:
        return int(self.encoder.tokenizer.count([self.case.prompts.get(role, "") + text])[0])

    def texts(self, count: int) -> list[str]:
        """Short ones, with an empty one, odd characters and an upper-case one among them."""
        room = self.room("document")
        made = tiny_bert.texts(count, longest=max(1, min(room // 6, 12)))
        for at, odd in enumerate(["", " ", "日本語", "Bank", "a\x00b\ufffd", "🙂"]):
            if at * 5 < count:
                made[at * 5] = odd
        return made

    def alike(self, one: Any, other: Any) -> None:
        """The same vectors, within what the precision allows for other company."""
        assert one.shape == other.shape
        length = np.maximum(np.linalg.norm(one, axis=-1), 1e-12)
        off = np.linalg.norm(one - other, axis=-1) / length
        greatest, mean = COMPANY[self.case.precision]
        assert off.max(initial=0) <= greatest
        assert off.mean() <= mean


@pytest.fixture(scope="module", params=CASES, ids=str)
def held(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    case = CASES[request.param]
    if case.precision == "bf16" and not has_bf16():
        pytest.skip("this processor does not multiply bfloat16 in hardware")
    with remote_server.serving() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in remote_server.environment(server, case.service or "openai").items():
            patch.setenv(name, value)
        patch.setenv("SEMEME_CACHE_MODE", "off")
        encoder = case.open(tmp_path_factory.mktemp("encoder"))
        yield Held(encoder, case)
        encoder.close()
    assert server.refused == []


@contextmanager
def no_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# --- shape, order, company


@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_vectors_are_float32_rows_in_one_block(held: Held, count: int) -> None:
    for role in ("document", "query"):
        vectors = held.encoder.encode(held.texts(count), role=role)
        assert vectors.shape == (count, held.encoder.dim)
        assert vectors.dtype == np.float32
        assert vectors.flags.c_contiguous
        assert np.isfinite(vectors).all()


@pytest.mark.parametrize("count", [0, 1, 50])
def test_the_report_counts_every_item(held: Held, count: int) -> None:
    texts = [text.lower() for text in held.texts(count)]
    for role in ("document", "query"):
        report = held.encoder.encode_report(texts, role=role)
        assert report.vectors.shape == (count, held.encoder.dim)
        assert report.used.dtype == report.dropped.dtype == np.int32
        assert report.used.tolist() == [held.tokens(text, role) for text in texts]
        assert report.dropped.tolist() == [0] * count


def test_a_text_has_the_same_vector_in_any_company(held: Held) -> None:
    texts = held.texts(96)
    together = held.encoder.encode(texts)
    held.alike(together, np.concatenate([held.encoder.encode([text]) for text in texts]))
    held.alike(together, np.concatenate([held.encoder.encode(texts[at : at + 32]) for at in range(0, 96, 32)]))
    order = np.random.default_rng(1).permutation(len(texts))
    held.alike(together[order], held.encoder.encode([texts[at] for at in order]))
    held.alike(together, held.encoder.encode([*texts, held.words(held.room("document"))])[:-1])


def test_the_same_call_gives_the_same_numbers(held: Held) -> None:
    texts = held.texts(40)
    held.alike(held.encoder.encode(texts), held.encoder.encode(tuple(texts)))


def test_different_texts_have_different_vectors(held: Held) -> None:
    vectors = held.encoder.encode([held.words(5, seed=seed) for seed in range(20)])
    apart = np.linalg.norm(vectors[:, None] - vectors[None, :], axis=2) / np.linalg.norm(vectors, axis=1)
    assert apart[~np.eye(len(vectors), dtype=bool)].min() > 5 * COMPANY[held.case.precision][0]


def test_the_input_is_not_changed(held: Held) -> None:
    texts = held.texts(30)
    before = list(texts)
    held.encoder.encode(texts, role="query")
    assert texts == before


def test_a_result_belongs_to_the_caller(held: Held) -> None:
    texts = held.texts(3)
    first = held.encoder.encode(texts)
    kept = first.copy()
    first[:] = 7
    held.alike(kept, held.encoder.encode(texts))


# --- what the recipe says


def test_vectors_are_of_unit_length_if_and_only_if_the_recipe_says_so(held: Held) -> None:
    texts = [*held.texts(30), held.words(held.room("document") + 9)]
    for on_long in ("cut", "mean"):
        lengths = np.linalg.norm(held.encoder.encode(texts, on_long=on_long), axis=1)
        if held.case.unit:
            lengths = lengths[lengths > 0] if held.case.zeros else lengths
            np.testing.assert_allclose(lengths, 1, atol=1e-5)
        else:
            assert np.abs(lengths - 1).max() > 0.1


def test_a_role_matters_if_and_only_if_it_has_a_prompt_of_its_own(held: Held) -> None:
    text = held.words(4)
    query, document = (held.encoder.encode([text], role=role) for role in ("query", "document"))
    prompts = held.case.prompts
    if prompts.get("query", "") == prompts.get("document", "") and not held.case.roles:
        held.alike(query, document)
    else:
        off = np.linalg.norm(query - document) / np.linalg.norm(document)
        assert off > 5 * COMPANY[held.case.precision][0]


def test_documents_are_the_default(held: Held) -> None:
    text = held.words(4)
    held.alike(held.encoder.encode([text]), held.encoder.encode([text], role="document"))


def test_an_empty_string_is_legal(held: Held) -> None:
    for on_long in ON_LONG:
        with no_warning():
            report = held.encoder.encode_report(["", held.words(3), ""], on_long=on_long)
        assert np.isfinite(report.vectors).all()
        assert held.case.zeros or np.linalg.norm(report.vectors[0]) > 0.1
        held.alike(report.vectors[0:1], report.vectors[2:3])
        assert report.used[0] == held.tokens("")


# --- refusals


@pytest.mark.parametrize("method", ["encode", "encode_report"])
def test_an_unknown_role_or_option_is_refused(held: Held, method: str) -> None:
    call = getattr(held.encoder, method)
    for wrong in ({"role": "passage"}, {"role": ""}, {"on_long": "truncate"}, {"on_long": ""}):
        for items in ([], ["a"]):
            with pytest.raises(UsageError, match=next(iter(wrong))):
                call(items, **wrong)
    with pytest.raises(TypeError):
        call(["a"], normalise=True)


def test_one_string_is_no_list_of_texts(held: Held) -> None:
    for wrong in ("the bank", ""):
        with pytest.raises(UsageError, match="list"):
            held.encoder.encode(wrong)


@pytest.mark.parametrize("wrong", [b"bytes", None, 3, float("nan"), ["a"]], ids=repr)
def test_what_is_no_string_is_named_by_its_place(held: Held, wrong: Any) -> None:
    with pytest.raises(DataError, match=r"\b7\b") as caught:
        held.encoder.encode([*["a"] * 7, wrong, "b"])
    assert type(wrong).__name__ in str(caught.value)


# --- long items


@pytest.mark.parametrize("role", ["document", "query"])
def test_what_just_fits_is_long_in_no_way(held: Held, role: str) -> None:
    text = held.words(held.room(role))
    assert held.tokens(text, role) == held.encoder.max_tokens
    made = []
    for on_long in ON_LONG:
        with no_warning():
            report = held.encoder.encode_report([text], role=role, on_long=on_long)
        assert (report.used.tolist(), report.dropped.tolist()) == ([held.encoder.max_tokens], [0])
        made.append(report.vectors)
    for other in made[1:]:
        held.alike(made[0], other)


@pytest.mark.parametrize("more", [1, 2, 40])
def test_cut_keeps_the_start_and_counts_what_it_drops(held: Held, more: int) -> None:
    for role in ("document", "query"):
        fits = held.words(held.room(role))
        longer = fits + " " + held.words(more, seed=1)
        with no_warning():
            report = held.encoder.encode_report(["a", longer, "b"], role=role, on_long="cut")
        assert report.used.tolist()[1] == held.encoder.max_tokens
        assert report.dropped.tolist() == [0, more, 0]
        held.alike(report.vectors[1:2], held.encoder.encode([fits], role=role))


def test_warn_cuts_too_and_says_so_once(held: Held) -> None:
    texts = ["a", held.words(held.room("document") + 3), held.words(held.room("document") + 11)]
    for options in ({}, {"on_long": "warn"}):
        with pytest.warns(LongItemWarning) as caught:
            report = held.encoder.encode_report(texts, **options)
        assert len(caught) == 1
        message = str(caught[0].message)
        assert "2 of 3" in message
        assert str(held.encoder.max_tokens) in message
        assert "11" in message
        assert report.dropped.tolist() == [0, 3, 11]
    held.alike(report.vectors, held.encoder.encode(texts, on_long="cut"))


def test_error_names_the_item_and_the_numbers(held: Held) -> None:
    long = held.words(held.room("document") + 5)
    with pytest.raises(DataError) as caught:
        held.encoder.encode(["a", "b", long], on_long="error")
    for number in (2, held.encoder.max_tokens, held.encoder.max_tokens + 5):
        assert str(number) in str(caught.value)
    held.encoder.encode(["a", "b"], on_long="error")


@pytest.mark.parametrize("times", [1.5, 3, 40])
def test_mean_uses_every_token(held: Held, times: float) -> None:
    room = held.room("document")
    text = held.words(int(room * times) + 1)
    with no_warning():
        report = held.encoder.encode_report(["a", text, "b"], on_long="mean")
    assert report.dropped.tolist() == [0, 0, 0]
    assert report.used[1] >= held.tokens(text)
    cut = held.encoder.encode(["a", text, "b"], on_long="cut")
    held.alike(report.vectors[[0, 2]], cut[[0, 2]])
    assert np.linalg.norm(report.vectors[1] - cut[1]) > 0.02 * np.linalg.norm(cut[1])
    # The end of the text counts as well.
    other = held.encoder.encode([text.rsplit(" ", room)[0]], on_long="mean")[0]
    assert np.linalg.norm(report.vectors[1] - other) > 1e-4 * np.linalg.norm(other)


def test_mean_of_a_text_that_repeats_itself_stays_near_its_parts(held: Held) -> None:
    part = held.words(held.room("document"))
    one = held.encoder.encode([part])[0]
    many = held.encoder.encode([" ".join([part] * 12)], on_long="mean")[0]
    cosine = one @ many / np.linalg.norm(one) / np.linalg.norm(many)
    assert cosine > 0.7


# --- the same under stress


def test_three_threads_at_once(held: Held) -> None:
    texts = [held.texts(40), [held.words(3, seed=s) for s in range(70)], [held.words(2)]]
    alone = [held.encoder.encode(part) for part in texts]
    found: dict[tuple[int, int], Any] = {}
    start = threading.Barrier(3)

    def work(which: int) -> None:
        start.wait()
        for turn in range(4):
            found[which, turn] = held.encoder.encode(texts[which])

    threads = [threading.Thread(target=work, args=(which,)) for which in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    for (which, _), vectors in found.items():
        held.alike(alone[which], vectors)


class Counting:
    """A progress that counts, and may be interrupted."""

    def __init__(self, interrupt_after: int | None = None) -> None:
        self.phases: list[tuple[str, int | None, str]] = []
        self.done = 0
        self.open = 0
        self.interrupt_after = interrupt_after

    @contextmanager
    def phase(self, name: str, *, total: int | None, unit: str) -> Iterator[Any]:
        self.phases.append((name, total, unit))
        self.open += 1
        try:
            yield self
        finally:
            self.open -= 1

    def advance(self, n: int = 1) -> None:
        self.done += n
        if self.interrupt_after is not None and self.done >= self.interrupt_after:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        pass


@pytest.mark.parametrize("on_long", ["cut", "mean"])
def test_progress_counts_each_item_once(held: Held, on_long: str) -> None:
    texts = [*held.texts(60), held.words(5 * held.room("document"))]
    progress = Counting()
    held.encoder.encode(texts, on_long=on_long, progress=progress)
    assert [total for _, total, _ in progress.phases] == [61]
    assert progress.done == 61
    assert progress.open == 0


def test_ctrl_c_leaves_the_encoder_usable(held: Held) -> None:
    texts = held.texts(200)
    expected = held.encoder.encode(texts)
    for after in (1, 50):
        progress = Counting(interrupt_after=after)
        with pytest.raises(KeyboardInterrupt):
            held.encoder.encode(texts, progress=progress)
        assert progress.open == 0
        held.alike(expected, held.encoder.encode(texts))


def test_after_close_it_starts_again(held: Held) -> None:
    texts = held.texts(80)
    before = held.encoder.encode(texts)
    held.encoder.close()
    held.encoder.close()
    held.alike(before, held.encoder.encode(texts))


# --- what it says about itself


def test_it_says_what_it_is(held: Held) -> None:
    encoder = held.encoder
    assert encoder.name
    assert encoder.dim > 0
    assert encoder.max_tokens > 0
    assert "text" in encoder.modalities
    assert len(encoder.fingerprint) == 64
    assert int(encoder.fingerprint, 16) > 0
    described = encoder.describe()
    assert all(isinstance(key, str) and isinstance(value, str) for key, value in described.items())
    assert held.case.precision in described.values()
    assert str(encoder.dim) in described["dim"]
    assert encoder.fingerprint in described.values()
    assert encoder.name in repr(encoder)


def test_opened_again_it_has_the_same_fingerprint(held: Held, tmp_path: Path) -> None:
    again = held.case.open(tmp_path)
    assert again.fingerprint == held.encoder.fingerprint
    again.close()
