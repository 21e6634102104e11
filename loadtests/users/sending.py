"""Sends one request with Locust's client, and records its outcome."""

import errno
import json
from time import perf_counter
from typing import Any

from gevent import GreenletExit

from loadtests.users.payloads import Payload
from loadtests.users.tally import Tally
from loadtests.users.timings import StageTimings

#: What this machine lacks, not the service: descriptors, ports, memory.
_OUT_OF = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM})
_REFUSALS = frozenset({429, 503})


def send(
    client: Any,
    payload: Payload,
    tally: Tally,
    timings: StageTimings | None = None,
    due: float | None = None,
    address: str = "",
    prefix: str = "",
) -> bool:
    """Sends it now, returns whether there was an answer; `due` is when it should have been sent.

    `due` is in `perf_counter` seconds. Locust's statistics get the latency from then on, the tally
    that and the time from sending on. A refusal with Retry-After has a row of its own.
    """
    sent = perf_counter()
    begun = sent if due is None else due
    if due is not None:
        tally.lag.append(max(sent - due, 0.0))
    try:
        with client.post(
            address + payload.path,
            name=prefix + payload.name,
            data=payload.body,
            headers=payload.headers,
            catch_response=True,
        ) as response:
            ended = perf_counter()
            response.request_meta["response_time"] = (ended - begun) * 1000
            response.request_meta["start_time"] -= sent - begun
            status = response.status_code or 0
            if status == 200:
                tally.latency.append(ended - begun)
                tally.service.append(ended - sent)
                if timings is not None:
                    timings.record(response.headers.items())
            elif status in _REFUSALS and "retry-after" in response.headers:
                tally.refused[str(status)] += 1
                response.request_meta["name"] = f"{prefix}{payload.name} refused, {status}"
                response.success()
            elif status:
                _fail(response, tally, _describe(status, response))
            else:
                if getattr(response.error, "errno", None) in _OUT_OF:
                    tally.unsent[str(response.error)] += 1
                _fail(response, tally, f"no answer: {_name(response.error)}")
    except GreenletExit:
        tally.cut.append(perf_counter() - begun)
        raise
    return bool(status)


def _fail(response: Any, tally: Tally, reason: str) -> None:
    tally.failed[reason] += 1
    response.failure(reason)


def _describe(status: int, response: Any) -> str:
    """With the problem's code, where there is one."""
    try:
        code = json.loads(response.content).get("code", "")
    except (ValueError, AttributeError, TypeError):
        code = ""
    return f"expected status 200, found {status}{f' {code}' if code else ''}"


def _name(fault: object) -> str:
    """Without what differs from one request to the next."""
    text = getattr(fault, "strerror", None) or str(fault)
    return f"{type(fault).__name__}: {text}" if text else type(fault).__name__
