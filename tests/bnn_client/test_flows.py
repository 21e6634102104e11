"""bnn_client.flows: which request comes when, and what comes of the answers."""

from typing import Any

import httpx
import pytest

from bnn_client.calls import ask_probe, make_target, send_one
from bnn_client.errors import ClientError, ConnectionFailed, InvalidImage, NoEngine, Overloaded
from bnn_client.flows import Flow, await_ready, probe, repeat
from bnn_client.retries import Retry
from tests.bnn_client.answers import GOOD, refuse

TARGET = make_target("http://localhost", None, 30, None)
CALL = send_one(TARGET, b"image", None, None, None)
READY = ask_probe(TARGET, "/readyz")
OK = (200, {}, {"status": "ok"})


def run(flow: Flow[Any], *answers: Any) -> tuple[Any, list[float]]:
    """What a flow returns after these answers and errors, and how long it waited before each."""
    waits = []
    left = list(answers)
    try:
        step = next(flow)
        while True:
            waits.append(step.wait)
            given = left.pop(0)
            if isinstance(given, ClientError):
                step = flow.throw(given)
            else:
                status, headers, body = given
                step = flow.send(httpx.Response(status, headers=headers, json=body))
    except StopIteration as end:
        assert not left
        return end.value, waits


def test_what_may_pass_is_sent_again_and_the_rest_is_final() -> None:
    busy = refuse(429, "overloaded", "2")
    answer, waits = run(repeat(Retry(), CALL), busy, ConnectionFailed("none"), GOOD)
    assert answer.best.label == "cat"
    assert waits[0] == 0
    assert 2 <= waits[1] <= 3
    assert 0.5 <= waits[2] <= 0.75
    with pytest.raises(Overloaded):
        run(repeat(Retry(attempts=2), CALL), busy, busy)
    with pytest.raises(InvalidImage):
        run(repeat(Retry(), CALL), refuse(422, "invalid_image"))


def test_a_probe_says_yes_or_no_once() -> None:
    assert run(probe(READY), OK) == (True, [0])
    assert run(probe(READY), refuse(503, "draining", "2")) == (False, [0])
    with pytest.raises(ConnectionFailed):
        run(probe(READY), ConnectionFailed("none"))


def test_waiting_ends_when_it_is_ready_or_hopeless_or_late() -> None:
    later = refuse(503, "not_ready", "2")
    assert run(await_ready(READY, 60), ConnectionFailed("none"), later, OK) == (None, [0, 0.2, 0.2])
    with pytest.raises(NoEngine):
        run(await_ready(READY, 60), refuse(503, "no_engine"))
    with pytest.raises(ConnectionFailed):
        run(await_ready(READY, 0), ConnectionFailed("none"))
