"""Interprets answers, and missing answers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx

from bnn_client.errors import (
    BY_CODE,
    AnswerMissing,
    ClientError,
    ConnectionFailed,
    InvalidAnswer,
    ServiceError,
)
from bnn_client.explanation import Explanation, read_explanation
from bnn_client.reading import UnexpectedContent, read_as

_T = TypeVar("_T")
PROBLEM = "application/problem+json"
_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def read_answer(kind: type[_T], answer: httpx.Response) -> _T:
    """The answer as a dataclass. Raises ServiceError, InvalidAnswer."""
    with _check(answer):
        return read_as(kind, _parse(answer.content))


def read_map(answer: httpx.Response) -> Explanation:
    """The answer to `explain`. Raises ServiceError, InvalidAnswer."""
    with _check(answer):
        return read_explanation(answer.content, answer.headers)


@contextmanager
def _check(answer: httpx.Response) -> Iterator[None]:
    """Reads a successful answer; others are raised as errors."""
    if not answer.is_success:
        raise describe_fault(answer)
    try:
        yield
    except UnexpectedContent as fault:
        raise InvalidAnswer(
            f"the answer is not one of this service: {fault}. Is the URL right, and the client "
            "as new as the service?",
            answer.status_code,
        ) from fault


def _parse(content: bytes) -> object:
    """Raises UnexpectedContent."""
    try:
        value: object = json.loads(content)
    except (ValueError, RecursionError) as fault:
        raise UnexpectedContent("expected JSON") from fault
    return value


def describe_fault(answer: httpx.Response) -> ClientError:
    """The error for an answer without success."""
    status = answer.status_code
    retry_after = read_retry_after(answer.headers.get("retry-after"))
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind != PROBLEM:
            raise UnexpectedContent(f"expected {PROBLEM}")
        problem = read_as(_Problem, _parse(answer.content))
    except UnexpectedContent:
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
    """The seconds of Retry-After, from a number or a date; None if it is neither."""
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
    """Whether the service may be ready later, judged by this answer to a probe or its absence."""
    if isinstance(fault, ServiceError):
        return fault.may_pass
    status = getattr(fault, "status", None)
    return status is None or status in (429, 502, 503, 504)


@dataclass(frozen=True)
class State:
    """Reads the answer to a probe."""

    status: str


@dataclass(frozen=True)
class _Problem:
    title: str
    detail: str
    code: str
    request_id: str
