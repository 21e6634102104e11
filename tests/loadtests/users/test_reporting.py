"""The report: what is judged, and when the figures mean nothing."""

from argparse import Namespace
from typing import Any

from loadtests.users.reporting import build_report, measure_rate
from loadtests.users.session import Session
from loadtests.users.stages import Ramp, Stage
from loadtests.users.thresholds import Limits


def make_session(limits: Limits, loop: str = "open", shape: str = "steady") -> Session:
    session = Session(Namespace(loop=loop, shape=shape, rate=5.0), limits, [])
    session.began, session.ended = 10.0, 12.0
    return session


def fill(session: Session, accepted: int = 4, **counts: int) -> None:
    for _ in range(accepted):
        session.tally.latency.append(0.2)
        session.tally.service.append(0.1)
        session.tally.lag.append(0.001)
    for name, count in counts.items():
        getattr(session.tally, name)["429" if name == "refused" else "why"] = count


def find_status(session: Session) -> tuple[int, Any]:
    report = build_report(session)
    return report.exit_status, report.format_markdown([0, 0, 0])


def test_the_rate_is_judged() -> None:
    for limit, status in ((2.0, 0), (2.1, 1)):
        session = make_session(Limits(min_rate=limit))
        fill(session)
        assert measure_rate(session, session.add_up()) == 2
        assert find_status(session)[0] == status


def test_failures_and_refusals() -> None:
    session = make_session(Limits())
    fill(session, refused=2)
    status, text = find_status(session)
    assert status == 0
    assert "Requests: 4 accepted; 2 refused (429). 0.0 % of the requests were sent late." in text
    fill(session, failed=1)
    assert find_status(session)[0] == 1


def test_a_generator_that_was_the_limit() -> None:
    session = make_session(Limits(late_ms=0.5))
    fill(session)
    assert find_status(session)[0] == 3
    session = make_session(Limits(max_generator_cpu=1))
    fill(session, accepted=0, failed=3)  # nothing works: that is the service's fault
    session.tally.cpu = session.tally.wall = 1
    assert find_status(session)[0] == 1
    assert find_status(make_session(Limits()))[0] == 1  # no answer at all


def test_a_ramp_has_a_knee() -> None:
    for limit, status in ((5.0, 0), (6.0, 1)):
        session = make_session(Limits(min_rate=limit), shape="ramp")
        session.ramp = Ramp(5, 1, 2)
        session.enter(Stage("ramp 1", 5, 1))
        fill(session)
        session.ramp.judge([])
        session.ramp.judge(["99th percentile 900 ms, allowed <= 500 ms"])
        found, text = find_status(session)
        assert found == status
        assert "The knee: 5 requests/s held, 10 did not (99th percentile 900 ms" in text
        assert "| ramp 1 | 5 | 4 |" in text


def test_a_ramp_without_a_knee() -> None:
    session = make_session(Limits(), loop="closed", shape="ramp")
    session.ramp = Ramp(5, 1, 2)
    session.enter(Stage("ramp 1", 5, 1))
    fill(session)
    session.ramp.judge(["too slow"])
    status, text = find_status(session)
    assert status == 1
    assert "No knee found: the first stage, 5 users" in text
