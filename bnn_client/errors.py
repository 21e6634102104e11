"""What can go wrong: nobody there, no answer, not this service's answer, or one of its problems."""

from typing import ClassVar


class ClientError(Exception):
    """Every error that a client raises about an exchange is one of these.

    `retry_after` is the seconds that the service or a proxy asks to wait, None if it asks nothing.
    """

    retry_after: float | None = None

    @property
    def may_pass(self) -> bool:
        """Whether the same request, sent again later, may well be answered."""
        return False


class ConnectionFailed(ClientError):
    """There was no connection, so nothing was sent: nobody listens, or the name is unknown."""

    @property
    def may_pass(self) -> bool:
        """Yes: nothing was sent."""
        return True


class AnswerMissing(ClientError):
    """The request was sent, at least in part, and no whole answer came in time, or at all."""


class InvalidAnswer(ClientError):
    """What answered is not this service, or not one that this client knows: a proxy, a page."""

    def __init__(self, message: str, status: int, retry_after: float | None = None) -> None:
        super().__init__(message, status, retry_after)  # all, so that it can be pickled
        self.message = message
        self.status = status
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.message

    @property
    def may_pass(self) -> bool:
        """If a proxy says that the service is busy or away."""
        return self.status in (429, 503)


class ServiceError(ClientError):
    """The service answered with a problem (RFC 9457).

    `code` is stable and for programs, `title` and `detail` are for people, `request_id` is what the
    service's log has the request under. A code that this client does not know is a ServiceError.
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
        """If the service is busy or about to be ready or replaced, and says when to come again."""
        return self.status in (429, 503) and self.retry_after is not None


class BadRequest(ServiceError):
    """The request is not understood; so is an empty image."""

    known_code = "bad_request"


class Unauthorized(ServiceError):
    """The service asks for an API key, and there was none, or an unknown one."""

    known_code = "unauthorized"


class Forbidden(ServiceError):
    """The API key does not allow what was asked for."""

    known_code = "forbidden"


class NotFound(ServiceError):
    """There is nothing at this path: the URL may lack a prefix, or have one too many."""

    known_code = "not_found"


class ModelNotFound(ServiceError):
    """No model of this name is served; `models()` lists those that are."""

    known_code = "model_not_found"


class MethodNotAllowed(ServiceError):
    """The path does not take this method."""

    known_code = "method_not_allowed"


class BodyTimeout(ServiceError):
    """The image was sent too slowly."""

    known_code = "body_timeout"


class TooLarge(ServiceError):
    """The image has more bytes or pixels than the service takes."""

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
    """The model was to be loaded, and cannot be served."""

    known_code = "model_not_loaded"


class NotExplainable(ServiceError):
    """The model's answers cannot be explained by the engine that computes them."""

    known_code = "not_explainable"


class RateLimited(ServiceError):
    """The API key's rate is used up."""

    known_code = "rate_limited"


class Overloaded(ServiceError):
    """The service has more work than it can do in time."""

    known_code = "overloaded"


class MalformedRequest(ServiceError):
    """The bytes are no HTTP request; something between changed them."""

    known_code = "malformed_request"


class HeaderTimeout(ServiceError):
    """The head of the request was sent too slowly."""

    known_code = "header_timeout"


class HeadersTooLarge(ServiceError):
    """The head of the request is too large."""

    known_code = "headers_too_large"


class Internal(ServiceError):
    """The service failed; its log has the reason under the request id."""

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
