"""What is sent and how answers are read: the part that both clients share, without any waiting."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from bnn_client.errors import (
    BY_CODE,
    AnswerMissing,
    ClientError,
    ConnectionFailed,
    InvalidAnswer,
    ServiceError,
)
from bnn_client.reading import UnexpectedContent, read_as

_T = TypeVar("_T")
_PROBLEM = "application/problem+json"
_DEADLINE = "X-Deadline-Ms"
_CONNECT_SECONDS = 5.0
_KEPT_SECONDS = 30.0  # an idle connection; services and proxies close theirs after 60 or more
_MARGIN_SECONDS = 5.0  # beyond a deadline, for the way there and back
_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
POLL_SECONDS = 0.2  # between two looks at whether the service is ready
LIMITS = httpx.Limits(max_connections=100, keepalive_expiry=_KEPT_SECONDS)


@dataclass(frozen=True)
class Target:
    """A service: its URL, the headers of every request, the seconds of silence that are borne."""

    url: str
    headers: dict[str, str] = field(repr=False)
    timeout: float
    deadline_ms: int | None


@dataclass(frozen=True)
class Call:
    """One request, as the keywords of httpx's `build_request`."""

    keywords: dict[str, Any] = field(repr=False)


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
    headers = {"User-Agent": "bnn-client", "Accept": f"application/json, {_PROBLEM}"}
    if api_key is not None:
        if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise ValueError("api_key: expected a key without spaces and in ASCII; found another")
        headers["Authorization"] = f"Bearer {api_key}"
    return Target(str(parsed).rstrip("/"), headers, timeout, deadline_ms)


def ask(target: Target, path: str) -> Call:
    """A GET."""
    return Call(
        {
            "method": "GET",
            "url": target.url + path,
            "headers": target.headers,
            "timeout": _make_timeout(target.timeout),
        }
    )


def send_one(target: Target, image: bytes, top_k: int | None, deadline_ms: int | None) -> Call:
    """One image, bare."""
    call = _post(target, "/classify", top_k, deadline_ms)
    headers = {**call["headers"], "Content-Type": "application/octet-stream"}
    return Call({**call, "content": image, "headers": headers})


def send_batch(
    target: Target, images: Sequence[bytes], top_k: int | None, deadline_ms: int | None
) -> Call:
    """Several images, as a form; files' own names stay here."""
    files = [("image", (str(index), image)) for index, image in enumerate(images)]
    return Call({**_post(target, "/classify/batch", top_k, deadline_ms), "files": files})


def read_answer(kind: type[_T], answer: httpx.Response) -> _T:
    """The answer as a dataclass. Raises ServiceError, InvalidAnswer."""
    if not answer.is_success:
        raise describe_fault(answer)
    try:
        return read_as(kind, json.loads(answer.content))
    except (ValueError, RecursionError) as fault:
        reason = str(fault) if isinstance(fault, UnexpectedContent) else "expected JSON"
        raise InvalidAnswer(
            f"the answer is not one of this service: {reason}. Is the URL right, and the client "
            "as new as the service?",
            answer.status_code,
        ) from fault


def describe_fault(answer: httpx.Response) -> ClientError:
    """The error that an answer without success stands for."""
    status = answer.status_code
    retry_after = read_retry_after(answer.headers.get("retry-after"))
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind != _PROBLEM:
            raise UnexpectedContent(f"expected {_PROBLEM}")
        problem = read_as(_Problem, json.loads(answer.content))
    except (ValueError, RecursionError):
        return InvalidAnswer(
            f"expected an answer of this service; found status {status} without one of its "
            "problems, as from a proxy or another server. Is the URL right?",
            status,
            retry_after,
        )
    return BY_CODE.get(problem.code, ServiceError)(
        *(status, problem.code, problem.title, problem.detail, problem.request_id, retry_after)
    )


@contextmanager
def translate_faults() -> Iterator[None]:
    """Turns httpx's errors about an exchange into ConnectionFailed or AnswerMissing."""
    try:
        yield
    except _NOTHING_SENT as fault:
        reason = str(fault) or type(fault).__name__
        raise ConnectionFailed(f"expected a service to connect to; found none: {reason}") from fault
    except httpx.TimeoutException as fault:
        raise AnswerMissing(
            f"expected an answer in time; found silence ({type(fault).__name__}). Give a longer "
            "timeout if the network is slow."
        ) from fault
    except httpx.RequestError as fault:
        reason = str(fault) or type(fault).__name__
        raise AnswerMissing(f"expected an answer; the connection ended: {reason}") from fault


def read_retry_after(value: str | None) -> float | None:
    """The seconds that Retry-After asks to wait, from a number or a date; None if neither."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit() and len(value) < 10:
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def may_become_ready(fault: ClientError) -> bool:
    """Whether a service that answers a probe so, or not at all, may be ready later."""
    if isinstance(fault, ServiceError):
        return fault.may_pass
    status = getattr(fault, "status", None)
    return status is None or status in (429, 502, 503, 504)


@dataclass(frozen=True)
class State:
    """The answer to a probe."""

    status: str


@dataclass(frozen=True)
class _Problem:
    title: str
    detail: str
    code: str
    request_id: str


def _post(target: Target, path: str, top_k: int | None, deadline_ms: int | None) -> dict[str, Any]:
    if deadline_ms is None:
        deadline_ms = target.deadline_ms
    headers, silence = dict(target.headers), target.timeout
    if deadline_ms is not None:
        headers[_DEADLINE] = str(deadline_ms)
        silence = max(silence, deadline_ms / 1000 + _MARGIN_SECONDS)
    return {
        "method": "POST",
        "url": target.url + path,
        "params": {} if top_k is None else {"top_k": top_k},
        "headers": headers,
        "timeout": _make_timeout(silence),
    }


def _make_timeout(silence: float) -> httpx.Timeout:
    return httpx.Timeout(silence, connect=min(silence, _CONNECT_SECONDS))
