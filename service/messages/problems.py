"""The table of all errors: code -> status and title; and the answers made of it (RFC 9457)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_json

from runtime import ImageTooLarge, InvalidImage, UnsupportedImage

MEDIA_TYPE = "application/problem+json"
#: On every answer: its type is not guessed, and our address is not told to other sites.
COMMON_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
CLIENT_GONE = 499  # a label in log and metrics: nobody is left to answer
NO_MEMORY = "expected memory to decode the image; there is none left. Try later, or shrink it."


@dataclass(frozen=True)
class Definition:
    """Status, title, headers, and Retry-After in seconds if repeating the request may help."""

    status: int
    title: str
    retry_after: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


PROBLEMS = {
    "bad_request": Definition(400, "The request is not understood"),
    "unauthorized": Definition(
        401, "An API key is asked for", headers={"WWW-Authenticate": "Bearer"}
    ),
    "forbidden": Definition(403, "The API key does not allow that"),
    "model_not_found": Definition(404, "There is no model of this name"),
    "not_found": Definition(404, "There is nothing at this path"),
    "method_not_allowed": Definition(405, "The path does not take this method"),
    "body_timeout": Definition(408, "The body came too slowly"),
    "too_large": Definition(413, "The image is too large"),
    "unsupported_format": Definition(415, "The image's format is not accepted"),
    "unsupported_encoding": Definition(415, "The body is encoded in a way that is not accepted"),
    "unknown_host": Definition(421, "The service is not called by this name"),
    "invalid_image": Definition(422, "The image cannot be decoded"),
    "invalid_parameter": Definition(422, "A parameter has a value that is not allowed"),
    "not_explainable": Definition(422, "The model's answers cannot be explained"),
    "no_hierarchy": Definition(422, "The model's answers cannot be hedged"),
    "model_not_loaded": Definition(422, "The model cannot be served"),
    "rate_limited": Definition(429, "The key's rate is used up", retry_after=1),
    "overloaded": Definition(429, "There is more work than the service can do in time", 1),
    "malformed_request": Definition(400, "The bytes are no HTTP request"),
    "header_timeout": Definition(408, "The head of the request came too slowly"),
    "headers_too_large": Definition(431, "The head of the request is too large"),
    "internal": Definition(500, "The service failed"),
    "out_of_memory": Definition(503, "There is no memory for the image", retry_after=2),
    "not_ready": Definition(503, "The model is still being loaded", retry_after=2),
    "no_engine": Definition(503, "The model could not be loaded"),
    "hanging": Definition(503, "A worker hangs"),
    "draining": Definition(503, "The service is being stopped", retry_after=2),
    "deadline_exceeded": Definition(504, "The answer would have come too late", retry_after=1),
}

# Most special first.
_IMAGE_FAULTS: tuple[tuple[type[InvalidImage], str], ...] = (
    (UnsupportedImage, "unsupported_format"),
    (ImageTooLarge, "too_large"),
    (InvalidImage, "invalid_image"),
)
_STATUS_CODES = {404: "not_found", 405: "method_not_allowed"}


class Problem(Exception):
    """Ends a request with this problem.

    `detail` never quotes what the client sent. `retry_after`, in seconds, replaces the table's
    value; `headers` are added to the table's.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        retry_after: int | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.headers = (*self.definition.headers.items(), *headers)
        self.retry_after = self.definition.retry_after if retry_after is None else retry_after

    @property
    def definition(self) -> Definition:
        """The row of the table."""
        return PROBLEMS[self.code]


def release_frames(fault: BaseException) -> None:
    """Frees the frames in which an exception and its causes were raised.

    They hold the image, and the future that holds the exception: a cycle that keeps the image until
    the garbage collector runs, which counts objects and not bytes.
    """
    following: BaseException | None = fault
    while following is not None:
        following.__traceback__ = None
        following = following.__cause__ or following.__context__


def describe_image_fault(fault: InvalidImage) -> Problem:
    """The problem for an image that was refused; the runtime's texts do not quote it."""
    code = next(code for kind, code in _IMAGE_FAULTS if isinstance(fault, kind))
    return Problem(code, str(fault))


def describe_missed_deadline() -> Problem:
    """The problem for an admitted request that could not be answered in time."""
    return Problem(
        "deadline_exceeded",
        "expected an answer within the deadline; it was not there by then. Try again later, or "
        "with a longer X-Deadline-Ms.",
    )


def describe_no_memory() -> Problem:
    """The problem for a request for which the system had no memory."""
    return Problem(
        "out_of_memory", "expected memory for the request; there is none left. Try later."
    )


def describe_status(status: int, headers: Mapping[str, str] | None = None) -> Problem:
    """The problem for an error status of the framework, with its headers."""
    code = _STATUS_CODES.get(status, "bad_request" if status < 500 else "internal")
    detail = f"{PROBLEMS[code].title}. See /openapi.json for what is served here."
    return Problem(code, detail, headers=tuple((headers or {}).items()))


def describe_problem(problem: Problem, request_id: str | None = None) -> dict[str, Any]:
    """The members of RFC 9457, the code, and the request's id if it is given."""
    definition = problem.definition
    content = {
        "type": f"urn:bnn:problem:{problem.code}",
        "title": definition.title,
        "status": definition.status,
        "detail": problem.detail,
        "code": problem.code,
    }
    return content if request_id is None else content | {"request_id": request_id}


def encode_problem(problem: Problem, request_id: str) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The body of the answer and its headers."""
    body = to_json(describe_problem(problem, request_id))
    headers = [(b"content-type", MEDIA_TYPE.encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers]
    if problem.retry_after is not None:
        headers.append((b"retry-after", b"%d" % problem.retry_after))
    return body, headers
