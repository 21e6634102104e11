"""service.messages.problems: one table, one form, and the mapping of the decoder's faults."""

import json
import re
from pathlib import Path

import pytest

import service
from runtime import ImageTooLarge, InvalidImage, UnsupportedImage
from service.messages.problems import (
    PROBLEMS,
    Problem,
    describe_image_fault,
    describe_problem,
    describe_status,
    encode_problem,
    release_frames,
)

README = (Path(service.__file__).parent / "README.md").read_text()


@pytest.mark.parametrize("code", PROBLEMS)
def test_every_code_has_one_form_and_is_documented(code: str) -> None:
    content, headers = encode_problem(Problem(code, "a detail"), "an-id")
    body = json.loads(content)
    assert list(body) == ["type", "title", "status", "detail", "code", "request_id"]
    assert (body["code"], body["detail"], body["request_id"]) == (code, "a detail", "an-id")
    assert body["status"] == PROBLEMS[code].status
    assert dict(headers)[b"content-type"] == b"application/problem+json"
    assert re.search(rf"\b{body['status']} .*`{code}`", README)


def test_headers() -> None:
    def read_headers(problem: Problem) -> dict[bytes, bytes]:
        return dict(encode_problem(problem, "")[1])

    for code in ("not_ready", "out_of_memory", "draining"):
        assert read_headers(Problem(code, ""))[b"retry-after"] == b"2"
    assert read_headers(Problem("overloaded", "", retry_after=17))[b"retry-after"] == b"17"
    assert b"retry-after" not in read_headers(Problem("bad_request", ""))
    allowed = Problem("method_not_allowed", "", headers=(("Allow", "GET"),))
    assert read_headers(allowed)[b"allow"] == b"GET"


@pytest.mark.parametrize("code", PROBLEMS)
def test_whoever_may_come_again_is_told_when(code: str) -> None:
    may_help = {
        "overloaded",
        "rate_limited",
        "out_of_memory",
        "not_ready",
        "draining",
        "deadline_exceeded",
    }
    assert (PROBLEMS[code].retry_after is not None) is (code in may_help)


def test_a_problem_within_an_answer_has_no_id_of_its_own() -> None:
    assert "request_id" not in describe_problem(Problem("bad_request", ""))


def test_a_request_may_know_better_when_to_come_again() -> None:
    def read_headers(problem: Problem) -> dict[bytes, bytes]:
        return dict(encode_problem(problem, "")[1])

    assert read_headers(Problem("rate_limited", ""))[b"retry-after"] == b"1"
    assert read_headers(Problem("rate_limited", "", retry_after=17))[b"retry-after"] == b"17"
    assert read_headers(Problem("internal", "", retry_after=3))[b"retry-after"] == b"3"
    assert b"retry-after" not in read_headers(Problem("internal", ""))
    assert read_headers(Problem("unauthorized", ""))[b"www-authenticate"] == b"Bearer"


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
    problem = describe_status(status, {"Allow": "GET"})
    assert problem.code == code
    assert problem.headers == (("Allow", "GET"),)


def test_frames_are_released_those_of_causes_too() -> None:
    def fail() -> None:
        try:
            raise KeyError("context")
        except KeyError:
            try:
                raise ValueError("cause")
            except ValueError as fault:
                raise Problem("internal", "a detail") from fault

    with pytest.raises(Problem) as caught:
        fail()
    problem = caught.value
    release_frames(problem)
    cause = problem.__cause__
    assert isinstance(cause, ValueError)
    assert isinstance(cause.__context__, KeyError)
    assert [one.__traceback__ for one in (problem, cause, cause.__context__)] == [None] * 3
