"""service.problems: one table, one form, and the mapping of the decoder's faults."""

import json
import re
from pathlib import Path

import pytest

import service
from runtime import ImageTooLarge, InvalidImage, UnsupportedImage
from service.problems import (
    PROBLEMS,
    Problem,
    answer_problem,
    describe_image_fault,
    describe_status,
)

README = (Path(service.__file__).parent / "README.md").read_text()


@pytest.mark.parametrize("code", PROBLEMS)
def test_every_code_has_one_form_and_is_documented(code: str) -> None:
    answer = answer_problem(Problem(code, "a detail"), "an-id")
    body = json.loads(bytes(answer.body))
    assert list(body) == ["type", "title", "status", "detail", "code", "request_id"]
    assert (body["code"], body["detail"], body["request_id"]) == (code, "a detail", "an-id")
    assert body["status"] == answer.status_code == PROBLEMS[code].status
    assert answer.headers["content-type"] == "application/problem+json"
    assert re.search(rf"\b{body['status']} .*`{code}`", README)


def test_headers() -> None:
    for code in ("not_ready", "out_of_memory"):
        assert answer_problem(Problem(code, ""), "").headers["retry-after"] == "2"
    assert answer_problem(Problem("body_timeout", ""), "").headers["connection"] == "close"
    assert answer_problem(Problem("unauthorized", ""), "").headers["www-authenticate"] == "Bearer"
    allowed = answer_problem(Problem("method_not_allowed", ""), "", {"Allow": "GET"})
    assert allowed.headers["allow"] == "GET"


def test_a_request_may_know_better_when_to_come_again() -> None:
    assert answer_problem(Problem("rate_limited", ""), "").headers["retry-after"] == "1"
    later = Problem("rate_limited", "", retry_after=17)
    assert answer_problem(later, "").headers["retry-after"] == "17"
    assert answer_problem(Problem("internal", "", retry_after=3), "").headers["retry-after"] == "3"
    assert "retry-after" not in answer_problem(Problem("internal", ""), "").headers


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (UnsupportedImage("x"), "unsupported_format"),
        (ImageTooLarge("x"), "too_large"),
        (InvalidImage("x"), "invalid_image"),
    ],
)
def test_faults_of_the_decoder(fault: InvalidImage, code: str) -> None:
    assert describe_image_fault(fault).code == code


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "not_found"), (405, "method_not_allowed"), (418, "bad_request"), (502, "internal")],
)
def test_statuses_of_the_framework(status: int, code: str) -> None:
    assert describe_status(status).code == code
