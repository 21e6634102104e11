"""The scheduler: every call is begun, none before its time, whatever the calls before do."""

from time import perf_counter

import gevent
import gevent.event
from gevent.pool import Group

from loadtests.users.schedule import run_schedule, start_clock


def test_calls_begin_at_their_times_though_others_still_run() -> None:
    times = [0.0, 0.01, 0.02, 0.02, 0.05]
    begun: list[tuple[float, float]] = []
    held = gevent.event.Event()

    def fire(due: float) -> None:
        begun.append((due, perf_counter()))
        held.wait()

    group, began = Group(), perf_counter()
    run_schedule(times, fire, group, began)
    gevent.sleep(0)
    assert [round(due - began, 6) for due, _ in begun] == times
    assert all(moment >= due for due, moment in begun)
    held.set()
    group.join()


def test_what_is_late_is_begun_at_once_and_keeps_its_moment() -> None:
    found: list[float] = []
    group, began = Group(), perf_counter() - 100
    run_schedule([1.0, 2.0], found.append, group, began)
    group.join()
    assert found == [began + 1, began + 2]
    assert perf_counter() - began < 160


def test_the_clock_is_told_of_work_that_kept_it_from_running() -> None:
    loop = gevent.get_hub().loop
    gevent.sleep(0)
    before, end = loop.now(), perf_counter() + 0.05
    while perf_counter() < end:
        pass
    start_clock()
    assert loop.now() - before >= 0.04
