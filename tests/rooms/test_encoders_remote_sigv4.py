"""Amazon's signatures, against the signatures that Amazon's own test suite publishes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sememe.encoders.remote.sigv4 import Credentials, sign

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
AT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp()
SITE = "https://example.amazonaws.com"
LETTERS = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#: name in the suite → method, path and query, headers, body, signature
SUITE = {
    "get-vanilla": ("GET", "/", {}, b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    "post-vanilla": ("POST", "/", {}, b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    "get-vanilla-query-order-key-case": (
        "GET",
        "/?Param2=value2&Param1=value1",
        {},
        b"",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    "get-vanilla-utf8-query": (
        "GET",
        "/?%E1%88%B4=bar",
        {},
        b"",
        "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
    ),
    "get-unreserved": (
        "GET",
        f"/{LETTERS}",
        {},
        b"",
        "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
    ),
    "post-x-www-form-urlencoded": (
        "POST",
        "/",
        {"Content-Type": "application/x-www-form-urlencoded"},
        b"Param1=value1",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
}


@pytest.mark.parametrize("name", SUITE)
def test_the_published_signatures(name: str) -> None:
    method, path, headers, body, signature = SUITE[name]
    keys = Credentials("AKIDEXAMPLE", SECRET)
    made = sign(method, SITE + path, headers, body, credentials=keys, scope=("us-east-1", "service"), seconds=AT)
    assert made["X-Amz-Date"] == "20150830T123600Z"
    assert made["Authorization"].endswith(f"Signature={signature}")
    assert "Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request" in made["Authorization"]


def test_a_colon_in_the_path_as_botocore_signs_it() -> None:
    # Made once with botocore's SigV4Auth for the same request; the path is encoded a second time.
    url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/amazon.titan-embed-text-v2%3A0/invoke"
    keys = Credentials("AKIDEXAMPLE", SECRET, "a-token")
    headers = {"Content-Type": "application/json"}
    made = sign("POST", url, headers, b"{}", credentials=keys, scope=("us-east-1", "bedrock"), seconds=AT)
    assert made["Authorization"].endswith(
        "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, "
        "Signature=82cc933bb7c5c51205539589307b7be215481e5ad3f9d3c3ba81b6cdb2948983"
    )
    assert made["X-Amz-Security-Token"] == "a-token"


def test_the_secret_is_not_shown() -> None:
    keys = Credentials("AKIDEXAMPLE", SECRET, "a-token")
    assert SECRET not in repr(keys)
    assert "a-token" not in repr(keys)
