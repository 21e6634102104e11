"""service.oip.errors: every problem as the protocol's clients read it."""

import json

import pytest

from service.messages.problems import PROBLEMS, Problem
from service.oip.errors import encode_error, refuse


@pytest.mark.parametrize("code", PROBLEMS)
def test_every_problem_is_a_text_and_a_code(code: str) -> None:
    answer = encode_error(Problem(code, "expected this; found that."))
    assert json.loads(answer.body) == {"error": "expected this; found that.", "code": code}
    definition = PROBLEMS[code]
    of_requests = {"unsupported_format", "invalid_image", "invalid_parameter", "model_not_loaded"}
    assert answer.status == (400 if code in of_requests else definition.status)
    headers = dict(answer.headers)
    assert headers[b"content-type"] == b"application/json"
    assert len(headers) == len(answer.headers)
    if definition.retry_after is not None:
        assert headers[b"retry-after"] == b"%d" % definition.retry_after


def test_headers_of_a_problem_stay() -> None:
    answer = encode_error(Problem("method_not_allowed", "", headers=(("Allow", "POST"),)))
    assert (b"allow", b"POST") in answer.headers


def test_refusals_say_expected_found_remedy() -> None:
    problem = refuse("one input", "two")
    assert problem.code == "bad_request"
    assert problem.detail == "expected one input; found two. Correct the request."
