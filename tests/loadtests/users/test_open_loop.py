"""The open loop over a client that answers as slowly as it is told."""

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from loadtests.users.open_loop import run_open_loop
from loadtests.users.payloads import Payload
from loadtests.users.session import Session
from loadtests.users.thresholds import Limits


def make_session(shape: str, **changes: Any) -> Session:
    options = {
        **{"loop": "open", "shape": shape, "rate": 50.0, "arrivals": "constant"},
        **{"arrival_seed": 1, "run_time": 0.2, "stage_seconds": 0.1, "ramp_factor": 2.0},
        **changes,
    }
    limits = Limits(late_ms=60_000, max_generator_cpu=1e9, max_p99_ms=60_000)
    session = Session(Namespace(**options), limits, [Payload("a", "/", b"a", {})])
    session.begin()
    return session


class Client:
    """Answers 200 after so many seconds; 429 from a number of requests on."""

    def __init__(self, seconds: float, refuse_after: int = 10**9) -> None:
        self.seconds, self.refuse_after, self.begun = seconds, refuse_after, 0

    @contextmanager
    def post(self, *_: Any, **__: Any) -> Iterator[Any]:
        self.begun += 1
        status = 200 if self.begun <= self.refuse_after else 429
        gevent.sleep(self.seconds)
        yield SimpleNamespace(
            status_code=status,
            headers={"retry-after": "1"},
            request_meta={"start_time": 0.0},
            success=lambda: None,
        )


def test_every_request_is_sent_and_waited_for() -> None:
    session = make_session("steady")
    client = Client(0.3)  # longer than the whole schedule
    run_open_loop(session, client)
    assert session.add_up().accepted == client.begun == 10
    assert session.ended > session.began


def test_stages_follow_each_other() -> None:
    session = make_session("step", run_time=0.5)
    run_open_loop(session, Client(0))
    assert [tally.accepted for _, tally in session.stages] == [1, 2, 3, 4, 5]


def test_a_ramp_ends_where_too_many_are_refused() -> None:
    """5 and 10 requests hold; of the next 20 all but 5 are refused."""
    session = make_session("ramp", run_time=None)
    run_open_loop(session, Client(0, refuse_after=20))
    assert session.ramp is not None
    assert (session.ramp.knee, session.ramp.broken) == (100, 200)
    assert session.ramp.reasons == ["refused requests 75 %, allowed <= 1 %"]


def test_what_is_on_its_way_when_it_is_stopped_is_counted() -> None:
    session = make_session("steady", run_time=60.0)
    client = Client(60)
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.5):
        run_open_loop(session, client)
    total = session.add_up()
    assert len(total.cut) > 0
    assert max(total.cut) < 10
    assert total.total == 0
