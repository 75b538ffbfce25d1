"""The real clients against a server of tiny models on loopback: their own calls, results, and exceptions.

`make clients` runs it, in an environment that has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sememe.server.gate import Rules
from sememe.server.serving import Limits
from tests.doors.served import CUTTABLE, Served, serving, write_models

pytest.importorskip("openai", reason="run by: make clients")

TEXTS = ["the boat at bank", "cat", "water of the river house"]
LONG = "the boat " * 20
TOKEN = "s3cret"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("clients")
    write_models(folder / "models")
    limits = Limits(items=50, body=200_000)
    with serving(folder / "models", folder / "home", rules=Rules(TOKEN), limits=limits) as running:
        yield running


def expected(served: Served, texts: list[str], role: str = "document", at: int = 0) -> Any:
    return served.desk.encoders[at].encoder.encode(texts, role=role, on_long="cut")


@pytest.fixture
def openai(served: Served) -> Iterator[Any]:
    import openai as module

    with module.OpenAI(base_url=f"{served.url}/v1", api_key=TOKEN, max_retries=0) as client:
        yield client


def test_openai_embeddings(openai: Any, served: Served) -> None:
    for how in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):  # left out, it asks for base64 itself
        made = openai.embeddings.create(model="tiny", input=TEXTS, **how)
        rows: Any = [one.embedding for one in made.data]
        if how.get("encoding_format") == "base64" and isinstance(rows[0], str):
            import base64

            rows = [np.frombuffer(base64.b64decode(one), "<f4") for one in rows]
        np.testing.assert_allclose(rows, expected(served, TEXTS), atol=1e-5)
        assert made.usage.prompt_tokens == served.desk.encoders[0].whole.tokenizer.count(TEXTS).sum()
    made = openai.embeddings.create(model=CUTTABLE, input=TEXTS, dimensions=64)
    np.testing.assert_allclose([np.linalg.norm(one.embedding) for one in made.data], 1, atol=1e-5)
    assert len(made.data[0].embedding) == 64
    made = openai.embeddings.create(model="tiny", input=LONG, extra_body={"truncate": True, "input_type": "query"})
    np.testing.assert_allclose([made.data[0].embedding], expected(served, [LONG], "query"), atol=1e-5)


def test_openai_token_ids_right_and_wrong(openai: Any, served: Served) -> None:
    import openai as module

    ids = served.desk.encoders[0].whole.tokenizer.ids(TEXTS, specials=False)
    made = openai.embeddings.create(model="tiny", input=ids)
    np.testing.assert_allclose([one.embedding for one in made.data], expected(served, TEXTS), atol=1e-5)
    with pytest.raises(module.BadRequestError, match="another tokenizer"):
        openai.embeddings.create(model="tiny", input=[[1820, 16554], [9246]])


def test_openai_errors_are_its_own(openai: Any, served: Served) -> None:
    import openai as module

    def refused(**how: Any) -> Any:
        with pytest.raises(module.APIStatusError) as caught:
            openai.embeddings.create(**{"model": "tiny", "input": "a", **how})
        return caught.value

    error = refused(model="text-embedding-3-small")
    assert isinstance(error, module.NotFoundError)
    assert (error.code, error.param, error.type) == ("model_not_found", "model", "not_found_error")
    error = refused(input=LONG)
    assert isinstance(error, module.BadRequestError)
    assert error.code == "context_length_exceeded"
    assert "42 tokens, the most is 24" in str(error)
    assert refused(dimensions=7).code == "dimensions_not_supported"
    assert refused(input=["a"] * 51).status_code == 413
    with pytest.raises(module.AuthenticationError):
        openai.with_options(api_key="wrong").embeddings.create(model="tiny", input="a")
    queue = served.desk.encoders[0].queue
    shape, queue.shape = queue.shape, type(queue.shape)(requests=0)
    try:
        assert isinstance(refused(), module.RateLimitError)
    finally:
        queue.shape = shape


def test_openai_models(openai: Any) -> None:
    assert [one.id for one in openai.models.list()] == ["tiny", CUTTABLE, "judge"]
    assert openai.models.retrieve("tiny").owned_by == "local"


def test_cohere(served: Served) -> None:
    import cohere

    client = cohere.ClientV2(api_key=TOKEN, base_url=served.url)
    made = client.embed(
        model="tiny", texts=TEXTS, input_type="search_query",
        embedding_types=["float", "int8", "uint8", "binary", "ubinary"],
    )  # fmt: skip
    vectors = expected(served, TEXTS, "query")
    np.testing.assert_allclose(made.embeddings.float_, vectors, atol=1e-5)
    np.testing.assert_allclose(np.array(made.embeddings.int8) / 127, vectors, atol=0.005)
    assert np.array(made.embeddings.uint8).min() >= 0
    np.testing.assert_array_equal(np.unpackbits(np.array(made.embeddings.ubinary, np.uint8), axis=1), vectors > 0)
    assert len(made.embeddings.binary[0]) == 4
    assert made.meta.billed_units.input_tokens
    made = client.embed(model=CUTTABLE, texts=["cat"], input_type="search_document", output_dimension=64,
                        embedding_types=["float"])  # fmt: skip
    assert len(made.embeddings.float_[0]) == 64
    found = client.rerank(model="judge", query="river", documents=TEXTS[:2], top_n=1).results
    scores = served.desk.rerankers[0].reranker.score("river", TEXTS[:2], on_long="cut")
    assert [(one.index, one.relevance_score) for one in found] == [(scores.argmax(), pytest.approx(scores.max(), 1e-4))]
    with pytest.raises(cohere.NotFoundError):
        client.embed(model="embed-v4.0", texts=["a"], input_type="classification", embedding_types=["float"])
    with pytest.raises(cohere.BadRequestError):
        client.embed(model="tiny", texts=[LONG], input_type="clustering", truncate="NONE", embedding_types=["float"])
    with pytest.raises(cohere.UnauthorizedError):
        cohere.ClientV2(api_key="wrong", base_url=served.url).rerank(model="judge", query="a", documents=["b"])
    old = cohere.Client(api_key=TOKEN, base_url=served.url).rerank(model="judge", query="river", documents=TEXTS[:2])
    assert len(old.results) == 2


def test_ollama(served: Served) -> None:
    import ollama

    client = ollama.Client(host=served.url, headers={"Authorization": f"Bearer {TOKEN}"})
    made = client.embed(model="tiny", input=[*TEXTS, LONG])
    np.testing.assert_allclose(made.embeddings, expected(served, [*TEXTS, LONG]), atol=1e-5)
    np.testing.assert_allclose(
        [client.embeddings(model="tiny", prompt="cat").embedding], expected(served, ["cat"]), atol=1e-5
    )
    assert [one.model for one in client.list().models] == ["tiny", CUTTABLE]
    with pytest.raises(ollama.ResponseError, match="not served") as caught:
        client.embed(model="llama3.2", input="a")
    assert caught.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="the most is 24"):
        client.embed(model="tiny", input=LONG, truncate=False)


def test_langchain(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    import langchain_openai as module
    import openai
    import tiktoken

    how: dict[str, Any] = {"base_url": f"{served.url}/v1", "api_key": TOKEN, "model": "tiny", "max_retries": 0}
    right = module.OpenAIEmbeddings(**how, check_embedding_ctx_length=False)
    np.testing.assert_allclose(right.embed_documents(TEXTS), expected(served, TEXTS), atol=1e-5)
    np.testing.assert_allclose([right.embed_query("cat")], expected(served, ["cat"]), atol=1e-5)

    class Other:
        """Stands for tiktoken, which would fetch its vocabulary: ids of another tokenizer."""

        def encode(self, text: str, **_: Any) -> list[int]:
            return [9000 + len(word) for word in text.split()]

        def encode_ordinary(self, text: str) -> list[int]:
            return self.encode(text)

    monkeypatch.setattr(tiktoken, "encoding_for_model", lambda *_: Other())
    monkeypatch.setattr(tiktoken, "get_encoding", lambda *_: Other())
    with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False"):
        module.OpenAIEmbeddings(**how).embed_documents(TEXTS)


def test_llama_index(served: Served) -> None:
    import llama_index.embeddings.openai as module

    encoder = module.OpenAIEmbedding(model_name="tiny", api_base=f"{served.url}/v1", api_key=TOKEN, max_retries=0)
    np.testing.assert_allclose(encoder.get_text_embedding_batch(TEXTS), expected(served, TEXTS), atol=1e-5)
    np.testing.assert_allclose([encoder.get_query_embedding("cat")], expected(served, ["cat"]), atol=1e-5)
