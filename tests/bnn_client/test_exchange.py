"""bnn_client.exchange: what each answer means, and none."""

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
    NotExplainable,
    Overloaded,
    ServiceError,
)
from bnn_client.exchange import (
    describe_fault,
    may_become_ready,
    read_answer,
    read_map,
    read_retry_after,
    translate_faults,
)
from tests.bnn_client.answers import GOOD, MAP, PROBLEM, refuse


def respond(status: int, headers: dict[str, str], body: Any) -> httpx.Response:
    if isinstance(body, bytes):
        return httpx.Response(status, headers=headers, content=body)
    return httpx.Response(status, headers=headers, json=body)


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


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"Content-Type": "application/json"}, "expected image/png"),
        ({**MAP[1], "X-Class-Index": "six"}, "expected a number in the header x-class-index"),
        ({**MAP[1], "X-Class-Index": "6.5"}, "expected a whole number"),
        ({**MAP[1], "X-Class-Score": '"much"'}, "expected a number"),
        ({**MAP[1], "X-Class-Score": "[" * 100_000}, "x-class-score"),
        *(
            ({k: v for k, v in MAP[1].items() if k != name}, f"header {name.lower()}; found none")
            for name in ("X-Class-Label", "X-Time-Explain-Ms", "X-Request-Id")
        ),
    ],
)
def test_a_map_of_another_server(headers: dict[str, str], reason: str) -> None:
    with pytest.raises(InvalidAnswer, match=reason):
        read_map(respond(200, headers, b"png"))


def test_a_map_that_is_refused() -> None:
    with pytest.raises(NotExplainable):
        read_map(respond(*refuse(422, "not_explainable")))


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
