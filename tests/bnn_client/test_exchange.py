"""bnn_client.exchange: what is sent, and what each answer means."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from bnn_client.answers import Classification
from bnn_client.errors import (
    AnswerMissing,
    ClientError,
    ConnectionFailed,
    InvalidAnswer,
    Overloaded,
    ServiceError,
)
from bnn_client.exchange import (
    describe_fault,
    make_target,
    may_become_ready,
    read_answer,
    read_retry_after,
    send_batch,
    send_one,
    translate_faults,
)
from tests.bnn_client.answers import GOOD, PROBLEM, refuse

TARGET = make_target("http://localhost:1/models/", "secret", 30, None)


def respond(status: int, headers: dict[str, str], body: Any) -> httpx.Response:
    if isinstance(body, bytes):
        return httpx.Response(status, headers=headers, content=body)
    return httpx.Response(status, headers=headers, json=body)


def build(keywords: dict[str, Any]) -> httpx.Request:
    with httpx.Client() as http:
        return http.build_request(**keywords)


def test_one_image_is_sent_bare_with_key_and_deadline() -> None:
    request = build(send_one(TARGET, b"image", 3, 500).keywords)
    assert str(request.url) == "http://localhost:1/models/classify?top_k=3"
    assert request.content == b"image"
    assert request.headers["authorization"] == "Bearer secret"
    assert request.headers["x-deadline-ms"] == "500"
    assert "secret" not in repr(TARGET)
    plain = build(
        send_one(make_target("http://localhost", None, 30, None), b"i", None, None).keywords
    )
    assert str(plain.url) == "http://localhost/classify"
    assert {"authorization", "x-deadline-ms"}.isdisjoint(plain.headers)


def test_several_are_sent_as_a_form() -> None:
    request = build(send_batch(TARGET, [b"one", b"two"], None, None).keywords)
    assert request.url.path == "/models/classify/batch"
    body = request.read()
    assert body.count(b'name="image"') == 2
    assert body.index(b"one") < body.index(b"two")


def test_a_deadline_of_the_client_and_of_the_call() -> None:
    target = make_target("http://localhost", None, 2, 700)
    assert build(send_one(target, b"i", None, None).keywords).headers["x-deadline-ms"] == "700"
    long = send_one(target, b"i", None, 60_000).keywords
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


def test_a_problem_is_its_error() -> None:
    fault = describe_fault(respond(*refuse(429, "overloaded", "7")))
    assert isinstance(fault, Overloaded)
    assert (fault.status, fault.code, fault.request_id, fault.retry_after) == (
        *(429, "overloaded", "abc", 7.0),
    )
    assert fault.detail == "expected this; found that."


def test_a_code_that_is_new_is_a_service_error() -> None:
    fault = describe_fault(respond(*refuse(409, "from_the_future")))
    assert type(fault) is ServiceError
    assert (fault.code, fault.may_pass) == ("from_the_future", False)


@pytest.mark.parametrize(
    "answer",
    [
        (502, {"Content-Type": "text/html"}, b"<h1>Bad Gateway</h1>"),
        (503, {"Content-Type": PROBLEM}, b"no JSON"),
        (500, {"Content-Type": PROBLEM}, {"code": 3}),
        (422, {"Content-Type": PROBLEM}, b"[" * 100_000),
        (302, {"Location": "http://elsewhere"}, b""),
    ],
)
def test_what_others_answer_is_no_problem_of_the_service(answer: Any) -> None:
    fault = describe_fault(respond(*answer))
    assert isinstance(fault, InvalidAnswer)
    assert fault.status == answer[0]
    assert "Gateway" not in str(fault)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b'{"a": 1}', b"[" * 100_000, b"\xff"]
)
def test_a_success_of_another_server(body: bytes) -> None:
    with pytest.raises(InvalidAnswer, match="not one of this service"):
        read_answer(Classification, respond(200, {}, body))


def test_a_good_answer() -> None:
    assert read_answer(Classification, respond(*GOOD)).request_id == "mine"


def test_retry_after_is_seconds_or_a_date() -> None:
    assert read_retry_after("3") == 3.0
    assert read_retry_after(None) is None
    soon = read_retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=50), usegmt=True))
    assert soon is not None
    assert 0 < soon <= 50
    assert read_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert read_retry_after("Wed, 21 Oct 2015 07:28:00 -0000") == 0
    for nonsense in ("", "soon", "-1", "1.5", "9" * 30, "²"):
        assert read_retry_after(nonsense) is None


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (httpx.ConnectError("refused"), ConnectionFailed),
        (httpx.ConnectTimeout(""), ConnectionFailed),
        (httpx.PoolTimeout(""), ConnectionFailed),
        (httpx.ReadTimeout(""), AnswerMissing),
        (httpx.WriteTimeout(""), AnswerMissing),
        (httpx.WriteError("reset"), AnswerMissing),
        (httpx.RemoteProtocolError("closed"), AnswerMissing),
    ],
)
def test_only_what_was_never_sent_is_a_failed_connection(
    raised: Exception, expected: type[ClientError]
) -> None:
    with pytest.raises(expected) as caught, translate_faults():
        raise raised
    assert type(caught.value) is expected
    assert caught.value.__cause__ is raised


def test_what_may_become_ready() -> None:
    assert may_become_ready(ConnectionFailed("none"))
    assert may_become_ready(describe_fault(respond(*refuse(503, "not_ready", "2"))))
    assert may_become_ready(describe_fault(respond(502, {}, b"")))
    assert not may_become_ready(describe_fault(respond(*refuse(503, "no_engine"))))
    assert not may_become_ready(describe_fault(respond(404, {}, b"")))
