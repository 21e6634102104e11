"""Errors in the protocol's form: a JSON object whose `error` is a text."""

from pydantic_core import to_json

from service.messages.exchange import Answer
from service.messages.problems import Problem, encode_problem

# Statuses that its clients know; what is wrong with a request is 400 to them.
_STATUSES = {
    **dict.fromkeys(("unsupported_format", "invalid_image", "invalid_parameter"), 400),
    "model_not_loaded": 400,
}


def encode_error(problem: Problem) -> Answer:
    """The answer for a problem; `code` is in addition to the protocol's `error`."""
    _, headers = encode_problem(problem, "")
    kept = [(name, value) for name, value in headers if name != b"content-type"]
    body = to_json({"error": problem.detail, "code": problem.code})
    status = _STATUSES.get(problem.code, problem.definition.status)
    return Answer(status, body, [(b"content-type", b"application/json"), *kept])


def refuse(expected: str, found: str, remedy: str = "Correct the request.") -> Problem:
    """The problem for a request that breaks the protocol."""
    return Problem("bad_request", f"expected {expected}; found {found}. {remedy}")
