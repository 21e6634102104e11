"""The requests that the tools send: an image to classify, bare or in a form."""

from collections.abc import Mapping

from loadtests.clients.http_client import (
    Request,
    build_request,
)
from loadtests.clients.images import CONTENT_TYPE, EncodedImage

DEADLINE_HEADER = "X-Deadline-Ms"


def build_classify(
    image: EncodedImage,
    form: bool,
    headers: Mapping[str, str] | None = None,
    path: str = "/classify",
) -> Request:
    """POST /classify with the bare file, or as a form."""
    body = image.body if form else image.data
    kind = CONTENT_TYPE if form else "application/octet-stream"
    lines = {"Content-Type": kind, **(headers or {})}
    return build_request("POST", path, body, lines, image.name)
