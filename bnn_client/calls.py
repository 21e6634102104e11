"""The requests: their URL, their content, and how their answer is read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

import httpx

from bnn_client.answers import Batch, Classification, ServedModels, ServiceInfo
from bnn_client.exchange import PROBLEM, State, read_answer, read_map
from bnn_client.explanation import Explanation

_T = TypeVar("_T")
_DEADLINE = "X-Deadline-Ms"
_CONNECT_SECONDS = 5.0
_KEPT_SECONDS = 30.0  # an idle connection; services and proxies close theirs after 60 or more
_MARGIN_SECONDS = 5.0  # beyond a deadline, for the way there and back
LIMITS = httpx.Limits(max_connections=100, keepalive_expiry=_KEPT_SECONDS)


@dataclass(frozen=True)
class Target:
    """A service: its URL, the headers of every request, the max seconds of silence."""

    url: str
    headers: dict[str, str] = field(repr=False)
    timeout: float
    deadline_ms: int | None


@dataclass(frozen=True)
class Call(Generic[_T]):
    """One request, as the keywords of httpx's `build_request`, and the reader of its answer.

    `read` raises ServiceError, InvalidAnswer.
    """

    keywords: dict[str, Any] = field(repr=False)
    read: Callable[[httpx.Response], _T]


def make_target(url: str, api_key: str | None, timeout: float, deadline_ms: int | None) -> Target:
    """Raises ValueError."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as fault:
        raise ValueError(f"expected a URL such as http://127.0.0.1:8000: {fault}") from fault
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query or parsed.fragment:
        raise ValueError(
            "expected the URL of a service, such as http://127.0.0.1:8000, with http:// or "
            "https:// and without a query; found another"
        )
    if not timeout > 0:
        raise ValueError(f"timeout: expected seconds above 0; found {timeout}")
    headers = {"User-Agent": "bnn-client", "Accept": f"application/json, {PROBLEM}"}
    if api_key is not None:
        if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise ValueError("api_key: expected a key without spaces and in ASCII; found another")
        headers["Authorization"] = f"Bearer {api_key}"
    return Target(str(parsed).rstrip("/"), headers, timeout, deadline_ms)


def ask_info(target: Target, model: str | None) -> Call[ServiceInfo]:
    """Model, engine, limits, versions."""
    return Call(_get(target, "/info", {"model": model}), partial(read_answer, ServiceInfo))


def ask_models(target: Target) -> Call[ServedModels]:
    """Every model that is served."""
    return Call(_get(target, "/models"), partial(read_answer, ServedModels))


def ask_probe(target: Target, path: str) -> Call[State]:
    """Whether it is alive, ready, started."""
    return Call(_get(target, path), partial(read_answer, State))


def send_one(
    target: Target,
    image: bytes,
    top_k: int | None,
    deadline_ms: int | None,
    model: str | None,
    certainty: float | None = None,
) -> Call[Classification]:
    """One image, bare."""
    parameters = {"top_k": top_k, "certainty": certainty, "model": model}
    keywords = _send_bare(_post(target, "/classify", parameters, deadline_ms), image)
    return Call(keywords, partial(read_answer, Classification))


def send_batch(
    target: Target,
    images: Sequence[bytes],
    top_k: int | None,
    deadline_ms: int | None,
    model: str | None,
    certainty: float | None = None,
) -> Call[Batch]:
    """Several images, as a form; the files' own names are not sent."""
    files = [("image", (str(index), image)) for index, image in enumerate(images)]
    parameters = {"top_k": top_k, "certainty": certainty, "model": model}
    post = _post(target, "/classify/batch", parameters, deadline_ms)
    return Call({**post, "files": files}, partial(read_answer, Batch))


def send_explain(
    target: Target,
    image: bytes,
    class_: str | int | None,
    deadline_ms: int | None,
    model: str | None,
) -> Call[Explanation]:
    """One image as the body, to be explained."""
    parameters = {"explain": "cam", "class": class_, "model": model}
    keywords = _send_bare(_post(target, "/classify", parameters, deadline_ms), image)
    keywords["headers"]["Accept"] = f"image/png, {PROBLEM}"
    return Call(keywords, read_map)


def _get(
    target: Target, path: str, parameters: Mapping[str, str | None] | None = None
) -> dict[str, Any]:
    return {
        "method": "GET",
        "url": target.url + path,
        "params": _leave_out_none(parameters or {}),
        "headers": target.headers,
        "timeout": _make_timeout(target.timeout),
    }


def _post(
    target: Target, path: str, parameters: Mapping[str, str | float | None], deadline_ms: int | None
) -> dict[str, Any]:
    """A POST without its body."""
    if deadline_ms is None:
        deadline_ms = target.deadline_ms
    headers, silence = dict(target.headers), target.timeout
    if deadline_ms is not None:
        headers[_DEADLINE] = str(deadline_ms)
        silence = max(silence, deadline_ms / 1000 + _MARGIN_SECONDS)
    return {
        "method": "POST",
        "url": target.url + path,
        "params": _leave_out_none(parameters),
        "headers": headers,
        "timeout": _make_timeout(silence),
    }


def _leave_out_none(parameters: Mapping[str, str | float | None]) -> dict[str, str | float]:
    return {name: value for name, value in parameters.items() if value is not None}


def _send_bare(post: dict[str, Any], image: bytes) -> dict[str, Any]:
    headers = {**post["headers"], "Content-Type": "application/octet-stream"}
    return {**post, "content": image, "headers": headers}


def _make_timeout(silence: float) -> httpx.Timeout:
    return httpx.Timeout(silence, connect=min(silence, _CONNECT_SECONDS))
