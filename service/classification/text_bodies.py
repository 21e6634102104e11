"""Recognises what people send in place of an image: JSON, base64, a data URI, a link, fields."""

import re

_HEAD = 64  # bytes that are looked at
_KINDS = (
    (re.compile(rb'\s*[{\["]'), "JSON"),
    (re.compile(rb"\s*data:[\w.+-]+/[\w.+-]+[;,]", re.IGNORECASE), "a data URI"),
    (re.compile(rb"\s*https?://", re.IGNORECASE), "a link"),
    # Of a JPEG, a PNG, a GIF, a WebP, an AVIF or HEIC.
    (re.compile(rb"\s*(/9j/|iVBORw0KGg|R0lGOD|UklGR|AAAA[\w+/]{2}Z0eX)"), "base64 text"),
    (re.compile(rb"[\w.-]+=[\w%+/.:-]*"), "fields of a form without files"),
)


def describe_text(data: bytes) -> str | None:
    """The kind of a body that should be an image, judged by its first bytes; None: unknown."""
    head = data[:_HEAD]
    return next((name for pattern, name in _KINDS if pattern.match(head)), None)


def explain_text(data: bytes) -> str | None:
    """The detail of the problem for such a body: expected, found, remedy; None: unknown."""
    found = describe_text(data)
    if found is None:
        return None
    return (
        f"expected the bytes of an image file; found {found}. Send the file itself: curl "
        "--data-binary @photo.jpg as the body, or curl -F image=@photo.jpg as a form."
    )
