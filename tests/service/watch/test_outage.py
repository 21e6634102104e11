"""service.watch.outage: said once at either end, and waits that grow, with jitter, up to a
bound.
"""

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.watch.outage import Backoff, Outage
from tests.service.clocks import Clock


@given(draws=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=40))
def test_waits_double_up_to_a_bound_and_are_at_least_half(draws: list[float]) -> None:
    left = list(draws)
    backoff = Backoff(0.5, 30, lambda: left.pop(0))
    for turn in range(len(draws)):
        bound = min(0.5 * 2**turn, 30)
        assert bound / 2 <= backoff.advance() <= bound
    backoff.reset()
    left.append(0.0)
    assert backoff.advance() == 0.25


@pytest.fixture
def outage(clock: Clock) -> Outage:
    return Outage("gone", "back", steady=10, backoff=Backoff(1, 8, lambda: 1.0), clock=clock)


def read(caplog: Any) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_it_is_said_once_and_once_when_it_is_over(
    outage: Outage, clock: Clock, caplog: Any
) -> None:
    caplog.set_level(logging.INFO)
    outage.succeed()
    assert [outage.fail("no route") for _ in range(5)] == [1, 2, 4, 8, 8]
    assert read(caplog) == ["gone"]
    assert caplog.records[0].reason == "no route"
    clock.now += 60
    outage.succeed()
    assert (read(caplog), outage.is_on) == (["gone"], True)
    clock.now += 10
    outage.succeed()
    outage.succeed()
    assert read(caplog) == ["gone", "back"]
    assert (caplog.records[1].seconds, caplog.records[1].failures) == (60, 5)
    assert (outage.is_on, outage.count) == (False, 1)
    assert outage.fail("again") == 1, "the waits begin anew"
    assert outage.count == 2


def test_what_fails_every_other_time_is_one_outage(
    outage: Outage, clock: Clock, caplog: Any
) -> None:
    for _ in range(100):
        outage.fail("flaps")
        clock.now += 1
        outage.succeed()
        clock.now += 1
        outage.succeed()
    assert read(caplog) == ["gone"]
