"""One test's state: stages, their tallies, the generator's CPU time, a worker's message."""

from argparse import Namespace

from loadtests.users.payloads import Payload
from loadtests.users.session import Session
from loadtests.users.stages import Stage
from loadtests.users.thresholds import Limits

PAYLOADS = [Payload("a", "/", b"a", {}), Payload("b", "/", b"b", {})]


def make_session(shape: str = "steady", loop: str = "open") -> Session:
    session = Session(Namespace(loop=loop, shape=shape), Limits(), PAYLOADS)
    session.begin()
    return session


def test_each_stage_has_its_tally_and_a_new_test_forgets_them() -> None:
    session = make_session()
    session.tally.latency.append(1)
    session.enter(Stage("one", 1, 1))
    session.tally.latency.append(2)
    assert list(session.stages[0][1].latency) == [2]
    assert session.add_up().accepted == 2
    assert [next(session.payloads).name for _ in range(3)] == ["a", "b", "a"]
    session.begin()
    assert (session.stages, session.add_up().accepted) == ([], 0)
    assert session.is_open


def test_the_warm_up_is_forgotten() -> None:
    session = make_session()
    session.enter(Stage("one", 1, 1))
    session.tally.failed["status 500"] = 1
    session.forget_warm_up()
    assert session.add_up().total == 0


def test_a_worker_hands_over_what_is_new() -> None:
    worker, master = make_session(loop="closed"), make_session(loop="closed")
    worker.tally.latency.append(1)
    master.take_in(worker.hand_over())
    master.take_in(worker.hand_over())
    assert master.add_up().accepted == 1
    assert master.add_up().wall > 0
    worker.end()
    worker.hand_over()
    assert worker.hand_over().wall == 0  # after the end its time is not counted


def test_a_stage_of_a_ramp_is_judged() -> None:
    session = make_session("ramp")
    assert session.limits.max_p99_ms == 500
    session.enter(Stage("ramp 1", 1, 1))
    assert session.judge_stage()[0] == "accepted requests 0, allowed >= 1"
    session.limits = Limits(max_generator_cpu=1e9)
    session.tally.latency.append(0.1)
    assert session.judge_stage() == []
