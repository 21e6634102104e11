"""The permissions of pages of other origins, as arguments of Starlette's CORSMiddleware."""

from typing import Any

from service.metrics.metrics import STAGES
from service.settings.addresses import ANY
from service.settings.settings import Settings

_HEADER_LENGTH = "Inference-Header-Content-Length"
_REQUEST_HEADERS = (
    *("Authorization", "Content-Type", "X-API-Key"),
    *("X-Deadline-Ms", "X-Request-Id", "traceparent", _HEADER_LENGTH),
)
_CLASS_HEADERS = ("X-Class-Label", "X-Class-Index", "X-Class-Score")
_MAX_AGE_SECONDS = 600


def describe_cors(settings: Settings) -> dict[str, Any]:
    """Keyword arguments of starlette.middleware.cors.CORSMiddleware for `cors_origins`.

    Credentials such as cookies are never allowed: keys come in headers that the page sets itself.
    """
    times = [f"X-Time-{stage.title()}-Ms" for stage in (*STAGES, "total")]
    return {
        "allow_origins": settings.cors_origins,
        "allow_methods": ("GET", "POST"),
        "allow_headers": _REQUEST_HEADERS,
        "allow_credentials": False,
        # Of a page elsewhere that calls a service in the local network: for origins named one by
        # one; without it Starlette refuses the question that browsers ask before.
        "allow_private_network": ANY not in settings.cors_origins,
        "expose_headers": (
            *("X-Request-Id", *times, *_CLASS_HEADERS),
            *("Retry-After", _HEADER_LENGTH),
        ),
        "max_age": _MAX_AGE_SECONDS,
    }
