"""What each provider is sent and what is read of its answers: pure functions. And how names are read."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sememe.encoders.load import load_encoder
from sememe.encoders.remote.answers import by_index, row, together
from sememe.encoders.remote.naming import PROVIDERS, RemoteName, is_remote, read_name
from sememe.encoders.remote.open import provider_of
from sememe.errors import UsageError

TEXTS = ["a river", "ein Ufer"]
MODELS = {
    "azure": "my-deployment",
    "bedrock": "cohere.embed-v4:0",
    "gemini": "gemini-embedding-001",
    "jina": "jina-embeddings-v3",
}


def made(provider: str, role: str = "query", dims: int = 0, model: str | None = None) -> dict[str, Any]:
    name = model or MODELS.get(provider, "m")
    return provider_of(RemoteName(provider, name)).payload(name, TEXTS, role=role, dims=dims)


BODIES = {
    "openai": {"model": "m", "input": TEXTS, "encoding_format": "base64", "dimensions": 8},
    "azure": {"input": TEXTS, "encoding_format": "base64", "dimensions": 8},
    "bedrock": {
        "texts": TEXTS,
        "input_type": "search_query",
        "embedding_types": ["float"],
        "truncate": "NONE",
        "output_dimension": 8,
    },
    "cohere": {
        "model": "m",
        "texts": TEXTS,
        "input_type": "search_query",
        "embedding_types": ["float"],
        "truncate": "NONE",
        "output_dimension": 8,
    },
    "voyage": {
        "model": "m",
        "input": TEXTS,
        "input_type": "query",
        "truncation": False,
        "encoding_format": "base64",
        "output_dimension": 8,
    },
    "jina": {
        "model": "jina-embeddings-v3",
        "input": TEXTS,
        "embedding_type": "base64",
        "truncate": False,
        "task": "retrieval.query",
        "dimensions": 8,
    },
    "gemini": {
        "requests": [
            {
                "model": "models/gemini-embedding-001",
                "content": {"parts": [{"text": text}]},
                "taskType": "RETRIEVAL_QUERY",
                "outputDimensionality": 8,
            }
            for text in TEXTS
        ]
    },
    "mistral": {"model": "m", "input": TEXTS, "output_dimension": 8},
    "ollama": {"model": "m", "input": TEXTS, "truncate": False, "dimensions": 8},
    "tei": {"inputs": TEXTS, "normalize": True, "truncate": False, "dimensions": 8},
}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_body_is_the_documented_one(provider: str) -> None:
    assert made(provider, dims=8) == BODIES[provider]
    json.dumps(made(provider), allow_nan=False)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_width_is_sent_only_where_it_is_asked_for(provider: str) -> None:
    assert "8" not in json.dumps(made(provider))


def test_models_that_know_no_roles_are_sent_none() -> None:
    assert "task" not in made("jina", model="jina-embeddings-v2-base-en")
    assert "taskType" not in made("gemini", model="gemini-embedding-2")["requests"][0]
    one = provider_of(RemoteName("bedrock", "amazon.titan-embed-text-v2:0"))
    assert one.payload("amazon.titan-embed-text-v2:0", ["a"], role="query", dims=0) == {
        "inputText": "a",
        "normalize": True,
    }
    assert one.payload("amazon.titan-embed-text-v1", ["a"], role="query", dims=0) == {"inputText": "a"}
    with pytest.raises(UsageError, match="no encoder of Bedrock"):
        one.payload("meta.llama3", ["a"], role="query", dims=0)


@pytest.mark.parametrize("provider", PROVIDERS)
@given(answer=st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["data", "embeddings", "embedding", "float", "values", "index", "x"]), inner, max_size=3
    ),
    max_leaves=12,
))  # fmt: skip
def test_any_answer_is_read_or_refused_in_one_way(provider: str, answer: Any) -> None:
    parse = provider_of(RemoteName(provider, "m")).parse
    try:
        vectors = parse(answer)
    except ValueError:
        return
    for vector in vectors:
        assert vector.dtype == np.float32
        assert np.isfinite(vector).all()


def test_places_are_followed_and_must_be_whole() -> None:
    entries = [{"index": 2, "embedding": [3]}, {"index": 0, "embedding": [1]}, {"index": 1, "embedding": [2]}]
    assert [float(one[0]) for one in by_index(entries)] == [1, 2, 3]
    for wrong in (3, -1, True, "1", None, 0):
        with pytest.raises(ValueError, match="place"):
            by_index([*entries[:2], {"index": wrong, "embedding": [2]}])


def test_both_ways_of_writing_a_vector() -> None:
    numbers = np.array([0.5, -2.25, 1e-20], np.float32)
    np.testing.assert_array_equal(row(numbers.tolist()), numbers)
    np.testing.assert_array_equal(row(base64.b64encode(numbers.tobytes()).decode()), numbers)


@pytest.mark.parametrize(
    "wrong",
    [
        [], "", None, 3, {}, [None], ["1"], [True], [[1]], [float("nan")], [float("inf")], [1e300], [10**400], "####",
        base64.b64encode(b"12345").decode(), base64.b64encode(np.array([np.nan], "<f4").tobytes()).decode(),
    ],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
def test_what_is_no_vector_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="vector"):
        row(wrong)


def test_counts_widths_and_lengths_are_checked() -> None:
    one, other = row([3, 4]), row([1, 0, 0])
    np.testing.assert_allclose(together([one, one], 2), [[0.6, 0.8]] * 2, atol=1e-7)
    for vectors, count, said in (
        ([one], 2, "1 vectors for 2"),
        ([one, other], 2, "2 and 3"),
        ([row([0, 0])], 1, "len"),
    ):
        with pytest.raises(ValueError, match=said):
            together(vectors, count)


# --- names


@pytest.mark.parametrize(
    ("name", "read"),
    {
        "openai:text-embedding-3-small": RemoteName("openai", "text-embedding-3-small"),
        "ollama:nomic-embed-text:v1.5@http://host:11434": RemoteName(
            "ollama", "nomic-embed-text:v1.5", "http://host:11434"
        ),
        "tei:BAAI/bge-m3@https://h/x/?tokens=8192": RemoteName("tei", "BAAI/bge-m3", "https://h/x", 8192),
        "bedrock:amazon.titan-embed-text-v2:0": RemoteName("bedrock", "amazon.titan-embed-text-v2:0"),
        "azure:a?tokens=99": RemoteName("azure", "a", "", 99),
    }.items(),
)
def test_names_are_read_and_written(name: str, read: RemoteName) -> None:
    assert is_remote(name)
    assert read_name(name) == read
    assert read_name(str(read)) == read


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "./openai:x", "C:\\models", "C:/models", "", "http://x", 3, None])
def test_other_names_are_not_ours(name: Any) -> None:
    assert not is_remote(name)


@pytest.mark.parametrize(
    "rest",
    [
        "", "@", "m@", "m@host", "m@ftp://h", "m@http://", "m@http://user:hunter2@h", "m@http://h?key=hunter2",
        "m@http://h#hunter2", "m?tokens=3", "m?tokens=x", "m?key=hunter2", "m m", "m@http://h:99999", "m\n",
        "m@http://h:0",
    ],
)  # fmt: skip
def test_what_is_no_name_is_refused_and_not_repeated(rest: str) -> None:
    with pytest.raises(UsageError, match="no name of an encoder of openai") as caught:
        load_encoder(f"openai:{rest}")
    assert "hunter2" not in str(caught.value)
