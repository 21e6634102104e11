"""The answer to `explain`: an image, and headers with its class and the times."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import unquote

from bnn_client.answers import Prediction, Timings
from bnn_client.reading import UnexpectedContent, read_as


@dataclass(frozen=True)
class ExplanationTimings(Timings):
    """Milliseconds of one request; `explain` of drawing the map."""

    explain: float


@dataclass(frozen=True)
class Explanation:
    """A PNG of what the network saw, coloured by the class activation map of `prediction`."""

    png: bytes = field(repr=False)
    prediction: Prediction
    timings_ms: ExplanationTimings
    request_id: str


def read_explanation(content: bytes, headers: Mapping[str, str]) -> Explanation:
    """Reads the answer from its body and headers. Raises UnexpectedContent."""
    if headers.get("content-type") != "image/png":
        raise UnexpectedContent("expected image/png as Content-Type; found another")
    prediction = {
        "label": unquote(_read_text(headers, "x-class-label")),
        "index": _read_number(headers, "x-class-index"),
        "score": _read_number(headers, "x-class-score"),
    }
    names = [item.name for item in fields(ExplanationTimings)]
    times = {name: _read_number(headers, f"x-time-{name}-ms") for name in names}
    return Explanation(
        content,
        read_as(Prediction, prediction),
        read_as(ExplanationTimings, times),
        _read_text(headers, "x-request-id"),
    )


def _read_text(headers: Mapping[str, str], name: str) -> str:
    text = headers.get(name)
    if text is None:
        raise UnexpectedContent(f"expected the header {name}; found none")
    return text


def _read_number(headers: Mapping[str, str], name: str) -> Any:
    """The JSON value of a text; read_as checks its type."""
    try:
        return json.loads(_read_text(headers, name))
    except (ValueError, RecursionError) as fault:
        if isinstance(fault, UnexpectedContent):
            raise
        raise UnexpectedContent(f"expected a number in the header {name}") from fault
