"""The errors: no connection, no answer, an answer of something else, the service's problems."""

from typing import ClassVar


class ClientError(Exception):
    """Base of every error about an exchange.

    `retry_after` is the seconds to wait that the service or a proxy asks for; None: it asks for
    none.
    """

    retry_after: float | None = None

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later."""
        return False


class ConnectionFailed(ClientError):
    """There was no connection, so nothing was sent: no program listens, or the name is unknown."""

    @property
    def may_pass(self) -> bool:
        """Yes: nothing was sent."""
        return True


class AnswerMissing(ClientError):
    """The request was sent, at least in part, but no complete answer came in time."""


class InvalidAnswer(ClientError):
    """The answer is not of this service, or of an unknown version: of a proxy, a page."""

    def __init__(self, message: str, status: int, retry_after: float | None = None) -> None:
        super().__init__(message, status, retry_after)  # all, so that it can be pickled
        self.message = message
        self.status = status
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.message

    @property
    def may_pass(self) -> bool:
        """Yes if a proxy says that the service is busy or away."""
        return self.status in (429, 503)


class ServiceError(ClientError):
    """The service answered with a problem (RFC 9457).

    `code` is stable and for programs, `title` and `detail` are for people, `request_id` is the
    request's id in the service's log. An unknown code is a plain ServiceError.
    """

    known_code: ClassVar[str | None] = None

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        request_id: str,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(status, code, title, detail, request_id, retry_after)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.request_id = request_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.title}. {self.detail} (request {self.request_id})"

    @property
    def may_pass(self) -> bool:
        """Yes if the service is busy, starting or being replaced, and says when to try again."""
        return self.status in (429, 503) and self.retry_after is not None


class BadRequest(ServiceError):
    """The request is not understood; so is an empty image."""

    known_code = "bad_request"


class Unauthorized(ServiceError):
    """The service needs an API key, and it was missing or unknown."""

    known_code = "unauthorized"


class Forbidden(ServiceError):
    """The API key does not allow this request."""

    known_code = "forbidden"


class NotFound(ServiceError):
    """There is nothing at this path: the URL may lack a prefix, or have one too many."""

    known_code = "not_found"


class ModelNotFound(ServiceError):
    """No model of this name is served; `models()` lists those that are."""

    known_code = "model_not_found"


class MethodNotAllowed(ServiceError):
    """The path does not allow this method."""

    known_code = "method_not_allowed"


class BodyTimeout(ServiceError):
    """The image was sent too slowly."""

    known_code = "body_timeout"


class TooLarge(ServiceError):
    """The image has more bytes or pixels than the service allows."""

    known_code = "too_large"


class UnsupportedFormat(ServiceError):
    """The image is no JPEG, PNG, WebP or AVIF."""

    known_code = "unsupported_format"


class UnsupportedEncoding(ServiceError):
    """The body is compressed in a way that the service does not accept."""

    known_code = "unsupported_encoding"


class UnknownHost(ServiceError):
    """The service may not be called by this name; its operator sets BNN_ALLOWED_HOSTS."""

    known_code = "unknown_host"


class InvalidImage(ServiceError):
    """The image has an accepted format and cannot be decoded."""

    known_code = "invalid_image"


class InvalidParameter(ServiceError):
    """`top_k` or `deadline_ms` has a value that is not allowed."""

    known_code = "invalid_parameter"


class ModelNotLoaded(ServiceError):
    """The model cannot be loaded and served."""

    known_code = "model_not_loaded"


class NotExplainable(ServiceError):
    """The engine that computes the answers cannot explain them."""

    known_code = "not_explainable"


class NoHierarchy(ServiceError):
    """The model has no hierarchy of labels, so that its answers cannot be hedged."""

    known_code = "no_hierarchy"


class RateLimited(ServiceError):
    """The API key's rate is used up."""

    known_code = "rate_limited"


class Overloaded(ServiceError):
    """The service has more work than it can do in time."""

    known_code = "overloaded"


class MalformedRequest(ServiceError):
    """The bytes are no HTTP request; something on the way changed them."""

    known_code = "malformed_request"


class HeaderTimeout(ServiceError):
    """The head of the request was sent too slowly."""

    known_code = "header_timeout"


class HeadersTooLarge(ServiceError):
    """The head of the request is too large."""

    known_code = "headers_too_large"


class Internal(ServiceError):
    """The service failed; its log has the reason with the request id."""

    known_code = "internal"


class OutOfMemory(ServiceError):
    """The service has no memory for the image now."""

    known_code = "out_of_memory"


class NotReady(ServiceError):
    """The model is still being loaded."""

    known_code = "not_ready"


class NoEngine(ServiceError):
    """The model could not be loaded."""

    known_code = "no_engine"


class Hanging(ServiceError):
    """A worker of the service hangs."""

    known_code = "hanging"


class Draining(ServiceError):
    """The service is being stopped."""

    known_code = "draining"


class DeadlineExceeded(ServiceError):
    """The answer would have come too late."""

    known_code = "deadline_exceeded"


BY_CODE: dict[str, type[ServiceError]] = {
    kind.known_code: kind for kind in ServiceError.__subclasses__() if kind.known_code is not None
}
