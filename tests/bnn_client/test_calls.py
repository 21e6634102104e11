"""bnn_client.calls: what is sent, where to, and what is refused before."""

from typing import Any

import httpx
import pytest

from bnn_client.answers import Classification
from bnn_client.calls import make_target, send_batch, send_explain, send_one
from tests.bnn_client.answers import GOOD

TARGET = make_target("http://localhost:1/models/", "secret", 30, None)


def build(keywords: dict[str, Any]) -> httpx.Request:
    with httpx.Client() as http:
        return http.build_request(**keywords)


def test_one_image_is_sent_bare_with_key_and_deadline() -> None:
    request = build(send_one(TARGET, b"image", 3, 500, None).keywords)
    assert str(request.url) == "http://localhost:1/models/classify?top_k=3"
    assert request.content == b"image"
    assert request.headers["authorization"] == "Bearer secret"
    assert request.headers["x-deadline-ms"] == "500"
    assert "secret" not in repr(TARGET)
    plain = build(
        send_one(make_target("http://localhost", None, 30, None), b"i", None, None, None).keywords
    )
    assert str(plain.url) == "http://localhost/classify"
    assert {"authorization", "x-deadline-ms"}.isdisjoint(plain.headers)


def test_several_are_sent_as_a_form() -> None:
    request = build(send_batch(TARGET, [b"one", b"two"], None, None, None).keywords)
    assert request.url.path == "/models/classify/batch"
    body = request.read()
    assert body.count(b'name="image"') == 2
    assert body.index(b"one") < body.index(b"two")


def test_a_deadline_of_the_client_and_of_the_call() -> None:
    target = make_target("http://localhost", None, 2, 700)
    assert (
        build(send_one(target, b"i", None, None, None).keywords).headers["x-deadline-ms"] == "700"
    )
    long = send_one(target, b"i", None, 60_000, None).keywords
    assert long["headers"]["X-Deadline-Ms"] == "60000"
    assert (long["timeout"].read, long["timeout"].connect) == (65, 5)


@pytest.mark.parametrize(
    "url", ["localhost:8000", "", "ftp://a", "http://", "http://a/?b=c", "http://a:b"]
)
def test_what_is_no_url_of_a_service(url: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        make_target(url, None, 30, None)


@pytest.mark.parametrize("key", ["", "a b", "a\nb", "ключ"])
def test_what_is_no_key_is_not_quoted(key: str) -> None:
    with pytest.raises(ValueError, match=r"^api_key: expected a key without spaces and in ASCII;"):
        make_target("http://localhost", key, 30, None)


def test_a_model_and_a_class_are_named_whatever_letters_they_have() -> None:
    one = build(send_one(TARGET, b"i", 2, None, "a b&c=d").keywords)
    assert dict(one.url.params) == {"top_k": "2", "model": "a b&c=d"}
    several = build(send_batch(TARGET, [b"i"], None, None, "größe").keywords)
    assert dict(several.url.params) == {"model": "größe"}
    explained = build(send_explain(TARGET, b"i", 0, 700, "m").keywords)
    assert dict(explained.url.params) == {"explain": "cam", "class": "0", "model": "m"}
    assert explained.headers["x-deadline-ms"] == "700"
    assert explained.headers["accept"].startswith("image/png, ")
    assert explained.content == b"i"
    best = build(send_explain(TARGET, b"i", None, None, None).keywords)
    assert dict(best.url.params) == {"explain": "cam"}


def test_a_call_reads_its_own_answer() -> None:
    status, headers, body = GOOD
    answer = send_one(TARGET, b"i", None, None, None).read(
        httpx.Response(status, headers=headers, json=body)
    )
    assert isinstance(answer, Classification)
