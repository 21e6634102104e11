"""The one table of errors: code -> status and title; and the answer made of it (RFC 9457)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.responses import JSONResponse

from runtime import ImageTooLarge, InvalidImage, UnsupportedImage

MEDIA_TYPE = "application/problem+json"
CLIENT_GONE = 499  # a label in log and metrics: nobody is left to answer


@dataclass(frozen=True)
class Definition:
    """Status, title, where repeating the request may help Retry-After in seconds, headers."""

    status: int
    title: str
    retry_after: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


PROBLEMS = {
    "bad_request": Definition(400, "The request is not understood"),
    "unauthorized": Definition(
        401, "An API key is asked for", headers={"WWW-Authenticate": "Bearer"}
    ),
    "not_found": Definition(404, "There is nothing at this path"),
    "method_not_allowed": Definition(405, "The path does not take this method"),
    "body_timeout": Definition(  # the rest of the body is not waited for
        408, "The body came too slowly", headers={"Connection": "close"}
    ),
    "too_large": Definition(413, "The picture is too large"),
    "unsupported_format": Definition(415, "The picture's format is not accepted"),
    "unknown_host": Definition(421, "The service is not called by this name"),
    "invalid_image": Definition(422, "The picture cannot be decoded"),
    "invalid_parameter": Definition(422, "A parameter has a value that is not allowed"),
    "rate_limited": Definition(429, "The key's rate is used up", retry_after=1),
    "internal": Definition(500, "The service failed"),
    "out_of_memory": Definition(503, "There is no memory for the picture", retry_after=2),
    "not_ready": Definition(503, "The model is still being loaded", retry_after=2),
    "no_engine": Definition(503, "The model could not be loaded"),
}

# Most special first.
_IMAGE_FAULTS: tuple[tuple[type[InvalidImage], str], ...] = (
    (UnsupportedImage, "unsupported_format"),
    (ImageTooLarge, "too_large"),
    (InvalidImage, "invalid_image"),
)
_STATUS_CODES = {404: "not_found", 405: "method_not_allowed"}


class Problem(Exception):
    """A request ends with this problem. `detail` never quotes what the client sent.

    `retry_after`, in seconds, replaces the table's where the request knows better.
    """

    def __init__(self, code: str, detail: str, retry_after: int | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.retry_after = PROBLEMS[code].retry_after if retry_after is None else retry_after

    @property
    def definition(self) -> Definition:
        """The row of the table."""
        return PROBLEMS[self.code]


def describe_image_fault(fault: InvalidImage) -> Problem:
    """The problem of a picture that was refused; the runtime's texts do not quote it."""
    code = next(code for kind, code in _IMAGE_FAULTS if isinstance(fault, kind))
    return Problem(code, str(fault))


def describe_status(status: int) -> Problem:
    """The problem of an error status that the framework decided on."""
    code = _STATUS_CODES.get(status, "bad_request" if status < 500 else "internal")
    return Problem(code, f"{PROBLEMS[code].title}. See /openapi.json for what is served here.")


def answer_problem(
    problem: Problem, request_id: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """The response: type, title, status, detail, code, request_id."""
    definition = problem.definition
    all_headers = {**(headers or {}), **definition.headers}
    if problem.retry_after is not None:
        all_headers["Retry-After"] = str(problem.retry_after)
    content = {
        "type": f"urn:bnn:problem:{problem.code}",
        "title": definition.title,
        "status": definition.status,
        "detail": problem.detail,
        "code": problem.code,
        "request_id": request_id,
    }
    return JSONResponse(
        content, status_code=definition.status, headers=all_headers, media_type=MEDIA_TYPE
    )
