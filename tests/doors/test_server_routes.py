"""Every route over a socket: what it gives, in the form that its clients read, and what it refuses, in the form of its
family."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sememe.server.openapi import document
from tests.doors.served import CUTTABLE, Served, serving, write_models

TEXTS = ["the boat at bank", "cat", "water of the river house", "the moon", ""]
LONG = "the boat " * 20


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    write_models(folder / "models")
    with serving(folder / "models", folder / "home") as running:
        yield running


def tiny(served: Served, texts: list[str], role: str = "document") -> Any:
    return served.desk.encoders[0].encoder.encode(texts, role=role, on_long="cut")


def rows(answer: Any) -> Any:
    assert answer.status == 200, answer.body
    return np.array([one["embedding"] for one in answer.json["data"]], np.float32)


def embed(served: Served, value: Any, **how: Any) -> Any:
    return served.ask("/v1/embeddings", {"input": value, "model": "tiny", **how})


# --- OpenAI ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings"])
def test_vectors_are_those_of_the_library(served: Served, path: str) -> None:
    answer = served.ask(path, {"input": TEXTS[:4], "model": "tiny", "user": "somebody"})
    np.testing.assert_allclose(rows(answer), tiny(served, TEXTS[:4]), atol=1e-5)
    said = answer.json
    assert said["object"] == "list"
    assert said["model"] == "tiny"
    assert [one["index"] for one in said["data"]] == [0, 1, 2, 3]
    counts = served.desk.encoders[0].whole.tokenizer.count(TEXTS[:4]).sum()
    assert said["usage"] == {"prompt_tokens": counts, "total_tokens": counts}
    assert "x-sememe-truncated" not in answer.headers


def test_alone_or_in_company_a_text_has_the_same_vector(served: Served) -> None:
    together = rows(embed(served, [*TEXTS[:4], "stone bread dog house money water " * 2] * 7))
    for at, text in enumerate(TEXTS[:4]):
        np.testing.assert_allclose(rows(embed(served, text))[0], together[at], atol=1e-5)
        np.testing.assert_allclose(together[at + 5], together[at], atol=1e-5)


def test_base64_is_little_endian_float32(served: Served) -> None:
    answer = embed(served, TEXTS[:2], encoding_format="base64")
    found = [np.frombuffer(base64.b64decode(one["embedding"]), "<f4") for one in answer.json["data"]]
    np.testing.assert_array_equal(found, rows(embed(served, TEXTS[:2])))


def test_dimensions_are_cut_and_of_length_one_where_the_model_was_trained_for_it(served: Served) -> None:
    whole = rows(embed(served, TEXTS[:3], model=CUTTABLE))
    cut = rows(embed(served, TEXTS[:3], model=CUTTABLE, dimensions=64))
    centred = whole - whole.mean(axis=1, keepdims=True)  # as the authors of this model cut it
    expected = centred[:, :64] / np.linalg.norm(centred[:, :64], axis=1, keepdims=True)
    np.testing.assert_allclose(cut, expected, atol=1e-5)
    assert rows(embed(served, "a", dimensions=32)).shape == (1, 32)
    for model, dims in (("tiny", 16), (CUTTABLE, 65), (CUTTABLE, 512)):
        answer = embed(served, "a", model=model, dimensions=dims)
        assert answer.status == 400
        assert answer.json["error"]["code"] == "dimensions_not_supported"
        assert answer.json["error"]["param"] == "dimensions"


def test_a_role_puts_its_prompt_before_the_text(served: Served) -> None:
    for how in ({"input_type": "query"}, {"prompt_name": "query"}):
        np.testing.assert_allclose(rows(embed(served, "cat", **how)), tiny(served, ["cat"], "query"), atol=1e-5)
    assert not np.allclose(tiny(served, ["cat"], "query"), tiny(served, ["cat"]))


def test_what_is_too_long_is_refused_with_numbers_or_cut_and_said(served: Served) -> None:
    answer = embed(served, ["cat", LONG])
    assert answer.status == 400
    assert answer.json["error"]["code"] == "context_length_exceeded"
    assert re.search(r"input 1 has 42 tokens, the most is 24", answer.json["error"]["message"])
    answer = embed(served, ["cat", LONG], truncate=True)
    np.testing.assert_allclose(rows(answer), tiny(served, ["cat", LONG]), atol=1e-5)
    assert answer.json["usage"]["prompt_tokens"] == 3 + 24
    assert answer.headers["x-sememe-truncated"] == "1"


def test_token_ids_are_those_of_the_served_encoder(served: Served) -> None:
    tokenizer = served.desk.encoders[0].whole.tokenizer
    for specials in (True, False):
        ids = tokenizer.ids(["the boat", "riverside"], specials=specials)
        np.testing.assert_allclose(rows(embed(served, ids)), tiny(served, ["the boat", "riverside"]), atol=1e-5)
        np.testing.assert_allclose(rows(embed(served, ids[0])), tiny(served, ["the boat"]), atol=1e-5)


def test_ids_of_another_tokenizer_are_known_by_their_numbers_or_by_their_text(served: Served) -> None:
    tokenizer = served.desk.encoders[0].whole.tokenizer
    for ids in ([15339, 1917], [-1], [tokenizer.id("##a"), tokenizer.id("the")], [2**70]):
        answer = embed(served, ids)
        assert answer.status == 400, ids
        assert "another tokenizer" in answer.json["error"]["message"] or ids == [2**70]
    assert embed(served, [tokenizer.vocab_size]).json["error"]["code"] == "foreign_token_ids"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "tiny"}, "input"),
        ({"model": "tiny", "input": ""}, "input"),
        ({"model": "tiny", "input": []}, "input"),
        ({"model": "tiny", "input": ["a", ""]}, "input"),
        ({"model": "tiny", "input": ["a", 1]}, "input"),
        ({"model": "tiny", "input": [[1], "a"]}, "input"),
        ({"model": "tiny", "input": [[]]}, "input"),
        ({"model": "tiny", "input": [True]}, "input"),
        ({"model": "tiny", "input": {"a": 1}}, "input"),
        ({"input": "a"}, "model"),
        ({"input": "a", "model": 3}, "model"),
        ({"input": "a", "model": "tiny", "encoding_format": "int8"}, "encoding_format"),
        ({"input": "a", "model": "tiny", "dimensions": 0}, "dimensions"),
        ({"input": "a", "model": "tiny", "dimensions": True}, "dimensions"),
        ({"input": "a", "model": "tiny", "truncate": "yes"}, "truncate"),
        ({"input": "a", "model": "tiny", "input_type": "passage"}, "input_type"),
        ({"input": "a", "model": "tiny", "normalize": False}, "normalize"),
    ],
)
def test_a_wrong_field_is_named(served: Served, body: Any, param: str) -> None:
    answer = served.ask("/v1/embeddings", body)
    assert answer.status == 400
    assert set(answer.json) == {"error"}
    error = answer.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert param in error["message"]


def test_models(served: Served) -> None:
    said = served.ask("/v1/models").json
    assert [one["id"] for one in said["data"]] == ["tiny", CUTTABLE, "judge"]
    assert served.ask(f"/v1/models/{CUTTABLE}").json == said["data"][1]
    # by the name of its repository, with the slash
    assert served.ask("/v1/models/nomic-ai/nomic-embed-text-v1.5").json["id"] == CUTTABLE
    answer = embed(served, "a", model="text-embedding-3-small")
    assert answer.status == 404
    assert answer.json["error"]["code"] == "model_not_found"
    assert f"tiny, {CUTTABLE}" in answer.json["error"]["message"]
    assert rows(embed(served, "a", model="default")).shape == (1, 32)


# --- Cohere ----------------------------------------------------------------------------------------------------------


def cohere(served: Served, **how: Any) -> Any:
    return served.ask("/v2/embed", {"model": "tiny", "input_type": "search_document", "texts": TEXTS[:3], **how})


def test_cohere_gives_each_form_that_was_asked_for(served: Served) -> None:
    forms = ["float", "int8", "uint8", "binary", "ubinary", "base64"]
    said = cohere(served, embedding_types=forms).json
    vectors = tiny(served, TEXTS[:3])
    assert said["response_type"] == "embeddings_by_type"
    assert said["texts"] == TEXTS[:3]
    found = said["embeddings"]
    np.testing.assert_allclose(found["float"], vectors, atol=1e-5)
    np.testing.assert_allclose(np.array(found["int8"]) / 127, vectors, atol=0.5 / 127 + 1e-5)
    np.testing.assert_array_equal(np.array(found["uint8"]) - 128, found["int8"])
    np.testing.assert_array_equal(np.unpackbits(np.array(found["ubinary"], np.uint8), axis=1), vectors > 0)
    np.testing.assert_array_equal(np.array(found["binary"]) + 128, found["ubinary"])
    np.testing.assert_allclose(
        [np.frombuffer(base64.b64decode(one), "<f4") for one in found["base64"]], found["float"], rtol=1e-6
    )
    assert list(cohere(served).json["embeddings"]) == ["float"]


def test_cohere_cuts_at_either_end(served: Served) -> None:
    text = "the boat " * 20 + "cat"
    first, last = "the boat " * 11, "the boat " * 10 + "boat cat"  # 22 tokens between the two special ones
    for truncate, kept in (("END", first), ("START", last.removeprefix("the "))):
        found = cohere(served, texts=[text], truncate=truncate).json["embeddings"]["float"]
        expected = tiny(served, [kept if truncate == "END" else "boat " + "the boat " * 10 + "cat"])
        np.testing.assert_allclose(found, expected, atol=1e-5)
    answer = cohere(served, texts=[text], truncate="NONE")
    assert answer.status == 400
    assert "43 tokens" in answer.json["message"]
    found = cohere(served, texts=["the boat cat"], max_tokens=4).json["embeddings"]["float"]
    np.testing.assert_allclose(found, tiny(served, ["the boat"]), atol=1e-5)


def test_cohere_takes_inputs_of_parts_and_roles(served: Served) -> None:
    parts = [{"content": [{"type": "text", "text": "the"}, {"type": "text", "text": "boat"}]}]
    found = cohere(served, texts=None, inputs=parts, input_type="search_query").json["embeddings"]["float"]
    np.testing.assert_allclose(found, tiny(served, ["the boat"], "query"), atol=1e-5)


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({"texts": []}, 400),
        ({"texts": ["a"] * 97}, 413),
        ({"input_type": None}, 400),
        ({"input_type": "image"}, 422),
        ({"images": ["data:"]}, 422),
        ({"texts": None, "inputs": [{"content": [{"type": "image_url"}]}]}, 422),
        ({"texts": None, "inputs": [{}]}, 400),
        ({"embedding_types": ["float64"]}, 400),
        ({"truncate": "MIDDLE"}, 400),
        ({"output_dimension": 7}, 400),
        ({"max_tokens": 1}, 400),
        ({"model": "embed-v4.0"}, 404),
    ],
)
def test_cohere_refuses_in_its_own_form(served: Served, how: Any, status: int) -> None:
    answer = cohere(served, **how) if how != {"max_tokens": 1} else cohere(served, texts=["the boat"], **how)
    assert answer.status == status
    assert set(answer.json) == {"id", "message"}


# --- rerankers -------------------------------------------------------------------------------------------------------


def judged(served: Served, query: str, texts: list[str]) -> list[float]:
    return served.desk.rerankers[0].reranker.score(query, texts, on_long="cut").tolist()


def test_rerank_in_four_forms(served: Served) -> None:
    texts = ["boat", "the cat", "water of stone"]
    scores = judged(served, "river", texts)
    order = sorted(range(3), key=lambda at: -scores[at])
    jina = {"query": "river", "documents": ["boat", {"text": "the cat"}, "water of stone"]}
    for path in ("/v1/rerank", "/rerank"):
        said = served.ask(path, jina).json
        assert [one["index"] for one in said["results"]] == order
        np.testing.assert_allclose([one["relevance_score"] for one in said["results"]], sorted(scores)[::-1], atol=1e-6)
        assert said["results"][0]["document"] == {"text": texts[order[0]]}
        assert said["usage"]["total_tokens"] > 9
        short = served.ask(path, {**jina, "top_n": 1, "return_documents": False, "model": "judge"}).json["results"]
        assert short == [{"index": order[0], "relevance_score": said["results"][0]["relevance_score"]}]
    said = served.ask("/v2/rerank", {"model": "judge", "query": "river", "documents": texts, "top_n": 2}).json
    assert [set(one) for one in said["results"]] == [{"index", "relevance_score"}] * 2
    said = served.ask("/rerank", {"query": "river", "texts": texts, "return_text": True}).json
    assert [(one["index"], one["text"]) for one in said] == [(at, texts[at]) for at in order]
    raw = served.ask("/rerank", {"query": "river", "texts": texts, "raw_scores": True}).json
    np.testing.assert_allclose([1 / (1 + np.exp(-one["score"])) for one in raw], sorted(scores)[::-1], atol=1e-6)


def test_rerank_refuses_in_the_form_of_who_asks(served: Served) -> None:
    assert set(served.ask("/rerank", {"query": "a", "documents": [3]}).json["error"]) >= {"message", "type"}
    answer = served.ask("/rerank", {"query": "a", "texts": []})
    assert (answer.status, answer.json["error_type"]) == (400, "Empty")
    answer = served.ask("/rerank", {"query": "a", "texts": [LONG]})
    assert (answer.status, answer.json["error_type"]) == (400, "Validation")
    assert served.ask("/rerank", {"query": "a", "texts": [LONG], "truncate": True}).status == 200
    assert served.ask("/v1/rerank", {"query": LONG, "documents": ["a"]}).status == 400
    assert served.ask("/v1/rerank", {"query": "a", "documents": ["a"], "model": "tiny"}).status == 404
    assert set(served.ask("/v2/rerank", {"query": "a", "documents": ["a"]}).json) == {"id", "message"}


# --- Ollama ----------------------------------------------------------------------------------------------------------


def test_ollama(served: Served) -> None:
    said = served.ask("/api/embed", {"model": "tiny:latest", "input": ["cat", LONG], "keep_alive": "5m"}).json
    np.testing.assert_allclose(said["embeddings"], tiny(served, ["cat", LONG]), atol=1e-5)
    assert said["model"] == "tiny:latest"
    assert said["prompt_eval_count"] == 27
    assert said["total_duration"] > 0
    assert served.ask("/api/embed", {"model": "tiny", "input": ""}).json["embeddings"] == []
    answer = served.ask("/api/embed", {"model": "tiny", "input": LONG, "truncate": False})
    assert (answer.status, list(answer.json)) == (400, ["error"])
    assert isinstance(answer.json["error"], str)
    said = served.ask("/api/embeddings", {"model": "tiny", "prompt": "cat"}).json
    np.testing.assert_allclose([said["embedding"]], tiny(served, ["cat"]), atol=1e-5)
    assert served.ask("/api/embed", {"model": "llama3", "input": "a"}).status == 404
    tags = served.ask("/api/tags").json["models"]
    assert [one["name"] for one in tags] == ["tiny", CUTTABLE]
    assert tags[0]["size"] > 10_000
    assert tags[0]["digest"] == served.desk.encoders[0].encoder.fingerprint
    assert served.ask("/api/version").json["version"]


# --- TEI -------------------------------------------------------------------------------------------------------------


def test_tei_embed(served: Served) -> None:
    np.testing.assert_allclose(served.ask("/embed", {"inputs": "cat"}).json, tiny(served, ["cat"]), atol=1e-5)
    np.testing.assert_allclose(served.ask("/embed", {"inputs": TEXTS}).json, tiny(served, TEXTS), atol=1e-5)
    answer = served.ask("/embed", {"inputs": [LONG, "cat"], "truncate": True, "truncation_direction": "Left"})
    np.testing.assert_allclose(answer.json, tiny(served, ["the boat " * 11, "cat"]), atol=1e-5)
    for body, status, kind in (
        ({"inputs": LONG}, 400, "Validation"),
        ({"inputs": []}, 400, "Empty"),
        ({}, 400, "Validation"),
        ({"inputs": "a", "normalize": False}, 400, "Validation"),
        ({"inputs": "a", "dimensions": 5}, 400, "Validation"),
    ):
        answer = served.ask("/embed", body)
        assert (answer.status, answer.json["error_type"]) == (status, kind)


def test_tei_token_vectors(served: Served) -> None:
    texts = ["the boat at bank", "cat"]
    found = served.ask("/embed_all", {"inputs": texts}).json
    assert [np.array(one).shape for one in found] == [(6, 32), (3, 32)]
    pooled = [np.mean(one, axis=0) for one in found]
    np.testing.assert_allclose([row / np.linalg.norm(row) for row in pooled], tiny(served, texts), atol=1e-5)
    assert served.ask("/embed_all", {"inputs": LONG}).status == 400
    assert len(served.ask("/embed_all", {"inputs": LONG, "truncate": True}).json[0]) == 24


def test_tei_has_no_sparse_vectors_of_a_dense_encoder(served: Served) -> None:
    answer = served.ask("/embed_sparse", {"inputs": "a"})
    assert (answer.status, answer.json["error_type"]) == (424, "Backend")


def test_tei_similarity(served: Served) -> None:
    body = {"inputs": {"source_sentence": "cat", "sentences": ["cat", "the moon"]}}
    vectors = tiny(served, ["cat", "the moon"])
    np.testing.assert_allclose(served.ask("/similarity", body).json, vectors @ vectors[0], atol=1e-5)
    assert "inputs.sentences" in served.ask("/similarity", {"inputs": {"source_sentence": "a"}}).json["error"]


def test_tei_predict(served: Served) -> None:
    (score,) = judged(served, "river", ["boat"])
    single = served.ask("/predict", {"inputs": ["river", "boat"]}).json
    assert single == [{"score": pytest.approx(score, abs=1e-6), "label": "LABEL_0"}]
    assert served.ask("/predict", {"inputs": [["river", "boat"], ["a", "b"]]}).json[0] == single
    for inputs in ("river", [], [["a"]], [["a", 1]], None):
        assert served.ask("/predict", {"inputs": inputs}).status == 400


def test_tei_tokens_and_back(served: Served) -> None:
    text = "The boatx"
    (tokens,) = served.ask("/tokenize", {"inputs": text}).json
    assert [(one["text"], one["special"]) for one in tokens] == [
        ("[CLS]", True), ("the", False), ("boat", False), ("##x", False), ("[SEP]", True)]  # fmt: skip
    assert [text[one["start"] : one["stop"]] for one in tokens if not one["special"]] == ["The", "boat", "x"]
    ids = [one["id"] for one in tokens]
    assert served.ask("/decode", {"ids": ids}).json == ["the boatx"]
    assert served.ask("/decode", {"ids": [ids, ids[1:2]], "skip_special_tokens": False}).json[1] == "the"
    bare = served.ask("/tokenize", {"inputs": [text], "add_special_tokens": False}).json[0]
    assert [one["id"] for one in bare] == ids[1:-1]
    assert served.ask("/decode", {"ids": [10**6]}).status == 400


def test_tei_info(served: Served) -> None:
    said = served.ask("/info").json
    assert said["max_input_length"] == 24
    assert said["model_type"] == {"embedding": {"pooling": "mean"}}


# --- the rest --------------------------------------------------------------------------------------------------------


def test_each_family_keeps_the_form_of_its_errors(served: Served) -> None:
    for path in ("/v1/nothing", "/v2/nothing", "/api/nothing", "/nothing"):
        answer = served.ask(path)
        assert answer.status == 404
        form = {"/v1": {"error"}, "/v2": {"id", "message"}, "/ap": {"error"}}.get(path[:3], {"error", "error_type"})
        assert set(answer.json) == form
    for path in ("/v1/embeddings", "/v2/embed", "/api/embed", "/embed"):
        assert served.ask(path).status == 405
        assert served.ask(path, b"{").status == 400
        assert served.ask(path, b"[]").status == 400


def test_metrics_count(served: Served) -> None:
    def counted(name: str) -> float:
        text = served.ask("/metrics").body.decode()
        return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)[1])  # type: ignore[index]

    embed(served, "cat")
    served.ask("/made-up-1")
    names = ('sememe_requests_total{route="/v1/embeddings",status="200"}', 'sememe_embedded_tokens_total{model="tiny"}',
             'sememe_requests_total{route="other",status="404"}',
             'sememe_request_seconds_bucket{route="/v1/embeddings",le="+Inf"}')  # fmt: skip
    before = [counted(name) for name in names]
    embed(served, ["cat", "the moon"])
    served.ask("/made-up-2")
    assert [counted(name) - was for name, was in zip(names, before, strict=True)] == [1, 7, 1, 1]
    assert counted('sememe_queue_requests{model="tiny"}') == 0


def test_the_openapi_document_has_every_route(served: Served) -> None:
    said = served.ask("/openapi.json").json
    assert said == document()
    for path, operations in said["paths"].items():
        real = path.replace("{id}", "x").replace("{c}", "none")
        for method in operations:
            answer = served.ask(real, {} if method == "post" else None, method=method.upper())
            assert answer.status not in (405, 500), path
            assert "there is nothing at" not in answer.body.decode()
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', served.ask("/openapi.json").body.decode()))
    assert references == set(said["components"]["schemas"])
