"""The steps of a client: send, wait, send again; generators that both clients run."""

from collections.abc import Generator
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

import httpx

from bnn_client.calls import Call
from bnn_client.errors import ClientError, ServiceError
from bnn_client.exchange import may_become_ready
from bnn_client.retries import Attempts, Retry

_T = TypeVar("_T")
_POLL_SECONDS = 0.2  # between two looks at whether the service is ready


@dataclass(frozen=True)
class Step:
    """A request to send after so many seconds."""

    call: Call[Any]
    wait: float = 0.0


#: Yields steps; each is answered, or the ClientError of its exchange is thrown in. Returns _T.
Flow = Generator[Step, httpx.Response, _T]


def repeat(retry: Retry, call: Call[_T]) -> Flow[_T]:
    """The answer, after as many attempts as needed and allowed by `retry`. Raises ClientError."""
    attempts = Attempts(retry)
    wait = 0.0
    while True:
        try:
            return call.read((yield Step(call, wait)))
        except ClientError as fault:
            wait = attempts.wait_after(fault)


def probe(call: Call[_T]) -> Flow[bool]:
    """Whether a probe says yes. Raises ClientError if the service does not answer."""
    try:
        call.read((yield Step(call)))
    except ServiceError as fault:
        if fault.status == 503:
            return False
        raise
    return True


def await_ready(call: Call[_T], seconds: float) -> Flow[None]:
    """Repeats a probe until it says yes. Raises the last ClientError when that is hopeless."""
    until = monotonic() + seconds
    wait = 0.0
    while True:
        try:
            call.read((yield Step(call, wait)))
            return
        except ClientError as fault:
            if not may_become_ready(fault) or monotonic() + _POLL_SECONDS > until:
                raise
        wait = _POLL_SECONDS
