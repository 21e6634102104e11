"""The open loop: one Locust user that sends every request of the test at its intended time."""

from time import perf_counter
from typing import Any

import gevent
from gevent.pool import Group

from loadtests.users.arrivals import plan_times
from loadtests.users.options import choose_seconds
from loadtests.users.schedule import run_schedule
from loadtests.users.sending import send
from loadtests.users.session import Session
from loadtests.users.stages import Ramp, Stage, plan_stages


def run_open_loop(session: Session, client: Any) -> None:
    """All stages of the session; returns when all their requests are over.

    Whoever kills the greenlet ends the requests that are on their way; they are counted.
    """
    group = Group()
    try:
        if session.options.shape == "ramp":
            _run_ramp(session, client, group)
        else:
            _run_stages(session, client, group)
        group.join()
        session.note_end()
    finally:
        group.kill()
        session.read_cpu()


def _run_stages(session: Session, client: Any, group: Group) -> None:
    """One after the other without a pause."""
    options, began = session.options, perf_counter()
    for stage in plan_stages(options.shape, options.rate, choose_seconds(options)):
        _run_stage(session, client, group, stage, began)
        began += stage.seconds


def _run_ramp(session: Session, client: Any, group: Group) -> None:
    """Each stage begins when all requests of the one before are over."""
    options = session.options
    session.ramp = ramp = Ramp(
        options.rate, options.stage_seconds, options.ramp_factor, options.run_time or float("inf")
    )
    while ramp.current is not None:
        _run_stage(session, client, group, ramp.current, perf_counter())
        group.join()
        ramp.judge(session.judge_stage())


def _run_stage(session: Session, client: Any, group: Group, stage: Stage, began: float) -> None:
    session.enter(stage)
    options, tally = session.options, session.tally

    def fire(due: float) -> None:
        send(client, next(session.payloads), tally, session.timings, due)

    seed = options.arrival_seed + len(session.stages) - 1
    times = plan_times(options.arrivals, stage.level, stage.seconds, seed)
    run_schedule(times, fire, group, began)
    gevent.sleep(max(began + stage.seconds - perf_counter(), 0.0))
